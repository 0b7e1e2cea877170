package directory

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
)

// Book is a book as it is declared now.
type Book struct {
	events.BookDeclared
	Closed        events.Period // the last closed period; empty if there is none
	ClosedThrough int64         // its end, in nanoseconds since 1970 UTC; 0 if there is none
}

// Posting says in which period usage is posted.
type Posting struct {
	Period events.Period // the period in which it is posted: Origin, or the open period if Origin is closed
	Origin events.Period // the period to which it belongs
	Late   bool          // Origin was closed
	// The same is true of every instant in [From, Until), in nanoseconds since
	// 1970 UTC, until the next decision about the book.
	From, Until int64
}

// Posting returns the periods of usage with this last instant, see
// [events.LastInstant]. Callers should reuse the result for all instants to
// which it applies, because formatting labels is expensive.
func (b *Book) Posting(at int64) Posting {
	calendar := events.Calendar(b.Calendar)
	origin, from, until := calendar.Bounds(at)
	p := Posting{Period: origin, Origin: origin, From: from, Until: until}
	if until <= b.ClosedThrough {
		p.Late = true
		p.Period, _ = b.Open()
	}
	return p
}

// Open returns the label of the period after the last closed one; ok is false
// if none was closed, so that every period is open.
func (b *Book) Open() (label events.Period, ok bool) {
	if b.ClosedThrough == 0 {
		return "", false
	}
	label, _, _ = events.Calendar(b.Calendar).Bounds(b.ClosedThrough)
	return label, true
}

// IsClosed reports whether a period of the book is closed. It fails if the
// label does not belong to the book's calendar.
func (b *Book) IsClosed(label events.Period) (bool, error) {
	_, until, err := events.Calendar(b.Calendar).Parse(label)
	return err == nil && until <= b.ClosedThrough, err
}

type book struct {
	declared      events.BookDeclared
	closed        events.Period
	closedThrough int64
	closings      []closing // in effect, ascending
	meters        map[events.Meter]events.MeterDeclared
	cards         map[events.Card][]events.CardDeclared // version 1 first
	pool          events.Token                          // the token of all nodes that no other token names
}

// Node is a declared node.
type Node struct {
	Node       events.Node
	Book       events.Book
	Attributes []events.Attribute // ascending by name; not to be changed
}

type node struct {
	declared   events.NodeDeclared
	attributes []events.Attribute
}

func (d *Directory) declareBook(b events.BookDeclared) error {
	if _, ok := d.providers[b.Provider]; !ok {
		return fmt.Errorf("provider %q is not declared", b.Provider)
	}
	known := d.books[b.Book]
	if known == nil {
		d.books[b.Book] = &book{
			declared: b,
			meters:   map[events.Meter]events.MeterDeclared{},
			cards:    map[events.Card][]events.CardDeclared{},
		}
		return nil
	}
	was := known.declared
	for _, fixed := range []struct {
		field    string
		was, now any
	}{
		{"provider", was.Provider, b.Provider},
		{"calendar", was.Calendar, b.Calendar},
		{"time_zone", was.TimeZone, b.TimeZone},
		{"asset", was.Asset, b.Asset},
		{"partition", was.Partition, b.Partition},
	} {
		if fixed.was != fixed.now {
			return fmt.Errorf("%s of book %q is %v and cannot become %v", fixed.field, b.Book, fixed.was, fixed.now)
		}
	}
	known.declared = b
	return nil
}

func (d *Directory) declareProvider(b events.ProviderDeclared) error {
	d.providers[b.Provider] = b
	return nil
}

func (d *Directory) declarePolicy(b events.QuotePolicyDeclared) error {
	d.policies[b.Pair] = b
	return nil
}

// in returns a declared book.
func (d *Directory) in(name events.Book) (*book, error) {
	if b := d.books[name]; b != nil {
		return b, nil
	}
	return nil, fmt.Errorf("book %q is not declared", name)
}

