package export

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/quotes"
)

// rates finds again the price and the quote that a posting names.
type rates struct {
	cards map[string]events.CardDeclared // by "card@version" of a book: see cardKey
	board quotes.Board
	fixed map[events.Pair][]fixed // ascending
}

// fixed is what a policy fixed a pair's quote to, from a position of CONTROL on.
type fixed struct {
	control uint64
	rate    money.Amount
}

func newRates() *rates {
	return &rates{cards: map[string]events.CardDeclared{}, fixed: map[events.Pair][]fixed{}}
}

func cardKey(book events.Book, card string) string { return string(book) + "\n" + card }

func (k *rates) note(d *decided) {
	if d.effect != applied {
		return
	}
	// What these refuse is void, here as in settle.
	switch b := d.Body.(type) {
	case events.CardDeclared:
		k.cards[cardKey(b.Book, fmt.Sprintf("%s@%d", b.Card, b.Version))] = b
	case events.QuotePolicyDeclared:
		if k.board.SetPolicy(b) == nil {
			k.fixed[b.Pair] = append(k.fixed[b.Pair], fixed{d.m.Seq, b.Fixed})
		}
	case events.QuotesObserved:
		_ = k.board.Observe(b)
	}
}

// quote returns the rate that a posting's quote names.
func (k *rates) quote(pair events.Pair, id string, control uint64) (money.Amount, error) {
	switch {
	case id == "":
		return money.One, nil
	case id == "fixed":
		rate := money.Amount{}
		for _, f := range k.fixed[pair] {
			if f.control <= control && f.rate.Sign() > 0 {
				rate = f.rate
			}
		}
		if rate.IsZero() {
			return rate, fmt.Errorf("no policy had fixed %s at control position %d", pair, control)
		}
		return rate, nil
	}
	list, several := strings.CutPrefix(id, "median:")
	if !several {
		return k.round(pair, id)
	}
	var all []money.Amount
	for one := range strings.SplitSeq(list, ",") {
		rate, err := k.round(pair, one)
		if err != nil {
			return money.Amount{}, err
		}
		all = append(all, rate)
	}
	slices.SortFunc(all, money.Amount.Cmp)
	n := len(all)
	if n%2 == 1 {
		return all[n/2], nil
	}
	sum, err := all[n/2-1].Add(all[n/2])
	if err != nil {
		return money.Amount{}, err
	}
	return money.MulDiv(sum, money.UnitsOf(1), money.UnitsOf(2))
}

// round finds "source#round". Either name may have a # of its own.
func (k *rates) round(pair events.Pair, id string) (money.Amount, error) {
	for i := range len(id) {
		if id[i] != '#' {
			continue
		}
		if rate, ok := k.board.Round(pair, id[:i], id[i+1:]); ok {
			return rate, nil
		}
	}
	return money.Amount{}, fmt.Errorf("quote %s of %s was never observed", id, pair)
}

// priced is a charge's price as FOCUS wants it.
type priced struct {
	rule      string // its name, empty where the charge is not of one rule alone
	unit      string // what the price is for
	quantity  money.Quantity
	unitPrice money.Amount
	known     bool // there is a unit price
}

// price finds the rate of a charge, its cost in the card's currency, and the rule
// that it is of. A posting names the card only: where that has several rules for
// the meter, it is the one whose charge the posting can be, each event rounded
// once; where events of several rules were posted together, it is none, and the
// unit price is what one unit cost.
func (r *run) price(known *rates, c *charge) (err error) {
	p := c.posting
	card, ok := known.cards[cardKey(c.entry.Book, p.Card)]
	if !ok {
		return fmt.Errorf("card %s of book %s was never declared", p.Card, c.entry.Book)
	}
	c.currency = card.Currency
	pair := quotes.PairOf(p.Asset, card.Currency)
	if c.rate, err = known.quote(pair, p.Quote, c.control); err != nil {
		return err
	}
	if c.cost, err = money.MulDiv(p.Amount, unitsOf(c.rate), unitsOf(money.One)); err != nil {
		return err
	}
	meter, _ := r.directory.Meter(c.entry.Book, p.Meter)
	if err := c.find(&card, unitName(meter.Unit)); err != nil {
		return err
	}
	if c.takenBack {
		c.cost, err = c.cost.Neg()
	}
	return err
}

func (c *charge) find(card *events.CardDeclared, unit string) error {
	p := c.posting
	for i := range card.Rules {
		rule := &card.Rules[i]
		if rule.Meter != p.Meter || rule.Per.Sign() <= 0 {
			continue
		}
		rate, err := money.Price{Amount: rule.Price, Per: rule.Per}.Rate(c.rate)
		if err != nil {
			continue
		}
		whole, err := rate.Charge(p.Quantity)
		if err != nil || !near(whole, p.Amount, p.Events) {
			continue
		}
		billed, err := money.MulDiv(asAmount(p.Quantity), unitsOf(money.One), unitsOf(asAmount(rule.Per)))
		if err != nil {
			continue
		}
		c.price = priced{rule: ruleName(rule), unit: unit, quantity: asQuantity(billed), unitPrice: rule.Price, known: true}
		if asAmount(rule.Per) != money.One {
			c.price.unit = rule.Per.String() + " " + unit
		}
		return nil
	}
	c.price = priced{unit: unit, quantity: p.Quantity}
	if p.Quantity.Sign() <= 0 {
		return nil
	}
	each, err := money.MulDiv(c.cost, unitsOf(money.One), unitsOf(asAmount(p.Quantity)))
	c.price.unitPrice, c.price.known = each, err == nil
	return nil
}

// near reports whether two sums of charges differ by no more than rounding each
// event and the sum.
func near(a, b money.Amount, events uint64) bool {
	d, err := a.Sub(b)
	if err == nil {
		d, err = d.Abs()
	}
	return err == nil && d.Cmp(money.AmountFromLimbs(0, events/2+1)) <= 0
}

func asAmount(q money.Quantity) money.Amount { return money.AmountFromLimbs(q.Limbs()) }

func asQuantity(a money.Amount) money.Quantity { return money.QuantityFromLimbs(a.Limbs()) }

// unitsOf is an amount at or above zero as a number of attos.
func unitsOf(a money.Amount) money.Units {
	high, low := a.Limbs()
	return money.Units{Hi: uint64(high), Lo: low}
}
