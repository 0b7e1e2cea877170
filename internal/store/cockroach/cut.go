package cockroach

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// change is the combined effect of several cuts. A statement writes a row only
// once, so the changes that later cuts make to a row are folded into those of
// earlier cuts. Lists are ascending by the key of their table.
type change struct {
	outcomes    []settlement.Outcome
	tallies     []settlement.Tally
	sources     []settlement.Source
	spans       []span
	originals   []settlement.Original
	suspense    []settlement.Suspense
	outstanding []settlement.Outstanding
	collected   []settlement.Collected
	voids       []settlement.Void
}

// span is a span as it is now; gone means that it is removed.
type span struct {
	source  settlement.Source
	first   uint64
	last    uint64
	removed bool
}

type spanKey struct {
	source settlement.Source
	first  uint64
}

func fold(cuts []*settlement.Cut) (*change, error) {
	sum := new(change)
	spans := map[spanKey]span{}
	sources := map[settlement.Source]bool{}
	for _, c := range cuts {
		sum.outcomes = append(sum.outcomes, c.Outcomes...)
		sum.tallies = append(sum.tallies, c.Tallies...)
		sum.suspense = append(sum.suspense, c.Suspense...)
		sum.outstanding = append(sum.outstanding, c.Outstanding...)
		sum.collected = append(sum.collected, c.Collected...)
		sum.voids = append(sum.voids, c.Voids...)
		for i := range c.Sources {
			p := &c.Sources[i]
			sources[p.Source] = true
			for _, first := range p.Remove {
				spans[spanKey{p.Source, first}] = span{p.Source, first, 0, true}
			}
			for _, s := range p.Put {
				spans[spanKey{p.Source, s.First}] = span{p.Source, s.First, s.Last, false}
			}
		}
		for i := range c.Originals {
			sources[c.Originals[i].Source] = true
		}
		sum.originals = append(sum.originals, c.Originals...)
	}
	for s := range sources {
		sum.sources = append(sum.sources, s)
	}
	slices.SortFunc(sum.sources, bySource)
	for _, s := range spans {
		sum.spans = append(sum.spans, s)
	}
	slices.SortFunc(sum.spans, func(a, b span) int {
		return cmp.Or(bySource(a.source, b.source), cmp.Compare(a.first, b.first))
	})
	if len(cuts) == 1 {
		return sum, nil // its lists are ascending and have each key once
	}
	slices.SortStableFunc(sum.tallies, byTally)
	sum.suspense = latest(sum.suspense, bySuspense)
	sum.outstanding = latest(sum.outstanding, func(a, b settlement.Outstanding) int {
		return cmp.Or(strings.Compare(string(a.Customer), string(b.Customer)), strings.Compare(string(a.Period), string(b.Period)),
			strings.Compare(string(a.Node), string(b.Node)))
	})
	sum.collected = latest(sum.collected, func(a, b settlement.Collected) int {
		return cmp.Or(strings.Compare(string(a.Book), string(b.Book)), strings.Compare(string(a.Period), string(b.Period)),
			strings.Compare(string(a.Node), string(b.Node)), strings.Compare(string(a.Asset), string(b.Asset)))
	})
	var err error
	sum.tallies, err = added(sum.tallies)
	return sum, err
}

func bySource(a, b settlement.Source) int {
	return cmp.Or(strings.Compare(string(a.Provider), string(b.Provider)), strings.Compare(a.Source, b.Source), cmp.Compare(a.Epoch, b.Epoch))
}

func byTally(a, b settlement.Tally) int {
	return cmp.Or(strings.Compare(string(a.Book), string(b.Book)), strings.Compare(string(a.Node), string(b.Node)),
		strings.Compare(string(a.Period), string(b.Period)), cmp.Compare(a.Outcome, b.Outcome), strings.Compare(string(a.Reason), string(b.Reason)))
}

func bySuspense(a, b settlement.Suspense) int {
	return cmp.Or(strings.Compare(string(a.Book), string(b.Book)), strings.Compare(string(a.Node), string(b.Node)),
		strings.Compare(string(a.Customer), string(b.Customer)), strings.Compare(string(a.Meter), string(b.Meter)),
		strings.Compare(a.Card, b.Card), cmp.Compare(a.Rule, b.Rule), strings.Compare(string(a.Pair), string(b.Pair)),
		strings.Compare(string(a.Period), string(b.Period)))
}

