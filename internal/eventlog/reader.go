package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// A pull is bounded by bytes: unbounded pulls of large messages stall.
	pullBytes     = 8 << 20
	pullMessages  = 1024
	pullExpiry    = 30 * time.Second
	pullHeartbeat = time.Second
	// aheadMessages is how many messages are decoded ahead of the caller, in
	// addition to the pull's buffer.
	aheadMessages = 4

	consumerIdle  = 5 * time.Minute
	reopenFirst   = 50 * time.Millisecond
	reopenLast    = 2 * time.Second
	openTimeout   = 10 * time.Second
	reopenTimeout = 2 * time.Second // a server does not answer during an election: it is soon asked again
	removeTimeout = 2 * time.Second
)

// Reader returns a stream's messages in order. One goroutine at a time may use
// it; Stop may be called from another.
type Reader struct {
	stream *Stream
	filter string
	stop   context.CancelFunc
	done   chan struct{}
	ahead  chan Message

	// Owned by the reading goroutine until done is closed.
	last uint64 // the last position delivered or, before the first, from-1
	err  error

	mu      sync.Mutex // guards what follows
	stopped bool
}

// Read starts reading at position from (0 means 1). With a filter, which is a
// subject that may contain wildcards, it returns only messages of that subject.
// Without a filter, and on a stream that is not Bounded, it checks that
// positions follow each other.
//
// It fails with ErrRewound if the stream ends before from-1, with ErrGap if it
// begins after from, and with ErrOtherStream if it was created again. ctx
// bounds only the opening; afterwards the reader reconnects by itself until
// Stop.
func (s *Stream) Read(ctx context.Context, from uint64, filter string) (*Reader, error) {
	if from == 0 {
		from = 1
	}
	r := &Reader{
		stream: s,
		filter: filter,
		done:   make(chan struct{}),
		ahead:  make(chan Message, aheadMessages),
		last:   from - 1,
	}
	if s.source != nil {
		if last := s.source.Last(); last < r.last {
			return nil, fmt.Errorf("reading stream %s from %d: %w: it ends at %d", s.name, from, ErrRewound, last)
		}
		lifetime, stop := context.WithCancel(context.WithoutCancel(ctx))
		r.stop = stop
		go r.offline(lifetime)
		return r, nil
	}
	iterator, err := r.open(ctx, openTimeout)
	if err != nil {
		return nil, fmt.Errorf("reading stream %s from %d: %w", s.name, from, err)
	}
	// The reader outlives the call that opened it; Stop ends it.
	lifetime, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop = stop
	go r.run(lifetime, iterator)
	return r, nil
}

// Next blocks until there is a message, ctx ends, or the reader cannot continue
// (ErrGap, ErrRewound, ErrOtherStream, ErrClosed). After such an error every
// call returns it.
func (r *Reader) Next(ctx context.Context) (Message, error) {
	select {
	case message, ok := <-r.ahead:
		if ok {
			return message, nil
		}
		return Message{}, r.failure()
	case <-ctx.Done():
		return Message{}, ctx.Err()
	}
}

// NextTimeout is Next with a time limit; ok is false if no message arrived in
// time.
func (r *Reader) NextTimeout(ctx context.Context, wait time.Duration) (message Message, ok bool, err error) {
	if message, ok, err = r.TryNext(); ok || err != nil {
		return message, ok, err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case message, ok = <-r.ahead:
		if ok {
			return message, true, nil
		}
		return Message{}, false, r.failure()
	case <-timer.C:
		return Message{}, false, nil
	case <-ctx.Done():
		return Message{}, false, ctx.Err()
	}
}

// TryNext returns a message that has already arrived, without waiting; ok is
// false if there is none. A message may be stored but not have arrived yet:
// compare with Stream.Last.
func (r *Reader) TryNext() (message Message, ok bool, err error) {
	select {
	case message, ok = <-r.ahead:
		if ok {
			return message, true, nil
		}
		return Message{}, false, r.failure()
	default:
		return Message{}, false, nil
	}
}

// Stop ends the reader and waits for it. Messages not yet taken are dropped.
func (r *Reader) Stop() {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.stop()
	<-r.done
}

func (r *Reader) failure() error {
	<-r.done
	return r.err
}

// iterator is one consumer of the server and its running pull.
type iterator struct {
	name      string
	messages  jetstream.MessagesContext
	delivered uint64
}

