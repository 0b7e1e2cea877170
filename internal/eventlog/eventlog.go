// Package eventlog keeps the streams: it publishes messages, answers only after
// they are on disk, and reads them back in the one order in which they were
// stored.
//
// The method is NATS JetStream, embedded in the process or reached by URL, with
// every setting switched off that would make a stream lose messages: no age or
// size eviction, no deletion, no purge, new messages discarded when full. The
// embedded server syncs every message before it acknowledges it. What the
// server does not promise is checked here: a reader asserts that every position
// is its predecessor's plus one, a publisher keeps a bounded amount in flight
// and a reserve of free space on disk, and [Stream.Verify] compares a stream
// with what a reader remembered about it. This is necessary because, after a
// block was damaged, the server silently drops messages at its next start, and
// may move the last position back.
//
// # Invariants
//
//   - Durable: when Publish or a [Future] returns a position, the message is
//     stored there and, embedded and without LazySync, synced to disk.
//   - Known, or reported as unknown: every error other than [ErrAmbiguous]
//     means that nothing was stored.
//   - Ordered: an unfiltered reader of an unbounded stream returns positions
//     without gaps or repeats, or stops with [ErrGap].
//   - Bounded: at most 8 MiB and 256 messages of a stream are in flight, and a
//     reader holds at most about 12 MiB, whatever the size of the stream.
//   - Exclusive: one process at a time uses the embedded server's folder.
package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Errors that callers distinguish with errors.Is. The errors that wrap them
// name the stream and the positions.
var (
	// ErrAmbiguous means that the outcome of a publish is unknown: no answer
	// arrived in time. The message may be stored now, later or never; before
	// the caller repeats the publish, it must read the end of the stream back
	// and compare.
	ErrAmbiguous = errors.New("outcome of publish unknown")
	// ErrUnavailable means that nothing was stored because the log cannot be
	// reached or is overloaded: try again later.
	ErrUnavailable = errors.New("event log unavailable")
	// ErrFull means that nothing was stored because free space is below the
	// reserve, or the stream is at its limit.
	ErrFull = errors.New("event log full")
	// ErrTooLarge means that the message exceeds MaxMessageBytes.
	ErrTooLarge = errors.New("message too large")
	// ErrBadSubject means that the subject is empty, too long, or contains
	// wildcards, blanks or control characters; encode ids with SubjectToken.
	ErrBadSubject = errors.New("invalid subject")
	// ErrWrongLastSequence means that the expected last position is not the
	// last one, because another process has published. See
	// WrongLastSequenceError.
	ErrWrongLastSequence = errors.New("wrong last sequence")
	// ErrNotFound means that the stream has no such message.
	ErrNotFound = errors.New("message not found")
	// ErrGap means that messages are missing from a stream that never deletes.
	ErrGap = errors.New("messages missing")
	// ErrRewound means that a stream ends before a position known to exist.
	ErrRewound = errors.New("stream rewound")
	// ErrAltered means that the message at a position is not the recorded one.
	ErrAltered = errors.New("message altered")
	// ErrOtherStream means that the stream has the known name but another
	// creation time: it was deleted and created again.
	ErrOtherStream = errors.New("another stream of this name")
	// ErrForeign means that a stream does not belong to this installation, or
	// that the URL names servers of two clusters.
	ErrForeign = errors.New("not of this installation")
	// ErrDrift means that a stream exists with another configuration.
	ErrDrift = errors.New("stream configuration differs")
	// ErrDamaged means that the folder has a stream that the server could not
	// recover. It is never created again over the remains.
	ErrDamaged = errors.New("stream not recoverable")
	// ErrInUse means that another process uses the folder.
	ErrInUse = errors.New("folder in use by another process")
	// ErrRemote means that the value is not known for a server reached by URL.
	ErrRemote = errors.New("unknown for a remote event log")
	// ErrClosed means that the log or the reader was closed.
	ErrClosed = errors.New("closed")
)

