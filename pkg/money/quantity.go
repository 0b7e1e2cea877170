package money

import (
	"fmt"

	"github.com/shopspring/decimal"
)

// Quantity is a signed count of attos (10⁻¹⁸) of what a meter measures. It has
// the range of an [Amount] but must never be mixed with one: only a [Rate]
// converts a quantity into an amount. The zero value is zero.
type Quantity struct{ int128 }

// ParseQuantity reads a decimal as [ParseAmount] does.
func ParseQuantity(s string) (Quantity, error) {
	v, err := parseDecimal(s)
	if err != nil {
		return Quantity{}, fmt.Errorf("reading quantity %q: %w", clip(s), err)
	}
	return Quantity{v}, nil
}

// QuantityFromDecimal converts without rounding. It fails with [ErrPrecision]
// or [ErrOverflow].
func QuantityFromDecimal(d decimal.Decimal) (Quantity, error) {
	v, err := int128FromDecimal(d)
	if err != nil {
		return Quantity{}, fmt.Errorf("converting a decimal to a quantity: %w", err)
	}
	return Quantity{v}, nil
}

// QuantityFromMantissa returns (hi × 2⁶⁴ + lo) × 10^-scale for a scale of 0 to
// 18. It fails with [ErrPrecision] at a larger scale and with [ErrOverflow]. It
// does not allocate.
func QuantityFromMantissa(hi, lo uint64, scale uint8) (Quantity, error) {
	if scale > places {
		return Quantity{}, ErrPrecision
	}
	m, ok := uint128{hi, lo}.mul64(powersOfTen[places-scale])
	if !ok || m.hi>>63 != 0 {
		return Quantity{}, ErrOverflow
	}
	return Quantity{int128{int64(m.hi), m.lo}}, nil
}

// Mantissa is the inverse of [QuantityFromMantissa], with the smallest scale that
// holds the quantity. It fails with [ErrDomain] for a negative quantity.
func (q Quantity) Mantissa() (hi, lo uint64, scale uint8, err error) {
	m, negative := q.magnitude()
	if negative {
		return 0, 0, 0, fmt.Errorf("mantissa of a quantity below zero: %w", ErrDomain)
	}
	whole, fraction := m.div64(one)
	if fraction == 0 {
		return whole.hi, whole.lo, 0, nil
	}
	scale = places
	for fraction%10 == 0 {
		fraction /= 10
		scale--
	}
	m, _ = m.div64(powersOfTen[places-scale])
	return m.hi, m.lo, scale, nil
}

// Attos returns the quantity as an amount of as many attos, for [MulDiv] and its
// like: arithmetic with numbers that are no money.
func (q Quantity) Attos() Amount { return Amount(q) }

// QuantityFromLimbs is the inverse of Limbs.
func QuantityFromLimbs(hi int64, lo uint64) Quantity { return Quantity{int128{hi, lo}} }

// QuantityFromBytes is the inverse of Bytes; every 16 bytes are a quantity.
func QuantityFromBytes(b [16]byte) Quantity { return Quantity{int128FromBytes(b)} }

// Add returns q + b or [ErrOverflow].
func (q Quantity) Add(b Quantity) (Quantity, error) {
	v, ok := q.add(b.int128)
	if !ok {
		return Quantity{}, ErrOverflow
	}
	return Quantity{v}, nil
}

// Sub returns q - b or [ErrOverflow].
func (q Quantity) Sub(b Quantity) (Quantity, error) {
	v, ok := q.sub(b.int128)
	if !ok {
		return Quantity{}, ErrOverflow
	}
	return Quantity{v}, nil
}

// Neg returns -q. It fails with [ErrOverflow] for the smallest quantity.
func (q Quantity) Neg() (Quantity, error) { return Quantity{}.Sub(q) }

// Abs returns |q|. It fails with [ErrOverflow] for the smallest quantity.
func (q Quantity) Abs() (Quantity, error) {
	if q.hi < 0 {
		return q.Neg()
	}
	return q, nil
}

// Cmp returns -1, 0 or 1 as q is below, equal to or above b.
func (q Quantity) Cmp(b Quantity) int { return q.cmp(b.int128) }

// CeilTo returns the smallest multiple of granularity that is not below q, which
// is what a card with billing granularity bills: 61 s by the minute is 120 s. It
// fails with [ErrDomain] if q is negative or granularity is not positive, and
// with [ErrOverflow].
func (q Quantity) CeilTo(granularity Quantity) (Quantity, error) {
	if q.Sign() < 0 || granularity.Sign() <= 0 {
		return Quantity{}, fmt.Errorf("billing %v by multiples of %v: %w", q, granularity, ErrDomain)
	}
	m, _ := q.magnitude()
	g, _ := granularity.magnitude()
	_, rest, _ := divide(uint128{}, m, g)
	if rest.isZero() {
		return q, nil
	}
	gap, _ := g.sub(rest).signed(false) // At most g, which is signed already.
	return q.Add(Quantity{gap})
}
