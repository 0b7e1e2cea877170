package posting

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// cut is what happened since the last cut.
type cut struct {
	batches   uint64
	events    uint64
	lines     []int32 // State.lines that were charged
	tallies   map[tallyKey]uint64
	runs      runs
	outcomes  []settlement.Outcome
	originals []settlement.Original
	sources   map[settlement.Source]*source // whose sets changed
	changed   map[events.Customer]*account
	collected map[place]struct{} // that changed
	entries   map[events.Book]*posted
	waiting   []*held // that changed
	voids     []settlement.Void
	foreigners

	// Since the last commit.
	recent map[settlement.Source]struct{}
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

func (c *cut) reset() {
	recent, f, lines := c.recent, c.foreigners, c.lines[:0]
	if recent == nil {
		recent = make(map[settlement.Source]struct{})
		f.first = make(map[[16]byte]int)
	}
	*c = cut{
		lines:      lines,
		tallies:    make(map[tallyKey]uint64),
		sources:    make(map[settlement.Source]*source),
		changed:    make(map[events.Customer]*account),
		collected:  make(map[place]struct{}),
		entries:    make(map[events.Book]*posted),
		foreigners: f,
		recent:     recent,
	}
}

func (c *cut) tally(k tallyKey, n uint64) { c.tallies[k] += n }

func (c *cut) in(book events.Book) *posted {
	p := c.entries[book]
	if p == nil {
		p = &posted{}
		c.entries[book] = p
	}
	return p
}

// runs builds the outcomes of one message.
type runs struct {
	list   []settlement.Run
	events int
}

func (r *runs) begin() { r.list, r.events = nil, 0 }

func (r *runs) add(n int, outcome events.Outcome, reason events.Reason) {
	r.events += n
	if k := len(r.list) - 1; k >= 0 && r.list[k].Outcome == outcome && r.list[k].Reason == reason {
		r.list[k].Events += n
		return
	}
	r.list = append(r.list, settlement.Run{Events: n, Outcome: outcome, Reason: reason})
}

func (r *runs) outcome(position uint64) settlement.Outcome {
	return settlement.Outcome{Position: position, Events: r.events, Runs: r.list}
}

// opened notes that a line was charged since the last cut.
func (s *State) opened(l *line) {
	l.open = true
	// Lines are noted by index, because they move when there are more of them.
	s.open.lines = append(s.open.lines, l.at)
}

// cut ends what is open and returns it, with what the decisions do after it.
func (s *State) cut(decisions []Decided) (*settlement.Cut, error) {
	if err := s.postUsage(); err != nil {
		return nil, err
	}
	reload := s.full()
	for i := range decisions {
		effect, err := s.decide(&decisions[i], true)
		if err != nil {
			return nil, fmt.Errorf("decision %d of CONTROL: %w", decisions[i].Position, err)
		}
		reload = reload || effect
	}
	out := s.collect()
	s.open.reset()
	if reload {
		s.caches.reset()
	}
	return out, nil
}

// collect makes the cut of what is open.
func (s *State) collect() *settlement.Cut {
	o := &s.open
	out := &settlement.Cut{
		Position: s.position, Control: s.control, Batches: o.batches, Events: o.events,
		Outcomes: o.outcomes, Originals: o.originals, Voids: o.voids,
	}
	for _, name := range slices.Sorted(maps.Keys(o.entries)) {
		p := o.entries[name]
		if len(p.entries) == 0 && len(p.settled) == 0 {
			continue
		}
		record := ledger.Record{Partition: s.partition, Cut: s.position, Control: s.control, Book: name, Entries: p.entries, Settled: p.settled}
		out.Records = append(out.Records, ledger.Split(record, ledger.MaxRecord)...)
	}
	for _, k := range slices.SortedFunc(maps.Keys(o.tallies), tallyKey.compare) {
		out.Tallies = append(out.Tallies, settlement.Tally{Book: k.book, Node: k.node, Period: k.period, Outcome: k.outcome, Reason: k.reason, Events: o.tallies[k]})
	}
	for _, key := range slices.SortedFunc(maps.Keys(o.sources), compareSources) {
		put, remove := o.sources[key].set.Changes()
		out.Sources = append(out.Sources, settlement.Progress{Source: key, Put: put, Remove: remove})
	}
	slices.SortFunc(o.waiting, func(a, b *held) int { return compareHeld(&a.line, &b.line) })
	for _, h := range o.waiting {
		h.changed = false
		s.count(h)
		out.Suspense = append(out.Suspense, h.line)
		if h.line.Events == 0 {
			delete(s.held, heldKey(h.line))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.changed)) {
		a := o.changed[name]
		for _, d := range slices.SortedFunc(maps.Keys(a.changed), debt.compare) {
			out.Outstanding = append(out.Outstanding, settlement.Outstanding{Book: a.book, Customer: a.customer, Asset: a.asset, Period: d.period, Node: d.node, Amount: a.owed[d]})
		}
		clear(a.changed)
	}
	slices.SortStableFunc(out.Outstanding, func(a, b settlement.Outstanding) int { return strings.Compare(string(a.Book), string(b.Book)) })
	for _, at := range slices.SortedFunc(maps.Keys(o.collected), place.compare) {
		out.Collected = append(out.Collected, settlement.Collected{Book: at.book, Period: at.period, Node: at.node, Asset: at.asset, Amount: s.collected[at]})
	}
	return out
}

func (a tallyKey) compare(b tallyKey) int {
	return cmp.Or(strings.Compare(string(a.book), string(b.book)), strings.Compare(string(a.node), string(b.node)),
		strings.Compare(string(a.period), string(b.period)), cmp.Compare(a.outcome, b.outcome), strings.Compare(string(a.reason), string(b.reason)))
}

func compareHeld(a, b *settlement.Suspense) int {
	return cmp.Or(strings.Compare(string(a.Book), string(b.Book)), strings.Compare(string(a.Node), string(b.Node)),
		strings.Compare(string(a.Customer), string(b.Customer)), strings.Compare(string(a.Meter), string(b.Meter)),
		strings.Compare(a.Card, b.Card), cmp.Compare(a.Rule, b.Rule),
		strings.Compare(string(a.Pair), string(b.Pair)), strings.Compare(string(a.Period), string(b.Period)))
}

// postUsage turns the lines that were charged into entries, tallies and what is
// owed.
func (s *State) postUsage() error {
	lines := make([]*line, 0, len(s.open.lines))
	for _, k := range s.open.lines {
		lines = append(lines, &s.lines[k])
	}
	s.rank()
	slices.SortFunc(lines, s.compareLines)
	var entry *ledger.Entry
	var of *book
	for i := 0; i < len(lines); {
		l := lines[i]
		b := s.node[l.node].book
		sum, next := s.merge(lines, i)
		for ; i < next; i++ {
			s.tallyLine(lines[i], b)
		}
		if sum.amount.IsZero() {
			continue
		}
		if of != b || entry.Period != l.period || entry.Origin != l.origin {
			p := s.open.in(b.BookDeclared.Book)
			p.entries = append(p.entries, ledger.Entry{Book: b.BookDeclared.Book, Kind: ledger.Usage, Period: l.period, Origin: l.origin})
			entry, of = &p.entries[len(p.entries)-1], b
			entry.Postings = make([]ledger.Posting, 0, s.alike(lines[next-1:]))
		}
		entry.Postings = append(entry.Postings, ledger.Posting{
			Debit: s.receivable(l), Credit: s.earned(l), Asset: b.Asset, Amount: sum.amount,
			Card: l.price.Card, Quote: l.quote, Meter: s.meter[l.meter].name, Quantity: sum.quantity, Events: sum.events,
		})
		if err := s.owe(b, s.customer[l.customer].name, debt{l.origin, s.node[l.node].name}, sum.amount); err != nil {
			return err
		}
	}
	for _, l := range lines {
		l.open, l.events, l.amount, l.quantity = false, 0, money.Amount{}, money.Quantity{}
	}
	return nil
}

// alike returns how many lines there are before one of another entry.
func (s *State) alike(lines []*line) int {
	first := lines[0]
	for n, l := range lines {
		if s.node[l.node].book != s.node[first.node].book || l.period != first.period || l.origin != first.origin {
			return n
		}
	}
	return len(lines)
}

// sum is what equal lines amount to together.
type sum struct {
	amount   money.Amount
	quantity money.Quantity
	events   uint64
}

// merge adds up the lines from i on that differ in nothing that a posting
// names, such as two attribute sets with one price. It returns the index after
// them.
func (s *State) merge(lines []*line, i int) (total sum, next int) {
	total = sum{lines[i].amount, lines[i].quantity, lines[i].events}
	for next = i + 1; next < len(lines) && s.compareLines(lines[i], lines[next]) == 0; next++ {
		amount, err := total.amount.Add(lines[next].amount)
		if err != nil {
			break // Then they are two postings.
		}
		quantity, err := total.quantity.Add(lines[next].quantity)
		if err != nil {
			break
		}
		total = sum{amount, quantity, total.events + lines[next].events}
	}
	return total, next
}

func (s *State) tallyLine(l *line, b *book) {
	outcome := events.Accepted
	if l.late {
		outcome = events.Late
	}
	s.open.tally(tallyKey{b.BookDeclared.Book, s.node[l.node].name, l.origin, outcome, ""}, l.events)
}

// compareLines orders by everything that a posting names: book, period and
// origin first, since they make the entry. Nodes and customers are ranked: there
// is one of each name.
func (s *State) compareLines(a, b *line) int {
	if a.node != b.node {
		if x, y := s.node[a.node].book, s.node[b.node].book; x != y {
			return strings.Compare(string(x.BookDeclared.Book), string(y.BookDeclared.Book))
		}
	}
	if a.period != b.period {
		return strings.Compare(string(a.period), string(b.period))
	}
	if a.origin != b.origin {
		return strings.Compare(string(a.origin), string(b.origin))
	}
	if a.customer != b.customer {
		return cmp.Compare(s.customer[a.customer].rank, s.customer[b.customer].rank)
	}
	if a.node != b.node {
		return cmp.Compare(s.node[a.node].rank, s.node[b.node].rank)
	}
	if a.meter != b.meter {
		return strings.Compare(string(s.meter[a.meter].name), string(s.meter[b.meter].name))
	}
	if a.price != b.price { // Both are there: a line without one is never open.
		if c := strings.Compare(a.price.Card, b.price.Card); c != 0 {
			return c
		}
	}
	return strings.Compare(a.quote, b.quote)
}

// owe adds a charge to what the customer owes for the node and period.
func (s *State) owe(b *book, name events.Customer, of debt, amount money.Amount) error {
	a := s.account(b.BookDeclared.Book, name, b.Asset)
	owed, err := a.owed[of].Add(amount)
	if err != nil {
		return fmt.Errorf("adding to what %s owes for %s: %w", name, of.node, err)
	}
	a.owed[of] = owed
	s.touch(a, of)
	return nil
}

func (s *State) touch(a *account, of debt) {
	a.changed[of] = struct{}{}
	s.open.changed[a.customer] = a
}
