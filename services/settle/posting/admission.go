package posting

import (
	"encoding/binary"
	"math"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// maxSets bounds the sets of attributes that are kept, in entries.
const maxSets = 1 << 16

// unknown is the number of a name that is not declared in the book.
const unknown = math.MaxUint32

// admission decides from the declarations which new events can be charged for,
// and gives each of them its combination. It numbers declared names and sets of
// attributes, so that an event costs array look-ups.
//
// Invariants: a name has a number only in the book in which it is declared; a
// number means one name until [admission.reset].
type admission struct {
	books

	nodes     map[string]uint32
	customers map[string]uint32
	meters    map[meterKey]uint32
	sets      map[string]uint32

	node     []node
	customer []customer
	meter    []meter
	set      [][]events.Attribute

	rankedNodes, rankedCustomers int // how many of them have a rank

	// Of the segment being read. The lists are by index into its string table or
	// its sets: 0 is not looked up yet, otherwise the number plus one, or unknown.
	nodeOf, customerOf, meterOf []uint32
	setOf                       []uint32
	window                      events.Window // of the last instants that its events may have
	amends                      amending
	scratch                     []byte
}

// combination is what all events with one price have in common, apart from their
// instants: numbers of names.
type combination struct{ node, customer, meter, set uint32 }

type meterKey struct {
	book events.Book
	name string
}

type node struct {
	name       events.Node
	book       *book
	attributes []events.Attribute
	earned     ledger.Account
	rank       int // among the names known, once ranked
}

type customer struct {
	name events.Customer
	book *book
	plan string

	receivable ledger.Account
	rank       int
}

type meter struct {
	name events.Meter
	max  money.Quantity
}

// reset forgets all numbers: what is declared may have changed.
func (a *admission) reset() {
	a.books.reset()
	a.nodes = make(map[string]uint32)
	a.customers = make(map[string]uint32)
	a.meters = make(map[meterKey]uint32)
	a.sets = make(map[string]uint32)
	a.node, a.customer, a.meter, a.set = a.node[:0], a.customer[:0], a.meter[:0], a.set[:0]
	a.rankedNodes, a.rankedCustomers = 0, 0
}

// full reports whether the bound is reached.
func (a *admission) full() bool { return len(a.sets) > maxSets }

// begin begins a segment.
func (a *admission) begin(d *settlement.Decoded, b *book) {
	c := d.Columns
	a.nodeOf = cleared(a.nodeOf, len(c.Strings))
	a.customerOf = cleared(a.customerOf, len(c.Strings))
	a.meterOf = cleared(a.meterOf, len(c.Strings))
	a.setOf = cleared(a.setOf, len(c.Sets))
	a.window = b.Window(d.Received, d.ReceivedFromEvent)
	a.amends = amending{c.Amends}
}

func cleared(s []uint32, n int) []uint32 {
	if cap(s) < n {
		return make([]uint32, n, n+n/2)
	}
	s = s[:n]
	clear(s)
	return s
}

// admit returns the combination of event i of the segment, or the first reason
// for which the event is refused: see [events.Objections].
func (a *admission) admit(c *packed.Columns, i int, b *book) (combination, events.Reason) {
	var objections events.Objections
	if a.amends.has(i) {
		objections |= events.AgainstAmendment
	}
	n := a.nodeOf[c.Node[i]]
	if n == 0 {
		n = a.resolveNode(c, c.Node[i], b)
	}
	if n == unknown {
		objections |= events.AgainstNode
	}
	who := a.customerOf[c.Customer[i]]
	if who == 0 {
		who = a.resolveCustomer(c, c.Customer[i], b)
	}
	if who == unknown {
		objections |= events.AgainstCustomer
	}
	m := a.meterOf[c.Meter[i]]
	if m == 0 {
		m = a.resolveMeter(c, c.Meter[i], b)
	}
	quantity := c.Quantity[i]
	largest := quantity
	if m == unknown {
		objections |= events.AgainstMeter
	} else {
		largest = a.meter[m-1].max
	}
	if objections = a.window.Admit(objections, quantity, largest, c.Start[i], c.End[i]); objections != 0 {
		return combination{}, objections.First()
	}
	set := a.setOf[c.Set[i]]
	if set == 0 {
		set = a.resolveSet(c, c.Set[i])
	}
	return combination{n - 1, who - 1, m - 1, set - 1}, ""
}

// nodeName returns the name of event i's node, or an empty name if the book
// does not have the node: otherwise anybody could fill the tallies with names.
func (a *admission) nodeName(c *packed.Columns, i int, b *book) events.Node {
	n := a.nodeOf[c.Node[i]]
	if n == 0 {
		n = a.resolveNode(c, c.Node[i], b)
	}
	if n == unknown {
		return ""
	}
	return a.node[n-1].name
}

// Each of the following functions looks a name up when it first occurs in a
// segment.

func (a *admission) resolveNode(c *packed.Columns, at uint32, in *book) uint32 {
	text := c.Strings[at]
	n, ok := a.nodes[string(text)]
	if !ok {
		declared, known := a.directory.Node(events.Node(text))
		if !known {
			a.nodeOf[at] = unknown
			return unknown
		}
		n = uint32(len(a.node))
		a.node = append(a.node, node{declared.Node, a.book(declared.Book), declared.Attributes, ledger.NodeEarned(declared.Node), 0})
		a.nodes[string(declared.Node)] = n
	}
	if a.node[n].book != in {
		a.nodeOf[at] = unknown
		return unknown
	}
	a.nodeOf[at] = n + 1
	return n + 1
}

func (a *admission) resolveCustomer(c *packed.Columns, at uint32, in *book) uint32 {
	text := c.Strings[at]
	n, ok := a.customers[string(text)]
	if !ok {
		declared, known := a.directory.Customer(events.Customer(text))
		if !known {
			a.customerOf[at] = unknown
			return unknown
		}
		n = uint32(len(a.customer))
		a.customer = append(a.customer, customer{declared.Customer, a.book(declared.Book), declared.Plan, ledger.CustomerReceivable(declared.Customer), 0})
		a.customers[string(declared.Customer)] = n
	}
	if a.customer[n].book != in {
		a.customerOf[at] = unknown
		return unknown
	}
	a.customerOf[at] = n + 1
	return n + 1
}

func (a *admission) resolveMeter(c *packed.Columns, at uint32, in *book) uint32 {
	key := meterKey{in.BookDeclared.Book, string(c.Strings[at])}
	n, ok := a.meters[key]
	if !ok {
		declared, known := a.directory.Meter(key.book, events.Meter(key.name))
		if !known {
			a.meterOf[at] = unknown
			return unknown
		}
		n = uint32(len(a.meter))
		a.meter = append(a.meter, meter{declared.Meter, declared.Max})
		a.meters[key] = n
	}
	a.meterOf[at] = n + 1
	return n + 1
}

func (a *admission) resolveSet(c *packed.Columns, at uint32) uint32 {
	b := a.scratch[:0]
	for _, pair := range c.Sets[at] {
		b = binary.AppendUvarint(b, uint64(len(c.Strings[pair.Name])))
		b = append(b, c.Strings[pair.Name]...)
		b = binary.AppendUvarint(b, uint64(len(c.Strings[pair.Value])))
		b = append(b, c.Strings[pair.Value]...)
	}
	a.scratch = b
	n, ok := a.sets[string(b)]
	if !ok {
		n = uint32(len(a.set))
		var attributes []events.Attribute
		for _, pair := range c.Sets[at] {
			attributes = append(attributes, events.Attribute{Name: string(c.Strings[pair.Name]), Value: string(c.Strings[pair.Value])})
		}
		a.set = append(a.set, attributes)
		a.sets[string(b)] = n
	}
	a.setOf[at] = n + 1
	return n + 1
}

// amending walks the amendments of a segment beside its events.
type amending struct{ rest []packed.Amendment }

func (a *amending) has(i int) bool {
	for len(a.rest) > 0 && int(a.rest[0].Ordinal) < i {
		a.rest = a.rest[1:]
	}
	return len(a.rest) > 0 && int(a.rest[0].Ordinal) == i
}
