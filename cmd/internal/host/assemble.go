package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/relay"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/ids"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/distribute"
	"github.com/aliquot-engine/aliquot/services/ingest"
	"github.com/aliquot-engine/aliquot/services/ingest/httpapi"
	"github.com/aliquot-engine/aliquot/services/ingest/natsapi"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
	"github.com/aliquot-engine/aliquot/services/settle"
)

// takeSettle takes over the cursor of a partition, under a nonce, and assembles
// its settler.
func (p *Process) takeSettle(ctx context.Context, partition int, index *ids.Store, nonce string) (*settle.Settler, *store.Settle, error) {
	usage := p.streams.usage[partition]
	part, cursor, err := p.store.Settle(ctx, partition, usage.Name(), usage.Created().UnixNano(), nonce)
	if err != nil {
		return nil, nil, err
	}
	carrier := relay.New(settle.Journal{Written: part}, p.streams.ledger, p.config.Logger)
	if err := carrier.Show(p.config.Telemetry.Meter(), p.config.Telemetry.Tracer()); err != nil {
		return nil, nil, err
	}
	config := settle.Config{
		Partition: partition, Usage: usage, Control: p.streams.control,
		Store: part, Cursor: cursor, IDs: index, Tree: new(tlog.StreamTree),
		Ledger: carrier, Logger: p.config.Logger, Meter: p.config.Telemetry.Meter(), Tracer: p.config.Telemetry.Tracer(),
	}
	if p.keeper != nil {
		config.Seen = p.keeper.Seen
	}
	return settle.New(config), part, nil
}

// takeDistribute takes over the cursor of distribution, under a nonce, and
// assembles the distributor.
func (p *Process) takeDistribute(ctx context.Context, nonce string) (*distribute.Distributor, *store.Distribute, error) {
	part, cursor, err := p.store.Distribute(ctx, nonce)
	if err != nil {
		return nil, nil, err
	}
	return distribute.New(distribute.Config{
		Control: p.streams.control, Ledger: p.streams.ledger, Register: p.streams.register,
		Store: part, Cursor: cursor, Payout: p.streams.payout, Logger: p.config.Logger,
		Meter: p.config.Telemetry.Meter(), Tracer: p.config.Telemetry.Tracer(),
	}), part, nil
}

// newIngest assembles the intake of usage. identities finds events without a
// sequence by their ids; if it is nil, only their handles find them.
func (p *Process) newIngest(identities ingest.Identities) (err error) {
	p.ingest, err = ingest.New(ingest.Config{
		Usage: p.streams.usage, Refused: p.streams.refused, Control: p.streams.control,
		Settler: waits{p}, Store: p.store, Identities: identities,
		OperatorSHA256: p.operator, Logger: p.config.Logger,
		Meter: p.config.Telemetry.Meter(), Tracer: p.config.Telemetry.Tracer(),
	})
	return err
}

// overNATS serves providers that publish usage over NATS.
func (p *Process) overNATS(ctx context.Context) error {
	return natsapi.Serve(ctx, p.log.Conn(), p.ingest)
}

// newKeeper opens the second copy and the logs, and compares their ends with
// those of the streams.
func (p *Process) newKeeper(ctx context.Context) (*keeper.Keeper, error) {
	return keeper.Open(ctx, keeper.Config{
		Dir: p.config.Dir, Usage: p.usages(),
		Streams: []*eventlog.Stream{p.streams.control, p.streams.register, p.streams.ledger, p.streams.payout},
		Store:   p.store, Witnesses: p.config.Witnesses, Logger: p.config.Logger, Meter: p.config.Telemetry.Meter(),
	})
}

// runKeeper keeps until ctx ends. If the keeper stops by itself, everything
// else continues and readiness reports it.
func (p *Process) runKeeper(ctx context.Context) {
	if err := p.keeper.Run(ctx); ctx.Err() == nil {
		p.config.Logger.Error("the keeper stopped", "cause", err)
	}
}

// api returns the HTTP API. If this process keeps the logs, it also serves
// them, and receipts and exports.
func (p *Process) api() http.Handler {
	config := api.Config{
		Engine: p, Control: p.streams.control, Register: p.streams.register, Ledger: p.streams.ledger,
		Usage: p.usages(), Payout: p.streams.payout, Refused: p.streams.refused, Store: p.store, Streams: p.log,
		Ingest: httpapi.New(p.ingest), Metrics: p.config.Telemetry.Page(), Now: time.Now, Logger: p.config.Logger, OperatorSHA256: p.operator,
	}
	if p.config.Shared == nil {
		config.IDs, config.Running = p.ids, &p.running
	}
	if p.keeper != nil {
		config.Logs = p.keeper.Handler()
		config.Proofs = &api.Proofs{
			Key: p.keeper.Key().Public(), Handovers: p.keeper.Keys().Notes(), Logs: p.keeper.Logs(), Log: p.keeper.Log, Wait: p.keeper.Wait,
		}
	}
	return api.New(config)
}

// serve answers HTTP requests at the configured address.
func (p *Process) serve(ctx context.Context, handler http.Handler) error {
	listener, err := net.Listen("tcp", p.config.Listen)
	if err != nil {
		return fmt.Errorf("listening for HTTP: %w", err)
	}
	p.listener = listener
	p.server = &http.Server{
		Handler:           p.config.Telemetry.Server(handler),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(p.config.Logger.Handler(), slog.LevelWarn),
	}
	p.group.Go(func() error {
		if err := p.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving HTTP: %w", err)
		}
		return nil
	})
	return nil
}

// endServer stops accepting requests, and waits for those in progress.
func (p *Process) endServer() error {
	if p.server == nil {
		return nil
	}
	if p.config.Shared == nil {
		_ = os.Remove(filepath.Join(p.config.Dir, addressFile)) // a file that remains proves nothing
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if err := p.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("stopping HTTP: %w", err), p.server.Close())
	}
	return nil
}

// URL is the address at which the process answers HTTP requests.
func (p *Process) URL() string {
	host, port, _ := net.SplitHostPort(p.listener.Addr().String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
