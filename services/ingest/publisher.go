package ingest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/telemetry/trail"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Limits of one message that combines segments; a single segment may exceed
// targetBytes.
const (
	targetBytes  = 512 << 10 // of packed segments, before compression
	targetEvents = 10_000

	maxAttempts = 5
	retryWait   = time.Second
)

// part is one segment on its way to a stream.
type part struct {
	partition int
	events    int
	segment   events.Segment
	ticket    *ticket
	trace     trace.SpanContext // of the submission, if it is sampled

	// Written by the publisher before the ticket is counted down.
	position uint64
	first    int // ordinal of the first event in the message
	err      error
}

// ticket waits for the parts of one submission.
type ticket struct {
	left atomic.Int64
	done chan struct{}
}

func (t *ticket) count() {
	if t.left.Add(-1) == 0 {
		close(t.done)
	}
}

// store publishes parts and returns when all of them are known to be stored, or
// with the first error. Consecutive parts of one partition share a message if
// they fit, because they are queued together.
func (s *Service) store(parts []part) error {
	t := &ticket{done: make(chan struct{})}
	t.left.Store(int64(len(parts)))
	for i := range parts {
		parts[i].ticket = t
	}
	for rest := parts; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].partition == rest[0].partition {
			n++
		}
		// The gate found the book, so its partition has a publisher.
		s.publishers[rest[0].partition].add(rest[:n])
		rest = rest[n:]
	}
	<-t.done
	for i := range parts {
		if parts[i].err != nil {
			return parts[i].err
		}
	}
	return nil
}

// publisher combines the parts of one partition into messages and stores them.
type publisher struct {
	stream  stream
	subject string
	show    *instruments
	logger  *slog.Logger
	wake    chan struct{}
	slots   chan *slot
	pause   time.Duration // between attempts to read the stream back
	nonce   string        // of this process, so that message ids are its own
	count   atomic.Uint64 // of messages
	// floor is a position up to which no message of this publisher is in doubt.
	floor atomic.Uint64

	mu     sync.Mutex // guards what follows
	queue  []*part
	closed bool
}

// slot is the memory for storing one message; it is reused.
type slot struct {
	parts   []*part
	message events.Message
	data    []byte
}

// stream is what a publisher needs from an [eventlog.Stream], whose errors it
// distinguishes.
type stream interface {
	Publish(ctx context.Context, subject string, data []byte, options eventlog.PublishOptions) (uint64, error)
	Last(ctx context.Context) (uint64, error)
	Get(ctx context.Context, position uint64) (eventlog.Message, error)
}

func newPublisher(partition int, stream stream, inFlight int, show *instruments, logger *slog.Logger) *publisher {
	p := &publisher{
		stream:  stream,
		subject: eventlog.UsageSubject(uint32(partition)),
		show:    show,
		logger:  logger,
		wake:    make(chan struct{}, 1),
		slots:   make(chan *slot, inFlight),
		pause:   retryWait,
		nonce:   rand.Text(),
	}
	for range inFlight {
		p.slots <- new(slot)
	}
	return p
}

// begin finds the end of the stream.
func (p *publisher) begin(ctx context.Context) error {
	last, err := p.stream.Last(ctx)
	if err == nil {
		p.reached(last)
	}
	return err
}

