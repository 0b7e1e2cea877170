// Package host runs services in one process: a set of roles (ingest, settle,
// distribute, keep) on one assembly of streams, a database and an HTTP server.
//
// An embedded process has every role and needs only a folder:
//
//	streams/         JetStream
//	ledger.db        SQLite: the journal and everything derived, if no database is named
//	archive/         a second copy of every stream
//	tlog/            their verifiable logs
//	keys/            the keys that sign and verify the logs
//	ids/, ids-N/     the index of events without a sequence; it can be rebuilt
//	operator.token   bearer token of the folder's own operator
//	running.json     where the process that holds the folder answers
//
// A shared process has one role, on a JetStream cluster and a database that
// other processes also use. It owns only what it is working on. Ingest has no
// state; it learns the progress of the others from the database. A settler or a
// distributor takes over its cursor in the database once the previous owner has
// fallen silent (package standby), and continues from there, as after a crash.
// What is in its folder can be rebuilt. The keeper waits for its turn in the
// same way, but its folder cannot be rebuilt: it has the second copy and the
// signed logs.
//
// The same functions assemble the roles in both cases. The differences are how
// a role starts (at once, or when it is its turn) and who knows its progress
// (the role itself, or the database).
//
// # Invariants
//
//   - At most one process holds a folder.
//   - Start and recovery are the same: the services verify the streams against
//     their cursors and continue from there.
//   - If a service stops, the process ends. Only the keeper of the logs can stop
//     alone; readiness reports it.
//   - An embedded process does not settle if the end of a stream differs from what
//     the logs have signed.
//   - Every accepted request is answered: a process that is told to stop first
//     answers the requests in progress.
//   - Cuts are committed as a whole: the next settler settles again what a settler
//     had not committed when it stopped.
//   - Two owners never both commit: the cursor has the nonce of one of them, and
//     the other stops with a one-line error.
//   - Shared ingest continues while the database does not answer.
//   - There is one history: the database records the key that signs the logs. A
//     keeper with another key, or with that key but without the logs, signs nothing.
package host

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"golang.org/x/sync/errgroup"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/ids"
	"github.com/aliquot-engine/aliquot/services/ingest"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

// stopPatience is how long requests in progress, and records that are being
// published to LEDGER, may take when the process stops.
const stopPatience = 15 * time.Second

// Process is a running set of roles.
type Process struct {
	config     Config
	partitions []int // partitions of usage, ascending; none if the role does not handle usage
	log        *eventlog.Log
	store      *store.DB
	streams    streams
	operator   [sha256.Size]byte // SHA-256 of the operator's bearer token; zero: there is no such token

	// Progress of the roles, in this process or another; set if this process
	// serves the API.
	settlers map[int]settler // by partition
	payer    distributor
	failing  func() error // why the progress is unknown at the moment; nil: it is always known

	ingest *ingest.Service // set if this process serves the API
	keeper *keeper.Keeper  // nil if this process does not keep

	server      *http.Server
	listener    net.Listener
	watched     metric.Registration // see telemetry.go
	unserve     func() error
	metricsAddr string

	// For embedded processes.
	token   string
	ids     ids.Several   // by partition
	running running       // proves that this process holds the folder
	ready   chan struct{} // closed when ingest knows all declarations

	// For shared processes.
	who   string     // the name of this process, shown to its standbys
	mu    sync.Mutex // guards the field below
	parts map[string]string

	group  *errgroup.Group
	stop   context.CancelFunc
	failed chan error
	once   sync.Once
	closed error
}

type streams struct {
	usage                                      map[int]*eventlog.Stream // by partition
	refused, control, register, ledger, payout *eventlog.Stream
}

// Open starts the roles. When it returns, an embedded process answers requests;
// a shared one may still be waiting for its turn. Its errors are one line that
// says what is wrong.
func Open(ctx context.Context, config Config) (*Process, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	p := &Process{config: config, failed: make(chan error, 1), ready: make(chan struct{}), parts: map[string]string{}}
	open := p.openEmbedded
	if config.Shared != nil {
		open = p.openShared
	}
	if err := open(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// openStreams opens CONTROL first, because it identifies the installation.
func (p *Process) openStreams(ctx context.Context) (err error) {
	open := func(to **eventlog.Stream, by func(context.Context) (*eventlog.Stream, error)) {
		if err == nil {
			*to, err = by(ctx)
		}
	}
	open(&p.streams.control, p.log.Control)
	p.streams.usage = map[int]*eventlog.Stream{}
	for _, partition := range p.partitions {
		var stream *eventlog.Stream
		open(&stream, func(ctx context.Context) (*eventlog.Stream, error) { return p.log.Usage(ctx, uint32(partition), 0) })
		p.streams.usage[partition] = stream
	}
	open(&p.streams.refused, p.log.Refused)
	open(&p.streams.register, p.log.Register)
	open(&p.streams.ledger, p.log.Ledger)
	open(&p.streams.payout, p.log.Payout)
	return err
}

// usages returns the streams of usage, in the order of the partitions.
func (p *Process) usages() []*eventlog.Stream {
	list := make([]*eventlog.Stream, len(p.partitions))
	for i, partition := range p.partitions {
		list[i] = p.streams.usage[partition]
	}
	return list
}

// begin returns the context in which the services run. They outlive the context
// that opened them.
func (p *Process) begin(ctx context.Context) context.Context {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	p.group, background = errgroup.WithContext(background)
	return background
}

// run starts one loop; if the loop ends by itself, the process ends.
func (p *Process) run(ctx context.Context, name string, loop func(context.Context) error) {
	p.group.Go(func() error {
		err := loop(ctx)
		if ctx.Err() != nil {
			return nil // it was asked to stop, or another loop has failed and was reported
		}
		if err == nil {
			err = errors.New("ended")
		}
		err = fmt.Errorf("%s stopped: %w", name, err)
		p.config.Logger.Error("a service stopped", "service", name, "cause", err)
		select {
		case p.failed <- err:
		default:
		}
		return err
	})
}

// caughtUp waits until the services know everything that they need at the
// start. If a service stops meanwhile, for example because its stream is
// damaged, the wait ends.
func (p *Process) caughtUp(ctx, services context.Context, wait func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(services, cancel)()
	err := wait(ctx)
	if err != nil {
		select {
		case failure := <-p.failed:
			return failure
		default:
		}
	}
	return err
}

// Failed receives the error of the loop that stopped by itself.
func (p *Process) Failed() <-chan error { return p.failed }

// Close stops in order: requests in progress are answered, loops end with their
// last commit, and the streams and the database are closed. Usage that was
// accepted but not settled is settled after the next start. Close may be called
// again.
func (p *Process) Close() error {
	p.once.Do(func() { p.closed = p.close() })
	return p.closed
}

func (p *Process) close() error {
	problems := []error{p.endServer()}
	if p.unserve != nil {
		problems = append(problems, p.unserve())
	}
	problems = append(problems, p.unwatch())
	if p.stop != nil {
		p.stop()
		err := p.group.Wait() // Failed has received it
		p.finish(err == nil)
	}
	if p.keeper != nil && p.config.Shared == nil {
		problems = append(problems, p.keeper.Close())
	}
	for _, index := range p.ids {
		problems = append(problems, index.Close())
	}
	if p.store != nil {
		problems = append(problems, p.store.Close())
	}
	if p.log != nil {
		problems = append(problems, p.log.Close())
	}
	return errors.Join(problems...)
}

// nonce returns a new name for one take-over of a cursor.
func nonce() string { return rand.Text() }
