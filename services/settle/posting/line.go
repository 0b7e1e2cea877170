package posting

import (
	"encoding/binary"
	"math"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/pricing"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Bounds of the caches, in entries. A cache that is full is emptied at the next
// cut, which costs looking everything up again and changes no figure.
const (
	maxLines = 1 << 18
	maxSets  = 1 << 16
)

// unknown is the number of a name that is not declared.
const unknown = math.MaxUint32

// caches give declared names numbers and keep, for each combination of them,
// how it is priced, so that an event costs array look-ups and additions.
// They are dropped whenever a decision takes effect.
type caches struct {
	books     map[events.Book]*book
	nodes     map[string]uint32
	customers map[string]uint32
	meters    map[meterKey]uint32
	sets      map[string]uint32

	node     []node
	customer []customer
	meter    []meter
	set      [][]events.Attribute

	prices map[priceKey]*pricing.Line

	rankedNodes, rankedCustomers int // how many of them have their rank

	table []slot // open addressing, a power of two
	lines []line
	used  int // slots taken

	// Of the segment being read, by index into its string table or sets; 0 is
	// not looked up yet, otherwise the number plus one, or unknown.
	nodeOf, customerOf, meterOf []uint32
	setOf                       []uint32
	sourceOf                    []*source
	segments                    uint64 // segments read so far: names the one being read
	ordinal                     int    // of it in its message
	speaking                    []*source
	scratch                     []byte
}

type meterKey struct {
	book events.Book
	name string
}

type book struct {
	directory.Book
	charged *money.Amount
	bounds  directory.Posting // the last one asked for
}

type node struct {
	name       events.Node
	book       *book
	attributes []events.Attribute
	earned     ledger.Account
	rank       int // among the names known, where ranked
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

// slot leads from a combination to its first line.
type slot struct {
	who   uint64 // node and customer
	what  uint64 // meter and set, plus one; 0: empty
	first int32
}

// line is how one combination is priced for last instants from lo to hi, both included,
// and what was charged so since the last cut. It is what every event touches,
// at random among many, so it has two cache lines and no more.
type line struct {
	lo, hi   int64
	price    *pricing.Line
	events   uint64
	rate     money.Rate
	amount   money.Amount
	quantity money.Quantity
	at       int32 // its own index
	next     int32 // of the same combination, for other instants; -1: none
	state    pricing.State
	late     bool
	open     bool // in State.open.lines
	*about
}

// about is what a line is asked for once a cut.
type about struct {
	held     *held
	node     uint32
	customer uint32
	meter    uint32
	quote    string
	pair     events.Pair
	period   events.Period
	origin   events.Period
}

// priceKey names a price that lines share.
type priceKey struct {
	book        events.Book
	card        string
	rule        int
	from, until int64
}

func (c *caches) reset() {
	c.books = make(map[events.Book]*book)
	c.nodes = make(map[string]uint32)
	c.customers = make(map[string]uint32)
	c.meters = make(map[meterKey]uint32)
	c.sets = make(map[string]uint32)
	c.node, c.customer, c.meter, c.set = c.node[:0], c.customer[:0], c.meter[:0], c.set[:0]
	c.rankedNodes, c.rankedCustomers = 0, 0
	c.prices = make(map[priceKey]*pricing.Line)
	clear(c.lines)
	c.lines = c.lines[:0]
	c.used = 0
	if c.table == nil {
		c.table = make([]slot, 1<<10)
	} else {
		clear(c.table)
	}
}

// full reports whether a bound is reached.
func (c *caches) full() bool {
	return len(c.lines) > maxLines || len(c.sets) > maxSets
}

func (s *State) book(name events.Book) *book {
	if b, ok := s.books[name]; ok {
		return b
	}
	declared, ok := s.directory.Book(name)
	if !ok {
		return nil
	}
	b := &book{Book: declared, charged: s.chargedBy(name)}
	b.bounds.From, b.bounds.Until = 1, 0 // Holds for no instant.
	s.books[name] = b
	return b
}

// posting returns where an event of the book is posted, by its last instant.
func (b *book) posting(at int64) *directory.Posting {
	if at < b.bounds.From || at >= b.bounds.Until {
		b.bounds = b.Book.Posting(at)
	}
	return &b.bounds
}

// begin forgets the segment before.
func (c *caches) begin(columns *events.Columns) {
	c.segments++
	c.nodeOf = cleared(c.nodeOf, len(columns.Strings))
	c.customerOf = cleared(c.customerOf, len(columns.Strings))
	c.meterOf = cleared(c.meterOf, len(columns.Strings))
	c.setOf = cleared(c.setOf, len(columns.Sets))
	if cap(c.sourceOf) < len(columns.Sources) {
		c.sourceOf = make([]*source, len(columns.Sources))
	}
	c.sourceOf = c.sourceOf[:len(columns.Sources)]
	clear(c.sourceOf)
	c.speaking = c.speaking[:0]
}

func cleared(s []uint32, n int) []uint32 {
	if cap(s) < n {
		return make([]uint32, n, n+n/2)
	}
	s = s[:n]
	clear(s)
	return s
}

// Each of the following looks a name up the first time that its segment has it.

func (s *State) resolveNode(c *events.Columns, at uint32, in *book) uint32 {
	text := c.Strings[at]
	n, ok := s.nodes[string(text)]
	if !ok {
		declared, known := s.directory.Node(events.Node(text))
		if !known {
			s.nodeOf[at] = unknown
			return unknown
		}
		n = uint32(len(s.node))
		s.node = append(s.node, node{declared.Node, s.book(declared.Book), declared.Attributes, ledger.NodeEarned(declared.Node), 0})
		s.nodes[string(declared.Node)] = n
	}
	if s.node[n].book != in {
		s.nodeOf[at] = unknown
		return unknown
	}
	s.nodeOf[at] = n + 1
	return n + 1
}

func (s *State) resolveCustomer(c *events.Columns, at uint32, in *book) uint32 {
	text := c.Strings[at]
	n, ok := s.customers[string(text)]
	if !ok {
		declared, known := s.directory.Customer(events.Customer(text))
		if !known {
			s.customerOf[at] = unknown
			return unknown
		}
		n = uint32(len(s.customer))
		s.customer = append(s.customer, customer{declared.Customer, s.book(declared.Book), declared.Plan, ledger.CustomerReceivable(declared.Customer), 0})
		s.customers[string(declared.Customer)] = n
	}
	if s.customer[n].book != in {
		s.customerOf[at] = unknown
		return unknown
	}
	s.customerOf[at] = n + 1
	return n + 1
}

func (s *State) resolveMeter(c *events.Columns, at uint32, in *book) uint32 {
	key := meterKey{in.BookDeclared.Book, string(c.Strings[at])}
	n, ok := s.meters[key]
	if !ok {
		declared, known := s.directory.Meter(key.book, events.Meter(key.name))
		if !known {
			s.meterOf[at] = unknown
			return unknown
		}
		n = uint32(len(s.meter))
		s.meter = append(s.meter, meter{declared.Meter, declared.Max})
		s.meters[key] = n
	}
	s.meterOf[at] = n + 1
	return n + 1
}

func (s *State) resolveSet(c *events.Columns, at uint32) uint32 {
	b := s.scratch[:0]
	for _, a := range c.Sets[at] {
		b = binary.AppendUvarint(b, uint64(len(c.Strings[a.Name])))
		b = append(b, c.Strings[a.Name]...)
		b = binary.AppendUvarint(b, uint64(len(c.Strings[a.Value])))
		b = append(b, c.Strings[a.Value]...)
	}
	s.scratch = b
	n, ok := s.sets[string(b)]
	if !ok {
		n = uint32(len(s.set))
		var attributes []events.Attribute
		for _, a := range c.Sets[at] {
			attributes = append(attributes, events.Attribute{Name: string(c.Strings[a.Name]), Value: string(c.Strings[a.Value])})
		}
		s.set = append(s.set, attributes)
		s.sets[string(b)] = n
	}
	s.setOf[at] = n + 1
	return n + 1
}

// line returns the line of a combination for a last instant.
func (s *State) line(b *book, node, customer, meter, set uint32, instant int64) *line {
	who := uint64(node)<<32 | uint64(customer)
	what := uint64(meter)<<32 | uint64(set) + 1
	at := s.slot(who, what)
	if at.what == 0 {
		if s.used*2 >= len(s.table) {
			s.grow()
			at = s.slot(who, what)
		}
		s.used++
		*at = slot{who, what, -1}
	}
	for k := at.first; k >= 0; k = s.lines[k].next {
		if l := &s.lines[k]; l.lo <= instant && instant <= l.hi {
			return l
		}
	}
	index := int32(len(s.lines))
	s.lines = append(s.lines, line{at: index, next: at.first, about: &about{node: node, customer: customer, meter: meter}})
	at.first = index
	l := &s.lines[index]
	s.price(l, b, set, instant)
	return l
}

func (c *caches) slot(who, what uint64) *slot {
	mask := uint64(len(c.table) - 1)
	h := (who*0x9e3779b97f4a7c15 ^ what) * 0xff51afd7ed558ccd
	for i := h ^ h>>32; ; i++ {
		at := &c.table[i&mask]
		if at.what == 0 || at.who == who && at.what == what {
			return at
		}
	}
}

func (c *caches) grow() {
	old := c.table
	c.table = make([]slot, 2*len(old))
	for i := range old {
		if old[i].what != 0 {
			*c.slot(old[i].who, old[i].what) = old[i]
		}
	}
}

// price finds how events like this are priced and for which instants that holds.
func (s *State) price(l *line, b *book, set uint32, instant int64) {
	p := b.posting(instant)
	l.period, l.origin, l.late = p.Period, p.Origin, p.Late
	l.lo, l.hi = math.MinInt64, math.MaxInt64
	l.within(p.From, p.Until)

	facts := pricing.Facts{
		Book: b.BookDeclared.Book, Asset: b.Asset, Meter: s.meter[l.meter].name,
		Attributes: s.set[set], Node: s.node[l.node].attributes, Plan: s.customer[l.customer].plan, Instant: instant,
	}
	found := s.tariff.Price(&facts)
	l.within(found.From, found.Until)
	if l.state = found.State; l.state == pricing.NoRate {
		return
	}
	key := priceKey{b.BookDeclared.Book, found.Line.Card, found.Line.Rule, found.Line.From, found.Line.Until}
	if l.price = s.prices[key]; l.price == nil {
		shared := found.Line
		l.price = &shared
		s.prices[key] = l.price
	}
	l.quote, l.rate = found.Quote.ID, found.Rate
	if l.state == pricing.Waits {
		l.pair = found.Pair()
		l.held = s.heldLine(l, b)
	}
}

// within narrows the line to instants in [from, until); there is none after
// [math.MaxInt64].
func (l *line) within(from, until int64) {
	l.lo = max(l.lo, from)
	if until < math.MaxInt64 {
		l.hi = min(l.hi, until-1)
	}
}

func (s *State) heldLine(l *line, b *book) *held {
	key := settlement.Suspense{
		Book: b.BookDeclared.Book, Node: s.node[l.node].name, Customer: s.customer[l.customer].name, Meter: s.meter[l.meter].name,
		Card: l.price.Card, Rule: l.price.Rule, Pair: l.pair, Period: l.origin,
	}
	h := s.held[key]
	if h == nil {
		h = &held{line: key}
		h.line.Price = l.price.Price
		s.held[key] = h
	}
	return h
}

// receivable and earned are the accounts of a charge.
func (s *State) receivable(l *line) ledger.Account { return s.customer[l.customer].receivable }

func (s *State) earned(l *line) ledger.Account { return s.node[l.node].earned }
