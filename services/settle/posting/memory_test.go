package posting

import (
	"fmt"
	"maps"
	"slices"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// memory is a store and the streams in memory: enough to commit cuts to and to
// restart from.
type memory struct {
	usage   [][]byte // position i+1
	control []events.Decision

	position  uint64
	redone    uint64
	spans     map[settlement.Source]map[uint64]uint64
	originals []settlement.Original
	ids       map[[16]byte]settlement.Identity
	held      map[settlement.Suspense]settlement.Suspense
	owed      map[settlement.Outstanding]settlement.Outstanding
	collected map[settlement.Collected]settlement.Collected
	balances  *ledger.Balances
	journal   *ledger.Journal
	records   [][]byte
	tallies   map[settlement.Tally]uint64
	voids     []settlement.Void
	events    uint64
}

func newMemory() *memory {
	return &memory{
		spans: map[settlement.Source]map[uint64]uint64{}, ids: map[[16]byte]settlement.Identity{},
		held: map[settlement.Suspense]settlement.Suspense{}, owed: map[settlement.Outstanding]settlement.Outstanding{},
		collected: map[settlement.Collected]settlement.Collected{},
		balances:  ledger.NewBalances(), journal: ledger.NewJournal(), tallies: map[settlement.Tally]uint64{},
	}
}

func (m *memory) Spans(source settlement.Source) ([]settlement.Span, error) {
	var list []settlement.Span
	for _, first := range slices.Sorted(maps.Keys(m.spans[source])) {
		list = append(list, settlement.Span{First: first, Last: m.spans[source][first]})
	}
	return list, nil
}

func (m *memory) Original(source settlement.Source, sequence uint64) (settlement.Original, bool, error) {
	for _, o := range m.originals {
		if o.Source == source && o.Span.First <= sequence && sequence <= o.Span.Last {
			return o, true, nil
		}
	}
	return settlement.Original{}, false, nil
}

func (m *memory) Segment(position uint64, segment int) (*packed.Columns, error) {
	d, err := decode(m.usage[position-1])
	if err != nil {
		return nil, err
	}
	return d[segment].Columns, d[segment].Err
}

func (m *memory) Seen(keys [][16]byte, found []settlement.Identity) error {
	for i, k := range keys {
		if id, ok := m.ids[k]; ok {
			found[i] = id
		}
	}
	return nil
}

func (m *memory) Remember(keys [][16]byte, ids []settlement.Identity) error {
	for i, k := range keys {
		m.ids[k] = ids[i]
	}
	return nil
}

// decode reads a batch as the loop does.
func decode(data []byte) ([]settlement.Decoded, error) {
	var message events.Message
	if _, err := message.Decode(data, nil); err != nil {
		return nil, err
	}
	var list []settlement.Decoded
	for _, s := range message.Segments {
		d := settlement.Decoded{Segment: s, Columns: new(packed.Columns)}
		d.Err = d.Columns.Decode(s.Packed)
		list = append(list, d)
	}
	return list, nil
}

// commit applies a cut as a store does.
func (m *memory) commit(c *settlement.Cut) error {
	m.position, m.redone = c.Position, c.Control
	m.events += c.Events
	for i := range c.Records {
		r := &c.Records[i]
		data, err := ledger.AppendRecord(nil, r)
		if err != nil {
			return err
		}
		m.records = append(m.records, data)
		if err := m.balances.AddRecord(r); err != nil {
			return err
		}
		if err := m.journal.Add(r); err != nil {
			return err
		}
	}
	for _, p := range c.Sources {
		if m.spans[p.Source] == nil {
			m.spans[p.Source] = map[uint64]uint64{}
		}
		for _, first := range p.Remove {
			delete(m.spans[p.Source], first)
		}
		for _, s := range p.Put {
			m.spans[p.Source][s.First] = s.Last
		}
	}
	for _, o := range c.Originals {
		for k := o.Span.First; k <= o.Span.Last; k++ {
			if was, ok, _ := m.Original(o.Source, k); ok {
				return fmt.Errorf("sequence %d of %v was accepted twice: at %d and %d", k, o.Source, was.Position, o.Position)
			}
		}
		m.originals = append(m.originals, o)
	}
	for _, l := range c.Suspense {
		if m.held[heldKey(l)] = l; l.Events == 0 {
			delete(m.held, heldKey(l))
		}
	}
	for _, o := range c.Outstanding {
		key := settlement.Outstanding{Book: o.Book, Customer: o.Customer, Asset: o.Asset, Period: o.Period, Node: o.Node}
		if m.owed[key] = o; o.Amount.IsZero() {
			delete(m.owed, key)
		}
	}
	for _, o := range c.Collected {
		key := settlement.Collected{Book: o.Book, Period: o.Period, Node: o.Node, Asset: o.Asset}
		if m.collected[key] = o; o.Amount.IsZero() {
			delete(m.collected, key)
		}
	}
	for _, t := range c.Tallies {
		n := t.Events
		t.Events = 0
		m.tallies[t] += n
	}
	m.voids = append(m.voids, c.Voids...)
	return nil
}

// restart makes a state of what is committed.
func (m *memory) restart() (*State, error) {
	s := New(0, m, m)
	for i := range m.redone {
		if err := s.Redo(Decided{Position: i + 1, Decision: m.control[i]}); err != nil {
			return nil, err
		}
	}
	held := slices.SortedFunc(maps.Values(m.held), func(a, b settlement.Suspense) int { return compareHeld(&a, &b) })
	return s, s.Restore(m.position, held, slices.Collect(maps.Values(m.owed)), slices.Collect(maps.Values(m.collected)), m.balances)
}

// take gives the state the message at a position; the decisions of a barrier
// come from control.
func (m *memory) take(s *State, position uint64) (*settlement.Cut, error) {
	data := m.usage[position-1]
	var message events.Message
	if _, err := message.Decode(data, nil); err != nil {
		return s.Unreadable(position)
	}
	switch message.Kind {
	case events.Barrier:
		var list []Decided
		for k := s.Control() + 1; k <= message.Control; k++ {
			list = append(list, Decided{Position: k, Decision: m.control[k-1]})
		}
		return s.Barrier(position, max(message.Control, s.Control()), list)
	case events.Marker:
		return s.Marker(position)
	}
	segments, err := decode(data)
	if err != nil {
		return nil, err
	}
	return s.Batch(position, segments)
}
