package posting

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/pricing"
	"github.com/aliquot-engine/aliquot/pkg/quotes"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Batch takes a batch message. It returns a cut where the position cuts, nil
// otherwise. An error is not the events' fault: the state is then of no use.
func (s *State) Batch(position uint64, segments []settlement.Decoded) (*settlement.Cut, error) {
	if err := s.next(position); err != nil {
		return nil, err
	}
	s.open.batches++
	s.open.runs.begin()
	for i := range segments {
		s.ordinal = i
		if err := s.segment(&segments[i]); err != nil {
			return nil, fmt.Errorf("settling segment %d at position %d: %w", i, position, err)
		}
	}
	s.open.outcomes = append(s.open.outcomes, s.open.runs.outcome(position))
	s.open.events += uint64(s.open.runs.events)
	if position%CutEvery == 0 || s.open.events >= CutEvents {
		return s.cut(nil)
	}
	return nil, nil
}

// Unreadable takes a message that is none of ours: it has no events, but its
// position has an outcome, and it cuts where a batch would.
func (s *State) Unreadable(position uint64) (*settlement.Cut, error) {
	return s.Batch(position, nil)
}

func (s *State) segment(d *settlement.Decoded) error {
	c := d.Columns
	if d.Err != nil || c == nil {
		// Nobody knows how many events it had: ingest would have refused it.
		s.open.runs.add(0, events.Refused, events.Malformed)
		return nil
	}
	s.begin(c)
	b := s.book(d.Book)
	if b == nil || b.Provider != c.Provider || b.Partition != s.partition {
		s.open.runs.add(c.N, events.Refused, events.Unauthorized)
		s.open.tally(tallyKey{outcome: events.Refused, reason: events.Unauthorized}, uint64(c.N))
		return nil
	}
	if c.Sequenced {
		return s.sequenced(d, b)
	}
	return s.foreign(d, b)
}

func (s *State) sequenced(d *settlement.Decoded, b *book) error {
	c := d.Columns
	if len(s.refusedHere) > 0 {
		s.refusedHere = make(map[numbered]struct{})
	}
	window := b.Window(d.Received, d.ReceivedFromEvent)
	amends := amending{c.Amends}
	for i := range c.N {
		src := s.sourceOf[c.Source[i]]
		if src == nil {
			var err error
			if src, err = s.resolveSource(c, c.Source[i]); err != nil {
				return err
			}
		}
		sequence := c.Sequence[i]
		if src.set.Has(sequence) {
			same, err := s.repeated(src, c, i)
			if err != nil {
				return err
			}
			s.again(c, i, b, same)
			continue
		}
		outcome, reason := s.event(c, i, b, window, amends.has(i))
		s.open.runs.add(1, outcome, reason)
		if outcome == events.Refused {
			s.refuse(c, i, b, reason)
			s.refusedHere[numbered{src, sequence}] = struct{}{}
			continue
		}
		s.accept(src, sequence, i)
	}
	for _, src := range s.speaking {
		s.settleRange(src)
	}
	return nil
}

// resolveSource looks a source up the first time that its segment has it.
func (s *State) resolveSource(c *events.Columns, at uint32) (*source, error) {
	ref := c.Sources[at]
	src, err := s.source(settlement.Source{Provider: c.Provider, Source: string(c.Strings[ref.Name]), Epoch: ref.Epoch})
	s.sourceOf[at] = src
	return src, err
}

// again gives a repetition its outcome.
func (s *State) again(c *events.Columns, i int, b *book, same bool) {
	outcome, reason := events.Duplicate, events.Reason("")
	if !same {
		outcome, reason = events.Refused, events.Conflict
	}
	s.open.runs.add(1, outcome, reason)
	s.open.tally(tallyKey{b.BookDeclared.Book, s.nodeName(c, i, b), b.posting(c.LastInstant(i)).Origin, outcome, reason}, 1)
}

func (s *State) refuse(c *events.Columns, i int, b *book, reason events.Reason) {
	s.open.tally(tallyKey{b.BookDeclared.Book, s.nodeName(c, i, b), b.posting(c.LastInstant(i)).Origin, events.Refused, reason}, 1)
}

// nodeName returns the event's node, or nothing where it is none of the book:
// else anybody could fill the tallies with names.
func (s *State) nodeName(c *events.Columns, i int, b *book) events.Node {
	n := s.nodeOf[c.Node[i]]
	if n == 0 {
		n = s.resolveNode(c, c.Node[i], b)
	}
	if n == unknown {
		return ""
	}
	return s.node[n-1].name
}

