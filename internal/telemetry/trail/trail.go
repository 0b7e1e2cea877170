// Package trail follows work from trace to trace: through the headers of requests
// and messages, and from many pieces of work into one that combines them.
//
// The method: work that is sampled writes its W3C trace context into the header
// of the message that it produces. The reader of the message adds that context to
// the [Trail] of its own work. A span that begins at the end of a trail is a
// child of the first trace and linked to the others. So a trace that is viewed
// alone continues through the whole engine, and no trace is lost when several are
// combined.
//
// Services know this package and the OpenTelemetry interfaces; the process sets
// up what collects and exports (internal/telemetry).
//
// # Invariants
//
//   - Beside the data: a trace context is in a header, never part of a message.
//     Work that is not sampled writes nothing.
//   - Bounded: a trail keeps [Most] traces and drops the others.
//   - Free if unused: with a nil tracer, and for work that is not sampled,
//     nothing is allocated and no span begins.
package trail

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Most is how many traces a trail keeps.
const Most = 32

// MostBytes limits the size that a trace context adds to a header.
const MostBytes = 512

const (
	parentHeader = "traceparent"
	stateHeader  = "tracestate"
)

// Trail is the list of sampled traces from which some work originates, the first
// one first. The zero value is empty. It is not safe for concurrent use.
type Trail struct{ list []trace.SpanContext }

// Add adds a trace, if it is sampled.
func (t *Trail) Add(one trace.SpanContext) {
	if !one.IsSampled() || !one.IsValid() || len(t.list) == Most {
		return
	}
	if !slices.ContainsFunc(t.list, one.Equal) {
		t.list = append(t.list, one)
	}
}

// Join adds the traces of another trail.
func (t *Trail) Join(other Trail) {
	for _, one := range other.list {
		t.Add(one)
	}
}

// Take returns the trail and leaves an empty one behind.
func (t *Trail) Take() Trail {
	taken := *t
	t.list = nil
	return taken
}

// IsEmpty reports whether nothing sampled has been added.
func (t Trail) IsEmpty() bool { return len(t.list) == 0 }

// First returns the trace of which a span would be a child; invalid if the trail
// is empty.
func (t Trail) First() trace.SpanContext {
	if len(t.list) == 0 {
		return trace.SpanContext{}
	}
	return t.list[0]
}

// Start begins a span at the end of the trail. If the trail is empty or the
// tracer is nil, it returns the context unchanged and a span that records
// nothing.
func (t Trail) Start(ctx context.Context, tracer trace.Tracer, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	if tracer == nil || len(t.list) == 0 {
		return ctx, noop.Span{}
	}
	links := make([]trace.Link, 0, len(t.list)-1)
	for _, one := range t.list[1:] {
		links = append(links, trace.Link{SpanContext: one})
	}
	if len(links) > 0 {
		options = append(options, trace.WithLinks(links...))
	}
	return tracer.Start(trace.ContextWithRemoteSpanContext(ctx, t.list[0]), name, options...)
}

// Of reads the trace context of a header, whose names may be written in any case.
// It is invalid if the header has none.
func Of(header map[string][]string) trace.SpanContext {
	if len(header) == 0 {
		return trace.SpanContext{}
	}
	c := carrier(header)
	if c.Get(parentHeader) == "" {
		return trace.SpanContext{} // This is the case for most messages; nothing is allocated.
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), c)
	return trace.SpanContextFromContext(ctx)
}

// Parse reads a single traceparent value, such as the CloudEvents extension of
// that name. It is invalid if the value is not one.
func Parse(traceparent string) trace.SpanContext {
	return Of(map[string][]string{parentHeader: {traceparent}})
}

// Header returns a header with the context's trace, to be sent with a message, or
// nil if the trace is not sampled.
func Header(ctx context.Context) map[string][]string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return nil
	}
	header := carrier{}
	propagation.TraceContext{}.Inject(ctx, header)
	if state := header[stateHeader]; len(state) == 1 && len(state[0]) > MostBytes/2 {
		delete(header, stateHeader)
	}
	return header
}

// carrier lets the propagator read and write a header.
type carrier map[string][]string

func (c carrier) Get(name string) string {
	if values := c[name]; len(values) > 0 {
		return values[0]
	}
	for key, values := range c {
		if len(values) > 0 && len(key) == len(name) && strings.EqualFold(key, name) {
			return values[0]
		}
	}
	return ""
}

func (c carrier) Set(name, value string) { c[name] = []string{value} }

func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for key := range c {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
