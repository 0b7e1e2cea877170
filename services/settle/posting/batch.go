package posting

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Batch settles a batch message. It returns a cut if the position cuts, and nil
// otherwise. An error is not the fault of the events: the state must then be
// discarded.
func (s *State) Batch(position uint64, segments []settlement.Decoded) (*settlement.Cut, error) {
	if err := s.next(position); err != nil {
		return nil, err
	}
	s.open.begin()
	for i := range segments {
		if err := s.segment(&segments[i], i); err != nil {
			return nil, fmt.Errorf("settling segment %d at position %d: %w", i, position, err)
		}
	}
	s.open.end(position)
	if position%CutEvery == 0 || s.open.events >= CutEvents {
		return s.cut(nil)
	}
	return nil, nil
}

// Unreadable settles a message that cannot be decoded: it has no events, but
// its position has an outcome, and it cuts if a batch at this position would.
func (s *State) Unreadable(position uint64) (*settlement.Cut, error) {
	return s.Batch(position, nil)
}

func (s *State) segment(d *settlement.Decoded, ordinal int) error {
	c := d.Columns
	if d.Err != nil || c == nil {
		// The number of its events is not known: ingest would have refused such
		// a message.
		s.open.runs.add(0, events.Refused, events.Malformed)
		return nil
	}
	b := s.admission.book(d.Book)
	if b == nil || b.Provider != c.Provider || b.Partition != s.partition {
		s.open.runs.add(c.N, events.Refused, events.Unauthorized)
		s.open.tally(tallyKey{outcome: events.Refused, reason: events.Unauthorized}, uint64(c.N))
		return nil
	}
	s.admission.begin(d, b)
	if err := s.identity.begin(c, s.position, ordinal, s.open.runs.events); err != nil {
		return err
	}
	for i := range c.N {
		if err := s.event(c, i, b); err != nil {
			return err
		}
	}
	return s.identity.end(c)
}

// event takes one event through identity, admission and price to the sums, once
// and in the order of the package comment. It allocates nothing once the
// combination of the event is known.
func (s *State) event(c *packed.Columns, i int, b *book) error {
	repeats, same, err := s.identity.repeats(c, i)
	switch {
	case err != nil:
		return err
	case repeats && same:
		s.excepted(c, i, b, events.Duplicate, "")
		return nil
	case repeats:
		s.excepted(c, i, b, events.Refused, events.Conflict)
		return nil
	}
	combination, refused := s.admission.admit(c, i, b)
	if refused != "" {
		s.refuse(c, i, b, refused)
		return nil
	}
	l := s.prices.of(combination, b, c.LastInstant(i))
	alone, refused := s.prices.add(l, b, c.Quantity[i])
	if refused != "" {
		s.refuse(c, i, b, refused)
		return nil
	}
	s.identity.accept(c, i)
	s.open.runs.add(1, l.outcome(), "")
	if alone {
		s.open.tally(tallyKey{b.BookDeclared.Book, s.admission.node[l.node].name, l.origin, l.outcome(), ""}, 1)
	}
	return nil
}

// refuse refuses a new event.
func (s *State) refuse(c *packed.Columns, i int, b *book, reason events.Reason) {
	s.identity.refuse(c, i)
	s.excepted(c, i, b, events.Refused, reason)
}

// excepted gives an event an outcome that charges nothing.
func (s *State) excepted(c *packed.Columns, i int, b *book, outcome events.Outcome, reason events.Reason) {
	s.open.runs.add(1, outcome, reason)
	s.open.tally(tallyKey{b.BookDeclared.Book, s.admission.nodeName(c, i, b), b.posting(c.LastInstant(i)).Origin, outcome, reason}, 1)
}
