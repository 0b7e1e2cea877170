// Package replay derives everything anew from the streams, in a fresh store, and
// compares it with the store that is live.
//
// The method: in one snapshot of the live store, the loops of settle and
// distribute run from the first message to the positions of its cursors, into a
// store in a temporary folder, publishing nothing. Then every part of the two
// stores is walked side by side: journal rows byte for byte, balances,
// outcomes, tallies, suspense, distributions, shares, entitlements, payouts.
// What settle derived is compared with LEDGER before distribute reads it, so
// that distribute too rests on USAGE, CONTROL and REGISTER alone; what
// distribute derived is compared with PAYOUT.
//
// # Invariants
//
//   - Read only: nothing is written to the live store or the streams.
//   - The same code: the loops are those that run live. Replay has no rule of
//     its own, and differs from them in that it publishes nothing.
//   - First difference: the earliest in the order in which one thing follows
//     from another, with both sides.
package replay

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/ids"
	"github.com/aliquot-engine/aliquot/internal/store/sqlite"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/distribute"
	"github.com/aliquot-engine/aliquot/services/settle"
	"github.com/aliquot-engine/aliquot/services/settle/posting"
)

// Sources are the streams that everything follows from.
type Sources struct {
	Usage, Control, Register, Ledger, Payout *eventlog.Stream
}

// Result says whether the streams give what the store has.
type Result struct {
	Identical   bool        `json:"identical"`
	JournalHash string      `json:"journal_hash" doc:"Of what was derived."`
	Usage       uint64      `json:"usage_position" doc:"USAGE was read up to here."`
	Control     uint64      `json:"control_position" doc:"CONTROL was in effect up to here."`
	Rows        uint64      `json:"rows" doc:"Rows that are equal, of every table."`
	Journal     uint64      `json:"journal_rows" doc:"Journal rows among them, equal byte for byte."`
	Messages    uint64      `json:"messages" doc:"Messages of LEDGER and PAYOUT that are equal."`
	Difference  *Difference `json:"difference,omitempty" doc:"The first one."`
}

// Difference is what is not the same on both sides. A side without anything
// says so in words.
type Difference struct {
	Where    string `json:"where" doc:"Table or stream, and key."`
	Live     string `json:"live" doc:"What the live store, or the stream, has."`
	Replayed string `json:"replayed" doc:"What the streams give."`
}

func (d *Difference) Error() string {
	return fmt.Sprintf("%s: live %s, replayed %s", d.Where, d.Live, d.Replayed)
}

const (
	// stall is how long the settler may go without a cut before it is thought
	// to wait for one that never comes. A cut takes a second at most.
	stall = 2 * time.Minute
	look  = 100 * time.Millisecond
)

