package posting

import (
	"cmp"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// postUsage turns the charges since the last cut into entries, tallies and
// debts.
func (s *State) postUsage() error {
	lines := s.prices.taken()
	s.admission.rank()
	slices.SortFunc(lines, s.compareLines)
	var entry *ledger.Entry
	var of *book
	for i := 0; i < len(lines); {
		l := lines[i]
		b := s.bookOf(l)
		sum, next := s.merge(lines, i)
		for ; i < next; i++ {
			s.tallyLine(lines[i], b)
		}
		if sum.amount.IsZero() {
			continue
		}
		if of != b || entry.Period != l.period || entry.Origin != l.origin {
			p := s.open.in(b.BookDeclared.Book)
			p.entries = append(p.entries, ledger.Entry{Book: b.BookDeclared.Book, Kind: ledger.Usage, Period: l.period, Origin: l.origin})
			entry, of = &p.entries[len(p.entries)-1], b
			entry.Postings = make([]ledger.Posting, 0, s.alike(lines[next-1:]))
		}
		node, customer := &s.admission.node[l.node], &s.admission.customer[l.customer]
		entry.Postings = append(entry.Postings, ledger.Posting{
			Debit: customer.receivable, Credit: node.earned, Asset: b.Asset, Amount: sum.amount,
			Card: l.price.Card, Quote: l.quote, Meter: s.admission.meter[l.meter].name, Quantity: sum.quantity, Events: sum.events,
		})
		if err := s.accounts.owe(b.BookDeclared.Book, customer.name, b.Asset, debt{l.origin, node.name}, sum.amount); err != nil {
			return err
		}
	}
	for _, l := range lines {
		l.clear()
	}
	return nil
}

func (s *State) bookOf(l *line) *book { return s.admission.node[l.node].book }

// alike returns how many of the first lines belong to the same entry.
func (s *State) alike(lines []*line) int {
	first := lines[0]
	for n, l := range lines {
		if s.bookOf(l) != s.bookOf(first) || l.period != first.period || l.origin != first.origin {
			return n
		}
	}
	return len(lines)
}

// sum is the total of equal lines.
type sum struct {
	amount   money.Amount
	quantity money.Quantity
	events   uint64
}

// merge adds up the lines from i on that belong to the same posting, such as
// two sets of attributes with one price. It returns the index after them.
func (s *State) merge(lines []*line, i int) (total sum, next int) {
	total = sum{lines[i].amount, lines[i].quantity, lines[i].events}
	for next = i + 1; next < len(lines) && s.compareLines(lines[i], lines[next]) == 0; next++ {
		amount, err := total.amount.Add(lines[next].amount)
		if err != nil {
			break // The sum does not fit into one posting, so the rest becomes a second one.
		}
		quantity, err := total.quantity.Add(lines[next].quantity)
		if err != nil {
			break
		}
		total = sum{amount, quantity, total.events + lines[next].events}
	}
	return total, next
}

func (s *State) tallyLine(l *line, b *book) {
	s.open.tally(tallyKey{b.BookDeclared.Book, s.admission.node[l.node].name, l.origin, l.outcome(), ""}, l.events)
}

// compareLines orders by everything that a posting names: book, period and
// origin first, because these identify the entry. Nodes and customers have
// ranks: no two have the same name.
func (s *State) compareLines(a, b *line) int {
	if a.node != b.node {
		if x, y := s.bookOf(a), s.bookOf(b); x != y {
			return strings.Compare(string(x.BookDeclared.Book), string(y.BookDeclared.Book))
		}
	}
	if a.period != b.period {
		return strings.Compare(string(a.period), string(b.period))
	}
	if a.origin != b.origin {
		return strings.Compare(string(a.origin), string(b.origin))
	}
	if a.customer != b.customer {
		return cmp.Compare(s.admission.customer[a.customer].rank, s.admission.customer[b.customer].rank)
	}
	if a.node != b.node {
		return cmp.Compare(s.admission.node[a.node].rank, s.admission.node[b.node].rank)
	}
	if a.meter != b.meter {
		return strings.Compare(string(s.admission.meter[a.meter].name), string(s.admission.meter[b.meter].name))
	}
	if a.price != b.price { // Both have a price: a line without one has no sums.
		if c := strings.Compare(a.price.Card, b.price.Card); c != 0 {
			return c
		}
	}
	return strings.Compare(a.quote, b.quote)
}
