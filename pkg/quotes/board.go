// Package quotes decides which observed rate prices an event, or that none does.
//
// The method: a [Board] keeps every observation of every source. For an event
// it takes, from each source, the latest observation that is not after the
// event's last instant (see [events.LastInstant]), and leaves out those that
// are too old at that instant. The quote is the median of the rest: of an odd
// number the middle one, of an even number the mean of the two in the middle,
// rounded half-even to the atto. Guards can only refuse a quote, never change
// it. They are checked in this order, and the first that objects gives the
// [Reason]:
//
//  1. no policy for the pair: [NoPolicy];
//  2. no observation at or before the instant: [Missing];
//  3. none that is fresh: [Stale]. An observation of time t is fresh at the
//     event's last instant if instant - t ≤ heartbeat + margin;
//  4. fewer fresh sources than the policy requires: [Few];
//  5. without a peg, a fresh observation of an implausible magnitude:
//     [Magnitude]. See [Plausible];
//  6. the highest and the lowest fresh observation differ by more than
//     max_deviation × median: [Deviating]. Zero switches this guard off;
//  7. |median - peg| > peg_hold × peg: [OffPeg]. A peg of zero switches this
//     guard off; with a peg and a peg_hold of zero, every quote off the peg is
//     held.
//
// A value exactly at a bound is allowed in all of them. All comparisons are
// exact: the only rounding is that of an even median. With a fixed quote no
// guard is checked. A policy counts from the barrier at which it took effect,
// for events of any time; so does an observation.
//
// # Invariants
//
//   - Fails closed: a quote that the guards cannot check is held.
//   - Deterministic: a verdict depends on the policy and on the set of
//     observations, not on how or in which messages they came.
//   - Cacheable: until the board changes, every instant in [From, Until) of a
//     verdict has that same verdict.
//   - Immutable: a round that is known never changes its time or rate, and one
//     that is withdrawn never comes back.
//   - One round per instant: a source has one rate at one time. The same rate
//     under another name is the same round; another rate is refused.
//
// # Memory
//
// All rounds are kept, because an event may be as old as its book's horizon and
// a release may name any round: about 114 bytes each with a name of 20 bytes.
package quotes

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Board holds the policies and observations of all pairs. The zero value is
// empty and ready. It is not safe for concurrent use.
type Board struct {
	pairs    map[events.Pair]*pair
	revision uint64
}

type pair struct {
	declared bool
	policy   events.QuotePolicyDeclared
	window   int64    // heartbeat + margin in nanoseconds
	sources  []series // ascending by name
}

// series is the rounds of one source, ascending in time.
type series struct {
	name   string
	times  []int64 // nanoseconds since 1970 UTC, no two equal
	rates  []money.Amount
	rounds []string
	known  map[string]int32 // index of each round by name; several names may mean one round
	// sound[i] is the index of the last observation up to and including i that
	// has a plausible magnitude and is not withdrawn; -1 if there is none.
	sound []int32
	// withdrawn has the indexes of rounds that no quote uses any more. They
	// stay in the series, so that no other round takes their name or time.
	withdrawn map[int32]struct{}
}

// Revision grows with every change that may change a verdict. A caller that
// keeps verdicts must drop them when it has grown.
func (b *Board) Revision() uint64 { return b.revision }

func (b *Board) pair(name events.Pair) *pair {
	p := b.pairs[name]
	if p == nil {
		if b.pairs == nil {
			b.pairs = make(map[events.Pair]*pair)
		}
		p = &pair{}
		b.pairs[name] = p
	}
	return p
}

// mostRate and mostFraction bound stored values so that no comparison in this
// package can overflow 128 bits: 10¹⁸ whole units of currency, and 10,000 %.
var (
	mostRate     = whole(1_000_000_000_000_000_000)
	mostFraction = whole(100)
)

func whole(n uint64) money.Amount {
	a, err := money.MulDiv(money.One, money.Units{Lo: n}, money.Units{Lo: 1})
	if err != nil {
		return money.Amount{} // Not reached: 10³⁶ attos fit.
	}
	return a
}

// mostWindow is the largest heartbeat and the largest margin, in seconds: 100
// years, so that both together fit 63 bits of nanoseconds.
const mostWindow = 100 * 366 * 86_400

// SetPolicy declares or replaces the policy of a pair. It fails and changes
// nothing for a pair that is not of the form ASSET/CURRENCY, values below zero,
// rates above 10¹⁸ and fractions above 100.
func (b *Board) SetPolicy(p events.QuotePolicyDeclared) error {
	if _, _, ok := p.Pair.Split(); !ok {
		return fmt.Errorf("setting a quote policy: pair %q is not of the form ASSET/CURRENCY", p.Pair)
	}
	for _, v := range []struct {
		field string
		value money.Amount
		most  money.Amount
	}{
		{"fixed", p.Fixed, mostRate}, {"peg", p.Peg, mostRate},
		{"max_deviation", p.MaxDeviation, mostFraction},
		{"peg_warn", p.PegWarn, mostFraction}, {"peg_hold", p.PegHold, mostFraction},
	} {
		if v.value.Sign() < 0 || v.value.Cmp(v.most) > 0 {
			return fmt.Errorf("setting the quote policy of %s: %s %v is not between 0 and %v", p.Pair, v.field, v.value, v.most)
		}
	}
	if p.HeartbeatSeconds < 0 || p.HeartbeatSeconds > mostWindow || p.MarginSeconds < 0 || p.MarginSeconds > mostWindow {
		return fmt.Errorf("setting the quote policy of %s: heartbeat %d s or margin %d s is not between 0 and %d s",
			p.Pair, p.HeartbeatSeconds, p.MarginSeconds, mostWindow)
	}
	if p.MinSources < 0 {
		return fmt.Errorf("setting the quote policy of %s: min_sources %d is below zero", p.Pair, p.MinSources)
	}
	p.MinSources = max(p.MinSources, 1)
	at := b.pair(p.Pair)
	at.declared, at.policy = true, p
	at.window = (p.HeartbeatSeconds + p.MarginSeconds) * int64(time.Second)
	b.revision++
	return nil
}

