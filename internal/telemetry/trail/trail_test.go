package trail

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

const (
	sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	dropped = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-00"
	another = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203333-01"
)

func TestASpanIsAChildOfTheFirstAndLinkedToTheOthers(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	tracer := trace.NewTracerProvider(trace.WithSpanProcessor(recorder)).Tracer("test")
	var all Trail
	for _, one := range []string{dropped, sampled, sampled, another} {
		all.Add(Parse(one))
	}
	ctx, span := all.Start(t.Context(), tracer, "both")
	span.End()
	ended := recorder.Ended()
	if len(ended) != 1 {
		t.Fatalf("%d spans, want 1", len(ended))
	}
	if got := ended[0].Parent(); !got.Equal(Parse(sampled)) {
		t.Errorf("the parent is %v", got)
	}
	if links := ended[0].Links(); len(links) != 1 || !links[0].SpanContext.Equal(Parse(another)) {
		t.Errorf("the links are %v", links)
	}
	header := Header(ctx)
	if got := Of(header); got.SpanID() != span.SpanContext().SpanID() || got.TraceID() != Parse(sampled).TraceID() {
		t.Errorf("the header %v is not of the span %v", header, span.SpanContext())
	}
}

func TestWhatIsNotSampledLeavesNothing(t *testing.T) {
	tracer := trace.NewTracerProvider().Tracer("test")
	var none Trail
	none.Add(Parse(dropped))
	none.Add(Parse("00-nonsense"))
	if !none.IsEmpty() {
		t.Fatalf("%v", none)
	}
	ctx, span := none.Start(t.Context(), tracer, "none")
	if span.IsRecording() || Header(ctx) != nil {
		t.Errorf("a span began, header %v", Header(ctx))
	}
	one := Trail{}
	one.Add(Parse(sampled))
	if ctx, span := one.Start(context.Background(), nil, "no tracer"); span.IsRecording() || Header(ctx) != nil {
		t.Error("a span began without a tracer")
	}
}

func TestATrailIsBounded(t *testing.T) {
	tracer := trace.NewTracerProvider().Tracer("test")
	var all Trail
	for range 3 * Most {
		_, span := tracer.Start(t.Context(), "one")
		all.Add(span.SpanContext())
	}
	if len(all.list) != Most {
		t.Errorf("%d traces are kept, want %d", len(all.list), Most)
	}
	long := map[string][]string{"Traceparent": {sampled}, "TraceState": {"a=" + strings.Repeat("x", 240) + ",b=" + strings.Repeat("y", 240)}}
	var one Trail
	one.Add(Of(long))
	ctx, _ := one.Start(t.Context(), tracer, "long")
	size := 0
	for key, values := range Header(ctx) {
		size += len(key) + len(values[0])
	}
	if size == 0 || size > MostBytes {
		t.Errorf("the header has %d bytes, want at most %d", size, MostBytes)
	}
}
