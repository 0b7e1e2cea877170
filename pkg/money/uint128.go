package money

import "math/bits"

// uint128 is hi × 2⁶⁴ + lo: the working type of products and quotients.
type uint128 struct{ hi, lo uint64 }

func (a uint128) isZero() bool { return a.hi|a.lo == 0 }

func (a uint128) less(b uint128) bool {
	return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo
}

func (a uint128) cmp(b uint128) int {
	switch {
	case a == b:
		return 0
	case a.less(b):
		return -1
	}
	return 1
}

func (a uint128) add(b uint128) (sum uint128, ok bool) {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	hi, carry := bits.Add64(a.hi, b.hi, carry)
	return uint128{hi, lo}, carry == 0
}

// sub returns a - b. The caller must have checked that b is not larger: otherwise
// it wraps.
func (a uint128) sub(b uint128) uint128 {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	return uint128{a.hi - b.hi - borrow, lo}
}

func (a uint128) shiftLeft(n int) uint128 {
	if n >= 64 {
		return uint128{a.lo << (n - 64), 0}
	}
	return uint128{a.hi<<n | a.lo>>(64-n), a.lo << n}
}

func (a uint128) shiftRight(n int) uint128 {
	if n >= 64 {
		return uint128{0, a.hi >> (n - 64)}
	}
	return uint128{a.hi >> n, a.lo>>n | a.hi<<(64-n)}
}

func (a uint128) trailingZeros() int {
	if a.lo != 0 {
		return bits.TrailingZeros64(a.lo)
	}
	return 64 + bits.TrailingZeros64(a.hi)
}

// mul64 returns a × b, or false if that does not fit.
func (a uint128) mul64(b uint64) (product uint128, ok bool) {
	carry, lo := bits.Mul64(a.lo, b)
	over, hi := bits.Mul64(a.hi, b)
	hi, c := bits.Add64(hi, carry, 0)
	return uint128{hi, lo}, over+c == 0
}

// mul returns the whole product, the high half first.
func (a uint128) mul(b uint128) (high, low uint128) {
	h00, l00 := bits.Mul64(a.lo, b.lo)
	h01, l01 := bits.Mul64(a.lo, b.hi)
	h10, l10 := bits.Mul64(a.hi, b.lo)
	h11, l11 := bits.Mul64(a.hi, b.hi)

	p1, c1 := bits.Add64(h00, l01, 0)
	p1, c2 := bits.Add64(p1, l10, 0)
	p2, c3 := bits.Add64(h01, h10, c1)
	p2, c4 := bits.Add64(p2, l11, c2)
	return uint128{h11 + c3 + c4, p2}, uint128{p1, l00}
}

// mulLow returns a × b modulo 2¹²⁸.
func (a uint128) mulLow(b uint128) uint128 {
	hi, lo := bits.Mul64(a.lo, b.lo)
	return uint128{hi + a.lo*b.hi + a.hi*b.lo, lo}
}

// div64 divides by a single word that is not zero.
func (a uint128) div64(d uint64) (quotient uint128, rest uint64) {
	hi := a.hi / d
	lo, rest := bits.Div64(a.hi%d, a.lo, d)
	return uint128{hi, lo}, rest
}

// divide returns (high:low) ÷ d, or false if the quotient does not fit 128 bits,
// which includes d = 0.
//
// The method is Knuth's algorithm D (The Art of Computer Programming, volume 2,
// section 4.3.1) with two words of divisor, so two steps.
func divide(high, low, d uint128) (quotient, rest uint128, ok bool) {
	if !high.less(d) {
		return uint128{}, uint128{}, false
	}
	if d.hi == 0 { // So high.hi is 0 and high.lo < d.lo.
		q1, r := bits.Div64(high.lo, low.hi, d.lo)
		q0, r := bits.Div64(r, low.lo, d.lo)
		return uint128{q1, q0}, uint128{0, r}, true
	}
	shift := bits.LeadingZeros64(d.hi)
	if shift > 0 {
		d = d.shiftLeft(shift)
		high = high.shiftLeft(shift)
		high.lo |= low.hi >> (64 - shift)
		low = low.shiftLeft(shift)
	}
	q1, r := divideStep(high, low.hi, d)
	q0, r := divideStep(r, low.lo, d)
	return uint128{q1, q0}, r.shiftRight(shift), true
}

// divideStep divides three words by two: (u:u0) ÷ d for a d with its top bit
// set and u < d.
func divideStep(u uint128, u0 uint64, d uint128) (q uint64, rest uint128) {
	var r uint64
	exhausted := false // r no longer fits into a word, so q needs no correction.
	if u.hi < d.hi {
		q, r = bits.Div64(u.hi, u.lo, d.hi)
	} else { // Equal, as u < d: the estimate is the largest word.
		q = 1<<64 - 1
		var carry uint64
		r, carry = bits.Add64(u.lo, d.hi, 0)
		exhausted = carry != 0
	}
	high, low := bits.Mul64(q, d.lo)
	for !exhausted && (uint128{r, u0}).less(uint128{high, low}) {
		q--
		var borrow, carry uint64
		low, borrow = bits.Sub64(low, d.lo, 0)
		high -= borrow
		r, carry = bits.Add64(r, d.hi, 0)
		exhausted = carry != 0
	}
	return q, uint128{r, u0}.sub(uint128{high, low})
}

// halfEven rounds a quotient by its rest: up above one half, to even at exactly
// one half. It returns false if the quotient cannot be rounded up because it is
// the largest value.
func halfEven(quotient, rest, d uint128) (uint128, bool) {
	// Compares rest with d - rest, because 2 × rest may not fit.
	switch rest.cmp(d.sub(rest)) {
	case -1:
		return quotient, true
	case 0:
		if quotient.lo&1 == 0 {
			return quotient, true
		}
	}
	return quotient.add(uint128{lo: 1})
}

// gcd is Stein's binary algorithm; gcd(a, 0) is a.
func gcd(a, b uint128) uint128 {
	if a.isZero() {
		return b
	}
	if b.isZero() {
		return a
	}
	twos := min(a.trailingZeros(), b.trailingZeros())
	a = a.shiftRight(a.trailingZeros())
	for !b.isZero() {
		b = b.shiftRight(b.trailingZeros())
		if b.less(a) {
			a, b = b, a
		}
		b = b.sub(a)
	}
	return a.shiftLeft(twos)
}