// latest sorts a list, and keeps only the last element with each key.
func latest[T any](list []T, compare func(a, b T) int) []T {
	slices.SortStableFunc(list, compare)
	kept := list[:0]
	for i := range list {
		if i+1 == len(list) || compare(list[i], list[i+1]) != 0 {
			kept = append(kept, list[i])
		}
	}
	return kept
}

// added adds up adjacent tallies with equal keys.
func added(list []settlement.Tally) ([]settlement.Tally, error) {
	sums := list[:0]
	for i := range list {
		n := len(sums)
		if n == 0 || byTally(sums[n-1], list[i]) != 0 {
			sums = append(sums, list[i])
			continue
		}
		if sums[n-1].Events > math.MaxInt64-list[i].Events {
			return nil, fmt.Errorf("counting events of node %s: too many", list[i].Node)
		}
		sums[n-1].Events += list[i].Events
	}
	return sums, nil
}

// write adds the statements that write a change, except for the journal.
func (s *settler) write(out *script, sum *change, ids *numbering) {
	runs := column(sum.outcomes, func(o *settlement.Outcome) []byte { return settlement.AppendRuns(nil, o.Runs) })
	chunks(runs, func(data *[]byte) int { return len(*data) }, func(from, to int) {
		list := sum.outcomes[from:to]
		out.add("writing outcomes", "INSERT INTO outcome (partition, position, events, runs) SELECT $1, * FROM unnest($2::int8[], $3::int8[], $4::bytea[])",
			s.partition,
			column(list, func(o *settlement.Outcome) int64 { return int64(o.Position) }), column(list, func(o *settlement.Outcome) int64 { return int64(o.Events) }),
			runs[from:to])
	})
	chunks(sum.tallies, func(t *settlement.Tally) int { return len(t.Book) + len(t.Node) + len(t.Period) + len(t.Reason) }, func(from, to int) {
		list := sum.tallies[from:to]
		out.add("writing tallies", `INSERT INTO tally (book, node, period, outcome, reason, events)
			SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[], $5::text[], $6::int8[])
			ON CONFLICT (book, node, period, outcome, reason) DO UPDATE SET events = tally.events + excluded.events`,
			column(list, func(t *settlement.Tally) string { return string(t.Book) }), column(list, func(t *settlement.Tally) string { return string(t.Node) }),
			column(list, func(t *settlement.Tally) string { return string(t.Period) }), column(list, func(t *settlement.Tally) int64 { return int64(t.Outcome) }),
			column(list, func(t *settlement.Tally) string { return string(t.Reason) }), column(list, func(t *settlement.Tally) int64 { return int64(t.Events) }))
	})
	chunks(ids.made, sourceSize, func(from, to int) {
		made := ids.made[from:to]
		out.add("writing sources", "INSERT INTO source (id, partition, provider, source, epoch) SELECT id, $1, provider, source, epoch FROM unnest($2::int8[], $3::text[], $4::text[], $5::int8[]) AS u (id, provider, source, epoch)",
			s.partition, column(made, func(m *settlement.Source) int64 { return ids.of(*m) }), providers(made), names(made), epochs(made))
	})
	s.writeSpans(out, sum, ids)
	chunks(sum.originals, small, func(from, to int) {
		list := sum.originals[from:to]
		out.add("writing where events are", `INSERT INTO original (source, first, last, position, segment, ordinal)
			SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[])`,
			column(list, func(o *settlement.Original) int64 { return ids.of(o.Source) }),
			column(list, func(o *settlement.Original) int64 { return store.Ordered(o.Span.First) }), column(list, func(o *settlement.Original) int64 { return store.Ordered(o.Span.Last) }),
			column(list, func(o *settlement.Original) int64 { return int64(o.Position) }), column(list, func(o *settlement.Original) int64 { return int64(o.Segment) }),
			column(list, func(o *settlement.Original) int64 { return int64(o.Ordinal) }))
	})
	s.writeSuspense(out, sum.suspense)
	s.writeOutstanding(out, ids)
	s.writeCollected(out, sum.collected)
	chunks(sum.voids, func(v *settlement.Void) int { return len(v.Reason) }, func(from, to int) {
		list := sum.voids[from:to]
		out.add("writing void decisions", "INSERT INTO void (partition, control, reason) SELECT $1, * FROM unnest($2::int8[], $3::text[])",
			s.partition, column(list, func(v *settlement.Void) int64 { return int64(v.Control) }), column(list, func(v *settlement.Void) string { return v.Reason }))
	})
}

