package money

import (
	"fmt"
	"math/bits"
)

// Apportion divides total among weights by largest remainder and writes the
// parts, in attos, to dst: part i is the whole of total × weights[i] ÷ Σweights,
// and the attos that are left over go one each to the largest remainders, of
// equal ones to the lower index. So the parts sum to total, each lies within
// one atto of its quota, and a weight of zero has a part of zero.
//
// It fails with [ErrDomain] where total is negative, dst and weights differ in
// length, or there is something to divide and no weight; and with [ErrOverflow]
// where Σweights does not fit 128 bits. After an error dst is as it was.
//
// A larger total can give a holder less: largest remainder is not monotone (the
// Alabama paradox). Time is linear in the number of weights; beside dst no
// memory is needed.
func Apportion(dst []Amount, total Amount, weights []Units) error {
	if len(dst) != len(weights) {
		return fmt.Errorf("apportioning among %d weights into %d parts: %w", len(weights), len(dst), ErrDomain)
	}
	if total.Sign() < 0 {
		return fmt.Errorf("apportioning %v: negative: %w", total, ErrDomain)
	}
	var sum uint128
	for i, w := range weights {
		var ok bool
		if sum, ok = sum.add(w.raw()); !ok {
			return fmt.Errorf("apportioning: adding weight %d of %d: %w", i, len(weights), ErrOverflow)
		}
	}
	if sum.isZero() {
		if !total.IsZero() {
			return fmt.Errorf("apportioning %v among weights that are all zero: %w", total, ErrDomain)
		}
		clear(dst)
		return nil
	}
	m, _ := total.magnitude()
	q := quotas{total: m, divisor: newDivisor(sum)}
	// Until the last pass dst holds the remainders: 128 bits each, like parts.
	s := q.remainders(dst, weights)
	for !s.settled() {
		s = s.refine(dst)
	}
	q.parts(dst, weights, s)
	return nil
}

// quotas computes total × weight ÷ Σweights.
type quotas struct {
	total   uint128
	divisor divisor
}

// of returns the quota's whole part and its remainder, a numerator over
// Σweights. The quotient is at most total, as no weight exceeds their sum.
func (q *quotas) of(w Units) (whole, remainder uint128) {
	if q.divisor.d.hi == 0 { // So w.Hi is 0 too.
		carry, p0 := bits.Mul64(q.total.lo, w.Lo)
		p2, p1 := bits.Mul64(q.total.hi, w.Lo)
		p1, c := bits.Add64(p1, carry, 0)
		hi, r := bits.Div64(p2+c, p1, q.divisor.d.lo)
		lo, r := bits.Div64(r, p0, q.divisor.d.lo)
		return uint128{hi, lo}, uint128{0, r}
	}
	high, low := q.total.mul(w.raw())
	return q.divisor.divide(high, low)
}

// remainders writes every remainder to dst, as bits, and returns the first
// selection of those that receive one of the attos left over.
func (q *quotas) remainders(dst []Amount, weights []Units) selection {
	var counts histogram
	s := newSelection(q.divisor.d)
	spare := q.total
	for i, w := range weights {
		whole, r := q.of(w)
		spare = spare.sub(whole)
		dst[i] = Amount{int128{int64(r.hi), r.lo}}
		counts[r.shiftRight(s.low).lo]++
	}
	// Below len(weights): each holder's quota falls short by less than one.
	s.need = spare.lo
	return s.choose(&counts)
}

// parts overwrites the remainders in dst with the parts.
func (q *quotas) parts(dst []Amount, weights []Units, s selection) {
	need := s.need
	for i, w := range weights {
		key := bitsOf(dst[i]).shiftRight(s.low)
		whole, _ := q.of(w)
		switch {
		case s.threshold.less(key):
			whole, _ = whole.add(uint128{lo: 1})
		case key == s.threshold && need > 0: // In order of index: this is the tie-break.
			whole, _ = whole.add(uint128{lo: 1})
			need--
		}
		dst[i] = Amount{int128{int64(whole.hi), whole.lo}}
	}
}

// selection narrows down which remainders are the largest, from their top bits
// to their lowest: those whose bits from low upwards exceed threshold receive an
// atto, those below do not, and of those equal to it, need of tied do.
type selection struct {
	threshold uint128
	low       int
	need      uint64
	tied      uint64
}

// histogram counts remainders by digitBits of their bits. It fits the nearest
// cache, and three digits tell ten million remainders apart.
type histogram [1 << digitBits]uint64

const digitBits = 12

// newSelection begins at the top digit of remainders below d.
func newSelection(d uint128) selection {
	return selection{low: max(128-d.leadingZeros()-digitBits, 0)}
}

// settled reports that no further bit can matter: all of the tied receive an
// atto or none does, or they are equal and their order decides.
func (s selection) settled() bool {
	return s.need == 0 || s.need == s.tied || s.low == 0
}

// refine extends the threshold by the next digit.
func (s selection) refine(remainders []Amount) selection {
	var counts histogram
	low := max(s.low-digitBits, 0)
	width := s.low - low
	for i := range remainders {
		r := bitsOf(remainders[i])
		if r.shiftRight(s.low) == s.threshold {
			counts[r.shiftRight(low).lo&(1<<width-1)]++
		}
	}
	s.threshold = s.threshold.shiftLeft(width)
	s.low = low
	return s.choose(&counts)
}

// choose appends to the threshold the digit at which the attos run out.
func (s selection) choose(counts *histogram) selection {
	for digit := len(counts) - 1; digit >= 0; digit-- {
		if s.need <= counts[digit] {
			s.threshold.lo |= uint64(digit)
			s.tied = counts[digit]
			return s
		}
		s.need -= counts[digit]
	}
	return s
}

// bitsOf reads back the remainder that dst holds in place of a part.
func bitsOf(a Amount) uint128 { return uint128{uint64(a.hi), a.lo} }
