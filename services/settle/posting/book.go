package posting

import (
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// books are the declared books that messages have named.
type books struct {
	directory *directory.Directory
	known     map[events.Book]*book
	charged   map[events.Book]*money.Amount // total of each book; a reset keeps it
}

// book is a book as it is declared now.
type book struct {
	directory.Book
	charged *money.Amount     // total of the book, at most [ledger.Limit]
	bounds  directory.Posting // the result of the last look-up
}

func (s *books) reset() { s.known = make(map[events.Book]*book) }

// book returns a book, or nil if it is not declared.
func (s *books) book(name events.Book) *book {
	if b, ok := s.known[name]; ok {
		return b
	}
	declared, ok := s.directory.Book(name)
	if !ok {
		return nil
	}
	b := &book{Book: declared, charged: s.chargedBy(name)}
	b.bounds.From, b.bounds.Until = 1, 0 // An empty window, so that the first look-up fills it.
	s.known[name] = b
	return b
}

// chargedBy returns the total that a book has charged.
func (s *books) chargedBy(name events.Book) *money.Amount {
	total := s.charged[name]
	if total == nil {
		total = new(money.Amount)
		s.charged[name] = total
	}
	return total
}

// with returns the book's total after one more charge. It is false if that
// total is above [ledger.Limit].
func (b *book) with(charge money.Amount) (money.Amount, bool) {
	total, err := b.charged.Add(charge)
	return total, err == nil && total.Cmp(ledger.Limit()) <= 0
}

// posting returns the periods of an event of the book, by its last instant.
func (b *book) posting(at int64) *directory.Posting {
	if at < b.bounds.From || at >= b.bounds.Until {
		b.bounds = b.Book.Posting(at)
	}
	return &b.bounds
}