func (d *Directory) declareNode(b events.NodeDeclared) error {
	if _, err := d.in(b.Book); err != nil {
		return err
	}
	if known := d.nodes[b.Node]; known != nil && known.declared.Book != b.Book {
		return fmt.Errorf("node %q is of book %q and cannot be of %q", b.Node, known.declared.Book, b.Book)
	}
	b.Attributes = maps.Clone(b.Attributes)
	n := &node{declared: b}
	for _, name := range slices.Sorted(maps.Keys(b.Attributes)) {
		n.attributes = append(n.attributes, events.Attribute{Name: name, Value: b.Attributes[name]})
	}
	d.nodes[b.Node] = n
	return nil
}

func (d *Directory) declareCustomer(b events.CustomerDeclared) error {
	if _, err := d.in(b.Book); err != nil {
		return err
	}
	if known, ok := d.customers[b.Customer]; ok && known.Book != b.Book {
		return fmt.Errorf("customer %q is of book %q and cannot be of %q", b.Customer, known.Book, b.Book)
	}
	d.customers[b.Customer] = b
	return nil
}

func (d *Directory) declareMeter(b events.MeterDeclared) error {
	in, err := d.in(b.Book)
	if err != nil {
		return err
	}
	if known, ok := in.meters[b.Meter]; ok && known.Unit != b.Unit {
		return fmt.Errorf("unit of meter %q is %q and cannot become %q: prices are per unit", b.Meter, known.Unit, b.Unit)
	}
	in.meters[b.Meter] = b
	return nil
}

func (d *Directory) declareCard(b events.CardDeclared) error {
	in, err := d.in(b.Book)
	if err != nil {
		return err
	}
	versions := in.cards[b.Card]
	switch {
	case b.Version <= len(versions):
		if equal(versions[b.Version-1], b) {
			return nil
		}
		return fmt.Errorf("version %d of card %q is declared with another content: versions never change, the next one is %d", b.Version, b.Card, len(versions)+1)
	case b.Version > len(versions)+1:
		return fmt.Errorf("version %d of card %q would leave a gap: the next one is %d", b.Version, b.Card, len(versions)+1)
	}
	for i, rule := range b.Rules {
		if _, ok := in.meters[rule.Meter]; !ok {
			return fmt.Errorf("rules[%d].meter: meter %q is not declared in book %q", i, rule.Meter, b.Book)
		}
	}
	in.cards[b.Card] = append(slices.Clip(versions), b)
	return nil
}

func (d *Directory) checkRelease(b events.SuspenseReleased) error {
	if _, ok := d.policies[b.Pair]; !ok {
		return fmt.Errorf("pair %q has no quote policy", b.Pair)
	}
	if b.Book != "" {
		_, err := d.in(b.Book)
		return err
	}
	return nil
}

// recordDeposit counts a deposit towards the limit of the ledger. The limit is
// checked here and not in settlement, so that a deposit beyond it is void for
// every reader of CONTROL and its id stays free.
func (d *Directory) recordDeposit(b events.DepositRecorded) error {
	in, err := d.in(b.Book)
	if err != nil {
		return err
	}
	if in.declared.Asset != b.Asset {
		return fmt.Errorf("book %q charges in %s: a deposit of %s could cover nothing", b.Book, in.declared.Asset, b.Asset)
	}
	if err := d.customerIn(b.Customer, b.Book); err != nil {
		return err
	}
	total, err := d.deposited.Add(b.Amount)
	if err != nil || total.Cmp(ledger.Limit()) > 0 {
		return fmt.Errorf("deposits would pass the limit of the ledger, %v", ledger.Limit())
	}
	d.deposited = total
	return nil
}

func (d *Directory) checkCollection(b events.CollectionRequested) error {
	if _, err := d.in(b.Book); err != nil || b.Customer == "" {
		return err
	}
	return d.customerIn(b.Customer, b.Book)
}

func (d *Directory) customerIn(customer events.Customer, name events.Book) error {
	if known, ok := d.customers[customer]; !ok || known.Book != name {
		return fmt.Errorf("customer %q is not declared in book %q", customer, name)
	}
	return nil
}

func (d *Directory) closePeriod(id string, b events.PeriodClosed) error {
	in, err := d.in(b.Book)
	if err != nil {
		return err
	}
	_, until, err := events.Calendar(in.declared.Calendar).Parse(b.Period)
	if err != nil {
		return err
	}
	if until <= in.closedThrough {
		return fmt.Errorf("period %s of book %q is closed: %s was the last one", b.Period, b.Book, in.closed)
	}
	in.closed, in.closedThrough = b.Period, until
	in.closings = append(in.closings, closing{id, until})
	return nil
}

