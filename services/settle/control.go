package settle

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/telemetry/trail"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/settle/posting"
)

// ahead is how many decisions may wait for their barrier before the follower
// of CONTROL stops reading.
const ahead = 4096

// queue holds decisions between the follower, which adds, and the core, which
// takes.
type queue struct {
	mu     sync.Mutex
	list   []posting.Decided
	change chan struct{} // closed when list changes
}

func newQueue() *queue { return &queue{change: make(chan struct{})} }

func (q *queue) changed() {
	close(q.change)
	q.change = make(chan struct{})
}

// add waits for room.
func (q *queue) add(ctx context.Context, d posting.Decided) error {
	for {
		q.mu.Lock()
		if len(q.list) < ahead {
			q.list = append(q.list, d)
			q.changed()
			q.mu.Unlock()
			return nil
		}
		change := q.change
		q.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// upTo takes the decisions after one position up to another, waiting until they
// have been read: a barrier may be seen before what it names.
func (q *queue) upTo(ctx context.Context, after, through uint64) ([]posting.Decided, error) {
	if through <= after {
		return nil, nil
	}
	taken := make([]posting.Decided, 0, through-after)
	for {
		q.mu.Lock()
		n := 0
		for n < len(q.list) && q.list[n].Position <= through {
			n++
		}
		taken = append(taken, q.list[:n]...)
		if q.list = q.list[n:]; n > 0 {
			q.changed()
		}
		change := q.change
		q.mu.Unlock()
		if k := len(taken); k > 0 && taken[k-1].Position == through {
			return taken, nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// decided reads a message of CONTROL.
func decided(m eventlog.Message) posting.Decided {
	d, err := events.DecodeDecision(m.Data)
	if err != nil {
		d, err = events.Decision{}, fmt.Errorf("the decision cannot be read: %w", err)
	}
	return posting.Decided{Position: m.Seq, Decision: d, Err: err}
}

// follow reads CONTROL and publishes a barrier for what it has read. One barrier
// covers what has arrived by then.
func (s *Settler) follow(ctx context.Context) error {
	r, err := s.config.Control.Read(ctx, s.config.Cursor.Control+1, "")
	if err != nil {
		return err
	}
	defer r.Stop()
	for {
		m, err := r.Next(ctx)
		if err != nil {
			return err
		}
		var from trail.Trail
		for n, more := 0, true; more; n++ {
			from.Add(m.Trace())
			if err := s.decisions.add(ctx, decided(m)); err != nil {
				return err
			}
			if n >= ahead/4 {
				break
			}
			next, ok, err := r.TryNext()
			if err != nil {
				return err
			}
			if more = ok; ok {
				m = next
			}
		}
		if s.config.Until > 0 {
			continue
		}
		message := events.AppendMessage(nil, &events.Message{Kind: events.Barrier, Control: m.Seq, Rules: posting.Rules})
		in, span := from.Start(ctx, s.show.tracer, "publish barrier", trace.WithSpanKind(trace.SpanKindProducer))
		if err := s.publish(in, message); err != nil {
			return failed(span, fmt.Errorf("publishing the barrier for control position %d: %w", m.Seq, err))
		}
		span.End()
	}
}

// mark publishes the markers that the core asks for.
func (s *Settler) mark(ctx context.Context) error {
	message := events.AppendMessage(nil, &events.Message{Kind: events.Marker})
	for {
		select {
		case <-s.marker:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := s.publish(ctx, message); err != nil {
			return fmt.Errorf("publishing a marker: %w", err)
		}
	}
}

// publish puts a barrier or marker into USAGE. It tries until it succeeds: both
// may be there twice, so an unknown outcome needs no reading back.
func (s *Settler) publish(ctx context.Context, message []byte) error {
	for {
		_, err := s.config.Usage.Publish(ctx, eventlog.UsageSubject(uint32(s.config.Partition)), message, eventlog.PublishOptions{})
		if err == nil || ctx.Err() != nil || !interrupted(err) {
			return err
		}
		s.log.WarnContext(ctx, "publishing into USAGE waits", "partition", s.config.Partition, "cause", err)
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
