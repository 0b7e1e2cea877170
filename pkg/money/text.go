package money

import (
	"fmt"
)

const (
	places = 18
	one    = 1_000_000_000_000_000_000 // Attos in a whole.
)

var powersOfTen = [20]uint64{
	1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000,
	1_000_000_000, 10_000_000_000, 100_000_000_000, 1_000_000_000_000,
	10_000_000_000_000, 100_000_000_000_000, 1_000_000_000_000_000,
	10_000_000_000_000_000, 100_000_000_000_000_000, one,
	10_000_000_000_000_000_000,
}

// String returns the canonical decimal of the package comment.
func (a int128) String() string {
	var room [44]byte
	return string(a.appendDecimal(room[:0]))
}

// AppendText implements [encoding.TextAppender]; it never fails.
func (a int128) AppendText(b []byte) ([]byte, error) { return a.appendDecimal(b), nil }

// MarshalText implements [encoding.TextMarshaler]: JSON has a decimal string,
// because a JSON number becomes a float in many readers.
func (a int128) MarshalText() ([]byte, error) { return a.appendDecimal(nil), nil }

// UnmarshalText reads a decimal in the form of the package comment. It fails
// with [ErrSyntax], [ErrPrecision] or [ErrOverflow].
func (a *int128) UnmarshalText(text []byte) error {
	v, err := parseDecimal(text)
	if err != nil {
		return fmt.Errorf("reading decimal %q: %w", clip(text), err)
	}
	*a = v
	return nil
}

// UnmarshalJSON takes a string or a number, the number from its text and so
// exactly. It refuses null: an absent amount is not zero.
func (a *int128) UnmarshalJSON(b []byte) error { return a.UnmarshalText(unquote(b)) }

func (a int128) appendDecimal(b []byte) []byte {
	m, negative := a.magnitude()
	if negative {
		b = append(b, '-')
	}
	whole, fraction := m.div64(one)
	b = whole.appendDigits(b)
	if fraction == 0 {
		return b
	}
	width := places
	for fraction%10 == 0 {
		fraction /= 10
		width--
	}
	b = append(b, '.')
	start := len(b)
	b = append(b, "000000000000000000"[:width]...)
	for i := start + width - 1; fraction > 0; i-- {
		b[i] = byte('0' + fraction%10)
		fraction /= 10
	}
	return b
}

// parseDecimal reads the grammar of the package comment.
func parseDecimal[T string | []byte](s T) (int128, error) {
	i := 0
	negative := false
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		negative = s[i] == '-'
		i++
	}
	// The value read so far is mantissa × 10^(zeros + exponent). Zeros wait
	// outside the mantissa until a digit follows them, so that it overflows
	// only by digits that count.
	var mantissa uint128
	var zeros, exponent int64
	digits, point, overflow := 0, false, false
	for ; i < len(s); i++ {
		c := s[i]
		if c == '.' && !point {
			point = true
			continue
		}
		digit := c - '0'
		if digit > 9 {
			break
		}
		digits++
		if point {
			exponent--
		}
		switch {
		case digit == 0:
			if !mantissa.isZero() {
				zeros++
			}
		case zeros == 0 && mantissa.hi == 0 && mantissa.lo < 1<<60:
			mantissa.lo = mantissa.lo*10 + uint64(digit)
		default:
			var ok, fits bool
			mantissa, ok = mantissa.scale(zeros + 1)
			mantissa, fits = mantissa.add(uint128{lo: uint64(digit)})
			if !ok || !fits {
				overflow = true
				mantissa = uint128{lo: 1} // Not zero, so that zeros still wait.
			}
			zeros = 0
		}
	}
	if digits == 0 {
		return int128{}, ErrSyntax
	}
	if i < len(s) {
		written, ok := parseExponent(s[i:])
		if !ok {
			return int128{}, ErrSyntax
		}
		exponent += written
	}
	if mantissa.isZero() {
		return int128{}, nil
	}
	shift := exponent + zeros + places
	if shift < 0 {
		// The last digit of the mantissa is not zero: places would be lost.
		return int128{}, ErrPrecision
	}
	mantissa, ok := mantissa.scale(shift)
	if overflow || !ok {
		return int128{}, ErrOverflow
	}
	v, ok := mantissa.signed(negative)
	if !ok {
		return int128{}, ErrOverflow
	}
	return v, nil
}

// parseExponent reads "e" and an integer. It saturates far beyond what any
// number of digits in memory could bring back into range.
func parseExponent[T string | []byte](s T) (int64, bool) {
	if s[0] != 'e' && s[0] != 'E' {
		return 0, false
	}
	i := 1
	negative := false
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		negative = s[i] == '-'
		i++
	}
	if i == len(s) {
		return 0, false
	}
	var e int64
	for ; i < len(s); i++ {
		digit := s[i] - '0'
		if digit > 9 {
			return 0, false
		}
		e = min(e*10+int64(digit), 1<<55)
	}
	if negative {
		e = -e
	}
	return e, true
}

// scale returns a × 10ⁿ for a that is not zero, or false where that does not fit.
func (a uint128) scale(n int64) (uint128, bool) {
	var ok bool
	for n > 19 {
		if a, ok = a.mul64(powersOfTen[19]); !ok {
			return uint128{}, false
		}
		n -= 19
	}
	return a.mul64(powersOfTen[n])
}

// unquote takes the quotes off a JSON string. What holds an escape is left as
// it is: no number needs one, and the number's own syntax then refuses it.
func unquote(b []byte) []byte {
	if len(b) >= 2 && b[0] == '"' && b[len(b)-1] == '"' {
		return b[1 : len(b)-1]
	}
	return b
}

// clip keeps hostile text out of logs: an error quotes at most 48 bytes of it.
func clip[T string | []byte](s T) string {
	if len(s) > 48 {
		return string(s[:48]) + "…"
	}
	return string(s)
}
