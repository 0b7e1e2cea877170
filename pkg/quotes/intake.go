package quotes

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// intake checks new rounds of one source, in order, against the rounds that the
// source already has.
type intake struct {
	of    *series
	fresh []events.Round
	names map[string]int32 // names of new rounds, and new names of known ones, to the index in the series
}

// take takes one round, or returns why it cannot be taken. known reports that
// nothing about it is new, except perhaps its name.
func (n *intake) take(r events.Round) (known bool, err error) {
	if err := checkName(r.Round); err != nil {
		return false, fmt.Errorf("round %q: %w", r.Round, err)
	}
	if r.Rate.Sign() <= 0 || r.Rate.Cmp(mostRate) > 0 {
		return false, fmt.Errorf("round %s: rate %v is not above 0 and at most %v", r.Round, r.Rate, mostRate)
	}
	at, ok := nanoseconds(r.Time)
	if !ok {
		return false, fmt.Errorf("round %s: time %v is not between 1970 and 2262", r.Round, r.Time)
	}
	if i, ok := n.named(r.Round); ok {
		if time, rate := n.said(i); time != at || rate != r.Rate {
			return false, fmt.Errorf("round %s: is known with rate %v at %s, and cannot become %v at %s", r.Round,
				rate, stamp(time), r.Rate, stamp(at))
		}
		return true, nil
	}
	index, there := n.find(at)
	switch {
	case there:
		if _, rate := n.said(index); rate != r.Rate {
			return false, fmt.Errorf("round %s: rate %v at %s, but %v is known of that time", r.Round, r.Rate, stamp(at), rate)
		}
		known = true
	case index < n.count():
		last, _ := n.said(n.count() - 1)
		return false, fmt.Errorf("round %s: time %s is not after %s, the time of the round before it", r.Round, stamp(at), stamp(last))
	case index >= math.MaxInt32:
		return false, fmt.Errorf("more than %d rounds", math.MaxInt32)
	default:
		n.fresh = append(n.fresh, r)
	}
	if n.names == nil {
		n.names = make(map[string]int32)
	}
	n.names[r.Round] = int32(index) //nolint:gosec // bounded above
	return known, nil
}

func (n *intake) count() int { return len(n.of.times) + len(n.fresh) }

func (n *intake) named(round string) (int, bool) {
	if i, ok := n.of.known[round]; ok {
		return int(i), true
	}
	i, ok := n.names[round]
	return int(i), ok
}

// said returns the time and rate of a round by its index.
func (n *intake) said(i int) (int64, money.Amount) {
	if old := len(n.of.times); i >= old {
		return n.fresh[i-old].Time.UnixNano(), n.fresh[i-old].Rate
	}
	return n.of.times[i], n.of.rates[i]
}

// find returns the index of the round with a time, or the index at which it
// would be inserted.
func (n *intake) find(at int64) (int, bool) {
	if i, ok := slices.BinarySearch(n.of.times, at); ok || i < len(n.of.times) {
		return i, ok
	}
	i, ok := slices.BinarySearchFunc(n.fresh, at, func(r events.Round, at int64) int { return cmp.Compare(r.Time.UnixNano(), at) })
	return len(n.of.times) + i, ok
}

// A Refusal says why a round of an import cannot be taken.
type Refusal struct {
	Index  int // of the round in the import, from 0
	Reason string
}

// Sift divides an import, without changing the board, into the new rounds, in
// order, the number of known rounds, and the refused ones. In addition to what
// [Board.Observe] refuses, it refuses a rate whose magnitude (see [Far])
// differs both from that of the source's last sound rate and from that of the
// policy's peg or, if there is neither, from that of the import's median. So a
// file that is read with wrong decimals is stopped before it is recorded.
func (b *Board) Sift(o events.QuotesObserved) (fresh []events.Round, known int, refused []Refusal) {
	var of series
	var near []money.Amount // the peg
	if p := b.pairs[o.Pair]; p != nil {
		if p.declared && p.policy.Peg.Sign() > 0 {
			near = append(near, p.policy.Peg)
		}
		for i := range p.sources {
			if p.sources[i].name == o.Source {
				of = p.sources[i]
			}
		}
	}
	var last money.Amount // the last sound rate; zero if there is none
	if n := len(of.times); n > 0 && of.sound[n-1] >= 0 {
		last = of.rates[of.sound[n-1]]
	}
	if len(near) == 0 && last.IsZero() && len(o.Rounds) > 0 {
		rates := make([]money.Amount, len(o.Rounds))
		for i, r := range o.Rounds {
			rates[i] = r.Rate
		}
		slices.SortFunc(rates, money.Amount.Cmp)
		last = rates[len(rates)/2]
	}
	news := intake{of: &of}
	for i, r := range o.Rounds {
		// Known rounds are not judged again.
		if _, there := news.named(r.Round); !there && r.Rate.Sign() > 0 {
			if reference, far := farFromAll(r.Rate, last, near); far {
				refused = append(refused, Refusal{i, fmt.Sprintf("rate %v is of another magnitude than %v: are its decimals right?", r.Rate, reference)})
				continue
			}
		}
		same, err := news.take(r)
		switch {
		case err != nil:
			refused = append(refused, Refusal{i, err.Error()})
		case same:
			known++
		default:
			last = r.Rate
		}
	}
	return news.fresh, known, refused
}

// farFromAll reports whether a rate is far from the last one and from the others.
func farFromAll(rate, last money.Amount, others []money.Amount) (reference money.Amount, far bool) {
	if !last.IsZero() {
		others = append([]money.Amount{last}, others...)
	}
	for _, reference := range others {
		if !Far(rate, reference) {
			return rate, false
		}
	}
	if len(others) == 0 {
		return rate, false
	}
	return others[0], true
}
