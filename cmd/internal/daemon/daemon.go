// Package daemon puts every service together in one process, on one folder:
//
//	streams/         JetStream
//	ledger.db        SQLite: the journal and everything derived, where no database is named
//	archive/         a second copy of every stream
//	tlog/            their verifiable logs
//	keys/            what signs the logs, and what verifies them
//	ids/, ids-N/     the index of events without sequence, rebuildable
//	operator.token   bearer token of the folder's own operator
//	running.json     where the process that holds the folder answers
//
// # Invariants
//
//   - One process holds a folder.
//   - Start and recovery are the same: the services verify the streams against
//     their cursors and go on from there.
//   - A service that stops takes the process with it: nothing goes on half. The
//     keeper of the logs is no service: it stops alone, and readiness tells.
//   - Nothing settles on streams whose end is not what the logs have signed.
package daemon

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"golang.org/x/sync/errgroup"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/relay"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/database"
	"github.com/aliquot-engine/aliquot/internal/store/ids"
	"github.com/aliquot-engine/aliquot/internal/telemetry"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/distribute"
	"github.com/aliquot-engine/aliquot/services/ingest"
	"github.com/aliquot-engine/aliquot/services/ingest/httpapi"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
	"github.com/aliquot-engine/aliquot/services/settle"
)

// Config is everything that can be set about the process. What changes figures
// is not here: it is in CONTROL.
type Config struct {
	// Dir is the folder; it is created if absent.
	Dir string
	// Listen is host:port of the HTTP API; port 0 chooses one, see [Daemon.URL].
	Listen string
	// DatabaseURL names a database of PostgreSQL or CockroachDB, prepared by
	// `aliquot migrate`, that keeps the ledger instead of ledger.db; empty: none.
	// Without it the process needs nothing but its folder.
	DatabaseURL string
	// NATSListen is host:port for providers that publish over NATS with an nkey;
	// empty: none.
	NATSListen string
	// ReserveBytes is the free space below which usage is refused; 0 means the
	// event log's default. Too small, and a full disk makes the streams
	// unwritable until a restart.
	ReserveBytes int64
	// Partitions is how many partitions of usage there are, each settled by a loop
	// of its own; 0 means as many as before, 1 in a new folder. It may grow from
	// one start to the next, never shrink: a book stays in its partition.
	Partitions int
	// LazySync acknowledges before the disk has it: only to measure what syncing
	// costs. A power cut then loses accepted usage.
	LazySync bool
	// Unkept leaves out the second copy and the verifiable logs: only to measure
	// what they cost. What JetStream loses then is lost; the next process that
	// keeps them goes on from where they end.
	Unkept bool
	// Patient lets the start wait, and answer /livez and /readyz at Listen, while
	// the disk is full or a command holds the folder. Without it both are errors.
	Patient bool
	// MetricsListen is host:port of a listener that answers GET /metrics, and
	// nothing else, without a token; empty: none. Whoever reaches it sees how much
	// usage there is.
	MetricsListen string
	// Telemetry is what metrics and traces go to; nil: nowhere. Whoever made it
	// closes it, after the daemon.
	Telemetry *telemetry.Telemetry
	// Witnesses are asked to cosign every checkpoint, those that have a URL. Who
	// is away or slow stops nothing.
	Witnesses []tlog.PolicyWitness
	// Logger is told what operators must know; nil: slog.Default.
	Logger *slog.Logger
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	if c.Dir == "" {
		problems = append(problems, errors.New("dir: a folder is needed"))
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		problems = append(problems, fmt.Errorf("listen: %w", err))
	}
	if c.NATSListen != "" {
		if _, _, err := net.SplitHostPort(c.NATSListen); err != nil {
			problems = append(problems, fmt.Errorf("nats-listen: %w", err))
		}
	}
	if c.MetricsListen != "" {
		if _, _, err := net.SplitHostPort(c.MetricsListen); err != nil {
			problems = append(problems, fmt.Errorf("metrics-listen: %w", err))
		}
	}
	if c.Partitions < 0 || c.Partitions > maxPartitions {
		problems = append(problems, fmt.Errorf("partitions: %d is not between 1 and %d", c.Partitions, maxPartitions))
	}
	return errors.Join(problems...)
}