const (
	// DefaultReserveBytes is the free space kept when Config says nothing.
	DefaultReserveBytes = 256 << 20
	// DefaultAckTimeout is how long a publisher waits when Config says nothing.
	DefaultAckTimeout = 10 * time.Second

	// The server drops a connection for which more bytes than this are waiting.
	// Each reader has at most two pulls of 8 MiB in progress.
	maxPendingBytes = 256 << 20
	// JetStream's own limits are set so high that they never apply: its default
	// for storage is a share of the space that is free at the start, which
	// leads to surprising refusals later. The reserve is the limit instead.
	maxStoreBytes  = 1 << 60
	maxMemoryBytes = 1 << 30

	startPoll = 100 * time.Millisecond
)

// Config says where the streams are. Exactly one of Dir and URL is given.
type Config struct {
	// Dir is the folder of the embedded server; it is created if absent.
	Dir string
	// Holder describes this process, for the error of another process that
	// tries to use Dir; it may be empty.
	Holder string
	// URL is one or more NATS servers, separated by commas. How they sync is
	// their configuration: they must run with sync_always or three replicas.
	URL string
	// Credentials are for URL.
	Credentials Credentials
	// LazySync lets the embedded server acknowledge before it syncs: a power
	// cut then loses up to two minutes. Only for measuring what syncing costs.
	LazySync bool
	// Listen is host:port for NATS clients, empty for this process only; port
	// 0 chooses one, see Log.Addr. It needs Auth.
	Listen string
	// Auth decides what the holder of a public nkey may do. It is asked after
	// the key's signature was checked, for every new connection, from several
	// goroutines.
	Auth func(nkey string) (Grant, error)
	// ReserveBytes is the free space under Dir below which publishing is
	// refused with ErrFull; 0 means DefaultReserveBytes, negative none. If it
	// is too small, other writers may fill the disk, and a failed write makes
	// the stream unwritable until the process restarts. Other files of the
	// engine on the same disk take up to 40 MiB at once for short times.
	ReserveBytes int64
	// Replicas of each stream: 1 embedded, 3 for a cluster; 0 means 1.
	Replicas int
	// AckTimeout bounds the wait for an answer to a publish, after which the
	// outcome is ErrAmbiguous; 0 means DefaultAckTimeout. If it is too short, a
	// slow disk looks broken; if it is too long, a broken disk looks slow.
	AckTimeout time.Duration
	// Logger receives the server's warnings and errors; nil means slog.Default.
	Logger *slog.Logger
}

// Log is an open event log. Its methods may be called from any goroutine.
type Log struct {
	config   Config
	logger   *slog.Logger
	server   *server.Server // nil when remote
	complain *complaints
	lock     *os.File
	space    *space // nil when remote

	// Publishing and reading use separate connections, so that a large pull
	// does not delay an acknowledgement.
	publishing *nats.Conn
	reading    *nats.Conn
	publisher  jetstream.JetStream
	reader     jetstream.JetStream

	cluster string // the cluster's name, for a URL

	mu           sync.Mutex // guards what follows
	pending      map[*nats.Msg]*Future
	closed       bool
	installation string // of the streams opened so far
}

// Open starts the embedded server, or connects by URL, and waits until
// JetStream answers. ctx bounds only the start of the server; recovering a
// large folder may take longer.
func Open(ctx context.Context, config Config) (*Log, error) {
	if (config.Dir == "") == (config.URL == "") {
		return nil, errors.New("opening event log: give either a folder or a URL")
	}
	if config.URL != "" && config.Listen != "" {
		return nil, errors.New("opening event log: a remote log cannot listen")
	}
	if config.Listen != "" && config.Auth == nil {
		return nil, errors.New("opening event log: listening needs Auth: without it anyone could write the streams")
	}
	if config.ReserveBytes == 0 {
		config.ReserveBytes = DefaultReserveBytes
	}
	if config.Replicas == 0 {
		config.Replicas = 1
	}
	if config.AckTimeout == 0 {
		config.AckTimeout = DefaultAckTimeout
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	l := &Log{config: config, logger: config.Logger, pending: map[*nats.Msg]*Future{}}
	if err := l.open(ctx); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("opening event log: %w", err)
	}
	return l, nil
}

