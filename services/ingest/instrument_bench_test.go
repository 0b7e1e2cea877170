package ingest

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// BenchmarkASubmissionIsShown measures what telemetry costs for one submission,
// whatever the number of its events.
func BenchmarkASubmissionIsShown(b *testing.B) {
	meter := metric.NewMeterProvider(metric.WithReader(metric.NewManualReader())).Meter("bench")
	tracer := trace.NewTracerProvider(trace.WithSampler(trace.AlwaysSample())).Tracer("bench")
	hidden, err := newInstruments(nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	measured, err := newInstruments(meter, nil)
	if err != nil {
		b.Fatal(err)
	}
	traced, err := newInstruments(meter, tracer)
	if err != nil {
		b.Fatal(err)
	}
	for name, show := range map[string]*instruments{"nothing": hidden, "metrics": measured, "metrics and a trace": traced} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			w := &work{}
			submission := &Submission{Provider: "acme", Form: Batch, Header: map[string][]string{"Content-Type": {BatchMedia}}}
			answer := &events.Answer{Accepted: 1000, Handle: []events.Handle{{Position: 7, Count: 1000}}}
			for b.Loop() {
				ctx, span := show.begin(context.Background(), w, submission, time.Now().UnixNano())
				show.answered(ctx, time.Now(), answer, nil)
				show.storing.Record(ctx, 0.001)
				show.batchEvents.Record(ctx, 1000)
				show.batchBytes.Record(ctx, 100_000)
				end(span, submission, answer, nil)
			}
		})
	}
}
