package settle

import (
	"context"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/relay"
	"github.com/aliquot-engine/aliquot/internal/store"
)

// Written is the journal rows that a settler has committed, and the watermark
// up to which they are known to be in LEDGER: see [relay.Journal]. Journal
// calls each for at most limit rows from a number on, in ascending order.
type Written interface {
	Name() string
	Relayed(ctx context.Context) (number, position uint64, err error)
	SetRelayed(ctx context.Context, number, position uint64) error
	Journal(ctx context.Context, from uint64, limit int, each func(store.Written) error) error
}

// Journal is the [relay.Journal] of a settler: each row goes to LEDGER under
// the subject of its book.
type Journal struct{ Written }

// Rows implements [relay.Journal].
func (j Journal) Rows(ctx context.Context, from uint64, limit int) (rows []relay.Row, err error) {
	err = j.Journal(ctx, from, limit, func(w store.Written) error {
		rows = append(rows, relay.Row{Number: w.Number, Subject: eventlog.LedgerSubject(string(w.Book)), Data: w.Record})
		return nil
	})
	return rows, err
}
