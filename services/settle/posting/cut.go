package posting

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// sums is the effect of messages and decisions since the last cut: outcomes,
// tallies, entries and voids.
//
// Invariant: the events of the tallies are those of the outcomes, except for events
// that could not be counted because their segment could not be read.
type sums struct {
	batches  uint64
	events   uint64
	runs     runs // of the message being read
	outcomes []settlement.Outcome
	tallies  map[tallyKey]uint64
	entries  map[events.Book]*posted
	voids    []settlement.Void
}

// posted is what a cut posted in one book.
type posted struct {
	entries []ledger.Entry
	settled []events.Period
}

type tallyKey struct {
	book    events.Book
	node    events.Node
	period  events.Period
	outcome events.Outcome
	reason  events.Reason
}

func (s *sums) reset() {
	*s = sums{tallies: make(map[tallyKey]uint64), entries: make(map[events.Book]*posted)}
}

// begin begins a message.
func (s *sums) begin() {
	s.batches++
	s.runs = runs{}
}

// end ends the message at a position.
func (s *sums) end(position uint64) {
	s.outcomes = append(s.outcomes, settlement.Outcome{Position: position, Events: s.runs.events, Runs: s.runs.list})
	s.events += uint64(s.runs.events)
}

func (s *sums) tally(k tallyKey, n uint64) { s.tallies[k] += n }

func (s *sums) void(position uint64, reason error) {
	s.voids = append(s.voids, settlement.Void{Control: position, Reason: reason.Error()})
}

// in returns what this cut posts in a book.
func (s *sums) in(book events.Book) *posted {
	p := s.entries[book]
	if p == nil {
		p = &posted{}
		s.entries[book] = p
	}
	return p
}

// post adds entries of a book.
func (s *sums) post(book events.Book, list ...ledger.Entry) {
	if len(list) == 0 {
		return
	}
	p := s.in(book)
	p.entries = append(p.entries, list...)
}

// runs builds the outcomes of one message.
type runs struct {
	list   []settlement.Run
	events int
}

func (r *runs) add(n int, outcome events.Outcome, reason events.Reason) {
	r.events += n
	if k := len(r.list) - 1; k >= 0 && r.list[k].Outcome == outcome && r.list[k].Reason == reason {
		r.list[k].Events += n
		return
	}
	r.list = append(r.list, settlement.Run{Events: n, Outcome: outcome, Reason: reason})
}

// cut returns the sums as the first part of a partition's cut, and starts new
// ones.
func (s *sums) cut(partition int, position, control uint64) *settlement.Cut {
	out := &settlement.Cut{
		Position: position, Control: control, Batches: s.batches, Events: s.events, Outcomes: s.outcomes, Voids: s.voids,
	}
	for _, name := range slices.Sorted(maps.Keys(s.entries)) {
		p := s.entries[name]
		record := ledger.Record{Partition: partition, Cut: position, Control: control, Book: name, Entries: p.entries, Settled: p.settled}
		out.Records = append(out.Records, ledger.Split(record, ledger.MaxRecord)...)
	}
	for _, k := range slices.SortedFunc(maps.Keys(s.tallies), tallyKey.compare) {
		out.Tallies = append(out.Tallies, settlement.Tally{Book: k.book, Node: k.node, Period: k.period, Outcome: k.outcome, Reason: k.reason, Events: s.tallies[k]})
	}
	s.reset()
	return out
}

func (k tallyKey) compare(b tallyKey) int {
	return cmp.Or(strings.Compare(string(k.book), string(b.book)), strings.Compare(string(k.node), string(b.node)),
		strings.Compare(string(k.period), string(b.period)), cmp.Compare(k.outcome, b.outcome), strings.Compare(string(k.reason), string(b.reason)))
}
