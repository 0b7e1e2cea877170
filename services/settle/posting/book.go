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
	charged   map[events.Book]*money.Amount // by each in all; kept by a reset
}

// book is a book as it is declared now.
type book struct {
	directory.Book
	charged *money.Amount     // in all, at most [ledger.Limit]
	bounds  directory.Posting // the last one asked for
}

func (s *books) reset() { s.known = make(map[events.Book]*book) }

// book returns a book, nil where it is not declared.
func (s *books) book(name events.Book) *book {
	if b, ok := s.known[name]; ok {
		return b
	}
	declared, ok := s.directory.Book(name)
	if !ok {
		return nil
	}
	b := &book{Book: declared, charged: s.chargedBy(name)}
	b.bounds.From, b.bounds.Until = 1, 0 // Holds for no instant.
	s.known[name] = b
	return b
}

// chargedBy returns what a book has charged in all.
func (s *books) chargedBy(name events.Book) *money.Amount {
	total := s.charged[name]
	if total == nil {
		total = new(money.Amount)
		s.charged[name] = total
	}
	return total
}

// with returns what the book will have charged in all with one more charge. It is
// false where that is above [ledger.Limit].
func (b *book) with(charge money.Amount) (money.Amount, bool) {
	total, err := b.charged.Add(charge)
	return total, err == nil && total.Cmp(ledger.Limit()) <= 0
}

// posting returns where an event of the book is posted, by its last instant.
func (b *book) posting(at int64) *directory.Posting {
	if at < b.bounds.From || at >= b.bounds.Until {
		b.bounds = b.Book.Posting(at)
	}
	return &b.bounds
}
