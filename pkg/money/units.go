package money

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
)

// Units is an unsigned count of indivisible token units, Hi × 2⁶⁴ + Lo, from 0
// to 2¹²⁸-1. The zero value is zero.
type Units struct{ Hi, Lo uint64 }

// Whole is the number of attos in one unit of an asset or of a quantity.
var Whole = Units{Lo: one}

// UnitsOf returns n units.
func UnitsOf(n uint64) Units { return Units{Lo: n} }

// ParseUnits reads decimal digits and nothing else: no sign, point, exponent or
// space. It fails with [ErrSyntax] or [ErrOverflow].
func ParseUnits(s string) (Units, error) {
	u, err := parseUnits(s)
	if err != nil {
		return Units{}, fmt.Errorf("reading units %q: %w", clip(s), err)
	}
	return u, nil
}

func parseUnits[T string | []byte](s T) (Units, error) {
	if len(s) == 0 {
		return Units{}, ErrSyntax
	}
	var u uint128
	overflow := false
	for i := range len(s) {
		digit := s[i] - '0'
		if digit > 9 {
			return Units{}, ErrSyntax
		}
		next, ok := u.mul64(10)
		sum, fits := next.add(uint128{lo: uint64(digit)})
		u, overflow = sum, overflow || !ok || !fits
	}
	if overflow { // Only now, so that text that is not a number is reported as such.
		return Units{}, ErrOverflow
	}
	return Units{u.hi, u.lo}, nil
}

// UnitsFromBytes is the inverse of Bytes.
func UnitsFromBytes(b [16]byte) Units {
	return Units{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (u Units) raw() uint128 { return uint128{u.Hi, u.Lo} }

// Add returns u + v or [ErrOverflow].
func (u Units) Add(v Units) (Units, error) {
	sum, ok := u.raw().add(v.raw())
	if !ok {
		return Units{}, ErrOverflow
	}
	return Units{sum.hi, sum.lo}, nil
}

// Sub returns u - v, or [ErrOverflow] if v is larger.
func (u Units) Sub(v Units) (Units, error) {
	lo, borrow := bits.Sub64(u.Lo, v.Lo, 0)
	hi, borrow := bits.Sub64(u.Hi, v.Hi, borrow)
	if borrow != 0 {
		return Units{}, ErrOverflow
	}
	return Units{hi, lo}, nil
}

// Cmp returns -1, 0 or 1 as u is below, equal to or above v.
func (u Units) Cmp(v Units) int { return u.raw().cmp(v.raw()) }

// IsZero reports whether u is zero.
func (u Units) IsZero() bool { return u.Hi|u.Lo == 0 }

// Bytes returns the 16 bytes, big endian, so that their order is the order of
// the values.
func (u Units) Bytes() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:8], u.Hi)
	binary.BigEndian.PutUint64(b[8:], u.Lo)
	return b
}

// String returns the decimal digits.
func (u Units) String() string {
	var room [40]byte
	return string(u.raw().appendDigits(room[:0]))
}

// AppendText implements [encoding.TextAppender]; it never fails.
func (u Units) AppendText(b []byte) ([]byte, error) { return u.raw().appendDigits(b), nil }

// MarshalText implements [encoding.TextMarshaler]: JSON has a string of digits,
// because many readers lose digits of a JSON number.
func (u Units) MarshalText() ([]byte, error) { return u.AppendText(nil) }

// UnmarshalText reads text as [ParseUnits] does.
func (u *Units) UnmarshalText(text []byte) error {
	v, err := parseUnits(text)
	if err != nil {
		return fmt.Errorf("reading units %q: %w", clip(text), err)
	}
	*u = v
	return nil
}

// UnmarshalJSON accepts a string or a number. A number is read from its text. It
// refuses null: an absent count is not zero.
func (u *Units) UnmarshalJSON(b []byte) error { return u.UnmarshalText(unquote(b)) }

// appendDigits writes u in base ten.
func (a uint128) appendDigits(b []byte) []byte {
	if a.hi == 0 {
		return strconv.AppendUint(b, a.lo, 10)
	}
	const group = 10_000_000_000_000_000_000 // 10¹⁹, the largest power in a word.
	quotient, low := a.div64(group)
	b = quotient.appendDigits(b)
	start := len(b)
	b = append(b, "0000000000000000000"...)
	for i := start + 18; low > 0; i-- {
		b[i] = byte('0' + low%10)
		low /= 10
	}
	return b
}
