package pricing

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Ref names a version of a card as postings do: "card@version".
func Ref(card events.Card, version int) string { return string(card) + "@" + strconv.Itoa(version) }

// CardOf returns the card that a [Ref] names.
func CardOf(ref string) events.Card {
	return events.Card(ref[:max(0, strings.LastIndexByte(ref, '@'))])
}

// Rule is one rule of a version of a card.
type Rule struct {
	Line  // From and Until are not set
	Meter events.Meter
	Match []events.Attribute // attributes that an event must have, ascending by name; read only
}

// String describes the price of the rule and its conditions.
func (r Rule) String() string {
	text := fmt.Sprintf("%s of %s", r.Terms(), r.Meter)
	if !r.Granularity.IsZero() {
		text += fmt.Sprintf(", in steps of %v", r.Granularity)
	}
	for _, a := range r.Match {
		text += fmt.Sprintf(", where %s is %s", a.Name, a.Value)
	}
	return text
}

// Rules yields the rules that a version of a card has for a meter, in the order
// of the card; none for an unknown version.
func (t *Table) Rules(book events.Book, meter events.Meter, ref string) iter.Seq[Rule] {
	v := t.version(book, ref)
	return func(yield func(Rule) bool) {
		if v == nil {
			return
		}
		for i := range v.rules[meter] {
			r := &v.rules[meter][i]
			if !yield(Rule{r.line(v), meter, r.pairs}) {
				return
			}
		}
	}
}

// rule returns the line of a rule by its index in a version of a card.
func (t *Table) rule(book events.Book, meter events.Meter, ref string, index int) (Line, bool) {
	for r := range t.Rules(book, meter, ref) {
		if r.Line.Rule == index {
			return r.Line, true
		}
	}
	return Line{}, false
}

// version returns a version of a card, or nil if it is not known.
func (t *Table) version(book events.Book, ref string) *version {
	cards := t.books[book]
	i, found := t.search(book, CardOf(ref))
	if !found {
		return nil
	}
	in := cards[i].inForce
	if k := slices.IndexFunc(in, func(v version) bool { return v.ref == ref }); k >= 0 {
		return &in[k]
	}
	return nil
}

func (r *rule) line(v *version) Line {
	return Line{Card: v.ref, Rule: r.index, Price: r.price, Granularity: r.granularity, Currency: v.currency}
}

// Terms describes the price of the line: "1.99 USD per 3600".
func (l *Line) Terms() string {
	return fmt.Sprintf("%v %s per %v", l.Price.Amount, l.Currency, l.Price.Per)
}

// Formula describes how a charge at this price was computed.
func (p *Price) Formula(c *Charge) string {
	return fmt.Sprintf("%v × %v %s ÷ (%v × %v), rounded once, half-even", c.Billed, p.Line.Price.Amount, p.Line.Currency, p.Line.Price.Per, p.Quote.Quote)
}

// Made reports whether events with a total billed quantity, each rounded once,
// can have been charged a total amount by this line at a quote.
func (l *Line) Made(amount money.Amount, quote money.Amount, billed money.Quantity, events uint64) bool {
	rate, err := l.Rate(quote)
	if err != nil {
		return false
	}
	whole, err := rate.Charge(billed)
	if err != nil {
		return false
	}
	// Each event's rounding error is half an atto at most, and so is that of
	// the exact sum.
	gap, err := whole.Sub(amount)
	if err == nil {
		gap, err = gap.Abs()
	}
	return err == nil && gap.Cmp(money.AmountFromLimbs(0, events/2+1)) <= 0
}
