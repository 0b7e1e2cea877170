package money

import "math/bits"

// divisor divides many numbers by the same one without the machine's division,
// which takes 20 to 90 cycles a word; a multiplication takes 4.
//
// The method is that of Möller and Granlund, "Improved division by invariant
// integers" (IEEE Transactions on Computers 60, 2011): algorithm 4 for a divisor
// of one word, algorithm 5 for two. All fields are functions of d, so divisors
// compare with ==. The zero value means no divisor.
type divisor struct {
	d          uint128
	reciprocal uint64 // Of d << shift, without the 2⁶⁴ that it always contains.
	shift      uint8  // 0 to 63, so that d << shift has the top bit of its first word set.
}

// newDivisor accepts every d except 0.
func newDivisor(d uint128) divisor {
	if d.hi == 0 {
		shift := bits.LeadingZeros64(d.lo)
		return divisor{d, reciprocalOf(d.lo << shift), uint8(shift)}
	}
	shift := bits.LeadingZeros64(d.hi)
	return divisor{d, d.shiftLeft(shift).reciprocal(), uint8(shift)}
}

// normalized returns d << shift. Rests are returned in this unit, so a rest can
// be compared with d without shifting it back.
func (v divisor) normalized() uint128 {
	s := v.shift & 63 // Tells the compiler that the shift is below 64.
	return uint128{v.d.hi<<s | v.d.lo>>1>>(63-s), v.d.lo << s}
}

// reciprocalOf returns (2¹²⁸-1) ÷ d - 2⁶⁴ for a d with its top bit set.
func reciprocalOf(d uint64) uint64 {
	v, _ := bits.Div64(^d, 1<<64-1, d)
	return v
}

// reciprocal returns (2¹⁹²-1) ÷ d - 2⁶⁴ for a d with its top bit set: the
// paper's algorithm 6.
func (a uint128) reciprocal() uint64 {
	d := a
	v := reciprocalOf(d.hi)
	p := d.hi*v + d.lo
	if p < d.lo {
		v--
		if p >= d.hi {
			v--
			p -= d.hi
		}
		p -= d.hi
	}
	high, low := bits.Mul64(v, d.lo)
	p += high
	if p < high {
		v--
		if !(uint128{p, low}).less(d) {
			v--
		}
	}
	return v
}

// divide64 returns (top:middle:low) ÷ d for a d of one word and top < d, and
// the rest << shift.
func (v divisor) divide64(top, middle, low uint64) (quotient uint128, rest uint64) {
	s := v.shift & 63
	d := v.d.lo << s
	top = top<<s | middle>>1>>(63-s)
	middle = middle<<s | low>>1>>(63-s)
	if top != 0 || middle >= d {
		quotient.hi, middle = divideWord(top, middle, d, v.reciprocal)
	}
	quotient.lo, rest = divideWord(middle, low<<s, d, v.reciprocal)
	return quotient, rest
}

// divideWord is algorithm 4: (u1:u0) ÷ d for u1 < d.
func divideWord(u1, u0, d, reciprocal uint64) (q, r uint64) {
	q, estimate := bits.Mul64(reciprocal, u1)
	estimate, carry := bits.Add64(estimate, u0, 0)
	q += u1 + carry + 1
	r = u0 - q*d
	// The estimate is one too large in about half of all cases, so there is no
	// branch.
	_, over := bits.Sub64(estimate, r, 0)
	q -= over
	r += d & -over
	if r >= d { // Hardly ever.
		q++
		r -= d
	}
	return q, r
}

// divide returns (high:low) ÷ d for a d of two words and high < d, and the
// rest << shift.
func (v divisor) divide(high, low uint128) (quotient, rest uint128) {
	s := v.shift & 63
	d := v.normalized()
	u3 := high.hi<<s | high.lo>>1>>(63-s)
	u2 := high.lo<<s | low.hi>>1>>(63-s)
	u1 := low.hi<<s | low.lo>>1>>(63-s)
	rest = uint128{u3, u2}
	if u3|u2 == 0 {
		rest = uint128{0, u1} // Below d, whose first word has its top bit set.
	} else {
		quotient.hi, rest = divideWords(rest, u1, d, v.reciprocal)
	}
	quotient.lo, rest = divideWords(rest, low.lo<<s, d, v.reciprocal)
	return quotient, rest
}

// divideWords is algorithm 5: (u:u0) ÷ d for u < d.
func divideWords(u uint128, u0 uint64, d uint128, reciprocal uint64) (q uint64, rest uint128) {
	q, estimate := bits.Mul64(reciprocal, u.hi)
	estimate, carry := bits.Add64(estimate, u.lo, 0)
	q += u.hi + carry
	rhi := u.lo - q*d.hi
	thi, tlo := bits.Mul64(d.lo, q)
	rlo, borrow := bits.Sub64(u0, tlo, 0)
	rhi -= thi + borrow
	rlo, borrow = bits.Sub64(rlo, d.lo, 0)
	rhi -= d.hi + borrow
	q++
	_, fits := bits.Sub64(rhi, estimate, 0) // 1 if rhi < estimate.
	back := fits - 1                        // All ones if q was one too large.
	q += back
	rlo, carry = bits.Add64(rlo, d.lo&back, 0)
	rhi += d.hi&back + carry
	rest = uint128{rhi, rlo}
	if !rest.less(d) { // Hardly ever.
		q++
		rest = rest.sub(d)
	}
	return q, rest
}
