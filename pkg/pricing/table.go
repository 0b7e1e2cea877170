// Package pricing finds the price of a usage event and computes its charge; no
// other package does.
//
// A [Tariff] learns the decisions that determine prices. [Tariff.Price] takes
// the [Facts] of an event and returns its [Price]: it merges the attributes,
// finds the rule and asks for the quote. [Price.Charge] charges a quantity, and
// [Tariff.Release] charges what waited for a quote. Live settlement, replay
// with other cards, explanations and receipts call these and have no pricing of
// their own; [Table.Rules] and [Rule] describe cards in words.
//
// The method, for an event of a meter with a set of attributes in a book, by its
// last instant (see [events.LastInstant]):
//
//  1. Of each card of the book, by name, one version is in force: among the
//     versions whose Effective is not after the instant, the one with the
//     latest Effective, and of several with that same Effective the highest
//     version. A card all of whose versions are later is not in force. If a
//     version no longer prices something, the price of its predecessor no
//     longer holds.
//  2. The candidates are the rules of those versions that name the meter and
//     all of whose pairs are equal to attributes of the event. A rule without
//     pairs matches every event of its meter.
//  3. The candidate with the most pairs wins; of several, the one whose version
//     has the later Effective; of several, the one whose card's name is first in
//     byte order; of several, which are then rules of one version, the earlier.
//  4. The quantity is billed up to the next multiple of the rule's granularity,
//     if it has one; then charge = billed × price ÷ (per × quote), rounded
//     once, half-even, to the atto. Nothing else is rounded.
//  5. The quote is that of package quotes for the book's asset and the card's
//     currency. If it is held, the billed quantity waits and has no amount.
//
// Attributes are compared byte for byte. An event's attributes are its own,
// overridden by those of its node with the same name, and the plan of its
// customer, which overrides both if the customer has one.
//
// # Invariants
//
//   - Deterministic: the order in which cards are added does not matter.
//   - Immutable: a version that is known never changes.
//   - Cacheable: until a card is added, every instant in [From, Until) of a
//     [Line] gives that same line for the same book, meter and attributes. The
//     same holds if no rule matched, and for a [Price] until a quote changes.
//   - One place: every charge, whether live, released, replayed or explained,
//     is computed by [Line.ChargeAt].
//   - Fails closed: without a sound quote there is no amount.
package pricing

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Table holds the rate cards of all books, compiled. The zero value is empty
// and ready. It is not safe for concurrent use.
type Table struct {
	books    map[events.Book][]*card // ascending by name
	revision uint64
	rates    map[rateKey]money.Rate // remembered: see [Table.rate]
}

type card struct {
	name    events.Card
	count   int                       // versions declared
	inForce []version                 // ascending by effective, then by version
	meters  map[events.Meter]struct{} // meters that any version prices
}

type version struct {
	ref       string // "card@version"
	number    int
	effective int64 // nanoseconds since 1970 UTC
	currency  money.Asset
	rules     map[events.Meter][]rule // of one meter in the order of the card
}

type rule struct {
	index       int // in the card, from 0
	pairs       []events.Attribute
	price       money.Price
	granularity money.Quantity
}

// Revision grows with every card added. A caller that keeps prices drops them when
// it has grown.
func (t *Table) Revision() uint64 { return t.revision }

// Add compiles a version of a card. It fails and changes nothing if the version
// does not follow the card's last one, or if the card is not valid; the error
// names the field.
func (t *Table) Add(d events.CardDeclared) error {
	cards := t.books[d.Book]
	i, found := t.search(d.Book, d.Card)
	count := 0
	if found {
		count = cards[i].count
	}
	if d.Version != count+1 {
		return fmt.Errorf("adding card %s@%d to book %s: version: the next one is %d", d.Card, d.Version, d.Book, count+1)
	}
	v, err := compile(d)
	if err != nil {
		return fmt.Errorf("adding card %s@%d to book %s: %w", d.Card, d.Version, d.Book, err)
	}
	if !found {
		if t.books == nil {
			t.books = make(map[events.Book][]*card)
		}
		cards = slices.Insert(cards, i, &card{name: d.Card, meters: make(map[events.Meter]struct{})})
		t.books[d.Book] = cards
	}
	c := cards[i]
	at, _ := slices.BinarySearchFunc(c.inForce, v, func(a, b version) int {
		if a.effective != b.effective {
			if a.effective < b.effective {
				return -1
			}
			return 1
		}
		return a.number - b.number
	})
	c.inForce = slices.Insert(c.inForce, at, v)
	c.count = d.Version
	for meter := range v.rules {
		c.meters[meter] = struct{}{}
	}
	t.revision++
	return nil
}

// search returns the index of a card of a book, or the index at which it would
// be inserted.
func (t *Table) search(book events.Book, name events.Card) (int, bool) {
	return slices.BinarySearchFunc(t.books[book], name, func(c *card, name events.Card) int {
		return strings.Compare(string(c.name), string(name))
	})
}

func compile(d events.CardDeclared) (version, error) {
	if err := d.Validate(); err != nil {
		return version{}, err
	}
	v := version{
		ref:       Ref(d.Card, d.Version),
		number:    d.Version,
		effective: d.Effective.UnixNano(),
		currency:  d.Currency,
		rules:     make(map[events.Meter][]rule),
	}
	for i, r := range d.Rules {
		pairs := make([]events.Attribute, 0, len(r.Match))
		for name, value := range r.Match { // map order: sorted below.
			pairs = append(pairs, events.Attribute{Name: name, Value: value})
		}
		slices.SortFunc(pairs, byName)
		v.rules[r.Meter] = append(v.rules[r.Meter], rule{i, pairs, money.Price{Amount: r.Price, Per: r.Per}, r.Granularity})
	}
	return v, nil
}

func byName(a, b events.Attribute) int { return strings.Compare(a.Name, b.Name) }
