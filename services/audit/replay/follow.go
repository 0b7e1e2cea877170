package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
)

// behind is how long a follower of the settler waits for more rows. Reading many
// rows at once needs fewer snapshots; the last ones do not wait.
const behind = 50 * time.Millisecond

// follower reads journal rows while settle derives them. The core is one
// goroutine, so work on another processor costs no time.
type follower struct {
	*replay
	fresh   *store.DB
	relayed map[string]uint64
	until   target
	equal   uint64
}

// follow compares what settle derives for LEDGER, and adds it to the journal's
// hash. settled has a channel for each partition, in order, which is closed when
// the whole partition is derived.
func (f *follower) follow(ctx context.Context, settled []chan struct{}) error {
	journal := ledger.NewJournal()
	for i, p := range f.until.partitions {
		name := store.SettleWriter(p.at.Partition)
		t := f.tail(f.from.Ledger, name, f.relayed, f.until)
		err := t.walk(ctx, func(each func(uint64, []byte) error) error {
			ended := false // LEDGER has ended before the rows
			return f.rows(ctx, name, settled[i], func(row store.Written) error {
				if f.wanted() {
					record, err := ledger.DecodeRecord(row.Record)
					if err == nil {
						err = journal.Add(&record)
					}
					if err != nil {
						return fmt.Errorf("row %d of %s: %w", row.Number, name, err)
					}
				}
				if ended {
					return nil
				}
				err := each(row.Number, row.Record)
				if ended = errors.Is(err, errEnough); ended {
					err = nil
				}
				return err
			})
		})
		f.equal += t.equal
		if err != nil {
			return err
		}
	}
	f.known.Journal = journal
	return nil
}

// rows calls each for a writer's rows as they are derived, until it is settled.
func (f *follower) rows(ctx context.Context, name string, settled <-chan struct{}, each func(store.Written) error) error {
	from, done := uint64(1), false
	for {
		select {
		case <-settled:
			done = true // set before the snapshot, which then has every row
		default:
		}
		err := f.fresh.Snapshot(ctx, func(derived *store.Snapshot) error {
			writers, err := derived.Writers()
			for _, w := range writers {
				if w.Name == name {
					err = derived.Journal(w, from, func(row store.Written) error {
						from = row.Number + 1
						return each(row)
					})
				}
			}
			return err
		})
		if err != nil || done {
			return err
		}
		select {
		case <-settled:
		case <-time.After(behind):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
