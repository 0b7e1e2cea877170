// Package ingest accepts usage: it checks every submitted event, stores the good
// ones in the streams, and answers after they are on disk.
//
// A submission's events are read once, checked against the directory, and packed
// by book. The packed segments of submissions that arrive at the same time go
// into one stream message: while one message is being synced, the next one fills.
// A fault of an event is a value in the answer, with its field and its reason,
// and is kept in REFUSED; the good events beside it are accepted.
//
// # Invariants
//
//   - Durable: an answer that counts events as accepted leaves after the stream
//     has acknowledged the message that holds them, or after that message was
//     read back from the stream.
//   - Whole: every event of a submission is either at one of the positions of the
//     answer's handle or among its refusals, and never in both.
//   - Consistent: ingest refuses an event for the same reasons for which settle
//     would refuse it, judged by decisions that are already in effect there.
//   - Bounded: the bodies in progress share one limit in bytes, counted by what
//     was read of them. Beyond it a submission is asked to come again.
//   - Fair: the bodies of one provider have at most a share of that limit, and a
//     body that arrives slower than a minimum rate is given up.
//   - Independent: a full or failing REFUSED changes no answer.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"
	"github.com/aliquot-engine/aliquot/internal/watermark"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Errors of a submission that say nothing about its events. After each of them
// the same submission may be sent again: events that were already stored are then
// found to be duplicates.
var (
	// ErrOverloaded means that too much is in progress, or that the stream cannot
	// be reached. Nothing was stored. Try again after about a second.
	ErrOverloaded = errors.New("overloaded")
	// ErrFull means that free space is below the reserve: nothing was stored.
	ErrFull = errors.New("no space is left for usage")
	// ErrUnknown means that it could not be determined whether the submission, or
	// a part of it, was stored.
	ErrUnknown = errors.New("it is unknown whether the usage was stored")
)

// Defaults of a [Config].
const (
	DefaultMaxBody     = 16 << 20
	DefaultMaxPending  = 256 << 20
	DefaultMaxInFlight = 1
	DefaultQueueWait   = time.Second
	DefaultMinRate     = 4 << 10
	DefaultSlowAfter   = 10 * time.Second
)

// Pace is the slowest rate at which a body may arrive.
type Pace struct {
	Rate  int64         // bytes per second, on average, after After
	After time.Duration // time that a body may take at any rate
}

// Allows returns how long the first n bytes of a body may take.
func (p Pace) Allows(n int64) time.Duration {
	if n/p.Rate > int64(time.Hour/time.Second) {
		return p.After + time.Hour
	}
	return p.After + time.Duration(n/p.Rate)*time.Second + time.Duration(n%p.Rate*1000/p.Rate)*time.Millisecond
}

// Config is what a [Service] needs.
type Config struct {
	// Usage has the stream of each partition for which this process accepts
	// usage. Books of other partitions are unknown here.
	Usage map[int]*eventlog.Stream
	// Refused stores refused submissions; nil stores none.
	Refused *eventlog.Stream
	// Control is where the directory is read from.
	Control *eventlog.Stream
	// Settler says what is settled. It may be nil only in tests without a
	// settler: decisions then take effect at once, and nothing can be waited for.
	Settler Settler
	// Store finds outcomes, and Identities finds events without a sequence; nil
	// finds none.
	Store      Store
	Identities Identities
	// OperatorSHA256 is the SHA-256 of a token that makes its bearer an operator
	// without a key in the directory; zeros if there is none.
	OperatorSHA256 [32]byte

	// MaxBody is the largest body in bytes, before and after decompression; 0
	// means DefaultMaxBody. If it is smaller than a provider's batches, they are
	// all refused as too_large.
	MaxBody int
	// MaxPending limits the bytes of all bodies in progress; 0 means
	// DefaultMaxPending. Below MaxBody large submissions are never accepted.
	MaxPending int64
	// MaxProvider limits those of one provider; 0 means a quarter of MaxPending,
	// and at least MaxBody. Near MaxPending one provider can shut out the others.
	MaxProvider int64
	// MinRate is how many bytes of a body must arrive per second, on average
	// after SlowAfter; 0 means DefaultMinRate. If it is high, providers on slow
	// lines are refused; if it is near 0, a body can occupy its room for minutes.
	MinRate int64
	// SlowAfter is how long a body may take at any rate; 0 means
	// DefaultSlowAfter.
	SlowAfter time.Duration
	// MaxInFlight is how many messages of a partition are being stored at once; 0
	// means DefaultMaxInFlight. The stream syncs them one after the other anyway:
	// with 1, messages are largest, and twice as many packed events per second
	// were measured as with 2 (bench_test.go). A higher value may help with a
	// remote log.
	MaxInFlight int
	// QueueWait is how long a submission waits for room before it is asked to
	// come again; 0 means DefaultQueueWait.
	QueueWait time.Duration
	// Meter and Tracer receive metrics and traces; nil means none.
	Meter  metric.Meter
	Tracer trace.Tracer
	// Now returns the time of receipt; nil means time.Now.
	Now func() time.Time
	// Logger receives faults of the streams, never faults of a submission; nil
	// means slog.Default.
	Logger *slog.Logger
}