func (s *settler) writeSpans(out *script, sum *change, ids *numbering) {
	put, gone := apart(sum.spans, func(s *span) bool { return s.removed })
	source := func(s *span) int64 { return ids.of(s.source) }
	first := func(s *span) int64 { return store.Ordered(s.first) }
	chunks(gone, small, func(from, to int) {
		out.add("joining spans", "DELETE FROM span WHERE (source, first) IN (SELECT * FROM unnest($1::int8[], $2::int8[]))",
			column(gone[from:to], source), column(gone[from:to], first))
	})
	chunks(put, small, func(from, to int) {
		out.add("writing spans", `INSERT INTO span (source, first, last) SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[])
			ON CONFLICT (source, first) DO UPDATE SET last = excluded.last`,
			column(put[from:to], source), column(put[from:to], first), column(put[from:to], func(s *span) int64 { return store.Ordered(s.last) }))
	})
}

func (s *settler) writeSuspense(out *script, list []settlement.Suspense) {
	put, gone := apart(list, func(l *settlement.Suspense) bool { return l.Events == 0 })
	key := func(list []settlement.Suspense) []any {
		return []any{
			s.partition,
			column(list, func(l *settlement.Suspense) string { return string(l.Book) }), column(list, func(l *settlement.Suspense) string { return string(l.Node) }),
			column(list, func(l *settlement.Suspense) string { return string(l.Customer) }), column(list, func(l *settlement.Suspense) string { return string(l.Meter) }),
			column(list, func(l *settlement.Suspense) string { return l.Card }), column(list, func(l *settlement.Suspense) int64 { return int64(l.Rule) }),
			column(list, func(l *settlement.Suspense) string { return string(l.Pair) }), column(list, func(l *settlement.Suspense) string { return string(l.Period) }),
		}
	}
	chunks(gone, suspenseSize, func(from, to int) {
		out.add("writing suspense", `DELETE FROM suspense WHERE partition = $1 AND (book, node, customer, meter, card, rule, pair, period) IN
			(SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int8[], $8::text[], $9::text[]))`, key(gone[from:to])...)
	})
	chunks(put, suspenseSize, func(from, to int) {
		list := put[from:to]
		out.add("writing suspense", `INSERT INTO suspense (partition, book, node, customer, meter, card, rule, pair, period, quantity, events)
			SELECT $1, book, node, customer, meter, card, rule, pair, period, quantity::numeric, events FROM
			unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int8[], $8::text[], $9::text[], $10::text[], $11::int8[])
			AS row (book, node, customer, meter, card, rule, pair, period, quantity, events)
			ON CONFLICT (partition, book, node, customer, meter, card, rule, pair, period) DO UPDATE SET quantity = excluded.quantity, events = excluded.events`,
			append(key(list), column(list, func(l *settlement.Suspense) string { return l.Quantity.String() }), column(list, func(l *settlement.Suspense) int64 { return int64(l.Events) }))...)
	})
}

func suspenseSize(l *settlement.Suspense) int {
	return len(l.Book) + len(l.Node) + len(l.Customer) + len(l.Meter) + len(l.Card) + len(l.Pair) + len(l.Period)
}

func sourceSize(s *settlement.Source) int { return len(s.Provider) + len(s.Source) }

// apart divides a list into the elements that stay and those that go.
func apart[T any](list []T, goes func(*T) bool) (stay, gone []T) {
	for i := range list {
		if goes(&list[i]) {
			gone = append(gone, list[i])
		} else {
			stay = append(stay, list[i])
		}
	}
	return stay, gone
}
