package quotes

import (
	"math"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Verdict says how events whose last instant is in [From, Until) are priced.
type Verdict struct {
	Held   bool   // nothing is priced: quantities wait
	Reason Reason // the reason, if Held

	// Quote is the currency that one unit of the asset is worth; zero if Held,
	// so that it cannot price anything by mistake.
	Quote money.Amount
	ID    string       // names the rounds of the quote, see [Fixed]; empty if Held
	Warn  bool         // priced, but off the peg by more than the policy's peg_warn
	Seen  money.Amount // the median, even if a guard held it; zero if there is none

	// From (inclusive) and Until (exclusive) bound the instants, in nanoseconds
	// since 1970 UTC, that have this verdict until the board changes.
	From, Until int64
}

// Reason says why an event is not priced. The values are stable.
type Reason string

// The reasons, in the order in which they are checked: see the package comment.
const (
	NoPolicy  Reason = "no_policy"
	Missing   Reason = "missing"
	Stale     Reason = "stale"
	Few       Reason = "few"
	Magnitude Reason = "magnitude"
	Deviating Reason = "deviating"
	OffPeg    Reason = "off_peg"
)

// PairOf returns the pair of an asset and the currency in which it is quoted.
func PairOf(asset, currency money.Asset) events.Pair {
	return events.Pair(asset) + "/" + events.Pair(currency)
}

// For returns the verdict on an event whose last instant is at, which was
// priced in currency and is charged in asset. If the two are the same, no quote
// is needed: the quote is one and has no ID.
func (b *Board) For(asset, currency money.Asset, at int64) Verdict {
	if asset == currency {
		return Verdict{Quote: money.One, Seen: money.One, From: math.MinInt64, Until: math.MaxInt64}
	}
	return b.At(PairOf(asset, currency), at)
}

// observation is the latest observation of one source at some instant.
type observation struct {
	source, round string
	rate          money.Amount
}

// At returns the verdict on an event whose last instant is at, in nanoseconds
// since 1970 UTC. Its cost is a binary search for each source of the pair.
func (b *Board) At(name events.Pair, at int64) Verdict {
	v := Verdict{From: math.MinInt64, Until: math.MaxInt64}
	p := b.pairs[name]
	if p == nil || !p.declared {
		return v.held(NoPolicy)
	}
	if p.policy.Fixed.Sign() > 0 {
		v.Quote, v.Seen, v.ID = p.policy.Fixed, p.policy.Fixed, Fixed
		return v
	}
	var few [8]observation
	fresh, any, unsound := few[:0], false, false
	for i := range p.sources {
		s := &p.sources[i]
		j := s.latest(at)
		if k := s.next(j); k < len(s.times) {
			v.Until = min(v.Until, s.times[k])
		}
		if j < 0 {
			continue
		}
		any = true
		stale := after(s.times[j], p.window) // the first instant at which it is too old
		if at >= stale {
			v.From = max(v.From, stale)
			continue
		}
		v.From, v.Until = max(v.From, s.times[j]), min(v.Until, stale)
		fresh = append(fresh, observation{s.name, s.rounds[j], s.rates[j]})
		unsound = unsound || int(s.sound[j]) != j
	}
	switch {
	case !any:
		return v.held(Missing)
	case len(fresh) == 0:
		return v.held(Stale)
	case len(fresh) < p.policy.MinSources:
		return v.held(Few)
	}
	id := medianID(fresh)
	middle, ok := median(fresh) // From here on fresh is ascending by rate.
	if !ok {
		return v.held(Deviating) // Not reached: Observe bounds the rates.
	}
	v.Seen = middle
	if unsound && p.policy.Peg.IsZero() {
		return v.held(Magnitude)
	}
	if bound := p.policy.MaxDeviation; !bound.IsZero() && exceeds(fresh[0].rate, fresh[len(fresh)-1].rate, bound, middle) {
		return v.held(Deviating)
	}
	if peg := p.policy.Peg; !peg.IsZero() {
		if exceeds(peg, middle, p.policy.PegHold, peg) {
			return v.held(OffPeg)
		}
		v.Warn = exceeds(peg, middle, p.policy.PegWarn, peg)
	}
	v.Quote, v.ID = middle, id
	return v
}

func (v Verdict) held(why Reason) Verdict {
	v.Held, v.Reason = true, why
	return v
}

// after returns the first instant later than t by more than window.
func after(t, window int64) int64 {
	if t > math.MaxInt64-1-window {
		return math.MaxInt64
	}
	return t + window + 1
}

// exceeds reports whether |a - b| > fraction × of, exactly: a whole number of
// attos is above a bound if and only if it is above the bound's floor. It is
// true if it cannot be computed.
func exceeds(a, b, fraction, of money.Amount) bool {
	gap, err := a.Sub(b)
	if err != nil {
		return true
	}
	if gap, err = gap.Abs(); err != nil {
		return true
	}
	part, err := fraction.Units()
	if err != nil {
		return true
	}
	bound, err := money.MulDivFloor(of, part, money.Whole)
	return err != nil || gap.Cmp(bound) > 0
}