// add queues parts, all of them before the first one is taken.
func (p *publisher) add(parts []part) {
	p.mu.Lock()
	closed := p.closed
	for i := range parts {
		if closed {
			parts[i].err = fmt.Errorf("%w: stopping", ErrOverloaded)
			parts[i].ticket.count()
			continue
		}
		p.queue = append(p.queue, &parts[i])
	}
	p.mu.Unlock()
	if closed {
		return
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run stores what is queued until ctx ends. While all slots are in use the queue
// fills, and the next message takes as much of it as fits.
func (p *publisher) run(ctx context.Context) {
	var storing sync.WaitGroup
	for p.next(ctx, &storing) {
	}
	p.mu.Lock()
	p.closed = true
	rest := p.queue
	p.queue = nil
	p.mu.Unlock()
	for _, one := range rest {
		one.err = fmt.Errorf("%w: stopping", ErrOverloaded)
		one.ticket.count()
	}
	storing.Wait()
}

func (p *publisher) next(ctx context.Context, storing *sync.WaitGroup) bool {
	select {
	case <-p.wake:
	case <-ctx.Done():
		return false
	}
	for {
		var free *slot
		select {
		case free = <-p.slots:
		case <-ctx.Done():
			return false
		}
		if !p.take(free) {
			p.slots <- free
			return true
		}
		storing.Go(func() {
			p.publish(ctx, free)
			p.slots <- free
		})
	}
}

// take moves parts from the queue to a slot. It returns false if there are none.
func (p *publisher) take(s *slot) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	size, count, n := 0, 0, 0
	for _, one := range p.queue {
		size += len(one.segment.Packed)
		count += one.events
		if n > 0 && (size > targetBytes || count > targetEvents) || n == events.MaxSegments {
			break
		}
		n++
	}
	s.parts = append(s.parts[:0], p.queue[:n]...)
	rest := copy(p.queue, p.queue[n:])
	clear(p.queue[rest:])
	p.queue = p.queue[:rest]
	return n > 0
}

// publish stores the parts of a slot as one message and completes their tickets.
func (p *publisher) publish(ctx context.Context, s *slot) {
	segments := s.message.Segments[:0]
	for _, one := range s.parts {
		segments = append(segments, one.segment)
	}
	s.message = events.Message{Kind: events.Batch, Segments: segments}
	s.data = events.AppendMessage(s.data[:0], &s.message)
	position, err := p.shown(ctx, s)
	first := 0
	for _, one := range s.parts {
		one.position, one.first, one.err = position, first, err
		first += one.events
		one.ticket.count()
	}
	clear(s.parts)
	clear(segments)
}

// shown stores the message of a slot and records a span for it, which continues
// the traces of the submissions in it.
func (p *publisher) shown(ctx context.Context, s *slot) (position uint64, err error) {
	var from trail.Trail
	count := 0
	for _, one := range s.parts {
		from.Add(one.trace)
		count += one.events
	}
	ctx, span := from.Start(ctx, p.show.tracer, "publish "+p.subject, trace.WithSpanKind(trace.SpanKindProducer))
	began := time.Now()
	position, err = p.store(ctx, s.data)
	p.show.storing.Record(ctx, time.Since(began).Seconds())
	p.show.batchEvents.Record(ctx, int64(count))
	p.show.batchBytes.Record(ctx, int64(len(s.data)))
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("messaging.system", "nats"),
			attribute.String("messaging.destination.name", p.subject),
			attribute.Int("messaging.batch.message_count", len(s.parts)),
			attribute.Int("aliquot.events", count),
			attribute.Int64("aliquot.position", int64(position)),
		)
		failed(span, err)
	}
	span.End()
	return position, err
}

// store stores a message and returns its position once it is on disk.
//
// If the outcome of a publish is unknown, the end of the stream is read back.
// Either the message is there, or it is published again under the condition that
// the stream still ends where it was read to. Messages of one connection reach
// the stream in order, so a first attempt that was only slow arrives before the
// condition is checked.
func (p *publisher) store(ctx context.Context, data []byte) (uint64, error) {
	// Once a message was sent, its outcome must be found out, even while
	// stopping.
	ctx = context.WithoutCancel(ctx)
	options := eventlog.PublishOptions{MsgID: p.nonce + "-" + strconv.FormatUint(p.count.Add(1), 10)}
	floor := p.floor.Load()
	doubt := false // whether it may be stored already
	for attempt := 1; ; attempt++ {
		position, err := p.stream.Publish(ctx, p.subject, data, options)
		switch {
		case err == nil:
			p.reached(position)
			return position, nil
		case errors.Is(err, eventlog.ErrAmbiguous):
			doubt = true
		case doubt:
			// This attempt was refused, but the first one may have been stored.
		case errors.Is(err, eventlog.ErrFull):
			return 0, fmt.Errorf("%w: %w", ErrFull, err)
		default:
			return 0, fmt.Errorf("%w: %w", ErrOverloaded, err)
		}
		p.logger.WarnContext(ctx, "storing usage", "attempt", attempt, "error", err)
		position, last, found, unread := p.search(ctx, data, floor)
		switch {
		case found:
			p.reached(position)
			return position, nil
		case unread != nil:
			return 0, fmt.Errorf("%w: %w: %w", ErrUnknown, err, unread)
		case attempt == maxAttempts:
			return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		if !errors.Is(err, eventlog.ErrWrongLastSequence) {
			time.Sleep(p.pause)
		}
		options.ExpectLastSeq = &last
	}
}

// search does the same as find, and repeats it while the stream cannot be read.
func (p *publisher) search(ctx context.Context, data []byte, floor uint64) (position, last uint64, found bool, err error) {
	err = retry.Policy{
		Pause:  p.pause,
		Enough: func(tries int, _ time.Duration) bool { return tries == maxAttempts },
	}.Do(ctx, func() (err error) {
		position, last, found, err = p.find(ctx, data, floor)
		return err
	})
	return position, last, found, err
}

// find looks for a message among those after floor. last is the end of the
// stream.
func (p *publisher) find(ctx context.Context, data []byte, floor uint64) (position, last uint64, found bool, err error) {
	if last, err = p.stream.Last(ctx); err != nil {
		return 0, 0, false, err
	}
	for position = floor + 1; position <= last; position++ {
		message, err := p.stream.Get(ctx, position)
		if err != nil && !errors.Is(err, eventlog.ErrNotFound) {
			return 0, 0, false, err
		}
		if err == nil && bytes.Equal(message.Data, data) {
			return position, last, true, nil
		}
	}
	return 0, last, false, nil
}

// reached raises the floor.
func (p *publisher) reached(position uint64) {
	for {
		floor := p.floor.Load()
		if position <= floor || p.floor.CompareAndSwap(floor, position) {
			return
		}
	}
}
