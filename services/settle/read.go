package settle

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

const (
	// decodedAhead is how many messages are decoded before the core takes them.
	// A message of 10,000 events takes about 2 MB decoded.
	decodedAhead = 6
	// keepSegments and keepEvents bound the memory of a message that is reused;
	// a message that has grown larger is released.
	keepSegments = 64
	keepEvents   = 100_000
)

const (
	barrier = events.Barrier
	marker  = events.Marker
)

// message is one message of USAGE, decoded.
type message struct {
	position uint64
	kind     events.MessageKind
	control  uint64
	rules    uint32
	root     *events.Root
	segments []settlement.Decoded
	err      error // why it cannot be read

	trace    trace.SpanContext // trace in which it was written, if that was sampled
	data     []byte            // as it is in the stream
	envelope events.Message
	scratch  []byte
	columns  []*packed.Columns
	events   int
}

// decode reads a message. If it cannot be read, that is a property of the
// message (err), not an error.
func (m *message) decode(raw eventlog.Message) {
	m.position, m.data, m.events, m.control, m.rules = raw.Seq, raw.Data, 0, 0, 0
	m.trace = raw.Trace()
	m.root = nil
	m.segments = m.segments[:0]
	m.scratch, m.err = m.envelope.Decode(raw.Data, m.scratch)
	m.kind = m.envelope.Kind
	if m.err != nil {
		return
	}
	m.control, m.rules, m.root = m.envelope.Control, m.envelope.Rules, m.envelope.Root
	for i := range m.envelope.Segments {
		if i == len(m.columns) {
			m.columns = append(m.columns, new(packed.Columns))
		}
		d := settlement.Decoded{Segment: m.envelope.Segments[i], Columns: m.columns[i]}
		if d.Err = d.Columns.Decode(d.Packed); d.Err == nil {
			m.events += d.Columns.N
		}
		m.segments = append(m.segments, d)
	}
}

func (m *message) hash() [32]byte { return sha256.Sum256(m.data) }

// reader reads USAGE ahead of the core.
type reader struct {
	stream *eventlog.Stream
	seen   func(eventlog.Message, *events.Message, []settlement.Decoded) // see Config
	ready  chan *message
	free   chan *message
}

func newReader(stream *eventlog.Stream, seen func(eventlog.Message, *events.Message, []settlement.Decoded)) *reader {
	r := &reader{stream: stream, seen: seen, ready: make(chan *message, decodedAhead), free: make(chan *message, decodedAhead+2)}
	for range decodedAhead + 2 {
		r.free <- &message{}
	}
	return r
}

// run decodes messages from a position on, in order, until ctx ends or the
// stream fails.
func (r *reader) run(ctx context.Context, from uint64) error {
	in, err := r.stream.Read(ctx, from, "")
	if err != nil {
		return err
	}
	defer in.Stop()
	for {
		raw, err := in.Next(ctx)
		if err != nil {
			return fmt.Errorf("reading usage: %w", err)
		}
		var m *message
		select {
		case m = <-r.free:
		case <-ctx.Done():
			return ctx.Err()
		}
		m.decode(raw)
		if r.seen != nil && m.err == nil {
			r.seen(raw, &m.envelope, m.segments)
		}
		select {
		case r.ready <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// next returns the next message, or nil if none came within wait; a wait of 0
// has no limit.
func (r *reader) next(ctx context.Context, wait time.Duration) (*message, error) {
	select {
	case m := <-r.ready:
		return m, nil
	default:
	}
	var timeout <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case m := <-r.ready:
		return m, nil
	case <-timeout:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// release returns a message's memory to the pool. The memory of an
// exceptionally large message is not kept, because it would never be released
// again.
func (r *reader) release(m *message) {
	if len(m.columns) > keepSegments || m.events > keepEvents {
		m = &message{}
	}
	m.data = nil
	r.free <- m
}
