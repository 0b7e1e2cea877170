// Package replay derives everything again from the streams, in a fresh store, and
// compares it with what is known of the same positions elsewhere.
//
// The method: the loops of settle and distribute run from the first message to
// given positions, into a store in a temporary folder, and publish nothing. The
// streams may be those of the running services, or be read from archives. With a
// live store, the loops run to its cursors, and every part of the two stores is
// compared side by side: journal rows byte for byte, balances, outcomes, tallies,
// suspense, distributions, shares, entitlements, payouts. Without one, the state
// root says the same in one line. What settle derived is compared with LEDGER
// before distribute reads it, so that distribute, too, depends only on USAGE,
// CONTROL and REGISTER; what distribute derived is compared with PAYOUT.
//
// A shadow replay ([Config.Cards]) derives what would have happened, and compares
// it with what did happen, account by account.
//
// # Invariants
//
//   - Read only: nothing is written to the live store or the streams.
//   - The same code: the loops are those that run live. Replay has no rules of
//     its own, and differs from them only in that it publishes nothing.
//   - First difference: the earliest in the order in which things follow from
//     each other, with both sides.
//   - Whole cuts: a replay ends where settlement cuts, and says where.
//   - Bounded: memory does not grow with the number of events. The journal's hash
//     keeps a sum for each of its lines, and a shadow replay 16 bytes for each
//     journal row.
package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/sqlite"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/audit/state"
)

// Sources are the streams from which everything is derived.
type Sources struct {
	Usage                             []*eventlog.Stream // one for each partition, found by name
	Control, Register, Ledger, Payout *eventlog.Stream
}

// Config says what to replay and with what to compare it.
type Config struct {
	From Sources
	// Live is the store to compare with; nil for none.
	Live *store.DB
	// Expected is a claim about the state at the positions in it; nil for none.
	// It cannot be combined with Live.
	Expected *settlement.State
	// At is where to end. The zero value means the cursors of Live, the positions
	// of Expected, or the last cut for which the streams have everything.
	At AsOf
	// Cards replace the cards of the same name from decision Since on, which
	// makes this a shadow replay. If Since is 0, each replaces its card from the
	// first declaration on.
	Cards []events.CardDeclared
	Since uint64
	// Balances asks for the balances of every account.
	Balances bool
	// Dir is where the temporary folder is made; empty means the system's
	// default.
	Dir string
}

// Result says what the streams give, and whether it agrees with what is known.
type Result struct {
	Identical   bool              `json:"identical" doc:"Everything that was compared is equal."`
	State       *settlement.State `json:"state,omitempty" doc:"What was derived; absent if a difference ended the replay earlier."`
	JournalHash string            `json:"journal_hash" doc:"journal_hash of what was derived."`
	AsOf        string            `json:"as_of,omitempty" doc:"The position that was asked for."`
	Usage       uint64            `json:"usage_position" doc:"USAGE was read up to here; the positions of every partition are in the state."`
	Control     uint64            `json:"control_position" doc:"CONTROL was in effect up to here."`
	Rows        uint64            `json:"rows" doc:"Rows that are equal in the live store, of every table."`
	Journal     uint64            `json:"journal_rows" doc:"Journal rows that were derived."`
	Messages    uint64            `json:"messages" doc:"Messages of LEDGER and PAYOUT that are equal."`
	Difference  *Difference       `json:"difference,omitempty" doc:"The first difference."`
	SignedBy    string            `json:"signed_by,omitempty" doc:"The key that signed the archives that were read."`
	Balances    []Balance         `json:"balances,omitempty" doc:"Balances of every account."`
	Shadow      bool              `json:"shadow,omitempty" doc:"The result is what would have happened with other cards."`
	Accounts    []Account         `json:"accounts,omitempty" doc:"Accounts whose balances differ between the two sides."`
}

// Difference is something that differs between the two sides. A side that has
// nothing says so in words.
type Difference struct {
	Where    string `json:"where" doc:"Table or stream, and key."`
	Live     string `json:"live" doc:"What the live store, the stream or the other replay has."`
	Replayed string `json:"replayed" doc:"What the streams give."`
}

func (d *Difference) Error() string {
	return fmt.Sprintf("%s: live %s, replayed %s", d.Where, d.Live, d.Replayed)
}

