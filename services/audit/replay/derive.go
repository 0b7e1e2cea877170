package replay

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/ids"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/distribute"
	"github.com/aliquot-engine/aliquot/services/settle"
	"github.com/aliquot-engine/aliquot/services/settle/posting"
)

const (
	// stall is how long the settler may go without a cut before replay concludes
	// that the cut will never come. A cut takes a second at most.
	stall = 2 * time.Minute
	look  = 100 * time.Millisecond
)

// settle runs the settler of a partition from the first message to a position.
func (r *replay) settle(ctx context.Context, name string, fresh *store.DB, until partition) (err error) {
	at, usage := until.at, until.usage
	r.result.Usage, r.result.Control = at.Usage, at.Control
	store, cursor, err := fresh.Settle(ctx, at.Partition, usage.Name(), usage.Created().UnixNano(), "replay")
	if err != nil || at.Usage == 0 {
		return err
	}
	for _, end := range []struct {
		stream   *eventlog.Stream
		position uint64
	}{{usage, at.Usage}, {until.control, at.Control}} {
		if err := reaches(ctx, end.stream, end.position, "the cursor"); err != nil {
			return err
		}
	}
	identities, err := ids.OpenScratch(filepath.Join(r.folder, fmt.Sprintf("%s ids-%d", name, at.Partition)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, identities.Close()) }()
	// The decisions of a shadow replay are not those on which the barriers rest.
	var tree settle.Tree
	if until.control == r.from.Control {
		tree = new(tlog.StreamTree)
	}
	settler := settle.New(settle.Config{
		Partition: at.Partition, Usage: usage, Control: until.control,
		Store: store, Cursor: cursor, IDs: identities, Tree: tree, Until: at.Usage, Logger: quiet(),
	})
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watch(running, settler, at.Usage, stop)
	}()
	err = settler.Run(running)
	if cause := context.Cause(running); err != nil && cause != nil {
		err = cause
	}
	stop(nil)
	<-watched
	if err != nil && ctx.Err() == nil {
		if nowhere := cuts(ctx, usage, at.Usage); nowhere != nil {
			return errors.Join(nowhere, err)
		}
	}
	return err
}

// cuts returns a difference if settlement does not cut at a position.
func cuts(ctx context.Context, usage *eventlog.Stream, position uint64) error {
	m, err := usage.Get(ctx, position)
	if err != nil {
		return err
	}
	var decoded events.Message
	if _, err := decoded.Decode(m.Data, nil); err == nil && decoded.Kind != events.Batch || position%posting.CutEvery == 0 {
		return nil
	}
	return &Difference{Where: "cursor", Live: fmt.Sprintf("position %d", position), Replayed: "no cut ends there"}
}

// watch ends a replay that makes no progress: the position in the cursor does not
// end a cut, or a barrier names a decision that never comes.
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
			stop(&Difference{Where: "cursor", Live: fmt.Sprintf("position %d", position), Replayed: fmt.Sprintf("the last cut is at %d", at)})
			return
		}
	}
}

// reaches returns a difference if a stream ends before a known position.
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
func (r *replay) distribute(ctx context.Context, fresh *store.DB, from Sources, until uint64) error {
	store, cursor, err := fresh.Distribute(ctx, "replay")
	if err != nil || until == 0 {
		return err
	}
	if err := reaches(ctx, from.Control, until, "the distributor"); err != nil {
		return err
	}
	if err := rests(ctx, from, until); err != nil {
		return err
	}
	return distribute.New(distribute.Config{
		Control: from.Control, Ledger: from.Ledger, Register: from.Register,
		Store: store, Cursor: cursor, Until: until, Logger: quiet(),
	}).Run(ctx)
}

// rests returns a difference if a distribution rests on positions that do not
// exist: the distributor would wait for them without end.
func rests(ctx context.Context, from Sources, until uint64) error {
	known := directory.New()
	return decisions(ctx, from.Control, until, func(position uint64, d events.Decision) error {
		err := known.Apply(position, d)
		if b, ok := d.Body.(events.PayoutRunDeclared); ok && err == nil {
			return reaches(ctx, from.Register, b.RegisterSeq, "payout run "+b.Run)
		}
		b, ok := d.Body.(events.DistributionDeclared)
		if errors.Is(err, directory.ErrOrder) || err != nil && !ok {
			return ordered(err)
		}
		if !ok || err != nil {
			return nil
		}
		if err := reaches(ctx, from.Ledger, b.LedgerSeq, "distribution "+b.Distribution); err != nil {
			return err
		}
		return reaches(ctx, from.Register, b.RegisterSeq, "distribution "+b.Distribution)
	})
}

// ordered ignores the reason why a decision is void, and keeps an error of the
// caller.
func ordered(err error) error {
	if errors.Is(err, directory.ErrOrder) {
		return err
	}
	return nil
}

// decisions calls each for the decisions of CONTROL up to a position. A decision
// that cannot be read is passed without a body, and is therefore void everywhere.
func decisions(ctx context.Context, control *eventlog.Stream, until uint64, each func(position uint64, d events.Decision) error) error {
	if until == 0 {
		return nil
	}
	reader, err := control.Read(ctx, 1, "")
	if err != nil {
		return err
	}
	defer reader.Stop()
	for at := uint64(0); at < until; {
		m, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		at = m.Seq
		d, err := events.DecodeDecision(m.Data)
		if err != nil {
			d = events.Decision{}
		}
		if err := each(at, d); err != nil {
			return err
		}
	}
	return nil
}
