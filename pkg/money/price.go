package money

import (
	"fmt"
	"math/bits"
)

// Price is money per quantity, such as 2.50 per 1,000,000; it is never a rounded
// unit price. The zero value is not valid.
type Price struct {
	Amount Amount   `json:"amount"` // In the card's currency, ≥ 0.
	Per    Quantity `json:"per"`    // In the meter's unit, > 0.
}

// ParsePrice reads both parts as [ParseAmount] does, and checks them as
// [Price.Valid] does.
func ParsePrice(amount, per string) (Price, error) {
	a, err := ParseAmount(amount)
	if err != nil {
		return Price{}, fmt.Errorf("reading price: %w", err)
	}
	q, err := ParseQuantity(per)
	if err != nil {
		return Price{}, fmt.Errorf("reading price: %w", err)
	}
	p := Price{a, q}
	if err := p.Valid(); err != nil {
		return Price{}, err
	}
	return p, nil
}

// Valid fails with [ErrDomain] if the amount is negative or the quantity is not
// positive. A price of zero is valid: some meters are free.
func (p Price) Valid() error {
	if p.Amount.Sign() < 0 {
		return fmt.Errorf("price of %v: negative: %w", p.Amount, ErrDomain)
	}
	if p.Per.Sign() <= 0 {
		return fmt.Errorf("price per %v: not positive: %w", p.Per, ErrDomain)
	}
	return nil
}

// String returns the amount and the quantity as "2.5 per 1000000".
func (p Price) String() string { return p.Amount.String() + " per " + p.Per.String() }

// One is a quote of one: the asset is at par with the card's currency.
var One = Atto(one)

// Rate is a price in attos of an asset per atto of quantity: a fraction in lowest
// terms of two integers below 2¹²⁸. Rates compare with ==, and equal rates are
// equal fractions. The zero value is not a rate, and charging with it is an
// error.
type Rate struct {
	num uint128
	den divisor
}

// Rate returns the price divided by a quote. The quote is the attos of the card's
// currency that one whole unit of the asset is worth; [One] at par. It fails with
// [ErrDomain] if the price is not valid or the quote not positive, and with
// [ErrOverflow] if the reduced fraction does not fit.
func (p Price) Rate(quote Amount) (Rate, error) {
	if err := p.Valid(); err != nil {
		return Rate{}, fmt.Errorf("making a rate: %w", err)
	}
	if quote.Sign() <= 0 {
		return Rate{}, fmt.Errorf("making a rate at a quote of %v: not positive: %w", quote, ErrDomain)
	}
	if p.Amount.IsZero() {
		return Rate{den: newDivisor(uint128{lo: 1})}, nil
	}
	// amount × 10¹⁸ ÷ (per × quote): each factor of the numerator is reduced
	// against each of the denominator, so the products have no common factor
	// left.
	amount, _ := p.Amount.magnitude()
	unit := uint128{lo: one}
	per, _ := p.Per.magnitude()
	worth, _ := quote.magnitude()
	reduce(&amount, &per)
	reduce(&amount, &worth)
	reduce(&unit, &per)
	reduce(&unit, &worth)
	numOver, num := amount.mul(unit)
	denOver, den := per.mul(worth)
	if !numOver.isZero() || !denOver.isZero() {
		return Rate{}, fmt.Errorf("making a rate of %v at a quote of %v: %w", p, quote, ErrOverflow)
	}
	return Rate{num, newDivisor(den)}, nil
}

// reduce divides both by their greatest common divisor. b must not be 0; a may
// be.
func reduce(a, b *uint128) {
	g := gcd(*a, *b)
	*a, _, _ = divide(uint128{}, *a, g)
	*b, _, _ = divide(uint128{}, *b, g)
}

// Fraction returns the numerator and the denominator, in lowest terms.
func (r Rate) Fraction() (num, den Units) {
	return Units{r.num.hi, r.num.lo}, Units{r.den.d.hi, r.den.d.lo}
}

// String returns the fraction as "1/400000".
func (r Rate) String() string {
	num, den := r.Fraction()
	return num.String() + "/" + den.String()
}

// Charge returns quantity × rate, rounded once to the atto, half-even. A negative
// quantity gives the negative of the charge for its absolute value. It fails with
// [ErrOverflow], and with [ErrDomain] for the zero Rate. It does not allocate.
func (r Rate) Charge(q Quantity) (Amount, error) {
	m, negative := q.magnitude()
	if r.num.hi|r.den.d.hi == 0 {
		// 128 × 64 bits ÷ 64 bits, which covers all usual prices and quotes.
		d := r.den.d.lo
		carry, p0 := bits.Mul64(m.lo, r.num.lo)
		p2, p1 := bits.Mul64(m.hi, r.num.lo)
		p1, c := bits.Add64(p1, carry, 0)
		p2 += c
		if p2 >= d {
			return Amount{}, r.chargeError()
		}
		quotient, rest := r.den.divide64(p2, p1, p0)
		// The same as halfEven, on one word.
		half, up := d<<(r.den.shift&63)-rest, uint64(0)
		if rest > half || rest == half && quotient.lo&1 == 1 {
			up = 1
		}
		quotient, ok := quotient.add(uint128{lo: up})
		return amountOf(quotient, negative, ok)
	}
	high, low := m.mul(r.num)
	if !high.less(r.den.d) {
		return Amount{}, r.chargeError()
	}
	var quotient, rest uint128
	if r.den.d.hi == 0 { // So high is below one word too.
		quotient, rest.lo = r.den.divide64(high.lo, low.hi, low.lo)
	} else {
		quotient, rest = r.den.divide(high, low)
	}
	quotient, ok := halfEven(quotient, rest, r.den.normalized())
	return amountOf(quotient, negative, ok)
}

func (r Rate) chargeError() error {
	if r.den.d.isZero() {
		return fmt.Errorf("charging at a rate that was never set: %w", ErrDomain)
	}
	return ErrOverflow
}
