package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// ErrReadOnly means that a stream is read from a copy, so that nothing can be
// stored.
var ErrReadOnly = errors.New("stream is read only")

// Source has the messages of a stream that no server keeps: a second copy, or
// an edited view of another stream.
//
// It has every position from 1 to Last, and they never change. Get returns
// ErrNotFound for later positions. Messages calls each for every message from a
// position on, in ascending order, and returns nil after the last one, or the
// error of each. A missing or altered message is an error that names the
// position; no message is ever left out. All three may be called from several
// goroutines, and several calls of Messages may run at the same time.
type Source interface {
	Last() uint64
	Get(ctx context.Context, position uint64) (Message, error)
	Messages(ctx context.Context, from uint64, each func(Message) error) error
}

// Offline returns a stream that is read from a source. It is read like every
// other stream; a reader that waits for a message after the last one waits
// until its context ends. Publishing fails with ErrReadOnly.
func Offline(name string, created time.Time, source Source) *Stream {
	return &Stream{name: name, created: created, source: source}
}

// offlineInfo returns the extent of a source, which has no gaps.
func (s *Stream) offlineInfo() Info {
	last := s.source.Last()
	return Info{First: 1, Last: last, Messages: last}
}

// offlineLast returns the last message of a subject. The first call finds the
// last messages of all subjects.
func (s *Stream) offlineLast(ctx context.Context, subject string) (Message, error) {
	s.lasts.Lock()
	defer s.lasts.Unlock()
	if s.last == nil {
		last := map[string]uint64{}
		err := s.source.Messages(ctx, 1, func(m Message) error {
			last[m.Subject] = m.Seq
			return ctx.Err()
		})
		if err != nil {
			return Message{}, err
		}
		s.last = last
	}
	at, ok := s.last[subject]
	if !ok {
		return Message{}, ErrNotFound
	}
	return s.source.Get(ctx, at)
}

// offline reads a source in the way in which run reads a server, and is the
// only writer of ahead.
func (r *Reader) offline(ctx context.Context) {
	defer close(r.done)
	defer close(r.ahead)
	err := r.stream.source.Messages(ctx, r.last+1, func(m Message) error {
		if m.Seq != r.last+1 {
			return fmt.Errorf("%w: position %d follows %d", ErrGap, m.Seq, r.last)
		}
		r.last = m.Seq
		if r.filter != "" && !server.SubjectMatchesFilter(m.Subject, r.filter) {
			return ctx.Err()
		}
		select {
		case r.ahead <- m:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err == nil {
		<-ctx.Done()
	}
	r.mu.Lock()
	stopped := r.stopped
	r.mu.Unlock()
	if stopped || err == nil {
		err = ErrClosed
	}
	r.err = fmt.Errorf("reading stream %s after %d: %w", r.stream.name, r.last, err)
}
