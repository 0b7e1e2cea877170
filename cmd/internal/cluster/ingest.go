package cluster

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/services/ingest"
	"github.com/aliquot-engine/aliquot/services/ingest/httpapi"
	"github.com/aliquot-engine/aliquot/services/ingest/natsapi"
)

// openIngest starts the intake of usage, over HTTP and NATS, and the API.
func (p *Process) openIngest(ctx, background context.Context) error {
	if err := p.intake(background); err != nil {
		return err
	}
	p.run(background, "ingest over NATS", func(ctx context.Context) error {
		return natsapi.Serve(ctx, p.log.Conn(), p.ingest)
	})
	if err := p.caughtUp(ctx, background); err != nil {
		return err
	}
	return p.serve(background, p.api(nil, nil))
}

// intake starts what the API rests on: the intake of usage, and what is known of
// the others' progress.
func (p *Process) intake(background context.Context) (err error) {
	p.progress = newProgress(p.store, p.partitions, p.config.Logger)
	p.ingest, err = ingest.New(ingest.Config{
		Usage: p.streams.usage, Refused: p.streams.refused, Control: p.streams.control,
		Settler: waits{p}, Store: p.store, OperatorSHA256: p.operator, Logger: p.config.Logger,
		Meter: p.config.Telemetry.Meter(), Tracer: p.config.Telemetry.Tracer(),
	})
	if err != nil {
		return err
	}
	p.run(background, "progress", p.progress.run)
	p.run(background, "ingest", p.ingest.Run)
	return nil
}

// api is the HTTP API, with the logs and what is proved by them where they are
// kept here.
func (p *Process) api(logs http.Handler, proofs *api.Proofs) http.Handler {
	return api.New(api.Config{
		Engine: p, Control: p.streams.control, Register: p.streams.register, Ledger: p.streams.ledger,
		Usage: p.streams.usage[p.partitions[0]], More: p.more(), Payout: p.streams.payout, Store: p.store, Streams: p.log,
		Ingest: httpapi.New(p.ingest), Logs: logs, Proofs: proofs, Metrics: p.config.Telemetry.Page(), Now: time.Now, OperatorSHA256: p.operator,
	})
}

// more are the streams of all partitions but the first.
func (p *Process) more() (list []*eventlog.Stream) {
	for _, partition := range p.partitions[1:] {
		list = append(list, p.streams.usage[partition])
	}
	return list
}

// caughtUp waits until what is in effect is known here: a key or a node that was
// declared long ago must not be unknown for a moment after a start. It waits for
// settlers where one partition is behind another.
func (p *Process) caughtUp(ctx, background context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(background, cancel)()
	err := p.inEffect(ctx)
	if err != nil && ctx.Err() != nil {
		select {
		case failure := <-p.failed:
			return failure
		default:
		}
	}
	return err
}

func (p *Process) inEffect(ctx context.Context) error {
	now, err := p.store.Progress(ctx)
	if err != nil {
		return err
	}
	k := uint64(0)
	for _, c := range now.Settled {
		k = max(k, c.Control)
	}
	if err := p.ingest.WaitDirectory(ctx, k); err != nil {
		return fmt.Errorf("waiting until every partition has settled up to control position %d: %w", k, err)
	}
	return nil
}
