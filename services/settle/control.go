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
	list   []following
	change chan struct{} // closed when list changes
}

// following is a decision, and the root of the log of CONTROL with it.
type following struct {
	posting.Decided
	root *events.Root // nil where no tree is kept
}

func newQueue() *queue { return &queue{change: make(chan struct{})} }

func (q *queue) changed() {
	close(q.change)
	q.change = make(chan struct{})
}

// add waits for room.
func (q *queue) add(ctx context.Context, d following) error {
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
// have been read: a barrier may be seen before what it names. It returns the
// root of CONTROL with them.
func (q *queue) upTo(ctx context.Context, after, through uint64) (taken []posting.Decided, root *events.Root, err error) {
	if through <= after {
		return nil, nil, nil
	}
	taken = make([]posting.Decided, 0, through-after)
	for {
		q.mu.Lock()
		n := 0
		for n < len(q.list) && q.list[n].Position <= through {
			n++
		}
		for i := range q.list[:n] {
			taken = append(taken, q.list[i].Decided)
			root = q.list[i].root
		}
		if q.list = q.list[n:]; n > 0 {
			q.changed()
		}
		change := q.change
		q.mu.Unlock()
		if k := len(taken); k > 0 && taken[k-1].Position == through {
			return taken, root, nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
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

// grow adds a message of CONTROL to its tree, and returns the root with it.
func (s *Settler) grow(m eventlog.Message) *events.Root {
	if s.config.Tree == nil {
		return nil
	}
	s.config.Tree.Append(m.Seq, m.Subject, m.Data)
	root := events.Root(s.config.Tree.Root())
	return &root
}

// rests compares the root that a barrier carries with CONTROL as it was read:
// where they differ, CONTROL is not what it was when the barrier was made.
func (s *Settler) rests(m *message) error {
	if m.root == nil || s.root == nil || m.control != s.rootAt || *m.root == *s.root {
		return nil
	}
	return fmt.Errorf("the barrier at position %d rests on CONTROL up to %d with root %s, and it has root %s: decisions were altered since", m.position, m.control, m.root, s.root)
}

// follow reads CONTROL and publishes a barrier for what it has read. One barrier
// covers what has arrived by then.
func (s *Settler) follow(ctx context.Context) error {
	r, err := s.config.Control.Read(ctx, s.config.Cursor.Control+1, "")
	if err != nil {
		return err
	}
	defer r.Stop()
	var root *events.Root
	for {
		m, err := r.Next(ctx)
		if err != nil {
			return err
		}
		var from trail.Trail
		for n, more := 0, true; more; n++ {
			from.Add(m.Trace())
			root = s.grow(m)
			if err := s.decisions.add(ctx, following{decided(m), root}); err != nil {
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
		message := events.AppendMessage(nil, &events.Message{Kind: events.Barrier, Control: m.Seq, Rules: posting.Rules, Root: root})
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