// open checks that the stream is still the one known and makes a consumer that
// begins after the last position delivered.
func (r *Reader) open(ctx context.Context, timeout time.Duration) (*iterator, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s := r.stream
	extent, created, err := s.info(ctx)
	switch {
	case err != nil:
		return nil, err
	case !created.Equal(s.created):
		return nil, fmt.Errorf("%w: created %v, known %v", ErrOtherStream, created, s.created)
	case extent.Last < r.last:
		return nil, fmt.Errorf("%w: it ends at %d, after %d was known", ErrRewound, extent.Last, r.last)
	case r.complete() && extent.First > r.last+1:
		return nil, fmt.Errorf("%w: positions %d to %d", ErrGap, r.last+1, extent.First-1)
	}
	consumer, err := s.handle.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       r.last + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		FilterSubject:     r.filter,
		InactiveThreshold: consumerIdle,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return nil, fmt.Errorf("making consumer: %w", interrupted(err))
	}
	messages, err := consumer.Messages(
		jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes),
		jetstream.PullExpiry(pullExpiry),
		jetstream.PullHeartbeat(pullHeartbeat),
		jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return nil, fmt.Errorf("pulling: %w", interrupted(err))
	}
	return &iterator{name: consumer.CachedInfo().Name, messages: messages}, nil
}

// complete reports whether every position must be present.
func (r *Reader) complete() bool { return r.filter == "" && !r.stream.bounded }

// run owns the iterator, replaces it when it breaks, and is the only writer of
// ahead.
func (r *Reader) run(ctx context.Context, it *iterator) {
	defer close(r.done)
	defer close(r.ahead)
	for {
		err := r.drain(ctx, it)
		r.discard(it)
		if it, err = r.reopen(ctx, err); err != nil {
			r.mu.Lock()
			stopped := r.stopped
			r.mu.Unlock()
			if stopped || r.stream.log.isClosed() {
				err = ErrClosed
			}
			r.err = fmt.Errorf("reading stream %s after %d: %w", r.stream.name, r.last, err)
			return
		}
	}
}

// drain passes messages on until the iterator breaks or the order does.
func (r *Reader) drain(ctx context.Context, it *iterator) error {
	for {
		raw, err := it.messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := raw.Metadata()
		if err != nil {
			return fmt.Errorf("reading a message's position: %w", err)
		}
		// The server numbers its deliveries, so a message that was lost on the
		// way is recognised here and is not reported as a gap.
		if meta.Sequence.Consumer != it.delivered+1 {
			return fmt.Errorf("delivery %d follows %d", meta.Sequence.Consumer, it.delivered)
		}
		it.delivered++
		seq := meta.Sequence.Stream
		if seq <= r.last {
			return fmt.Errorf("%w: position %d follows %d", ErrRewound, seq, r.last)
		}
		if r.complete() && seq != r.last+1 {
			return fmt.Errorf("%w: positions %d to %d", ErrGap, r.last+1, seq-1)
		}
		message := Message{Seq: seq, Subject: raw.Subject(), Data: raw.Data(), Header: raw.Headers(), Time: meta.Timestamp}
		select {
		case r.ahead <- message:
			r.last = seq
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reopen returns a new iterator after an interruption, or the error that ends
// the reader.
func (r *Reader) reopen(ctx context.Context, cause error) (it *iterator, err error) {
	err = retry.Policy{
		Pause: reopenFirst, Longest: reopenLast,
		Again: func(err error) bool { return !r.final(ctx, err) },
		Waits: func(cause error, _ time.Duration) {
			r.stream.log.logger.Warn("event log reader interrupted", "stream", r.stream.name, "after", r.last, "error", cause)
		},
	}.Do(ctx, func() (err error) {
		if err, cause = cause, nil; err != nil {
			return err // the interruption counts as the first attempt
		}
		it, err = r.open(ctx, reopenTimeout)
		return err
	})
	return it, err
}

// final reports whether an error will not pass, so that repeating is useless.
func (r *Reader) final(ctx context.Context, err error) bool {
	return ctx.Err() != nil || r.stream.log.isClosed() ||
		errors.Is(err, ErrGap) || errors.Is(err, ErrRewound) || errors.Is(err, ErrOtherStream) ||
		errors.Is(err, ErrClosed) || errors.Is(err, jetstream.ErrStreamNotFound)
}

// discard removes the consumer; if that fails, the server removes it after it
// has been idle.
func (r *Reader) discard(it *iterator) {
	it.messages.Stop()
	if r.stream.log.isClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	_ = r.stream.handle.DeleteConsumer(ctx, it.name)
}
