package export

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/pricing"
	"github.com/aliquot-engine/aliquot/pkg/quotes"
)

// rates finds the price and the quote that a posting names.
type rates struct {
	tariff     pricing.Tariff
	currencies map[string]money.Asset  // of cards, by "card@version" of a book: see cardKey
	fixed      map[events.Pair][]fixed // ascending
}

// fixed is what a policy fixed a pair's quote to, from a position of CONTROL on.
type fixed struct {
	control uint64
	rate    money.Amount
}

func newRates() *rates {
	return &rates{currencies: map[string]money.Asset{}, fixed: map[events.Pair][]fixed{}}
}

func cardKey(book events.Book, card string) string { return string(book) + "\n" + card }

// note learns a decision. One that is refused is void, as it was in settle.
func (k *rates) note(d *decided) {
	if d.effect != applied || k.tariff.Learn(d.Body) != nil {
		return
	}
	switch b := d.Body.(type) {
	case events.CardDeclared:
		k.currencies[cardKey(b.Book, pricing.Ref(b.Card, b.Version))] = b.Currency
	case events.QuotePolicyDeclared:
		k.fixed[b.Pair] = append(k.fixed[b.Pair], fixed{d.m.Seq, b.Fixed})
	}
}

// quote returns the rate that a posting's quote names.
func (k *rates) quote(pair events.Pair, id string, control uint64) (money.Amount, error) {
	switch id {
	case "":
		return money.One, nil
	case quotes.Fixed:
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
	rate, ok := k.tariff.Quotes.Named(pair, id)
	if !ok {
		return rate, fmt.Errorf("quote %s of %s was never observed", id, pair)
	}
	return rate, nil
}

// priced is a charge's price as FOCUS wants it.
type priced struct {
	rule      string // its name, empty where the charge is not of one rule alone
	unit      string // what the price is for
	quantity  money.Quantity
	unitPrice money.Amount
	known     bool // there is a unit price
}

// price finds the quote of a charge, its cost in the card's currency, and the rule
// that made it. A posting names the card only. Where the card has several rules for
// the meter, the rule is the one that can have made the posting; where events of
// several rules were posted together there is none, and the unit price is what one
// unit cost.
func (r *run) price(known *rates, c *charge) (err error) {
	p := c.posting
	var ok bool
	if c.currency, ok = known.currencies[cardKey(c.entry.Book, p.Card)]; !ok {
		return fmt.Errorf("card %s of book %s was never declared", p.Card, c.entry.Book)
	}
	pair := quotes.PairOf(p.Asset, c.currency)
	if c.rate, err = known.quote(pair, p.Quote, c.control); err != nil {
		return err
	}
	rate, err := c.rate.Units()
	if err != nil {
		return err
	}
	if c.cost, err = money.MulDiv(p.Amount, rate, money.Whole); err != nil {
		return err
	}
	meter, _ := r.directory.Meter(c.entry.Book, p.Meter)
	c.find(&known.tariff.Cards, unitName(meter.Unit))
	if c.takenBack {
		c.cost, err = c.cost.Neg()
	}
	return err
}

// find finds the rule that can have made the charge, and its price for one unit.
func (c *charge) find(cards *pricing.Table, unit string) {
	p := c.posting
	for rule := range cards.Rules(c.entry.Book, p.Meter, p.Card) {
		if !rule.Made(p.Amount, c.rate, p.Quantity, p.Events) {
			continue
		}
		per := rule.Price.Per.Attos()
		billed, err := times(p.Quantity.Attos(), per)
		if err != nil {
			continue
		}
		c.price = priced{rule: ruleName(&rule), unit: unit, quantity: money.Quantity(billed), unitPrice: rule.Price.Amount, known: true}
		if per != money.One {
			c.price.unit = rule.Price.Per.String() + " " + unit
		}
		return
	}
	c.price = priced{unit: unit, quantity: p.Quantity}
	if p.Quantity.Sign() <= 0 {
		return
	}
	each, err := times(c.cost, p.Quantity.Attos())
	c.price.unitPrice, c.price.known = each, err == nil
}

// times returns how many times b, which is above zero, is in a, rounded half-even.
func times(a, b money.Amount) (money.Amount, error) {
	divisor, err := b.Units()
	if err != nil {
		return money.Amount{}, err
	}
	return money.MulDiv(a, money.Whole, divisor)
}
