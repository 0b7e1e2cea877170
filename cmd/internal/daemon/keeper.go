package daemon

import (
	"context"
	"net/http"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

// openKeeper compares the ends of streams, second copies and logs: what differs
// keeps every service from starting.
func (d *Daemon) openKeeper(ctx context.Context) (err error) {
	if d.config.Unkept {
		return nil
	}
	d.keeper, err = keeper.Open(ctx, keeper.Config{
		Dir: d.config.Dir, Usage: d.streams.usage[0], More: d.streams.usage[1:],
		Streams: []*eventlog.Stream{d.streams.control, d.streams.register, d.streams.ledger, d.streams.payout},
		Store:   d.store, Witnesses: d.config.Witnesses, Logger: d.config.Logger, Meter: d.config.Telemetry.Meter(),
	})
	return err
}

// keep runs the keeper, whose end ends nothing else.
func (d *Daemon) keep(ctx context.Context) {
	if d.keeper == nil {
		return
	}
	d.group.Go(func() error {
		if err := d.keeper.Run(ctx); ctx.Err() == nil {
			d.config.Logger.Error("the keeper stopped", "cause", err)
		}
		return nil
	})
}

// seen is who else is told what the settler reads; nil for nobody.
func (d *Daemon) seen() func(eventlog.Message, *events.Message, []settlement.Decoded) {
	if d.keeper == nil {
		return nil
	}
	return d.keeper.Seen
}

// proofs are what receipts are proved with; nil where no logs are kept.
func (d *Daemon) proofs() *api.Proofs {
	if d.keeper == nil {
		return nil
	}
	return &api.Proofs{Key: d.keeper.Key().Public(), Handovers: d.keeper.Keys().Notes(), Logs: d.keeper.Logs(), Log: d.keeper.Log, Wait: d.keeper.Wait}
}

// WaitKept returns when everything that is committed now has its second copy and
// is signed; at once where nothing is kept.
func (d *Daemon) WaitKept(ctx context.Context) error {
	if d.keeper == nil {
		return nil
	}
	return d.keeper.Wait(ctx)
}

// finish lets the keeper keep what was committed last, where every service has
// stopped in order. What it cannot it does after the next start.
func (d *Daemon) finish(inOrder bool) {
	if d.keeper == nil || d.server == nil || !inOrder {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if err := d.keeper.Finish(ctx); err != nil {
		d.config.Logger.Warn("the last messages are kept after the next start", "cause", err)
	}
}

// logs serves the verifiable logs; nil where none are kept.
func (d *Daemon) logs() http.Handler {
	if d.keeper == nil {
		return nil
	}
	return d.keeper.Handler()
}
