package pricing

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Line is one rule of a card, as it prices an event.
type Line struct {
	Card        string         // "card@version", as postings name it
	Rule        int            // index of the rule in that version, from 0
	Price       money.Price    // in Currency, per quantity of the meter's unit
	Granularity money.Quantity // quantities are billed up to its next multiple; zero: unchanged
	Currency    money.Asset

	// From (inclusive) and Until (exclusive) bound the last instants, in
	// nanoseconds since 1970 UTC, that have this line until a card is added.
	From, Until int64
}

// find returns the line of an event by the rules of the package comment.
// Attributes are ascending by name, no name twice: see [merge]. If no rule
// matches, ok is false and only From and Until of the line are set: they bound
// the instants without a matching rule. It allocates nothing.
func (t *Table) find(book events.Book, meter events.Meter, attributes []events.Attribute, at int64) (line Line, ok bool) {
	from, until := int64(math.MinInt64), int64(math.MaxInt64)
	var best *rule
	var of *version
	for _, c := range t.books[book] { // Cards ascend by name, so a later card must be better, not equally good.
		if _, named := c.meters[meter]; !named {
			continue
		}
		i := sort.Search(len(c.inForce), func(i int) bool { return c.inForce[i].effective > at }) - 1
		if i+1 < len(c.inForce) {
			until = min(until, c.inForce[i+1].effective)
		}
		if i < 0 {
			continue
		}
		v := &c.inForce[i]
		from = max(from, v.effective)
		rules := v.rules[meter]
		for j := range rules {
			r := &rules[j]
			if best != nil && !(len(r.pairs) > len(best.pairs) ||
				len(r.pairs) == len(best.pairs) && v.effective > of.effective) {
				continue
			}
			if matches(r.pairs, attributes) {
				best, of = r, v
			}
		}
	}
	if best == nil {
		return Line{From: from, Until: until}, false
	}
	line = best.line(of)
	line.From, line.Until = from, until
	return line, true
}

// matches reports whether every pair is among the attributes; both are ascending by name.
func matches(pairs, attributes []events.Attribute) bool {
	i := 0
	for _, p := range pairs {
		for i < len(attributes) && attributes[i].Name < p.Name {
			i++
		}
		if i == len(attributes) || attributes[i] != p {
			return false
		}
		i++
	}
	return true
}

// Plan is the attribute under which a customer's plan is matched.
const Plan = "plan"

// merge appends to dst the attributes by which an event is rated, ascending by
// name: its own, overridden by those of its node with the same name, and the
// customer's plan, which overrides both if the customer has one. Both sets must
// ascend by name, no name twice.
func merge(dst, event, node []events.Attribute, plan string) []events.Attribute {
	start := len(dst)
	for len(event) > 0 || len(node) > 0 {
		switch {
		case len(node) == 0 || len(event) > 0 && event[0].Name < node[0].Name:
			dst, event = append(dst, event[0]), event[1:]
		default:
			if len(event) > 0 && event[0].Name == node[0].Name {
				event = event[1:]
			}
			dst, node = append(dst, node[0]), node[1:]
		}
	}
	if plan == "" {
		return dst
	}
	own := events.Attribute{Name: Plan, Value: plan}
	i, found := slices.BinarySearchFunc(dst[start:], own, byName)
	if found {
		dst[start+i] = own
		return dst
	}
	return slices.Insert(dst, start+i, own)
}

// Rate returns the line's price at a quote, which is the Currency that one unit
// of the charged asset is worth ([money.One] if they are the same). Make it
// once for each line and quote. It fails as [money.Price.Rate] does.
func (l *Line) Rate(quote money.Amount) (money.Rate, error) {
	r, err := l.Price.Rate(quote)
	if err != nil {
		return money.Rate{}, fmt.Errorf("pricing by rule %d of %s: %w", l.Rule, l.Card, err)
	}
	return r, nil
}

// Billed returns the quantity that is charged, or that waits in suspense:
// rounded up to the next multiple of the line's granularity. It fails with
// [money.ErrDomain] below zero and with [money.ErrOverflow].
func (l *Line) Billed(quantity money.Quantity) (money.Quantity, error) {
	if l.Granularity.IsZero() {
		if quantity.Sign() < 0 {
			return money.Quantity{}, money.ErrDomain
		}
		return quantity, nil
	}
	return quantity.CeilTo(l.Granularity)
}

// ChargeAt returns the billed quantity of one event and its charge at a rate
// that [Line.Rate] made: the one place where a charge is computed. It fails
// with [money.ErrDomain] for a quantity below zero and with [money.ErrOverflow],
// and allocates nothing.
func (l *Line) ChargeAt(rate money.Rate, quantity money.Quantity) (billed money.Quantity, charge money.Amount, err error) {
	if billed, err = l.Billed(quantity); err != nil {
		return money.Quantity{}, money.Amount{}, err
	}
	if charge, err = rate.Charge(billed); err != nil {
		return money.Quantity{}, money.Amount{}, err
	}
	return billed, charge, nil
}
