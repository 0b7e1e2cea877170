package export

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/settle/dedup"
)

func accountedColumns() []Column {
	return []Column{
		{"book", Text, false},
		{"node", Text, true},       // null for events that name no node of the book
		{"period", Text, true},     // the period of the events
		{"received", Count, false}, // counted in USAGE
		{"accepted", Count, false},
		{"late", Count, false},
		{"duplicate", Count, false},
		{"refused", Count, false},
		{"accounted", Truth, false}, // received = accepted + late + duplicate + refused
		{"gaps", Count, false},      // number of gaps after an event of this node and period
		{"missing", Count, false},   // sequences in them
		{"reasons", Text, true},     // of refused events: reason and number
	}
}

// line is one node and period.
type line struct {
	book   events.Book
	node   events.Node // empty for events that name no node of the book
	period events.Period
}

func (a line) compare(b line) int {
	return cmp.Or(strings.Compare(string(a.book), string(b.book)), strings.Compare(string(a.node), string(b.node)), strings.Compare(string(a.period), string(b.period)))
}

// account is what became of a line's events.
type account struct {
	received, accepted, late, duplicate, refused uint64
	gaps, missing                                uint64
	reasons                                      map[events.Reason]uint64
}

// gap is a range of sequences of a source that never came, although a later one
// did.
type gap struct {
	source settlement.Source
	span   settlement.Span
	before place // of the event before the gap
	after  place // of the event after the gap
}

// place is where an accepted event is, and whose it is.
type place struct {
	line
	partition int
	position  uint64
	ordinal   int
	of        *source
}

// counted counts every event, and finds the gaps of every source.
type counted struct {
	lines   map[line]*account
	sources map[settlement.Source]*dedup.Set
	gaps    []gap
}

func (c *counted) line(l line) *account {
	a := c.lines[l]
	if a == nil {
		a = &account{reasons: map[events.Reason]uint64{}}
		c.lines[l] = a
	}
	return a
}

// count reads USAGE once, and a second time if there are gaps to be placed.
func (r *run) count() (*counted, error) {
	c := &counted{lines: map[line]*account{}, sources: map[settlement.Source]*dedup.Set{}}
	var seen periods
	err := r.events(func(u *used) error {
		a := c.line(u.line(&seen))
		a.received++
		switch u.run.Outcome {
		case events.Accepted:
			a.accepted++
		case events.Late:
			a.late++
		case events.Duplicate:
			a.duplicate++
		case events.Refused:
			a.refused++
			a.reasons[u.run.Reason]++
		}
		if source, sequence, ok := u.accepted(); ok {
			set := c.sources[source]
			if set == nil {
				set = &dedup.Set{}
				c.sources[source] = set
			}
			set.Add(sequence)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c, r.placeGaps(c)
}

// line returns the line on which an event is counted: that of its node if the
// node belongs to the book, as settle tallies it.
func (u *used) line(seen *periods) line {
	l := line{book: u.segment.Book, period: u.period(seen)}
	name := u.node()
	if node, ok := u.directory.Node(name); ok && node.Book == l.book {
		l.node = name
	}
	return l
}

// accepted returns the sequence of an event that was accepted with it.
func (u *used) accepted() (settlement.Source, uint64, bool) {
	if !u.columns.Sequenced || u.run.Outcome != events.Accepted && u.run.Outcome != events.Late {
		return settlement.Source{}, 0, false
	}
	ref := u.columns.Sources[u.columns.Source[u.i]]
	return settlement.Source{Provider: u.columns.Provider, Source: string(u.columns.Strings[ref.Name]), Epoch: ref.Epoch}, u.columns.Sequence[u.i], true
}

func compareSources(a, b settlement.Source) int {
	return cmp.Or(strings.Compare(string(a.Provider), string(b.Provider)), strings.Compare(a.Source, b.Source), cmp.Compare(a.Epoch, b.Epoch))
}

// placeGaps finds the events on both sides of each gap.
func (r *run) placeGaps(c *counted) error {
	type end struct {
		source   settlement.Source
		sequence uint64
	}
	before, after := map[end]int{}, map[end]int{}
	for _, source := range slices.SortedFunc(maps.Keys(c.sources), compareSources) {
		spans := c.sources[source].Spans()
		for _, g := range dedup.Gaps(spans, len(spans)) {
			before[end{source, g.First - 1}], after[end{source, g.Last + 1}] = len(c.gaps), len(c.gaps)
			c.gaps = append(c.gaps, gap{source: source, span: g})
		}
	}
	if len(c.gaps) == 0 {
		return nil
	}
	var seen periods
	err := r.events(func(u *used) error {
		source, sequence, ok := u.accepted()
		if !ok {
			return nil
		}
		at := place{u.line(&seen), u.partition, u.m.Seq, u.ordinal, u.m.of}
		if i, ok := before[end{source, sequence}]; ok {
			c.gaps[i].before = at
		}
		if i, ok := after[end{source, sequence}]; ok {
			c.gaps[i].after = at
		}
		return nil
	})
	for i := range c.gaps {
		a := c.line(c.gaps[i].before.line)
		a.gaps++
		a.missing += c.gaps[i].span.Last - c.gaps[i].span.First + 1
	}
	return err
}

// accounted lists every node and period.
func (r *run) accounted() error {
	c, err := r.count()
	if err != nil {
		return err
	}
	for _, l := range slices.SortedFunc(maps.Keys(c.lines), line.compare) {
		if !r.wanted(l.book, l.period) {
			continue
		}
		a := c.lines[l]
		var reasons []string
		for _, reason := range slices.Sorted(maps.Keys(a.reasons)) {
			reasons = append(reasons, string(reason)+" "+string(cellOf(a.reasons[reason])))
		}
		err := r.emit(nil, 0, text(l.book), named(l.node), named(l.period), count(a.received), count(a.accepted), count(a.late), count(a.duplicate), count(a.refused),
			truth(a.received == a.accepted+a.late+a.duplicate+a.refused), count(a.gaps), count(a.missing), named(strings.Join(reasons, "; ")))
		if err != nil {
			return err
		}
	}
	return nil
}

func cellOf(n uint64) []byte { c := count(n); return c.plain(nil) }

func gapColumns() []Column {
	return []Column{
		{"provider", Text, false},
		{"source", Text, false},
		{"epoch", Count, false},
		{"first", Count, false}, // sequence
		{"last", Count, false},
		{"missing", Count, false},
		{"book", Text, false}, // of the event before the gap; the row names its record
		{"node", Text, true},
		{"period", Text, true},
		{"ordinal", Count, false},
		{"next_position", Count, false}, // of the event after the gap
		{"next_ordinal", Count, false},
		{"next_node", Text, true},
		{"next_period", Text, true},
	}
}

// gaps lists the sequences that never came, by source.
func (r *run) gaps() error {
	c, err := r.count()
	if err != nil {
		return err
	}
	for i := range c.gaps {
		g := &c.gaps[i]
		if !r.wanted(g.before.book, g.before.period) {
			continue
		}
		err := r.emit(g.before.of, g.before.position, text(g.source.Provider), text(g.source.Source), count(g.source.Epoch), count(g.span.First), count(g.span.Last),
			count(g.span.Last-g.span.First+1), text(g.before.book), named(g.before.node), named(g.before.period), count(g.before.ordinal),
			count(g.after.position), count(g.after.ordinal), named(g.after.node), named(g.after.period))
		if err != nil {
			return err
		}
	}
	return nil
}