func (l *Log) open(ctx context.Context) error {
	options := []nats.Option{
		nats.Name("aliquot"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		// While disconnected, a publish fails at once and its outcome is known,
		// instead of being buffered and sent later.
		nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			l.logger.Warn("event log connection", "error", err)
		}),
		nats.ReconnectHandler(l.sameCluster),
	}
	url := l.config.URL
	if url != "" {
		credentials, err := l.config.Credentials.options()
		if err != nil {
			return err
		}
		if err := l.probe(ctx, credentials); err != nil {
			return err
		}
		options = append(options, credentials...)
	} else {
		inProcess, err := l.startServer(ctx)
		if err != nil {
			return err
		}
		options = append(options, inProcess...)
		url = ""
	}

	var err error
	if l.publishing, err = nats.Connect(url, options...); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	if l.reading, err = nats.Connect(url, options...); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	l.publisher, err = jetstream.New(l.publishing,
		jetstream.WithPublishAsyncTimeout(l.config.AckTimeout),
		// The window of each stream is the limit; this limit is never reached.
		jetstream.WithPublishAsyncMaxPending(1<<20),
		jetstream.WithPublishAsyncAckHandler(l.acknowledged),
		jetstream.WithPublishAsyncErrHandler(l.refused))
	if err != nil {
		return fmt.Errorf("preparing to publish: %w", err)
	}
	if l.reader, err = jetstream.New(l.reading); err != nil {
		return fmt.Errorf("preparing to read: %w", err)
	}
	err = l.patiently(ctx, func(ctx context.Context) error {
		_, err := l.reader.AccountInfo(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("asking JetStream: %w", err)
	}
	return nil
}

// Close waits for the publishes in progress, closes the connections, stops the
// embedded server and waits for it, and releases the folder. A publish that is
// not answered within AckTimeout ends with ErrAmbiguous. Readers end with
// ErrClosed. A second call does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()

	if l.publisher != nil && l.publishing.IsConnected() {
		select {
		case <-l.publisher.PublishAsyncComplete():
		case <-time.After(l.config.AckTimeout):
		}
	}
	for _, conn := range []*nats.Conn{l.publishing, l.reading} {
		if conn != nil {
			conn.Close()
		}
	}
	if l.server != nil {
		l.server.Shutdown()
		l.server.WaitForShutdown()
	}
	l.mu.Lock()
	pending := l.pending
	l.pending = map[*nats.Msg]*Future{}
	l.mu.Unlock()
	for _, future := range pending {
		future.resolve(0, false, fmt.Errorf("%w: %w", ErrAmbiguous, ErrClosed))
	}
	if l.lock != nil {
		if err := l.lock.Close(); err != nil {
			return fmt.Errorf("closing event log: %w", err)
		}
	}
	return nil
}

func (l *Log) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Conn returns the connection that is used for publishing. Others may use it
// for subjects outside the streams. The log closes it.
func (l *Log) Conn() *nats.Conn { return l.publishing }

// Addr returns the host:port to which NATS clients connect; it is empty if the
// log does not listen.
func (l *Log) Addr() string {
	if l.server == nil || l.config.Listen == "" || l.server.Addr() == nil {
		return ""
	}
	return l.server.Addr().String()
}

// Healthy returns nil if messages can be stored: connected, JetStream without a
// write error, every stream recovered, free space above the reserve. It only
// reads the names of a few folders, so it can be called every second. A write
// error stays until the process restarts.
func (l *Log) Healthy() error {
	if l.isClosed() {
		return fmt.Errorf("event log: %w", ErrClosed)
	}
	if !l.publishing.IsConnected() || !l.reading.IsConnected() {
		return fmt.Errorf("event log: %w: %v", ErrUnavailable, l.publishing.Status())
	}
	if l.server == nil {
		return nil
	}
	if health := l.server.Healthz(nil); health.Status != "ok" {
		return fmt.Errorf("event log: %w: %s: %s", ErrUnavailable, health.Status, health.Error)
	}
	return l.space.check()
}

// Free returns the space under Dir that this process may still use, in bytes,
// measured at each call. It fails with ErrRemote for a log reached by URL.
func (l *Log) Free() (uint64, error) {
	if l.space == nil {
		return 0, fmt.Errorf("reading free space: %w", ErrRemote)
	}
	return freeBytes(l.space.dir)
}