// maxPartitions bounds what one process settles: more gain nothing on one machine.
const maxPartitions = 64

// stopPatience is how long requests under way may take when the process stops.
const stopPatience = 15 * time.Second

// Daemon is the running process's services.
type Daemon struct {
	config   Config
	log      *eventlog.Log
	store    *store.DB
	ids      ids.Several // by partition
	streams  streams
	settlers []*settle.Settler // by partition
	settled  []*store.Settle   // likewise
	payer    *distribute.Distributor
	paid     *store.Distribute
	ingest   *ingest.Service
	keeper   *keeper.Keeper // nil where Unkept
	token    string
	server   *http.Server
	listener net.Listener

	watched     metric.Registration // see telemetry.go
	unserve     func() error
	metricsAddr string
	running     running // proves that this process holds the folder

	group  *errgroup.Group
	stop   context.CancelFunc
	failed chan error
	ready  chan struct{} // closed when ingest knows what is declared
	once   sync.Once
	closed error
}

type streams struct {
	usage                                      []*eventlog.Stream // by partition
	refused, control, register, ledger, payout *eventlog.Stream
}

// Open starts every service and returns when they accept requests. Its errors
// are one line that names what is wrong.
func Open(ctx context.Context, config Config) (*Daemon, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	d := &Daemon{config: config, failed: make(chan error, 1), ready: make(chan struct{})}
	if err := d.open(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Daemon) open(ctx context.Context) (err error) {
	if err := openFolder(d.config.Dir, d.config.Logger); err != nil {
		return fmt.Errorf("opening the folder: %w", err)
	}
	if err := d.openLog(ctx); err != nil {
		return err
	}
	if d.store, err = database.Open(ctx, d.config.Dir, d.config.DatabaseURL, d.config.Logger); err != nil {
		return err
	}
	if err := d.enough(ctx); err != nil {
		return err
	}
	if err := d.openStreams(ctx); err != nil {
		return err
	}
	if id := d.log.Installation(); id != "" && d.config.DatabaseURL != "" {
		// A folder's own file can only be its own.
		if err := d.store.Belong(ctx, id); err != nil {
			return err
		}
	}
	for partition := range d.config.Partitions {
		index, err := ids.Open(ids.Dir(d.config.Dir, partition))
		if err != nil {
			return err
		}
		d.ids = append(d.ids, index)
	}
	if d.token, err = operatorToken(d.TokenFile()); err != nil {
		return err
	}
	if err := d.openKeeper(ctx); err != nil {
		return err
	}
	// The services outlive the context that opened them.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stop = stop
	d.group, background = errgroup.WithContext(background)
	for partition := range d.config.Partitions {
		if err := d.openSettle(ctx, partition); err != nil {
			return err
		}
	}
	if err := d.openDistribute(ctx); err != nil {
		return err
	}
	if err := d.openIngest(); err != nil {
		return err
	}
	if err := d.watch(); err != nil {
		return err
	}
	if err := d.serveMetrics(); err != nil {
		return err
	}
	d.keep(background)
	for _, settler := range d.settlers {
		d.run(background, "settle", settler.Run)
	}
	d.run(background, "distribute", d.payer.Run)
	d.run(background, "ingest", d.ingest.Run)
	if d.config.NATSListen != "" {
		d.run(background, "ingest over NATS", d.overNATS)
	}
	if err := d.caughtUp(ctx, background); err != nil {
		return err
	}
	close(d.ready)
	return d.serve(background)
}

// caughtUp waits until every service has read the decisions that there are, so
// that the first request finds everything declared in effect; a service that
// stops meanwhile, as one that finds its stream damaged, ends the wait.
func (d *Daemon) caughtUp(ctx, services context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(services, cancel)()
	last, err := d.streams.control.Last(ctx)
	if err != nil {
		return err
	}
	if err := d.WaitEffective(ctx, last); err != nil {
		select {
		case failure := <-d.failed:
			return failure
		default:
			return err
		}
	}
	return nil
}

func (d *Daemon) openStreams(ctx context.Context) (err error) {
	open := func(to **eventlog.Stream, by func(context.Context) (*eventlog.Stream, error)) {
		if err == nil {
			*to, err = by(ctx)
		}
	}
	open(&d.streams.control, d.log.Control)
	for partition := range d.config.Partitions {
		var usage *eventlog.Stream
		open(&usage, func(ctx context.Context) (*eventlog.Stream, error) { return d.log.Usage(ctx, uint32(partition), 0) })
		d.streams.usage = append(d.streams.usage, usage)
	}
	open(&d.streams.refused, d.log.Refused)
	open(&d.streams.register, d.log.Register)
	open(&d.streams.ledger, d.log.Ledger)
	open(&d.streams.payout, d.log.Payout)
	return err
}

// enough takes as many partitions as were settled before, where Config does not
// say, and refuses fewer: the books of the others would stand still.
func (d *Daemon) enough(ctx context.Context) error {
	now, err := d.store.Progress(ctx)
	if err != nil {
		return err
	}
	before := 1
	if n := len(now.Settled); n > 0 {
		before = now.Settled[n-1].Partition + 1
	}
	// A ledger that is derived again does not know yet.
	for _, name := range keeper.Kept(d.config.Dir) {
		if partition, ok := eventlog.PartitionOf(name); ok {
			before = max(before, partition+1)
		}
	}
	if d.config.Partitions == 0 {
		d.config.Partitions = before
	}
	if d.config.Partitions < before {
		return fmt.Errorf("%d partitions were settled in this folder, and this start has %d: give --partitions %d or more", before, d.config.Partitions, before)
	}
	return nil
}

func (d *Daemon) openSettle(ctx context.Context, partition int) error {
	usage := d.streams.usage[partition]
	store, cursor, err := d.store.Settle(ctx, partition, usage.Name(), usage.Created().UnixNano(), nonce())
	if err != nil {
		return err
	}
	d.settled = append(d.settled, store)
	carrier := relay.New(store, d.streams.ledger, d.config.Logger)
	if err := carrier.Show(d.config.Telemetry.Meter(), d.config.Telemetry.Tracer()); err != nil {
		return err
	}
	d.settlers = append(d.settlers, settle.New(settle.Config{
		Partition: partition, Usage: usage, Control: d.streams.control,
		Store: store, Cursor: cursor, IDs: d.ids[partition], Tree: new(tlog.StreamTree), Seen: d.seen(),
		Ledger: carrier, Logger: d.config.Logger, Meter: d.config.Telemetry.Meter(), Tracer: d.config.Telemetry.Tracer(),
	}))
	return nil
}

func (d *Daemon) openDistribute(ctx context.Context) error {
	store, cursor, err := d.store.Distribute(ctx, nonce())
	if err != nil {
		return err
	}
	d.paid = store
	d.payer = distribute.New(distribute.Config{
		Control: d.streams.control, Ledger: d.streams.ledger, Register: d.streams.register,
		Store: store, Cursor: cursor, Payout: d.streams.payout, Logger: d.config.Logger,
		Meter: d.config.Telemetry.Meter(), Tracer: d.config.Telemetry.Tracer(),
	})
	return nil
}

func (d *Daemon) openIngest() (err error) {
	usage := map[int]*eventlog.Stream{}
	for partition, stream := range d.streams.usage {
		usage[partition] = stream
	}
	d.ingest, err = ingest.New(ingest.Config{
		Usage: usage, Refused: d.streams.refused, Control: d.streams.control,
		Settler: waits{d}, Store: d.store, Identities: d.ids,
		OperatorSHA256: sha256.Sum256([]byte(d.token)), Logger: d.config.Logger,
		Meter: d.config.Telemetry.Meter(), Tracer: d.config.Telemetry.Tracer(),
	})
	return err
}

// run starts one loop; when it ends by itself, everything ends.
func (d *Daemon) run(ctx context.Context, name string, loop func(context.Context) error) {
	d.group.Go(func() error {
		err := loop(ctx)
		if ctx.Err() != nil {
			return nil // asked to stop, or another loop has failed and said why
		}
		if err == nil {
			err = errors.New("ended")
		}
		err = fmt.Errorf("%s stopped: %w", name, err)
		d.config.Logger.Error("a service stopped", "service", name, "cause", err)
		select {
		case d.failed <- err:
		default:
		}
		return err
	})
}

func (d *Daemon) serve(ctx context.Context) error {
	server := api.New(api.Config{
		Engine: d, Control: d.streams.control, Register: d.streams.register, Ledger: d.streams.ledger,
		Usage: d.streams.usage[0], More: d.streams.usage[1:], Payout: d.streams.payout, Refused: d.streams.refused, Store: d.store, IDs: d.ids, Streams: d.log,
		Ingest: httpapi.New(d.ingest), Logs: d.logs(), Metrics: d.config.Telemetry.Page(), Proofs: d.proofs(), Running: &d.running, Now: time.Now, Logger: d.config.Logger, OperatorSHA256: sha256.Sum256([]byte(d.token)),
	})
	listener, err := net.Listen("tcp", d.config.Listen)
	if err != nil {
		return fmt.Errorf("listening for HTTP: %w", err)
	}
	d.listener = listener
	d.server = &http.Server{
		Handler:           d.config.Telemetry.Server(server),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(d.config.Logger.Handler(), slog.LevelWarn),
	}
	d.group.Go(func() error {
		if err := d.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving HTTP: %w", err)
		}
		return nil
	})
	if err := d.running.save(d.config.Dir, d.URL()); err != nil {
		return fmt.Errorf("saving where the API is: %w", err)
	}
	return nil
}

