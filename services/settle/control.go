package settle

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"
	"github.com/aliquot-engine/aliquot/internal/watermark"

	"go.opentelemetry.io/otel/trace"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/telemetry/trail"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/settle/posting"
)

// ahead is how many decisions may wait for their barrier before the follower
// of CONTROL stops reading.
const ahead = 4096

// queue holds decisions between the follower, which adds them, and the core,
// which takes them. Both work in the order of CONTROL, without gaps.
type queue struct {
	added, taken watermark.Mark // positions in CONTROL

	mu   sync.Mutex
	list []following // the decisions after taken, up to added
}

// following is a decision, and the root of the log of CONTROL that includes it.
type following struct {
	posting.Decided
	root *events.Root // nil if no tree is kept
}

// newQueue returns a queue for the decisions after a position.
func newQueue(after uint64) *queue {
	q := &queue{}
	q.added.Advance(after)
	q.taken.Advance(after)
	return q
}

// add adds a decision, and waits while the queue is full.
func (q *queue) add(ctx context.Context, d following) error {
	if d.Position > ahead {
		if err := q.taken.Wait(ctx, d.Position-ahead); err != nil {
			return err
		}
	}
	q.mu.Lock()
	q.list = append(q.list, d)
	q.mu.Unlock()
	q.added.Advance(d.Position)
	return nil
}

// upTo takes the decisions after one position up to another. It waits until
// they have been read, because the core may reach a barrier before the follower
// has read the decisions that the barrier names. It returns the root of CONTROL
// that includes them.
func (q *queue) upTo(ctx context.Context, after, through uint64) (taken []posting.Decided, root *events.Root, err error) {
	if through <= after {
		return nil, nil, nil
	}
	taken = make([]posting.Decided, 0, through-after)
	for at := after; at < through; {
		if err := q.added.Wait(ctx, at+1); err != nil {
			return nil, nil, err
		}
		q.mu.Lock()
		n := 0
		for n < len(q.list) && q.list[n].Position <= through {
			taken = append(taken, q.list[n].Decided)
			at, root = q.list[n].Position, q.list[n].root
			n++
		}
		q.list = q.list[n:]
		q.mu.Unlock()
		q.taken.Advance(at)
	}
	return taken, root, nil
}

// decided reads a message of CONTROL.
func decided(m eventlog.Message) posting.Decided {
	d, err := events.DecodeDecision(m.Data)
	if err != nil {
		d, err = events.Decision{}, fmt.Errorf("the decision cannot be read: %w", err)
	}
	return posting.Decided{Position: m.Seq, Decision: d, Err: err}
}

// grow adds a message of CONTROL to its tree, and returns the new root.
func (s *Settler) grow(m eventlog.Message) *events.Root {
	if s.config.Tree == nil {
		return nil
	}
	s.config.Tree.Append(m.Seq, m.Subject, m.Data)
	root := events.Root(s.config.Tree.Root())
	return &root
}

// rests compares the root that a barrier carries with the root of CONTROL as it
// was read. If they differ, CONTROL was altered after the barrier was made.
func (s *Settler) rests(m *message) error {
	if m.root == nil || s.root == nil || m.control != s.rootAt || *m.root == *s.root {
		return nil
	}
	return fmt.Errorf("the barrier at position %d rests on CONTROL up to %d with root %s, and it has root %s: decisions were altered since", m.position, m.control, m.root, s.root)
}

// follow reads CONTROL and publishes barriers for the decisions it has read.
// One barrier covers all decisions that have arrived by then.
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

// publish puts a barrier or marker into USAGE, and retries until it succeeds.
// Both may be there twice, so after an unknown outcome nothing needs to be read
// back.
func (s *Settler) publish(ctx context.Context, message []byte) error {
	return retry.Policy{Pause: interruptedPause, Longest: interruptedLongest, Again: interrupted, Waits: func(cause error, _ time.Duration) {
		s.log.WarnContext(ctx, "publishing into USAGE waits", "partition", s.config.Partition, "cause", cause)
	}}.Do(ctx, func() error {
		_, err := s.config.Usage.Publish(ctx, eventlog.UsageSubject(uint32(s.config.Partition)), message, eventlog.PublishOptions{})
		return err
	})
}