// event prices one event that is new, and adds it up. It allocates nothing
// once its combination is known.
func (s *State) event(c *events.Columns, i int, b *book, window events.Window, amends bool) (events.Outcome, events.Reason) {
	var objections events.Objections
	if amends {
		objections |= events.AgainstAmendment
	}
	n := s.nodeOf[c.Node[i]]
	if n == 0 {
		n = s.resolveNode(c, c.Node[i], b)
	}
	if n == unknown {
		objections |= events.AgainstNode
	}
	who := s.customerOf[c.Customer[i]]
	if who == 0 {
		who = s.resolveCustomer(c, c.Customer[i], b)
	}
	if who == unknown {
		objections |= events.AgainstCustomer
	}
	m := s.meterOf[c.Meter[i]]
	if m == 0 {
		m = s.resolveMeter(c, c.Meter[i], b)
	}
	quantity, instant := c.Quantity[i], c.LastInstant(i)
	largest := quantity
	if m == unknown {
		objections |= events.AgainstMeter
	} else {
		largest = s.meter[m-1].max
	}
	if objections = window.Admit(objections, quantity, largest, c.Start[i], c.End[i]); objections != 0 {
		return events.Refused, objections.First()
	}
	set := s.setOf[c.Set[i]]
	if set == 0 {
		set = s.resolveSet(c, c.Set[i])
	}
	l := s.line(b, n-1, who-1, m-1, set-1, instant)
	switch l.kind {
	case noRate:
		return events.Refused, events.NoRate
	case noRoom:
		return events.Refused, events.Overflow
	case waits:
		if !s.wait(l.held, l.price, quantity) {
			return events.Refused, events.Overflow
		}
	default:
		if !s.charge(l, b, quantity) {
			return s.waitAlone(l, b, quantity)
		}
	}
	if !l.open {
		s.opened(l)
	}
	l.events++
	if l.late {
		return events.Late, ""
	}
	return events.Accepted, ""
}

// charge adds an event's charge to its line, or changes nothing and says that
// there is no room.
func (s *State) charge(l *line, b *book, quantity money.Quantity) bool {
	billed, charge, err := l.price.ChargeAt(l.rate, quantity)
	if err != nil {
		return false
	}
	total, err := b.charged.Add(charge)
	if err != nil || total.Cmp(ledger.Limit()) > 0 {
		return false
	}
	sum, err := l.quantity.Add(billed)
	if err != nil {
		return false
	}
	// Below the limit, so it cannot overflow.
	amount, err := l.amount.Add(charge)
	if err != nil {
		return false
	}
	*b.charged, l.quantity, l.amount = total, sum, amount
	return true
}

// wait adds an event's quantity to what waits.
func (s *State) wait(h *held, price *pricing.Line, quantity money.Quantity) bool {
	billed, err := price.Billed(quantity)
	if err != nil {
		return false
	}
	sum, err := h.line.Quantity.Add(billed)
	if err != nil {
		return false
	}
	h.line.Quantity = sum
	h.line.Events++
	s.waitingChanged(h)
	return true
}

// waitAlone gives an event whose charge does not fit its outcome. Where it would
// fit at par, it is the quote that cannot be, and the event waits; otherwise its
// sender is refused.
func (s *State) waitAlone(l *line, b *book, quantity money.Quantity) (events.Outcome, events.Reason) {
	if _, charge, err := pricing.Charge(*l.price, money.One, quantity); err != nil {
		return events.Refused, events.Overflow
	} else if total, err := b.charged.Add(charge); err != nil || total.Cmp(ledger.Limit()) > 0 {
		return events.Refused, events.Overflow
	}
	l.pair = quotes.PairOf(b.Asset, l.price.Currency)
	if !s.wait(s.heldLine(l, b), l.price, quantity) {
		return events.Refused, events.Overflow
	}
	outcome := events.Accepted
	if l.late {
		outcome = events.Late
	}
	s.open.tally(tallyKey{b.BookDeclared.Book, s.node[l.node].name, l.origin, outcome, ""}, 1)
	return outcome, ""
}

func (s *State) waitingChanged(h *held) {
	if !h.changed {
		h.changed = true
		s.open.waiting = append(s.open.waiting, h)
	}
}

// amending walks the amendments of a segment beside its events.
type amending struct{ rest []events.Amendment }

func (a *amending) has(i int) bool {
	for len(a.rest) > 0 && int(a.rest[0].Ordinal) < i {
		a.rest = a.rest[1:]
	}
	return len(a.rest) > 0 && int(a.rest[0].Ordinal) == i
}
