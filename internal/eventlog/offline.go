package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// ErrReadOnly means that a stream is read from a copy: nothing is stored.
var ErrReadOnly = errors.New("stream is read only")

// Source is where the messages of a stream are that no server keeps: a second
// copy, or another stream seen through an edit.
//
// Positions 1 to Last are there, every one, and never change. Get returns
// ErrNotFound beyond. Messages calls each for every message from a position on,
// ascending, and returns nil behind the last, or the error of each. What is
// missing or altered is an error that names the position: no message is ever
// left out. All three are called from several goroutines, and Messages may be
// under way more than once.
type Source interface {
	Last() uint64
	Get(ctx context.Context, position uint64) (Message, error)
	Messages(ctx context.Context, from uint64, each func(Message) error) error
}

// Offline is a stream of a source. It is read like every other; who waits for
// more than there is waits until its context ends. Publishing is ErrReadOnly.
func Offline(name string, created time.Time, source Source) *Stream {
	return &Stream{name: name, created: created, source: source}
}

// offlineInfo is the extent of a source, which has no gaps.
func (s *Stream) offlineInfo() Info {
	last := s.source.Last()
	return Info{First: 1, Last: last, Messages: last}
}

// offlineLast looks for the last message of a subject, once for all subjects.
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

// offline reads a source as run reads a server, and is the only writer of ahead.
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
