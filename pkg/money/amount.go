package money

import (
	"fmt"

	"github.com/shopspring/decimal"
)

// Amount is a signed count of attos (10⁻¹⁸) of one asset, from -2¹²⁷ to
// 2¹²⁷-1: a little over ±1.7 × 10²⁰ whole units of the asset, which the Amount
// does not name. The zero value is zero. Amounts compare with == and serve as
// map keys.
type Amount struct{ int128 }

// Atto returns n attos.
func Atto(n int64) Amount { return Amount{int128{n >> 63, uint64(n)}} }

// ParseAmount reads a decimal in the form of the package comment. It fails with
// [ErrSyntax], [ErrPrecision] or [ErrOverflow].
func ParseAmount(s string) (Amount, error) {
	v, err := parseDecimal(s)
	if err != nil {
		return Amount{}, fmt.Errorf("reading amount %q: %w", clip(s), err)
	}
	return Amount{v}, nil
}

// AmountFromDecimal converts without rounding. It fails with [ErrPrecision] or
// [ErrOverflow].
func AmountFromDecimal(d decimal.Decimal) (Amount, error) {
	v, err := int128FromDecimal(d)
	if err != nil {
		return Amount{}, fmt.Errorf("converting a decimal to an amount: %w", err)
	}
	return Amount{v}, nil
}

// AmountFromLimbs is the inverse of Limbs.
func AmountFromLimbs(hi int64, lo uint64) Amount { return Amount{int128{hi, lo}} }

// AmountFromBytes is the inverse of Bytes; every 16 bytes are an amount.
func AmountFromBytes(b [16]byte) Amount { return Amount{int128FromBytes(b)} }

// Add returns a + b or [ErrOverflow].
func (a Amount) Add(b Amount) (Amount, error) {
	v, ok := a.add(b.int128)
	if !ok {
		return Amount{}, ErrOverflow
	}
	return Amount{v}, nil
}

// Sub returns a - b or [ErrOverflow].
func (a Amount) Sub(b Amount) (Amount, error) {
	v, ok := a.sub(b.int128)
	if !ok {
		return Amount{}, ErrOverflow
	}
	return Amount{v}, nil
}

// Neg returns -a. It fails with [ErrOverflow] for the smallest amount, which has
// no opposite.
func (a Amount) Neg() (Amount, error) { return Amount{}.Sub(a) }

// Abs returns |a|. It fails with [ErrOverflow] for the smallest amount.
func (a Amount) Abs() (Amount, error) {
	if a.hi < 0 {
		return a.Neg()
	}
	return a, nil
}

// Units returns the number of attos of an amount. It fails with [ErrDomain] below
// zero.
func (a Amount) Units() (Units, error) {
	if a.hi < 0 {
		return Units{}, fmt.Errorf("counting the attos of %v: %w", a, ErrDomain)
	}
	return Units{uint64(a.hi), a.lo}, nil
}

// Cmp returns -1, 0 or 1 as a is below, equal to or above b.
func (a Amount) Cmp(b Amount) int { return a.cmp(b.int128) }

// MulDiv returns a × num ÷ den, rounded once, half-even. It fails with
// [ErrDomain] if den is zero and with [ErrOverflow].
func MulDiv(a Amount, num, den Units) (Amount, error) {
	if den.IsZero() {
		return Amount{}, fmt.Errorf("dividing by zero: %w", ErrDomain)
	}
	m, negative := a.magnitude()
	high, low := m.mul(num.raw())
	q, rest, ok := divide(high, low, den.raw())
	if ok {
		q, ok = halfEven(q, rest, den.raw())
	}
	return amountOf(q, negative, ok)
}

// MulDivFloor returns the largest amount that is not above a × num ÷ den. It
// fails as [MulDiv] does.
func MulDivFloor(a Amount, num, den Units) (Amount, error) {
	if den.IsZero() {
		return Amount{}, fmt.Errorf("dividing by zero: %w", ErrDomain)
	}
	m, negative := a.magnitude()
	high, low := m.mul(num.raw())
	q, rest, ok := divide(high, low, den.raw())
	if ok && negative && !rest.isZero() {
		q, ok = q.add(uint128{lo: 1})
	}
	return amountOf(q, negative, ok)
}

// amountOf gives a magnitude its sign. It fails if ok is false, which means that
// an earlier step overflowed.
func amountOf(m uint128, negative, ok bool) (Amount, error) {
	if ok {
		if v, fits := m.signed(negative); fits {
			return Amount{v}, nil
		}
	}
	return Amount{}, ErrOverflow
}
