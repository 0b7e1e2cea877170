// Package cluster is one service as a process of its own: ingest, settle,
// distribute or keep, on a JetStream cluster and a database that others share.
//
// The method: a process owns nothing but what it is working on. Ingest has no
// state; it learns from the database how far the others are. A settler and a
// distributor take their cursor over in the database, after whoever had it has
// fallen silent (package standby), and go on from there, as after a crash. What
// is in their folders can be rebuilt. The keeper waits its turn likewise, and
// its folder cannot: that is the second copy and the signed logs.
//
// # Invariants
//
//   - Nothing that was accepted is left unsaid: a process that is told to stop
//     answers what is under way first.
//   - Whole cuts: what a settler has not committed when it stops is settled
//     again by the next one.
//   - Two never both commit: the cursor's name is one owner's, and the other
//     stops with one line.
//   - Ingest goes on while the database does not answer.
//   - One history: the database knows whose key signs the logs, and a keeper with
//     another key, or with that key and no logs, signs nothing.
package cluster

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/services/ingest"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

// ackTimeout is how long a publish is waited for before the stream is read back.
// A stream has a new leader a few seconds after it has lost one, and the answer
// of the old one never comes.
const ackTimeout = 5 * time.Second

// stopPatience is how long requests under way, or records on their way to
// LEDGER, may take when the process stops.
const stopPatience = 15 * time.Second

// Process is a running service.
type Process struct {
	config     Config
	partitions []int
	log        *eventlog.Log
	store      *store.DB
	streams    streams
	who        string // how this process calls itself to its standbys

	progress *progress       // of ingest and keep
	ingest   *ingest.Service // likewise
	keeper   *keeper.Keeper  // of keep, once it is its turn
	operator [sha256.Size]byte

	server   *http.Server
	listener net.Listener
	watched  []func() error // what shows the process, to be ended

	group  *errgroup.Group
	stop   context.CancelFunc
	failed chan error
	once   sync.Once
	closed error

	mu    sync.Mutex // guards what follows
	parts map[string]string
}

type streams struct {
	usage                                      map[int]*eventlog.Stream
	refused, control, register, ledger, payout *eventlog.Stream
}

// Open starts the service. Its errors are one line that names what is wrong. A
// process that waits for its turn has started.
func Open(ctx context.Context, config Config) (*Process, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	p := &Process{
		config: config, failed: make(chan error, 1), parts: map[string]string{},
		who: fmt.Sprintf("%s, process %d, %s", host, os.Getpid(), rand.Text()[:8]),
	}
	if config.Role != Distribute {
		if p.partitions, err = ParsePartitions(config.Partitions); err != nil {
			return nil, err
		}
	}
	if err := p.open(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Process) open(ctx context.Context) (err error) {
	if p.operator, err = operatorToken(p.config.OperatorTokenFile); err != nil {
		return err
	}
	p.log, err = eventlog.Open(ctx, eventlog.Config{
		URL: p.config.NATSURL, Credentials: p.config.NATS, Replicas: p.config.Replicas, AckTimeout: ackTimeout, Logger: p.config.Logger,
	})
	if err != nil {
		return err
	}
	if err := p.openStreams(ctx); err != nil {
		return err
	}
	if p.store, err = openDatabase(ctx, p.config.DatabaseURL, p.config.Logger); err != nil {
		return err
	}
	if err := p.store.Belong(ctx, p.log.Installation()); err != nil {
		return err
	}
	if err := p.sameStreams(ctx); err != nil {
		return err
	}
	// The service outlives the context that opened it.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	p.group, background = errgroup.WithContext(background)
	if err := p.watch(); err != nil {
		return err
	}
	switch p.config.Role {
	case Ingest:
		return p.openIngest(ctx, background)
	case Settle:
		for _, partition := range p.partitions {
			p.own(background, p.settler(partition))
		}
	case Distribute:
		p.own(background, p.distributor())
	case Keep:
		return p.openKeep(ctx, background)
	}
	return p.serve(background, p.health())
}

// openStreams opens CONTROL first: it says whose installation this is.
func (p *Process) openStreams(ctx context.Context) (err error) {
	open := func(to **eventlog.Stream, by func(context.Context) (*eventlog.Stream, error)) {
		if err == nil {
			*to, err = by(ctx)
		}
	}
	open(&p.streams.control, p.log.Control)
	open(&p.streams.refused, p.log.Refused)
	open(&p.streams.register, p.log.Register)
	open(&p.streams.ledger, p.log.Ledger)
	open(&p.streams.payout, p.log.Payout)
	p.streams.usage = map[int]*eventlog.Stream{}
	for _, partition := range p.partitions {
		var stream *eventlog.Stream
		open(&stream, func(ctx context.Context) (*eventlog.Stream, error) { return p.log.Usage(ctx, uint32(partition), 0) })
		p.streams.usage[partition] = stream
	}
	return err
}

// sameStreams refuses a database that knows other streams: that of another
// installation, or of one whose streams were made anew.
func (p *Process) sameStreams(ctx context.Context) error {
	now, err := p.store.Progress(ctx)
	if err != nil {
		return err
	}
	for _, c := range now.Settled {
		stream := p.streams.usage[c.Partition]
		if stream == nil {
			continue
		}
		if c.Stream != stream.Name() || c.Created != stream.Created().UnixNano() {
			return fmt.Errorf("the database knows another stream %s, made at %s: this one was made at %s: two installations are mixed up",
				stream.Name(), time.Unix(0, c.Created).UTC().Format(time.RFC3339Nano), stream.Created().UTC().Format(time.RFC3339Nano))
		}
	}
	return nil
}

// run starts one loop; when it ends by itself, the process ends.
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

// URL is where the process answers.
func (p *Process) URL() string {
	host, port, _ := net.SplitHostPort(p.listener.Addr().String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// Failed gives the error of the loop that stopped by itself.
func (p *Process) Failed() <-chan error { return p.failed }

// Close stops in order: requests under way are answered, loops end with what
// they have committed, what they have committed is carried to its stream. It may
// be called again.
func (p *Process) Close() error {
	p.once.Do(func() { p.closed = p.close() })
	return p.closed
}

func (p *Process) close() error {
	var problems []error
	if p.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
		if err := p.server.Shutdown(ctx); err != nil {
			problems = append(problems, fmt.Errorf("stopping HTTP: %w", err), p.server.Close())
		}
		cancel()
	} else if p.listener != nil {
		problems = append(problems, p.listener.Close())
	}
	for _, end := range p.watched {
		problems = append(problems, end())
	}
	if p.stop != nil {
		p.stop()
		_ = p.group.Wait() // was given to Failed when it came
	}
	if p.store != nil {
		problems = append(problems, p.store.Close())
	}
	if p.log != nil {
		problems = append(problems, p.log.Close())
	}
	return errors.Join(problems...)
}

// operatorToken reads the operator's token; zeros where there is none.
func operatorToken(file string) (hash [sha256.Size]byte, err error) {
	if file == "" {
		return hash, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return hash, fmt.Errorf("reading the operator token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if len(token) < 16 {
		return hash, fmt.Errorf("reading the operator token: %s has %d characters, 16 at least are needed", file, len(token))
	}
	return sha256.Sum256([]byte(token)), nil
}

// nonce names one take-over of a cursor.
func nonce() string { return rand.Text() }
