// Package trail follows work from trace to trace: over the headers of requests
// and messages, and from many pieces of work into the one that does them
// together.
//
// The method: what is sampled leaves its W3C trace context in the header of the
// message that it is written into; whoever reads the message adds it to the
// [Trail] of what it is doing. A span that begins where a trail ends is a child
// of the first and linked to the others, so that a trace shown by itself goes
// on through the whole engine, and none of those done together is lost.
//
// Services know this package and the OpenTelemetry interfaces; what collects
// and exports is set up by the process (internal/telemetry).
//
// # Invariants
//
//   - Beside the data: a trace context is a header, never a part of a message.
//     What is not sampled leaves nothing.
//   - Bounded: a trail keeps [Most] traces and forgets the others.
//   - Free where it is not wanted: with a nil tracer, and for what is not
//     sampled, nothing is allocated and no span begins.
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

// MostBytes bounds what a trace context adds to a header.
const MostBytes = 512

const (
	parentHeader = "traceparent"
	stateHeader  = "tracestate"
)

// Trail is the sampled traces that some work goes back to, the first one first.
// The zero value is empty. It is not safe for concurrent use.
type Trail struct{ list []trace.SpanContext }

// Add notes one, if it is sampled.
func (t *Trail) Add(one trace.SpanContext) {
	if !one.IsSampled() || !one.IsValid() || len(t.list) == Most {
		return
	}
	if !slices.ContainsFunc(t.list, one.Equal) {
		t.list = append(t.list, one)
	}
}

// Join notes those of another trail.
func (t *Trail) Join(other Trail) {
	for _, one := range other.list {
		t.Add(one)
	}
}

// Take returns the trail and leaves an empty one.
func (t *Trail) Take() Trail {
	taken := *t
	t.list = nil
	return taken
}

// IsEmpty reports whether nothing sampled has been added.
func (t Trail) IsEmpty() bool { return len(t.list) == 0 }

// First is the one that a span would be a child of; invalid where there is none.
func (t Trail) First() trace.SpanContext {
	if len(t.list) == 0 {
		return trace.SpanContext{}
	}
	return t.list[0]
}

// Start begins a span where the trail ends. Where it is empty or the tracer nil,
// the context is returned as it is, with a span that records nothing.
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

// Of reads the trace context of a header, whose names may be written in any
// case; invalid where it has none.
func Of(header map[string][]string) trace.SpanContext {
	if len(header) == 0 {
		return trace.SpanContext{}
	}
	c := carrier(header)
	if c.Get(parentHeader) == "" {
		return trace.SpanContext{} // Most messages: nothing is allocated.
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), c)
	return trace.SpanContextFromContext(ctx)
}

// Parse reads the value of a traceparent by itself, such as the CloudEvents
// extension of that name; invalid where it is none.
func Parse(traceparent string) trace.SpanContext {
	return Of(map[string][]string{parentHeader: {traceparent}})
}

// Header returns a header with the context's trace, or nil where it is not
// sampled: what is to travel with a message.
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