// Provider returns a declared provider.
func (d *Directory) Provider(name events.Provider) (events.ProviderDeclared, bool) {
	p, ok := d.providers[name]
	return p, ok
}

// Providers returns every provider.
func (d *Directory) Providers() []events.ProviderDeclared { return ascending(d.providers) }

// Book returns a book as it is declared now.
func (d *Directory) Book(name events.Book) (Book, bool) {
	b := d.books[name]
	if b == nil {
		return Book{}, false
	}
	return Book{BookDeclared: b.declared, Closed: b.closed, ClosedThrough: b.closedThrough}, true
}

// Books returns every book.
func (d *Directory) Books() []Book {
	var list []Book
	for _, name := range slices.Sorted(maps.Keys(d.books)) {
		b, _ := d.Book(name)
		list = append(list, b)
	}
	return list
}

// Posting returns the periods of usage of a book with this last instant; ok is
// false if the book is not declared. See [Book.Posting].
func (d *Directory) Posting(name events.Book, at int64) (p Posting, ok bool) {
	b, ok := d.Book(name)
	if !ok {
		return Posting{}, false
	}
	return b.Posting(at), true
}

// ClosedThrough returns the end of the last closed period of a book, in
// nanoseconds since 1970 UTC, or 0 if there is none.
func (d *Directory) ClosedThrough(name events.Book) int64 {
	if b := d.books[name]; b != nil {
		return b.closedThrough
	}
	return 0
}

// Node returns a declared node.
func (d *Directory) Node(name events.Node) (Node, bool) {
	n := d.nodes[name]
	if n == nil {
		return Node{}, false
	}
	return Node{Node: name, Book: n.declared.Book, Attributes: n.attributes}, true
}

// Nodes returns every node of a book; an empty book selects all books.
func (d *Directory) Nodes(in events.Book) []Node {
	var list []Node
	for name, n := range d.nodes {
		if in == "" || n.declared.Book == in {
			list = append(list, Node{Node: name, Book: n.declared.Book, Attributes: n.attributes})
		}
	}
	slices.SortFunc(list, func(a, b Node) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return list
}

// Customer returns a declared customer.
func (d *Directory) Customer(name events.Customer) (events.CustomerDeclared, bool) {
	c, ok := d.customers[name]
	return c, ok
}

// Customers returns every customer of a book; an empty book selects all books.
func (d *Directory) Customers(in events.Book) []events.CustomerDeclared {
	list := ascending(d.customers)
	return slices.DeleteFunc(list, func(c events.CustomerDeclared) bool { return in != "" && c.Book != in })
}

// Meter returns a meter of a book. Its Max is never zero.
func (d *Directory) Meter(in events.Book, name events.Meter) (events.MeterDeclared, bool) {
	b := d.books[in]
	if b == nil {
		return events.MeterDeclared{}, false
	}
	m, ok := b.meters[name]
	if ok && m.Max.IsZero() {
		m.Max = events.LargestQuantity
	}
	return m, ok
}

// Meters returns every meter of a book.
func (d *Directory) Meters(in events.Book) []events.MeterDeclared {
	b := d.books[in]
	if b == nil {
		return nil
	}
	list := ascending(b.meters)
	for i := range list {
		list[i], _ = d.Meter(in, list[i].Meter)
	}
	return list
}

// CardVersions returns every version of every card of a book, ascending by card
// and version.
func (d *Directory) CardVersions(in events.Book) []events.CardDeclared {
	b := d.books[in]
	if b == nil {
		return nil
	}
	return slices.Concat(ascending(b.cards)...)
}

// QuotePolicy returns the policy of a pair.
func (d *Directory) QuotePolicy(pair events.Pair) (events.QuotePolicyDeclared, bool) {
	p, ok := d.policies[pair]
	return p, ok
}

// QuotePolicies returns every quote policy.
func (d *Directory) QuotePolicies() []events.QuotePolicyDeclared { return ascending(d.policies) }

// ascending returns the values of m by ascending key.
func ascending[K interface{ ~string }, V any](m map[K]V) []V {
	list := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[k])
	}
	return list
}
