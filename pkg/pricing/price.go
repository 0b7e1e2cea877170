package pricing

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/quotes"
)

// Facts are what determines the price of usage, in addition to cards and
// quotes.
type Facts struct {
	Book       events.Book
	Asset      money.Asset // the asset in which the book charges
	Meter      events.Meter
	Attributes []events.Attribute // the event's own, ascending by name, no name twice
	Node       []events.Attribute // those of its node, ascending by name, no name twice
	Plan       string             // its customer's plan; empty for none
	Instant    int64              // its last instant, in nanoseconds since 1970 UTC
}

// FactsOf returns the facts of an event, with the asset of its book, the
// attributes of its node and the plan of its customer.
func FactsOf(u *events.Usage, book events.Book, asset money.Asset, node []events.Attribute, plan string) Facts {
	return Facts{Book: book, Asset: asset, Meter: u.Meter, Attributes: u.Attributes, Node: node, Plan: plan, Instant: u.LastInstant()}
}

// State says what happens to events with a [Price].
type State uint8

// The states of a price.
const (
	// Charged: each event is charged. See [Price.Charge].
	Charged State = iota
	// Waits: each event's billed quantity waits until it is released at a
	// round.
	Waits
	// NoRate: no rule of a card in force matches the event.
	NoRate
	// NoRoom: the price of the rule does not fit 128 bits even at a quote of one.
	NoRoom
)

// Price is how the events of the same [Facts] are priced: by which rule, and at
// which quote.
type Price struct {
	State State
	Asset money.Asset    // the asset of the charge
	Line  Line           // the rule; with NoRate only its bounds are set
	Quote quotes.Verdict // the zero verdict with NoRate
	Rate  money.Rate     // the rule's price at the quote, if Charged

	// From (inclusive) and Until (exclusive) bound the last instants, in
	// nanoseconds since 1970 UTC, that have this price until cards or quotes
	// change. An Until of [math.MaxInt64] means that there is no end.
	From, Until int64
}

// A Quoter returns the verdict on the quote at which events with a last
// instant, priced in currency, are charged in asset. The verdict's bounds must
// hold while cards and quotes do not change. [quotes.Board] is one.
type Quoter interface {
	For(asset, currency money.Asset, at int64) quotes.Verdict
}

// Price prices usage: it merges the attributes, finds the rule, and asks for the
// quote. Every price is made here: for live settlement, replay, explanations,
// receipts and exports.
func (t *Table) Price(q Quoter, f *Facts) Price {
	line, ok := t.find(f.Book, f.Meter, merge(nil, f.Attributes, f.Node, f.Plan), f.Instant)
	p := Price{State: NoRate, Asset: f.Asset, Line: line, From: line.From, Until: line.Until}
	if !ok {
		return p
	}
	p.Quote = q.For(f.Asset, line.Currency, f.Instant)
	p.From, p.Until = max(p.From, p.Quote.From), min(p.Until, p.Quote.Until)
	if p.Quote.Held {
		p.State = Waits
		return p
	}
	if p.Rate, ok = t.rate(&line, p.Quote.Quote); ok {
		p.State = Charged
		return p
	}
	if _, fits := t.rate(&line, money.One); !fits {
		p.State = NoRoom
		return p
	}
	// The price fits, so the quote is at fault.
	p.State, p.Quote.Held, p.Quote.Reason = Waits, true, quotes.Magnitude
	return p
}

// rateKey is what determines a rate.
type rateKey struct {
	price money.Price
	quote money.Amount
}

// mostRates bounds the rates that a table remembers.
const mostRates = 1 << 16

// rate is [Line.Rate], remembered: reducing its fraction costs more than the
// rest of a price, and there are far fewer rates than combinations of facts. It
// is false if the rate does not fit.
func (t *Table) rate(l *Line, quote money.Amount) (money.Rate, bool) {
	key := rateKey{l.Price, quote}
	if r, ok := t.rates[key]; ok {
		return r, true
	}
	r, err := l.Rate(quote)
	if err != nil {
		return money.Rate{}, false
	}
	if t.rates == nil || len(t.rates) >= mostRates {
		t.rates = make(map[rateKey]money.Rate)
	}
	t.rates[key] = r
	return r, true
}

// Pair returns the pair whose quote the price needs.
func (p *Price) Pair() events.Pair { return quotes.PairOf(p.Asset, p.Line.Currency) }

// Charge is what one event costs, or the quantity that waits.
type Charge struct {
	Waits  bool           // Billed waits for a quote, and there is no amount
	Billed money.Quantity // after granularity
	Amount money.Amount
}

// Charge charges a quantity. If the charge does not fit at the quote but would
// fit at a quote of one, the quote is at fault and the quantity waits. It fails
// with [money.ErrDomain] for a quantity below zero, and with
// [money.ErrOverflow] if the event must be refused because its charge does not
// fit.
func (p *Price) Charge(quantity money.Quantity) (c Charge, err error) {
	switch p.State {
	case NoRate:
		return c, fmt.Errorf("charging %v: no rule matches: %w", quantity, money.ErrDomain)
	case NoRoom:
		return c, fmt.Errorf("charging %v by rule %d of %s: %w", quantity, p.Line.Rule, p.Line.Card, money.ErrOverflow)
	case Charged:
		if c.Billed, c.Amount, err = p.Line.ChargeAt(p.Rate, quantity); err == nil {
			return c, nil
		}
		if _, err = p.Line.AtPar(quantity); err != nil {
			return c, err
		}
	}
	c.Waits = true
	c.Billed, err = p.Line.Billed(quantity)
	return c, err
}

// AtPar returns the charge of a quantity at a quote of one. If it fits but the
// charge at the quote does not, the quote is at fault.
func (l *Line) AtPar(quantity money.Quantity) (money.Amount, error) {
	_, amount, err := charge(l, money.One, quantity)
	return amount, err
}

// charge charges a quantity by a line at a quote.
func charge(l *Line, quote money.Amount, quantity money.Quantity) (billed money.Quantity, amount money.Amount, err error) {
	rate, err := l.Rate(quote)
	if err != nil {
		return money.Quantity{}, money.Amount{}, err
	}
	return l.ChargeAt(rate, quantity)
}
