package posting

import (
	"math"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/pricing"
	"github.com/aliquot-engine/aliquot/pkg/quotes"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// maxLines bounds the lines that are kept, in entries. Once a bound is
// exceeded, everything is forgotten at the next cut and looked up again; no
// figure changes.
const maxLines = 1 << 18

// prices keeps how each combination is priced, and adds up what was charged at
// each price since the last cut.
//
// Invariants: the lines of one combination hold for instants that no two of them
// share; a line keeps its index until [prices.reset]; the sums of a line are zero
// unless it is in charged.
type prices struct {
	names    *admission
	tariff   *pricing.Tariff
	suspense *suspense

	table []slot // open addressing, a power of two
	used  int    // slots taken
	lines []line

	shared map[priceKey]*pricing.Line

	charged []int32 // indexes of the lines that have sums
}

// slot leads from a combination to its first line.
type slot struct {
	who   uint64 // node and customer
	what  uint64 // meter and set, plus one; 0: empty
	first int32
}

// line says how one combination is priced for last instants from lo to hi, both
// included, and sums what was charged at that price since the last cut. Every
// event touches one line, at random among many, so a line fits in two cache
// lines.
type line struct {
	lo, hi   int64
	price    *pricing.Line
	events   uint64
	rate     money.Rate
	amount   money.Amount
	quantity money.Quantity
	at       int32 // its own index
	next     int32 // next line of the same combination, for other instants; -1: none
	state    pricing.State
	late     bool
	open     bool // in prices.charged
	*about
}

// about holds what is read of a line only once per cut.
type about struct {
	held     *held
	node     uint32
	customer uint32
	meter    uint32
	quote    string
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

// reset forgets all lines, because prices or the meaning of numbers may have
// changed. No line may have sums.
func (p *prices) reset() {
	p.shared = make(map[priceKey]*pricing.Line)
	clear(p.lines)
	p.lines = p.lines[:0]
	p.used = 0
	if p.table == nil {
		p.table = make([]slot, 1<<10)
	} else {
		clear(p.table)
	}
}

// full reports whether the bound is reached.
func (p *prices) full() bool { return len(p.lines) > maxLines }

// of returns the line of a combination for a last instant.
func (p *prices) of(k combination, b *book, instant int64) *line {
	who := uint64(k.node)<<32 | uint64(k.customer)
	what := uint64(k.meter)<<32 | uint64(k.set) + 1
	at := p.slot(who, what)
	if at.what == 0 {
		if p.used*2 >= len(p.table) {
			p.grow()
			at = p.slot(who, what)
		}
		p.used++
		*at = slot{who, what, -1}
	}
	for i := at.first; i >= 0; i = p.lines[i].next {
		if l := &p.lines[i]; l.lo <= instant && instant <= l.hi {
			return l
		}
	}
	index := int32(len(p.lines))
	p.lines = append(p.lines, line{at: index, next: at.first, about: &about{node: k.node, customer: k.customer, meter: k.meter}})
	at.first = index
	l := &p.lines[index]
	p.find(l, b, p.names.set[k.set], instant)
	return l
}

func (p *prices) slot(who, what uint64) *slot {
	mask := uint64(len(p.table) - 1)
	h := (who*0x9e3779b97f4a7c15 ^ what) * 0xff51afd7ed558ccd
	for i := h ^ h>>32; ; i++ {
		at := &p.table[i&mask]
		if at.what == 0 || at.who == who && at.what == what {
			return at
		}
	}
}

func (p *prices) grow() {
	old := p.table
	p.table = make([]slot, 2*len(old))
	for i := range old {
		if old[i].what != 0 {
			*p.slot(old[i].who, old[i].what) = old[i]
		}
	}
}

// find finds how the events of a line are priced, and for which instants.
func (p *prices) find(l *line, b *book, attributes []events.Attribute, instant int64) {
	at := b.posting(instant)
	l.period, l.origin, l.late = at.Period, at.Origin, at.Late
	l.lo, l.hi = math.MinInt64, math.MaxInt64
	l.within(at.From, at.Until)

	facts := pricing.Facts{
		Book: b.BookDeclared.Book, Asset: b.Asset, Meter: p.names.meter[l.meter].name, Attributes: attributes,
		Node: p.names.node[l.node].attributes, Plan: p.names.customer[l.customer].plan, Instant: instant,
	}
	found := p.tariff.Price(&facts)
	l.within(found.From, found.Until)
	if l.state = found.State; l.state == pricing.NoRate {
		return
	}
	key := priceKey{b.BookDeclared.Book, found.Line.Card, found.Line.Rule, found.Line.From, found.Line.Until}
	if l.price = p.shared[key]; l.price == nil {
		own := found.Line
		l.price = &own
		p.shared[key] = l.price
	}
	l.quote, l.rate = found.Quote.ID, found.Rate
	if l.state == pricing.Waits {
		l.held = p.waiting(l, b)
	}
}

// within narrows the line to instants in [from, until); an until of
// [math.MaxInt64] means that there is no end.
func (l *line) within(from, until int64) {
	l.lo = max(l.lo, from)
	if until < math.MaxInt64 {
		l.hi = min(l.hi, until-1)
	}
}

// waiting returns the suspense line of events that are priced by a line.
func (p *prices) waiting(l *line, b *book) *held {
	return p.suspense.line(settlement.Suspense{
		Book: b.BookDeclared.Book, Node: p.names.node[l.node].name, Customer: p.names.customer[l.customer].name, Meter: p.names.meter[l.meter].name,
		Card: l.price.Card, Rule: l.price.Rule, Pair: quotes.PairOf(b.Asset, l.price.Currency), Period: l.origin,
	})
}

// add charges an event by its line, or lets its quantity wait; if neither is
// possible, it returns the reason. If only this event's charge does not fit at
// the quote, the event waits alone and is not counted among the events of the
// line.
func (p *prices) add(l *line, b *book, quantity money.Quantity) (alone bool, refused events.Reason) {
	switch l.state {
	case pricing.NoRate:
		return false, events.NoRate
	case pricing.NoRoom:
		return false, events.Overflow
	case pricing.Waits:
		if !p.wait(l.held, l.price, quantity) {
			return false, events.Overflow
		}
	default:
		if !l.charge(b, quantity) {
			return p.waitAlone(l, b, quantity)
		}
	}
	if !l.open {
		l.open = true
		p.charged = append(p.charged, l.at) // An index, not a pointer: lines move when the slice grows.
	}
	l.events++
	return false, ""
}

// charge adds an event's charge to the line, or changes nothing and reports that
// the charge does not fit.
func (l *line) charge(b *book, quantity money.Quantity) bool {
	billed, charge, err := l.price.ChargeAt(l.rate, quantity)
	if err != nil {
		return false
	}
	total, fits := b.with(charge)
	if !fits {
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

// wait adds an event's billed quantity to what waits.
func (p *prices) wait(h *held, price *pricing.Line, quantity money.Quantity) bool {
	billed, err := price.Billed(quantity)
	return err == nil && p.suspense.add(h, billed)
}

// waitAlone lets an event wait whose charge does not fit at the quote but would
// fit at par: then the quote is at fault. Otherwise the event is refused.
func (p *prices) waitAlone(l *line, b *book, quantity money.Quantity) (alone bool, refused events.Reason) {
	charge, err := l.price.AtPar(quantity)
	if err != nil {
		return false, events.Overflow
	}
	if _, fits := b.with(charge); !fits || !p.wait(p.waiting(l, b), l.price, quantity) {
		return false, events.Overflow
	}
	return true, ""
}

// outcome returns the outcome of the events that the line accepts.
func (l *line) outcome() events.Outcome {
	if l.late {
		return events.Late
	}
	return events.Accepted
}

// taken returns the lines that have sums, and forgets which they are. The caller
// clears their sums: see [line.clear].
func (p *prices) taken() []*line {
	lines := make([]*line, 0, len(p.charged))
	for _, k := range p.charged {
		lines = append(lines, &p.lines[k])
	}
	p.charged = p.charged[:0]
	return lines
}

func (l *line) clear() {
	l.open, l.events, l.amount, l.quantity = false, 0, money.Amount{}, money.Quantity{}
}
