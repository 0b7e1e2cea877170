package settle_test

import (
	"context"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/settle"
)

// written is the rows 1, 2, … of some books.
type written struct {
	settle.Written
	books []events.Book
}

func (w written) Journal(_ context.Context, from uint64, limit int, each func(store.Written) error) error {
	for n := from; n <= uint64(len(w.books)) && n < from+uint64(limit); n++ {
		row := store.Written{Number: n, Record: []byte{byte(n)}}
		row.Book = w.books[n-1]
		if err := each(row); err != nil {
			return err
		}
	}
	return nil
}

func TestEachRowOfTheJournalGoesToTheSubjectOfItsBook(t *testing.T) {
	t.Parallel()
	rows, err := settle.Journal{Written: written{books: []events.Book{"a", "b", "c", "d"}}}.Rows(t.Context(), 2, 2)
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, subject := range []string{"ledger.b", "ledger.c"} {
		if r := rows[i]; r.Subject != subject || r.Number != uint64(i+2) || r.Data[0] != byte(i+2) {
			t.Errorf("row %d is %+v, want it under %s", i+2, r, subject)
		}
	}
}
