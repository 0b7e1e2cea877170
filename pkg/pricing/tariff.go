package pricing

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/quotes"
)

// Tariff is everything that prices usage: the cards of all books, and the
// quotes. The zero value is empty and ready. It is not safe for concurrent use.
type Tariff struct {
	Cards  Table
	Quotes quotes.Board
}

// Learn applies a decision to the prices; a decision that does not concern
// prices changes nothing. It fails and changes nothing if the content of the
// decision makes it void.
func (t *Tariff) Learn(body events.Body) error {
	switch d := body.(type) {
	case events.CardDeclared:
		return t.Cards.Add(d)
	case events.QuotePolicyDeclared:
		return t.Quotes.SetPolicy(d)
	case events.QuotesObserved:
		return t.Quotes.Observe(d)
	case events.RoundWithdrawn:
		return t.Quotes.Withdraw(d)
	}
	return nil
}

// Price prices usage by the cards and quotes of the tariff: see [Table.Price].
func (t *Tariff) Price(f *Facts) Price { return t.Cards.Price(&t.Quotes, f) }

// Release prices quantities that wait for a quote at one round, which a person
// named.
type Release struct {
	Quote string // id of the round, as in postings
	cards *Table
	rate  money.Amount
}

// Release returns the release of the quantities that wait for a pair at a round
// of a source. It fails if nothing may be priced at that round; the error is
// for the person who named it.
func (t *Tariff) Release(pair events.Pair, source, round string) (Release, error) {
	rate, ok := t.Quotes.Round(pair, source, round)
	if !ok {
		return Release{}, fmt.Errorf("pair %s has no round %q of source %q", pair, round, source)
	}
	if !t.Quotes.Sound(pair, source, round) {
		return Release{}, fmt.Errorf("round %q of source %q says %v, a magnitude that cannot be", round, source, rate)
	}
	return Release{quotes.RoundID(source, round), &t.Cards, rate}, nil
}

// Charge returns the charge of a billed quantity that waited, by a rule of a
// card of the book. It is rounded once, whatever the number of events. If it
// does not fit at the round, fits is false and the quantity continues to wait.
// The error means that there is no such rule.
func (r *Release) Charge(book events.Book, meter events.Meter, card string, rule int, billed money.Quantity) (amount money.Amount, fits bool, err error) {
	line, ok := r.cards.rule(book, meter, card, rule)
	if !ok {
		return amount, false, fmt.Errorf("book %s has no rule %d for %s in card %s", book, rule, meter, card)
	}
	_, amount, err = charge(&line, r.rate, billed)
	return amount, err == nil, nil
}