// Run replays into a folder of its own below dir ("": that of temporary files),
// and removes it. An error means that the replay could not be made, not that
// something differs. It takes as long as settling everything did, and keeps the
// live store's WAL from shrinking meanwhile.
func Run(ctx context.Context, from Sources, live *store.DB, dir string) (result Result, err error) {
	folder, err := os.MkdirTemp(dir, "aliquot-replay-")
	if err != nil {
		return Result{}, fmt.Errorf("replaying: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	r := &replay{from: from, folder: folder}
	err = live.Snapshot(ctx, func(snapshot *store.Snapshot) error {
		r.live = snapshot
		return r.run(ctx)
	})
	var difference *Difference
	if errors.As(err, &difference) {
		r.result.Difference, err = difference, nil
	} else if err == nil {
		r.result.Identical = true
	}
	if err != nil {
		return Result{}, fmt.Errorf("replaying: %w", err)
	}
	return r.result, nil
}

// replay is one run.
type replay struct {
	from   Sources
	folder string
	live   *store.Snapshot
	result Result
}

func (r *replay) run(ctx context.Context) (err error) {
	fresh, err := sqlite.Open(filepath.Join(r.folder, "ledger.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fresh.Close()) }()
	cursors, err := r.live.Cursors()
	if err != nil {
		return err
	}
	for _, c := range cursors {
		if c.Stream != r.from.Usage.Name() {
			return fmt.Errorf("the cursor of partition %d is in stream %s, not in %s", c.Partition, c.Stream, r.from.Usage.Name())
		}
		if err := r.settle(ctx, fresh, c); err != nil {
			return err
		}
	}
	done, err := r.live.DistributeCursor()
	if err != nil {
		return err
	}
	// What was settled is compared first: distribute rests on it.
	err = fresh.Snapshot(ctx, func(derived *store.Snapshot) error {
		if err := r.hash(derived); err != nil {
			return err
		}
		for _, relation := range store.Relations(0) {
			if relation.Settled {
				if err := r.compare(derived, relation); err != nil {
					return err
				}
			}
		}
		return r.ledger(ctx, derived)
	})
	if err != nil {
		return err
	}
	if err := r.distribute(ctx, fresh, done.Control.Position); err != nil {
		return err
	}
	return fresh.Snapshot(ctx, func(derived *store.Snapshot) error {
		now, err := derived.DistributeCursor()
		if err != nil {
			return err
		}
		for _, relation := range store.Relations(min(now.Ledger.Position, done.Ledger.Position)) {
			if !relation.Settled {
				if err := r.compare(derived, relation); err != nil {
					return err
				}
			}
		}
		if err := r.payout(ctx, derived); err != nil {
			return err
		}
		return r.hash(derived)
	})
}

// settle runs the settler from the first message to a cursor.
func (r *replay) settle(ctx context.Context, fresh *store.DB, until settlement.Cursor) (err error) {
	r.result.Usage, r.result.Control = until.Position, until.Control
	usage := r.from.Usage
	store, cursor, err := fresh.Settle(ctx, until.Partition, usage.Name(), usage.Created().UnixNano(), "replay")
	if err != nil || until.Position == 0 {
		return err
	}
	for _, end := range []struct {
		stream   *eventlog.Stream
		position uint64
	}{{usage, until.Position}, {r.from.Control, until.Control}} {
		if err := reaches(ctx, end.stream, end.position, "the cursor"); err != nil {
			return err
		}
	}
	identities, err := ids.Open(filepath.Join(r.folder, fmt.Sprint("ids-", until.Partition)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, identities.Close()) }()
	settler := settle.New(settle.Config{
		Partition: until.Partition, Usage: usage, Control: r.from.Control,
		Store: store, Cursor: cursor, IDs: identities, Until: until.Position, Logger: quiet(),
	})
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watch(running, settler, until.Position, stop)
	}()
	err = settler.Run(running)
	if cause := context.Cause(running); err != nil && cause != nil {
		err = cause
	}
	stop(nil)
	<-watched
	if err != nil && ctx.Err() == nil {
		if nowhere := r.cuts(ctx, until.Position); nowhere != nil {
			return nowhere
		}
	}
	return err
}

// cuts reports a cursor at a message that does not end a cut.
func (r *replay) cuts(ctx context.Context, position uint64) error {
	m, err := r.from.Usage.Get(ctx, position)
	if err != nil {
		return err
	}
	var decoded events.Message
	if _, err := decoded.Decode(m.Data, nil); err == nil && decoded.Kind != events.Batch || position%posting.CutEvery == 0 {
		return nil
	}
	return &Difference{Where: "cursor", Live: fmt.Sprintf("position %d", position), Replayed: "no cut ends there"}
}

// watch ends a replay that does not come on: what the stream has at the cursor's
// position ends no cut, or a barrier names a decision that never comes.
func watch(ctx context.Context, settler *settle.Settler, position uint64, stop context.CancelCauseFunc) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	last, still := settler.Settled(), time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if at := settler.Settled(); at > last {
			last, still = at, 0
		} else if still += look; still > stall {
			stop(&Difference{Where: "cursor", Live: fmt.Sprintf("position %d", position), Replayed: fmt.Sprintf("the last cut that comes is at %d", at)})
			return
		}
	}
}

// reaches reports a stream that ends before a position which is known.
func reaches(ctx context.Context, stream *eventlog.Stream, position uint64, who string) error {
	last, err := stream.Last(ctx)
	if err != nil {
		return err
	}
	if last < position {
		return &Difference{Where: stream.Name(), Live: fmt.Sprintf("%s knows position %d", who, position), Replayed: fmt.Sprintf("it ends at %d", last)}
	}
	return nil
}

// distribute runs the distributor from the first decision to a position of
// CONTROL.
func (r *replay) distribute(ctx context.Context, fresh *store.DB, until uint64) error {
	store, cursor, err := fresh.Distribute(ctx, "replay")
	if err != nil || until == 0 {
		return err
	}
	if err := reaches(ctx, r.from.Control, until, "the distributor"); err != nil {
		return err
	}
	made, err := r.live.Distributions("")
	if err != nil {
		return err
	}
	for _, d := range made {
		if err := reaches(ctx, r.from.Ledger, d.Ledger, "distribution "+d.ID); err != nil {
			return err
		}
		if err := reaches(ctx, r.from.Register, d.Register, "distribution "+d.ID); err != nil {
			return err
		}
	}
	return distribute.New(distribute.Config{
		Control: r.from.Control, Ledger: r.from.Ledger, Register: r.from.Register,
		Store: store, Cursor: cursor, Until: until, Logger: quiet(),
	}).Run(ctx)
}

// hash computes journal_hash of what was derived so far.
func (r *replay) hash(derived *store.Snapshot) error {
	journal := ledger.NewJournal()
	r.result.Journal = 0
	err := derived.Entries("", func(_ string, _ store.Written, record *ledger.Record) error {
		r.result.Journal++
		return journal.Add(record)
	})
	if err != nil {
		return err
	}
	sum := journal.Hash()
	r.result.JournalHash = hex.EncodeToString(sum[:])
	return nil
}

// quiet is a logger for loops that say again what they said when they ran live.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
