package quotes

import (
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// An id names the rounds from which a quote was made. Postings and receipts
// contain it. It is
//
//   - empty where asset and currency are the same, so that no quote was needed,
//   - [Fixed] where the policy of the pair fixes the quote,
//   - source#round for the round of one source,
//   - median:source#round,source#round for the median of several, ascending by
//     source.
//
// Neither a source nor a round may contain # or a comma: [Board.Observe]
// refuses such names. So an id has only one meaning.
const (
	// Fixed is the id of a quote that a policy fixed.
	Fixed = "fixed"

	medianOf       = "median:"
	betweenNames   = "#"
	betweenRounds  = ","
	separatesNames = betweenNames + betweenRounds
)

// RoundID returns the id of one round of a source.
func RoundID(source, round string) string { return source + betweenNames + round }

// ParseRound returns the source and the round that the id of one round names.
// ok is false for any other id.
func ParseRound(id string) (source, round string, ok bool) {
	source, round, ok = strings.Cut(id, betweenNames)
	if !ok || strings.ContainsAny(round, separatesNames) || strings.Contains(source, betweenRounds) {
		return "", "", false
	}
	return source, round, true
}

// Rounds returns the ids of the rounds from which a quote was made, in the
// order of its id; none for a quote that is fixed or was not needed.
func Rounds(id string) []string {
	if id == "" || id == Fixed {
		return nil
	}
	return strings.Split(strings.TrimPrefix(id, medianOf), betweenRounds)
}

// medianID returns the id of the median of observations, which must ascend by
// source; for one observation it is the id of its round.
func medianID(all []observation) string {
	if len(all) == 1 {
		return RoundID(all[0].source, all[0].round)
	}
	ids := make([]string, len(all))
	for i, o := range all {
		ids[i] = RoundID(o.source, o.round)
	}
	return medianOf + strings.Join(ids, betweenRounds)
}

// Named returns the quote of a pair that an id names. It includes rounds that
// were withdrawn later, because charges that were posted at them stay posted.
// ok is false if a round is not known, and for an id without rounds.
func (b *Board) Named(name events.Pair, id string) (quote money.Amount, ok bool) {
	var all []observation
	for _, one := range Rounds(id) {
		source, round, ok := ParseRound(one)
		if !ok {
			return money.Amount{}, false
		}
		s, i, ok := b.find(name, source, round)
		if !ok {
			return money.Amount{}, false
		}
		all = append(all, observation{source, round, s.rates[i]})
	}
	if len(all) == 0 {
		return money.Amount{}, false
	}
	return median(all)
}

// find returns the series of a round and its index there, even if the round is
// withdrawn.
func (b *Board) find(name events.Pair, source, round string) (s *series, i int, ok bool) {
	p := b.pairs[name]
	if p == nil {
		return nil, 0, false
	}
	for k := range p.sources {
		if s = &p.sources[k]; s.name == source {
			i, ok := s.known[round]
			return s, int(i), ok
		}
	}
	return nil, 0, false
}

// median sorts observations by rate and returns the one in the middle, or the
// mean of the two in the middle, rounded half-even to the atto. It is false
// only if the sum of these two does not fit. There must be at least one
// observation.
func median(all []observation) (money.Amount, bool) {
	slices.SortFunc(all, func(a, b observation) int { return a.rate.Cmp(b.rate) })
	n := len(all)
	if n%2 == 1 {
		return all[n/2].rate, true
	}
	sum, err := all[n/2-1].rate.Add(all[n/2].rate)
	if err != nil {
		return money.Amount{}, false
	}
	mean, err := money.MulDiv(sum, money.Units{Lo: 1}, money.Units{Lo: 2})
	return mean, err == nil
}
