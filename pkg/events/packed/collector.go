package packed

import (
	"fmt"
	"iter"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Gate says for what a provider may submit usage. A [Collector] calls it once
// for each distinct name of a submission, not for each event. The byte slices
// belong to the collector and must not be kept.
type Gate interface {
	// Node returns where usage of a node goes, or false if the provider has no
	// such node.
	Node(node []byte) (Route, bool)
	// Customer reports whether the book has the customer.
	Customer(book events.Book, customer []byte) bool
	// Meter returns the largest quantity of one event, or false if the book has
	// no such meter.
	Meter(book events.Book, meter []byte) (largest money.Quantity, ok bool)
}

// Route is the book to which a node belongs, and the bounds of the last
// instants of its events.
type Route struct {
	Book events.Book
	events.Window
}

// Collector is the [Sink] of ingest: it checks events against a [Gate] and
// packs them by book, with sequenced events in separate segments. It keeps the
// events of a book in their order of arrival. It is reused, and allocates
// nothing for events once it has seen submissions of the same size. The zero
// value is ready for Reset.
type Collector struct {
	provider events.Provider
	gate     Gate

	nodes  table
	routes []nodeState // by number in nodes
	books  []bookState
	count  int // number of books in use
	byName map[events.Book]int

	parts    []Part
	builders []*Builder // of earlier submissions as well
	inUse    int
	epoch    uint32 // counts the builders begun, so that outdated numbers are recognised
	fault    Fault
}

// Part is one future segment: the events of one book, sequenced or not.
type Part struct {
	Book    events.Book
	Builder *Builder
}

// nodeState and nameState remember the verdict on a name, and its number in the
// builder of each lane, which is valid while the lane's epoch is the recorded
// one.
type nodeState struct {
	book int32 // index into books; -1 if there is no such node
	name nameState
}

type nameState struct {
	known  bool
	epoch  [2]uint32
	number [2]uint32
}

type bookState struct {
	route     Route
	customers table
	states    []nameState // by number in customers
	meters    table
	largest   []meterState // by number in meters
	lanes     [2]lane      // not sequenced, sequenced
	meter     int          // of the last event; -1 at first
}

type meterState struct {
	largest money.Quantity
	name    nameState
}

type lane struct {
	builder *Builder
	epoch   uint32
}

// Reset empties the collector for a submission of a provider.
func (c *Collector) Reset(provider events.Provider, gate Gate) {
	c.provider, c.gate = provider, gate
	c.nodes.reset()
	c.routes = c.routes[:0]
	if c.byName == nil {
		c.byName = make(map[events.Book]int)
	}
	clear(c.byName)
	c.count, c.inUse = 0, 0
	clear(c.parts)
	c.parts = c.parts[:0]
}

// Parts returns the segments in the order in which they were begun. A book has
// more than one only if the submission has both sequenced and other events for
// it, or more events than fit into a segment. The builders belong to the
// collector and are valid until its next Reset.
func (c *Collector) Parts() iter.Seq[Part] {
	return func(yield func(Part) bool) {
		for _, p := range c.parts {
			if !yield(p) {
				return
			}
		}
	}
}

// Len returns how many events were taken.
func (c *Collector) Len() int {
	n := 0
	for _, p := range c.parts {
		n += p.Builder.Len()
	}
	return n
}

// Add implements [Sink]. The event must pass [RawUsage.Check].
func (c *Collector) Add(u *RawUsage) *Fault {
	var objections events.Objections
	if len(u.Retracts)+len(u.Replaces) > 0 {
		objections |= events.AgainstAmendment
	}
	number, fresh := c.nodes.intern(u.Node)
	if fresh {
		c.routes = append(c.routes, c.ask(u.Node))
	}
	node := &c.routes[number]
	if node.book < 0 { // Without a book nothing else can be checked.
		return c.object(events.Window{}.Admit(objections|events.AgainstNode, money.Quantity{}, money.Quantity{}, u.Start, u.End), u, nil, nil)
	}
	book := &c.books[node.book]
	customer, fresh := book.customers.intern(u.Customer)
	if fresh {
		book.states = append(book.states, nameState{known: c.gate.Customer(book.route.Book, u.Customer)})
	}
	if !book.states[customer].known {
		objections |= events.AgainstCustomer
	}
	if book.meter < 0 || string(book.meters.at(uint32(book.meter))) != string(u.Meter) {
		c.findMeter(book, u.Meter)
	}
	meter := &book.largest[book.meter]
	if !meter.name.known {
		objections |= events.AgainstMeter
	}
	q, err := money.QuantityFromMantissa(u.QuantityHigh, u.QuantityLow, u.Scale)
	if err != nil {
		objections |= events.AgainstQuantity // The quantity does not fit 128 bits.
	}
	if objections = book.route.Admit(objections, q, meter.largest, u.Start, u.End); objections != 0 {
		return c.object(objections, u, book, meter)
	}

	at := 0
	if u.Sequenced {
		at = 1
	}
	l := &book.lanes[at]
	if l.builder == nil || l.builder.full(u) {
		c.begin(book, at)
		if l.builder.full(u) {
			return c.refuse("", events.TooLarge, "the event does not fit into a segment", nil)
		}
	}
	l.builder.add(u,
		node.name.in(l, at, u.Node),
		book.states[customer].in(l, at, u.Customer),
		meter.name.in(l, at, u.Meter))
	return nil
}

// in returns the number of a name in a lane's builder.
func (s *nameState) in(l *lane, at int, name []byte) uint32 {
	if s.epoch[at] != l.epoch {
		s.epoch[at], s.number[at] = l.epoch, l.builder.text(name)
	}
	return s.number[at]
}

func (c *Collector) ask(node []byte) nodeState {
	route, ok := c.gate.Node(node)
	if !ok {
		return nodeState{book: -1}
	}
	at, ok := c.byName[route.Book]
	if !ok {
		at = c.count
		c.count++
		c.byName[route.Book] = at
		if at == len(c.books) {
			c.books = append(c.books, bookState{})
		}
		b := &c.books[at]
		b.route, b.meter = route, -1
		b.customers.reset()
		b.meters.reset()
		b.states, b.largest = b.states[:0], b.largest[:0]
		b.lanes = [2]lane{}
	}
	return nodeState{book: int32(at)}
}

func (c *Collector) findMeter(book *bookState, meter []byte) {
	number, fresh := book.meters.intern(meter)
	if fresh {
		largest, ok := c.gate.Meter(book.route.Book, meter)
		if largest.IsZero() {
			largest = events.LargestQuantity
		}
		book.largest = append(book.largest, meterState{largest, nameState{known: ok}})
	}
	book.meter = int(number)
}

// begin starts an empty builder in a lane.
func (c *Collector) begin(book *bookState, at int) {
	if c.inUse == len(c.builders) {
		c.builders = append(c.builders, new(Builder))
	}
	b := c.builders[c.inUse]
	c.inUse++
	c.epoch++
	b.Reset(c.provider, at == 1)
	book.lanes[at] = lane{b, c.epoch}
	c.parts = append(c.parts, Part{book.route.Book, b})
}

// object refuses an event for the first of its objections. book and meter are
// nil if they are unknown.
func (c *Collector) object(o events.Objections, u *RawUsage, book *bookState, meter *meterState) *Fault {
	reason := o.First()
	switch reason {
	case events.Negative:
		return c.refuse("data.quantity", reason, "below zero", nil)
	case events.BadInterval:
		return c.refuse("data.start", reason, "start is after end", nil)
	case events.Unsupported:
		if len(u.Retracts) > 0 {
			return c.refuse("data.retracts", reason, "an event cannot take back another yet: %q stays as it is", u.Retracts)
		}
		return c.refuse("data.replaces", reason, "an event cannot replace another yet: %q stays as it is", u.Replaces)
	case events.UnknownNode:
		return c.refuse("data.node", reason, "node %q is not declared in the provider's books", u.Node)
	case events.UnknownCustomer:
		return c.refuse("data.customer", reason, "customer %q is not declared in the node's book", u.Customer)
	case events.UnknownMeter:
		return c.refuse("data.meter", reason, "meter %q is not declared in the node's book", u.Meter)
	case events.Absurd:
		return c.refuse("data.quantity", reason, "above the meter's largest, %s", []byte(meter.largest.String()))
	case events.FromFuture:
		return c.refuse("data.end", reason, "its last instant is after %s", events.AppendTime(nil, book.route.Latest))
	default: // BeyondHorizon
		return c.refuse("data.end", reason, "its last instant is before %s", events.AppendTime(nil, book.route.Earliest))
	}
}

func (c *Collector) refuse(field string, reason events.Reason, format string, what []byte) *Fault {
	detail := format
	if what != nil {
		detail = fmt.Sprintf(format, what)
	}
	c.fault = Fault{field, reason, detail}
	return &c.fault
}