// Settler answers what is settled. Its waits end early with the context's error
// or with the error that stopped the settler.
type Settler interface {
	// WaitEffective returns when CONTROL is in effect up to position k in every
	// partition.
	WaitEffective(ctx context.Context, k uint64) error
	// WaitSettled returns when a partition has settled USAGE up to a position.
	WaitSettled(ctx context.Context, partition int, position uint64) error
}

// Service accepts submissions. Its methods may be called from any goroutine.
type Service struct {
	config     Config
	show       *instruments
	publishers map[int]*publisher
	keeper     *keeper
	room       *room
	works      sync.Pool // of *work
	bodies     sync.Pool // of *Body
	codings    codings
	received   atomic.Int64 // the latest stamp given

	known watermark.Mark // position in CONTROL up to which folded is

	mu     sync.RWMutex // guards what follows
	folded *directory.Directory
}

// New prepares a service; [Service.Run] runs it.
func New(config Config) (*Service, error) {
	if len(config.Usage) == 0 || config.Control == nil {
		return nil, errors.New("preparing ingest: CONTROL and the stream of a partition are required")
	}
	if config.MaxBody == 0 {
		config.MaxBody = DefaultMaxBody
	}
	if config.MaxPending == 0 {
		config.MaxPending = DefaultMaxPending
	}
	if config.MaxInFlight == 0 {
		config.MaxInFlight = DefaultMaxInFlight
	}
	if config.QueueWait == 0 {
		config.QueueWait = DefaultQueueWait
	}
	if config.MaxProvider == 0 {
		config.MaxProvider = max(config.MaxPending/4, int64(config.MaxBody)+1)
	}
	if config.MinRate == 0 {
		config.MinRate = DefaultMinRate
	}
	if config.SlowAfter == 0 {
		config.SlowAfter = DefaultSlowAfter
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	s := &Service{
		config:     config,
		publishers: map[int]*publisher{},
		room:       newRoom(config.MaxPending, config.MaxProvider),
		folded:     directory.New(),
	}
	var err error
	if s.show, err = newInstruments(config.Meter, config.Tracer); err != nil {
		return nil, fmt.Errorf("preparing ingest: %w", err)
	}
	s.works.New = func() any { return new(work) }
	for partition, stream := range config.Usage {
		s.publishers[partition] = newPublisher(partition, stream, config.MaxInFlight, s.show, config.Logger)
	}
	s.keeper = newKeeper(config.Refused, config.Logger)
	return s, nil
}

// Pace returns the slowest rate at which a body may arrive.
func (s *Service) Pace() Pace { return Pace{s.config.MinRate, s.config.SlowAfter} }

// Run follows CONTROL and stores submissions until ctx ends or CONTROL can no
// longer be read. It then refuses what is still queued with [ErrOverloaded], and
// returns when the outcome of every message in flight is known. A service runs
// once.
func (s *Service) Run(ctx context.Context) error {
	for _, partition := range slices.Sorted(maps.Keys(s.publishers)) {
		if err := s.begin(ctx, s.publishers[partition]); err != nil {
			return fmt.Errorf("running ingest: %w", err)
		}
	}
	watched, err := s.watch()
	if err != nil {
		return fmt.Errorf("running ingest: %w", err)
	}
	defer func() { _ = watched.Unregister() }() // never fails
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	for _, partition := range slices.Sorted(maps.Keys(s.publishers)) {
		p := s.publishers[partition]
		running.Go(func() { p.run(ctx) })
	}
	running.Go(func() { s.keeper.run(ctx) })
	err = s.follow(ctx)
	stop()
	running.Wait()
	if err != nil {
		return fmt.Errorf("running ingest: %w", err)
	}
	return nil
}

// begin finds the end of a partition's stream. It waits while the stream has no
// leader.
func (s *Service) begin(ctx context.Context, p *publisher) error {
	return retry.Policy{Pause: p.pause, Again: eventlog.Unavailable, Waits: func(cause error, _ time.Duration) {
		s.config.Logger.Warn("ingest waits for the log", "cause", cause)
	}}.Do(ctx, func() error { return p.begin(ctx) })
}

// stamp returns the time of receipt, in nanoseconds since 1970 UTC. It is later
// than every earlier one, so that no two stream messages are equal.
func (s *Service) stamp() int64 {
	now := s.config.Now().UnixNano()
	for {
		last := s.received.Load()
		next := max(now, last+1)
		if s.received.CompareAndSwap(last, next) {
			return next
		}
	}
}

// whole is a refusal of a whole submission.
func whole(field string, reason events.Reason, format string, args ...any) events.Refusal {
	return events.Refusal{Index: -1, Field: field, Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
