package money

import (
	"fmt"
	"math/big"

	"github.com/shopspring/decimal"
)

// The oracles of these tests compute with math/big, which shares no code with
// what they check.

func bigOf(a Amount) *big.Int {
	hi, lo := a.Limbs()
	n := new(big.Int).Lsh(big.NewInt(hi), 64)
	return n.Add(n, new(big.Int).SetUint64(lo))
}

func bigOfUnits(u Units) *big.Int {
	n := new(big.Int).Lsh(new(big.Int).SetUint64(u.Hi), 64)
	return n.Add(n, new(big.Int).SetUint64(u.Lo))
}

// amountOfBig is false where n attos do not fit.
func amountOfBig(n *big.Int) (Amount, bool) {
	low := new(big.Int).And(n, new(big.Int).SetUint64(1<<64-1))
	high := new(big.Int).Rsh(n, 64)
	return AmountFromLimbs(high.Int64(), low.Uint64()), high.IsInt64()
}

func decimalOf(a Amount) decimal.Decimal { return decimal.NewFromBigInt(bigOf(a), -places) }

// amountOfDecimal is false where d is no whole number of attos, and where they do
// not fit.
func amountOfDecimal(d decimal.Decimal) (Amount, bool) {
	attos := d.Shift(places)
	if !attos.IsInteger() {
		return Amount{}, false
	}
	return amountOfBig(attos.BigInt())
}

// halfEvenOf rounds a fraction to an integer by its definition.
func halfEvenOf(r *big.Rat) *big.Int {
	floor := floorOf(r)
	twice := new(big.Rat).Sub(r, new(big.Rat).SetInt(floor))
	switch twice.Cmp(big.NewRat(1, 2)) {
	case -1:
		return floor
	case 0:
		if floor.Bit(0) == 0 {
			return floor
		}
	}
	return floor.Add(floor, big.NewInt(1))
}

// floorOf: Div is Euclidean, and with a positive divisor that is the floor.
func floorOf(r *big.Rat) *big.Int { return new(big.Int).Div(r.Num(), r.Denom()) }

// rateOf returns num ÷ den in lowest terms. It fails with [ErrDomain] at den = 0.
func rateOf(num, den Units) (Rate, error) {
	if den.IsZero() {
		return Rate{}, fmt.Errorf("making a rate with a denominator of zero: %w", ErrDomain)
	}
	n, d := num.raw(), den.raw()
	reduce(&n, &d)
	return Rate{n, newDivisor(d)}, nil
}

// amountFromMinor is the inverse of [Amount.Minor]. It fails with [ErrDomain]
// for an unknown asset and with [ErrOverflow].
func amountFromMinor(n Units, asset Asset) (Amount, error) {
	minor, err := asset.minor()
	if err != nil {
		return Amount{}, fmt.Errorf("reading minor units: %w", err)
	}
	m, ok := n.raw().mul64(minor)
	return amountOf(m, false, ok)
}
