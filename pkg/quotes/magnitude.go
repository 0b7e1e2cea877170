package quotes

import (
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// leastSound and mostSound bound the rates that are plausible without a peg:
// 10⁻⁷ and 10⁷ of any currency for a unit of any asset. A rate with 8 decimals
// that was read as an integer is above that.
var (
	leastSound = money.Atto(100_000_000_000)
	mostSound  = whole(10_000_000)
)

// farness is the factor from which on two rates are far from each other.
const farness = 10

// Far reports whether a is more than ten times b, or b more than ten times a:
// no market moves that far between two observations, but a mistake of decimals
// does.
func Far(a, b money.Amount) bool {
	return above(a, b) || above(b, a)
}

// above reports whether a > farness × b. A product that does not fit is above
// everything.
func above(a, b money.Amount) bool {
	most, err := money.MulDiv(b, money.Units{Lo: farness}, money.Units{Lo: 1})
	return err == nil && a.Cmp(most) > 0
}

// Plausible reports whether the magnitude of a rate is plausible after the last
// sound rate of its source; zero means that there is none. Once a source leaves
// its magnitude, its rates are not plausible until it returns; a policy with a
// peg accepts the new magnitude.
func Plausible(rate, last money.Amount) bool {
	return rate.Cmp(leastSound) >= 0 && rate.Cmp(mostSound) <= 0 && (last.IsZero() || !Far(rate, last))
}

// Sound reports whether the magnitude of a round is plausible: the round is
// sound in its series, or not far from the peg of the policy. Quantities can
// only be released at sound rounds.
func (b *Board) Sound(name events.Pair, source, round string) bool {
	s, i, ok := b.find(name, source, round)
	if !ok {
		return false
	}
	peg := b.pairs[name].policy.Peg
	return int(s.sound[i]) == i || peg.Sign() > 0 && !Far(s.rates[i], peg)
}

// judge decides whether observation i is sound, after all earlier ones were
// judged. A withdrawn observation is not sound.
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