// URL is where the HTTP API answers.
func (d *Daemon) URL() string {
	host, port, _ := net.SplitHostPort(d.listener.Addr().String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// NATSAddr is where NATS clients connect; empty where none may.
func (d *Daemon) NATSAddr() string { return d.log.Addr() }

// Token is the bearer token of the folder's own operator.
func (d *Daemon) Token() string { return d.token }

// TokenFile is where it stands.
func (d *Daemon) TokenFile() string { return filepath.Join(d.config.Dir, tokenFile) }

// Failed gives the error of the service that stopped by itself.
func (d *Daemon) Failed() <-chan error { return d.failed }

// Close stops accepting, lets requests under way finish, stops the services and
// closes the streams and the store. What was accepted and is not settled yet is
// settled after the next start. It may be called again.
func (d *Daemon) Close() error {
	d.once.Do(func() { d.closed = d.close() })
	return d.closed
}

func (d *Daemon) close() error {
	var problems []error
	if d.server != nil {
		_ = os.Remove(filepath.Join(d.config.Dir, addressFile))
		ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
		if err := d.server.Shutdown(ctx); err != nil {
			problems = append(problems, fmt.Errorf("stopping the API: %w", err), d.server.Close())
		}
		cancel()
	} else if d.listener != nil {
		problems = append(problems, d.listener.Close())
	}
	if d.unserve != nil {
		problems = append(problems, d.unserve())
	}
	problems = append(problems, d.unwatch())
	if d.stop != nil {
		d.stop()
		err := d.group.Wait() // was given to Failed when it came
		d.finish(err == nil)
	}
	if d.keeper != nil {
		problems = append(problems, d.keeper.Close())
	}
	for _, index := range d.ids {
		problems = append(problems, index.Close())
	}
	if d.store != nil {
		problems = append(problems, d.store.Close())
	}
	if d.log != nil {
		problems = append(problems, d.log.Close())
	}
	return errors.Join(problems...)
}

// nonce names one take-over of a cursor.
func nonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// operatorToken reads the folder's token, and makes one the first time.
func operatorToken(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err == nil {
		if token := strings.TrimSpace(string(data)); token != "" {
			return token, nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("reading the operator token: %w", err)
	}
	token := "alq_" + nonce() + nonce()
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("writing the operator token: %w", err)
	}
	return token, nil
}