// Run replays in a folder of its own and removes it afterwards. An error means
// that the replay could not be made, not that something differs. It takes as long
// as settling everything took, and prevents the live store's WAL from shrinking
// meanwhile.
func Run(ctx context.Context, config Config) (result Result, err error) {
	folder, err := os.MkdirTemp(config.Dir, "aliquot-replay-")
	if err != nil {
		return Result{}, fmt.Errorf("replaying: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	var r *replay
	if config.Live == nil {
		r = begin(config, folder)
		err = r.run(ctx)
	} else if ended, failed := ends(ctx, config.From); failed != nil {
		err = failed
	} else {
		err = config.Live.Snapshot(ctx, func(snapshot *store.Snapshot) error {
			// The live store may interrupt; the next attempt uses another
			// snapshot.
			attempt, err := os.MkdirTemp(folder, "")
			if err != nil {
				return err
			}
			r = begin(config, attempt)
			r.live, r.ended = snapshot, ended
			return errors.Join(r.run(ctx), os.RemoveAll(attempt))
		})
	}
	var difference *Difference
	if errors.As(err, &difference) {
		r.result.Difference, err = difference, nil
	} else if err == nil {
		r.result.Identical = len(r.result.Accounts) == 0
	}
	if err != nil {
		return Result{}, fmt.Errorf("replaying: %w", err)
	}
	return r.result, nil
}

func begin(config Config, folder string) *replay {
	r := &replay{config: config, from: config.From, folder: folder}
	r.result.AsOf, r.result.Shadow = config.At.String(), len(config.Cards) > 0
	return r
}

// replay is one run.
type replay struct {
	config Config
	from   Sources
	folder string
	live   *store.Snapshot   // nil if there is none
	ended  map[string]uint64 // the ends of LEDGER and PAYOUT before the snapshot live
	result Result
	known  state.Known // what is known of settle's part
}

// ends records the ends of the streams that are published from the store.
// Everything that they have before a snapshot of the store follows from what is
// in the snapshot.
func ends(ctx context.Context, from Sources) (ended map[string]uint64, err error) {
	ended = map[string]uint64{}
	for _, stream := range []*eventlog.Stream{from.Ledger, from.Payout} {
		if ended[stream.Name()], err = stream.Last(ctx); err != nil {
			return nil, err
		}
	}
	return ended, nil
}

// compared reports whether the live store is at the positions that are replayed.
func (r *replay) compared() bool {
	return r.live != nil && r.config.At.zero() && len(r.config.Cards) == 0
}

func (r *replay) run(ctx context.Context) error {
	until, err := r.until(ctx)
	if err != nil {
		return err
	}
	if len(r.config.Cards) == 0 {
		return r.whole(ctx, until, r.finish)
	}
	was, err := r.was(ctx, until)
	if err != nil {
		return err
	}
	return r.shadow(ctx, until, was)
}

// whole derives the real state and calls done with it.
func (r *replay) whole(ctx context.Context, until target, done func(*store.Snapshot) error) (err error) {
	const name = "whole"
	fresh, err := sqlite.OpenScratch(filepath.Join(r.folder, name+".db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fresh.Close()) }()
	published, err := r.derive(ctx, name, fresh, until)
	if err != nil {
		return err
	}
	// What was settled is compared first, because distribute rests on it. The
	// journal is compared before LEDGER, which was made from it.
	if err := fresh.Snapshot(ctx, r.relations); err != nil {
		r.result.Messages, published = 0, err
	}
	if err := published; err != nil {
		return fresh.Snapshot(ctx, func(derived *store.Snapshot) error { return r.hashed(derived, err) })
	}
	if err := r.distribute(ctx, fresh, r.from, until.distributed); err != nil {
		return err
	}
	return fresh.Snapshot(ctx, func(derived *store.Snapshot) error {
		if err := r.distributed(ctx, derived, until); err != nil {
			return r.hashed(derived, err)
		}
		return done(derived)
	})
}

// hashed adds the hash of the journal so far to a difference. Without a
// difference the hash comes with the state.
func (r *replay) hashed(derived *store.Snapshot, err error) error {
	if difference := (*Difference)(nil); errors.As(err, &difference) {
		var failed error
		r.result.JournalHash, failed = state.JournalHash(derived)
		if failed != nil {
			return failed
		}
	}
	return err
}

// derive settles every partition and compares LEDGER at the same time. published
// is a difference in LEDGER.
func (r *replay) derive(ctx context.Context, name string, fresh *store.DB, until target) (published, err error) {
	relayed, err := r.relayed()
	if err != nil {
		return nil, err
	}
	settled := make([]chan struct{}, len(until.partitions))
	for i := range settled {
		settled[i] = make(chan struct{})
	}
	f := &follower{replay: r, fresh: fresh, relayed: relayed, until: until}
	following, stop := context.WithCancel(ctx)
	defer stop()
	var followed sync.WaitGroup
	followed.Go(func() { published = f.follow(following, settled) })
	for i, p := range until.partitions {
		if err = r.settle(ctx, name, fresh, p); err != nil {
			stop()
			break
		}
		close(settled[i])
	}
	followed.Wait()
	r.result.Messages = f.equal
	return published, err
}

// relations hashes what settle made, and compares it if there is a live store.
func (r *replay) relations(derived *store.Snapshot) error {
	if !r.wanted() {
		return nil
	}
	for _, relation := range store.Relations(0) {
		if !relation.Settled {
			continue
		}
		sum := state.NewSum(relation)
		var err error
		if r.compared() {
			err = r.compare(derived, relation, sum.Add)
		} else {
			err = derived.Rows(relation, sum.Add)
		}
		if err != nil {
			return err
		}
		r.known.Sums = append(r.known.Sums, sum)
	}
	return nil
}

// wanted reports whether the state hash is needed: for the real state and not for
// a shadow. A comparison with a live store always needs it.
func (r *replay) wanted() bool { return len(r.config.Cards) == 0 }

// distributed compares what distribute derived.
func (r *replay) distributed(ctx context.Context, derived *store.Snapshot, until target) error {
	if r.compared() {
		now, err := derived.DistributeCursor()
		if err != nil {
			return err
		}
		done, err := r.live.DistributeCursor()
		if err != nil {
			return err
		}
		for _, relation := range store.Relations(min(now.Ledger.Position, done.Ledger.Position)) {
			if !relation.Settled {
				if err := r.compare(derived, relation, nil); err != nil {
					return err
				}
			}
		}
	}
	return r.payout(ctx, derived, until)
}

// finish summarises what was derived, and compares it with what others say about
// it.
func (r *replay) finish(derived *store.Snapshot) (err error) {
	if r.result.State, err = state.After(derived, &r.known); err != nil {
		return err
	}
	r.result.JournalHash = r.result.State.JournalHash
	if err := r.count(derived); err != nil {
		return err
	}
	if r.config.Balances {
		if r.result.Balances, err = balancesOf(derived); err != nil {
			return err
		}
	}
	if said := r.config.Expected; said != nil && said.Root != r.result.State.Root && r.config.At.zero() {
		return different(said, r.result.State)
	}
	return nil
}

func (r *replay) count(derived *store.Snapshot) error {
	writers, err := derived.Writers()
	r.result.Journal = 0
	for _, w := range writers {
		r.result.Journal += w.Rows
	}
	return err
}

// Root compares with a state root.
func (r *Result) Root(root string) {
	if r.Difference == nil && r.State != nil && r.State.Root != root {
		r.Identical, r.Difference = false, &Difference{Where: "state root", Live: root, Replayed: r.State.Root}
	}
}

// Against compares with the result of another replay, which must have been made
// with balances.
func (r *Result) Against(o *Outcome) {
	r.Accounts = differingAccounts(o.Balances, r.Balances)
	if len(r.Accounts) > 0 {
		r.Identical = false
	}
	if r.Difference == nil && o.State != nil && r.State != nil && o.State.Root != r.State.Root {
		r.Identical, r.Difference = false, different(o.State, r.State)
	}
}

// different names the first relation in which two states differ.
func different(said, have *settlement.State) *Difference {
	d := &Difference{Where: "state root", Live: said.Root, Replayed: have.Root}
	for i, p := range have.Parts {
		if i >= len(said.Parts) || said.Parts[i].Name != p.Name {
			break // Another program has other parts.
		}
		if q := said.Parts[i]; q != p {
			d.Where += ", first in " + p.Name
			d.Live, d.Replayed = fmt.Sprintf("%d rows, %s", q.Rows, q.Hash), fmt.Sprintf("%d rows, %s", p.Rows, p.Hash)
			break
		}
	}
	return d
}

// quiet returns a logger that drops everything: the loops already logged it when
// they ran live.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
