package money

import (
	"fmt"
	"math/bits"
	"slices"
)

// Apportion divides total among weights by largest remainder and writes the
// parts, in attos, to dst. Part i is the whole part of total × weights[i] ÷
// Σweights; the attos that are left over go one each to the largest remainders,
// and of equal remainders to the lower index. So the parts sum to total, each is
// within one atto of its quota, and a weight of zero has a part of zero.
//
// It fails with [ErrDomain] if total is negative, if dst and weights differ in
// length, or if there is something to divide and all weights are zero; and with
// [ErrOverflow] if Σweights does not fit 128 bits. After an error dst is
// unchanged.
//
// A larger total can give a holder less: largest remainder is not monotone (the
// Alabama paradox). Time is linear in the number of weights; apart from dst at
// most 256 kB of memory are needed.
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
	q := quotas{total: m, supply: newDivisor(sum)}
	s := q.floors(dst, weights)
	for s.tied > fewTied && !s.settled() {
		s = q.refine(s, dst, weights)
	}
	q.handOut(s, dst, weights)
	return nil
}

// quotas computes total × weight ÷ Σweights. Remainders are numerators over the
// supply. They are shifted left by as much as the supply must be shifted to set
// the top bit of its first word, so that the leading digits of all remainders are
// in the same place.
type quotas struct {
	total  uint128
	supply divisor
}

// of returns a quota's whole part and its remainder. The whole part is at most
// total, as no weight exceeds the supply.
func (q *quotas) of(w Units) (whole, remainder uint128) {
	if q.supply.d.hi == 0 { // So w.Hi is 0 too.
		carry, p0 := bits.Mul64(q.total.lo, w.Lo)
		p2, p1 := bits.Mul64(q.total.hi, w.Lo)
		p1, c := bits.Add64(p1, carry, 0)
		whole, remainder.hi = q.supply.divide64(p2+c, p1, p0)
		return whole, remainder
	}
	high, low := q.total.mul(w.raw())
	return q.supply.divide(high, low)
}

// remainder computes the same remainder from the whole part, without dividing:
// the numerator less whole × supply. The low words are enough.
func (q *quotas) remainder(whole uint128, w Units) uint128 {
	s := q.supply.shift & 63
	if q.supply.d.hi == 0 {
		return uint128{hi: (q.total.lo*w.Lo - whole.lo*q.supply.d.lo) << s}
	}
	r := q.total.mulLow(w.raw()).sub(whole.mulLow(q.supply.d))
	return uint128{r.hi<<s | r.lo>>1>>(63-s), r.lo << s}
}

// floors writes the whole parts to dst and returns the first selection of holders
// that receive one of the attos left over.
func (q *quotas) floors(dst []Amount, weights []Units) selection {
	var counts histogram
	spare := q.total
	for i, w := range weights {
		whole, r := q.of(w)
		spare = spare.sub(whole)
		dst[i] = Amount{int128{int64(whole.hi), whole.lo}}
		counts[r.hi>>(64-digitBits)]++
	}
	// Shifting has set the bits below the lowest bit of a remainder to zero.
	lowest := int(q.supply.shift)
	if q.supply.d.hi == 0 {
		lowest += 64
	}
	// Spare is below len(weights): each quota falls short by less than one.
	s := selection{need: spare.lo, low: 128 - digitBits, lowest: lowest}
	return s.choose(&counts)
}

// selection narrows down which remainders are the largest, from their top bits to
// their lowest. A remainder whose bits from low upwards exceed threshold receives
// an atto, one below it does not, and of the tied remainders, which are equal to
// it, need receive one.
type selection struct {
	threshold   uint128
	need, tied  uint64
	low, lowest int
}

// histogram counts remainders by a digit of their bits. It fits into the
// first-level cache; two digits separate most of ten million remainders.
type histogram [1 << digitBits]uint64

const (
	digitBits = 12
	fewTied   = 1 << 13 // Up to this number are sorted, which is faster than another pass.
)

// settled reports that no further bit can matter: all of the tied remainders
// receive an atto or none does, or they are equal and their index decides.
func (s selection) settled() bool {
	return s.need == 0 || s.need == s.tied || s.low <= s.lowest
}

// refine extends the threshold by the next digit.
func (q *quotas) refine(s selection, floors []Amount, weights []Units) selection {
	var counts histogram
	low := max(s.low-digitBits, 0)
	width := s.low - low
	for i, w := range weights {
		r := q.remainder(bitsOf(floors[i]), w)
		if r.shiftRight(s.low) == s.threshold {
			counts[r.shiftRight(low).lo&(1<<width-1)]++
		}
	}
	s.threshold = s.threshold.shiftLeft(width)
	s.low = low
	return s.choose(&counts)
}

// choose appends to the threshold the digit at which the attos are used up.
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

// handOut adds the left-over attos to the whole parts.
func (q *quotas) handOut(s selection, parts []Amount, weights []Units) {
	if s.need == 0 && s.threshold == (uint128{lo: 1<<digitBits - 1}) {
		return // Nothing is left over: no remainder exceeds the largest digit.
	}
	settled := s.settled()
	var tied []candidate
	if !settled {
		tied = make([]candidate, 0, s.tied)
	}
	need := s.need
	for i, w := range weights {
		r := q.remainder(bitsOf(parts[i]), w)
		switch key := r.shiftRight(s.low); {
		case key.less(s.threshold):
		case key != s.threshold:
			addAtto(&parts[i])
		case !settled:
			tied = append(tied, candidate{r, i})
		case need > 0: // In order of index: this is the tie-break.
			addAtto(&parts[i])
			need--
		}
	}
	slices.SortFunc(tied, func(a, b candidate) int {
		if c := b.remainder.cmp(a.remainder); c != 0 {
			return c
		}
		return a.index - b.index // The same tie-break.
	})
	for _, c := range tied[:min(need, uint64(len(tied)))] {
		addAtto(&parts[c.index])
	}
}

type candidate struct {
	remainder uint128
	index     int
}

// addAtto cannot overflow: a quota with a fraction is below total.
func addAtto(a *Amount) {
	a.lo++
	if a.lo == 0 {
		a.hi++
	}
}

func bitsOf(a Amount) uint128 { return uint128{uint64(a.hi), a.lo} }