// Observe adds rounds of one source. A round that is known with the same time
// and rate is ignored, so that an import can be repeated or overlap. It fails
// and changes nothing if a known round has another time or rate, if a new round
// has the time of a known one and another rate, if it is not later than all
// earlier rounds of its source, if a rate is not above zero or is above 10¹⁸,
// or if a name has a character that separates names in a quote's id (see
// [Verdict]).
func (b *Board) Observe(o events.QuotesObserved) error {
	if _, _, ok := o.Pair.Split(); !ok {
		return fmt.Errorf("observing quotes: pair %q is not of the form ASSET/CURRENCY", o.Pair)
	}
	if err := checkName(o.Source); err != nil {
		return fmt.Errorf("observing quotes of %s: source: %w", o.Pair, err)
	}
	var old series
	var sources []series
	if p := b.pairs[o.Pair]; p != nil {
		sources = p.sources
	}
	i, found := slices.BinarySearchFunc(sources, o.Source, func(s series, name string) int { return strings.Compare(s.name, name) })
	if found {
		old = sources[i]
	}
	news := intake{of: &old}
	for _, r := range o.Rounds {
		if _, err := news.take(r); err != nil {
			return fmt.Errorf("observing quotes of %s by %s: %w", o.Pair, o.Source, err)
		}
	}
	if len(news.names) == 0 {
		return nil
	}
	p := b.pair(o.Pair)
	if !found {
		p.sources = slices.Insert(p.sources, i, series{name: strings.Clone(o.Source), known: make(map[string]int32)})
	}
	s := &p.sources[i]
	for _, r := range news.fresh {
		s.times = append(s.times, r.Time.UnixNano())
		s.rates = append(s.rates, r.Rate)
		s.rounds = append(s.rounds, strings.Clone(r.Round))
		s.judge(len(s.times) - 1)
	}
	for name, at := range news.names { // map order: each name is entered once, in any order
		s.known[strings.Clone(name)] = at
	}
	b.revision++
	return nil
}

// Round returns the rate of one round, for a release that names it. A withdrawn
// round counts as unknown.
func (b *Board) Round(name events.Pair, source, round string) (money.Amount, bool) {
	s, i, ok := b.find(name, source, round)
	if !ok || s.isWithdrawn(i) {
		return money.Amount{}, false
	}
	return s.rates[i], true
}

// Withdraw withdraws a round: from then on no verdict uses it, and
// [Board.Round] does not find it. Repeating it changes nothing. It fails if the
// round is not known.
func (b *Board) Withdraw(w events.RoundWithdrawn) error {
	s, i, ok := b.find(w.Pair, w.Source, w.Round)
	if !ok {
		return fmt.Errorf("pair %s has no round %q of source %q", w.Pair, w.Round, w.Source)
	}
	if s.isWithdrawn(i) {
		return nil
	}
	if s.withdrawn == nil {
		s.withdrawn = make(map[int32]struct{})
	}
	s.withdrawn[int32(i)] = struct{}{} //nolint:gosec // see intake.take
	// Later observations may have been judged by comparison with it.
	for k := i; k < len(s.times); k++ {
		s.judge(k)
	}
	b.revision++
	return nil
}

func (s *series) isWithdrawn(i int) bool {
	_, gone := s.withdrawn[int32(i)]
	return gone
}

// Newest says how recent the newest observation of a source is.
type Newest struct {
	Pair   events.Pair
	Source string
	At     int64 // of the observation, nanoseconds since 1970 UTC
	// Window is heartbeat + margin of the policy, in nanoseconds: an
	// observation of a higher age is too old.
	Window int64
}

// Newest returns the newest observation of every source of each pair whose
// policy needs observations, ascending by pair and source.
func (b *Board) Newest() (list []Newest) {
	for _, name := range slices.Sorted(maps.Keys(b.pairs)) {
		p := b.pairs[name]
		if !p.declared || p.policy.Fixed.Sign() > 0 {
			continue
		}
		for i := range p.sources {
			s := &p.sources[i]
			if j := s.latest(math.MaxInt64); j >= 0 {
				list = append(list, Newest{Pair: name, Source: s.name, At: s.times[j], Window: p.window})
			}
		}
	}
	return list
}

// latest returns the index of the latest observation not after an instant that is
// not withdrawn, -1 if there is none.
func (s *series) latest(at int64) int {
	i := sort.Search(len(s.times), func(i int) bool { return s.times[i] > at }) - 1
	for i >= 0 && s.isWithdrawn(i) {
		i--
	}
	return i
}

// next returns the index of the first observation after index i that is not
// withdrawn, or their number.
func (s *series) next(i int) int {
	for i++; i < len(s.times) && s.isWithdrawn(i); i++ {
	}
	return i
}

func checkName(s string) error {
	if err := events.CheckName(s); err != nil {
		return err
	}
	if i := strings.IndexAny(s, separatesNames); i >= 0 {
		return fmt.Errorf("name has the character %q, which separates names in the id of a quote", s[i])
	}
	return nil
}

func nanoseconds(t time.Time) (int64, bool) {
	if t.Before(time.Unix(0, 0)) || t.After(time.Unix(0, math.MaxInt64)) {
		return 0, false
	}
	return t.UnixNano(), true
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
