// Package host runs services in one process: a set of roles (ingest, settle,
// distribute, keep) on one assembly of streams, a database and an HTTP server.
//
// Embedded, a process has every role and needs nothing but a folder:
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
// Shared, a process has one role, on a JetStream cluster and a database that other
// processes use too. It owns nothing but what it is working on. Ingest has no
// state; it learns from the database how far the others are. A settler and a
// distributor take their cursor over in the database, after the owner before them
// has fallen silent (package standby), and go on from there, as after a crash.
// What is in their folders can be rebuilt. The keeper waits for its turn in the
// same way, and its folder cannot be rebuilt: it holds the second copy and the
// signed logs.
//
// The roles are assembled by the same functions in both. What differs is how they
// begin (at once, or when it is their turn) and who says how far a role is: the
// role itself, or the database.
//
// # Invariants
//
//   - One process holds a folder.
//   - Start and recovery are the same: the services verify the streams against
//     their cursors and go on from there.
//   - A service that stops takes the process with it. Only the keeper of the logs
//     stops alone, and readiness reports it.
//   - Embedded, nothing settles on streams whose end is not what the logs have
//     signed.
//   - Everything that was accepted is answered: a process that is told to stop
//     answers the requests under way first.
//   - Whole cuts: what a settler has not committed when it stops is settled again
//     by the next one.
//   - Two owners never both commit: the cursor's nonce is one owner's, and the
//     other stops with one line.
//   - Shared, ingest goes on while the database does not answer.
//   - One history: the database knows whose key signs the logs, and a keeper with
//     another key, or with that key and no logs, signs nothing.
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

// stopPatience is how long requests under way, or records on their way to LEDGER,
// may take when the process stops.
const stopPatience = 15 * time.Second

// Process is a running set of roles.
type Process struct {
	config     Config
	partitions []int // of usage, ascending; none where the role has to do with none
	log        *eventlog.Log
	store      *store.DB
	streams    streams
	operator   [sha256.Size]byte // SHA-256 of the operator's bearer token; zeros: there is none

	// How far the roles are, wherever they run; set where the API is served.
	settlers map[int]settler // by partition
	payer    distributor
	failing  func() error // why that cannot be asked just now; nil: it always can

	ingest *ingest.Service // set where the API is served
	keeper *keeper.Keeper  // nil where this process does not keep

	server      *http.Server
	listener    net.Listener
	watched     metric.Registration // see telemetry.go
	unserve     func() error
	metricsAddr string

	// Embedded.
	token   string
	ids     ids.Several   // by partition
	running running       // proves that this process holds the folder
	ready   chan struct{} // closed when ingest knows what is declared

	// Shared.
	who   string     // how this process calls itself to its standbys
	mu    sync.Mutex // guards what follows
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

// Open starts the roles. An embedded process answers requests when it returns; a
// shared one may still wait for its turn. Its errors are one line that names what
// is wrong.
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

// openStreams opens CONTROL first: it says whose installation this is.
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

// usages are the streams of usage, in the order of the partitions.
func (p *Process) usages() []*eventlog.Stream {
	list := make([]*eventlog.Stream, len(p.partitions))
	for i, partition := range p.partitions {
		list[i] = p.streams.usage[partition]
	}
	return list
}

// begin returns the context that the services run in: they outlive the context
// that opened them.
func (p *Process) begin(ctx context.Context) context.Context {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	p.group, background = errgroup.WithContext(background)
	return background
}

// run starts one loop; when it ends by itself, everything ends.
func (p *Process) run(ctx context.Context, name string, loop func(context.Context) error) {
	p.group.Go(func() error {
		err := loop(ctx)
		if ctx.Err() != nil {
			return nil // asked to stop, or another loop has failed and said why
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

// caughtUp waits until the services know what there is to know when they start. A
// service that stops meanwhile, such as one that finds its stream damaged, ends
// the wait.
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

// Failed gives the error of the loop that stopped by itself.
func (p *Process) Failed() <-chan error { return p.failed }

// Close stops in order: requests under way are answered, loops end with what they
// have committed, and the streams and the database are closed. What was accepted
// and is not settled yet is settled after the next start. It may be called again.
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
		err := p.group.Wait() // was given to Failed when it came
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

// nonce names one take-over of a cursor.
func nonce() string { return rand.Text() }
