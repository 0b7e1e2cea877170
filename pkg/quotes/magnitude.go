package quotes

import (
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// leastSound and mostSound bound the rates of which, without a peg, it can be
// believed that their decimals are right: 10⁻⁷ and 10⁷ of any currency for a
// unit of any asset. An integer of 8 decimals, read without them, is above.
var (
	leastSound = money.Atto(100_000_000_000)
	mostSound  = whole(10_000_000)
)

// farness is how many times a rate may be another before it is far from it.
const farness = 10

// Far reports whether a is more than ten times b, or b more than ten times a: no
// market moves so between two observations, and a mistake of decimals does.
func Far(a, b money.Amount) bool {
	return above(a, b) || above(b, a)
}

// above reports whether a > farness × b. What does not fit is above everything.
func above(a, b money.Amount) bool {
	most, err := money.MulDiv(b, money.Units{Lo: farness}, money.Units{Lo: 1})
	return err == nil && a.Cmp(most) > 0
}

// Plausible reports whether the magnitude of a rate can be, after the last sound
// rate of its source; zero: there is none. A source that leaves its magnitude is
// not believed again until it is back: the way on is a policy with a peg.
func Plausible(rate, last money.Amount) bool {
	return rate.Cmp(leastSound) >= 0 && rate.Cmp(mostSound) <= 0 && (last.IsZero() || !Far(rate, last))
}

// Sound reports whether the magnitude of a round can be: it is sound in its
// series, or not far from the peg of the policy. Nothing is released at another.
func (b *Board) Sound(name events.Pair, source, round string) bool {
	s, i, ok := b.find(name, source, round)
	if !ok {
		return false
	}
	peg := b.pairs[name].policy.Peg
	return int(s.sound[i]) == i || peg.Sign() > 0 && !Far(s.rates[i], peg)
}

// judge decides whether the observation i is sound, those before it having been
// judged. One that is withdrawn is not.
func (s *series) judge(i int) {
	before, last := int32(-1), money.Amount{}
	if i > 0 {
		before = s.sound[i-1]
	}
	if before >= 0 {
		last = s.rates[before]
	}
	if !s.isWithdrawn(i) && Plausible(s.rates[i], last) {
		before = int32(i) //nolint:gosec // see intake.take
	}
	s.sound = append(s.sound[:i], before)
}
