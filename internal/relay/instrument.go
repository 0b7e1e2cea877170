package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"

	"github.com/aliquot-engine/aliquot/internal/telemetry/trail"
)

// shown is the metrics and traces of a relay.
type shown struct {
	tracer  trace.Tracer
	stream  metric.MeasurementOption
	rows    metric.Int64Counter
	retries metric.Int64Counter
	lag     metric.Float64ObservableGauge
	meter   metric.Meter

	waits *waits
}

// waits describes the rows that were written but not relayed yet.
type waits struct {
	mu    sync.Mutex  // guards what follows
	since time.Time   // when the oldest of them was written, as far as this process knows; zero if none waits
	from  trail.Trail // the traces in which they were written
	taken time.Time   // the value of since for the rows that are being relayed
	going trail.Trail // the traces of the rows that are being relayed
}

// unshown records nothing.
var unshown = shown{rows: noop.Int64Counter{}, retries: noop.Int64Counter{}, meter: noop.Meter{}, stream: metric.WithAttributes()}

// Show makes the relay record metrics with a meter and traces with a tracer,
// either of which may be nil. It must be called before Run.
func (r *Relay) Show(meter metric.Meter, tracer trace.Tracer) error {
	if meter == nil {
		meter = noop.Meter{}
	}
	s := shown{tracer: tracer, meter: meter, waits: &waits{}, stream: metric.WithAttributeSet(attribute.NewSet(
		attribute.String("stream", r.stream.Name()), attribute.String("writer", r.journal.Name())))}
	problems := make([]error, 3)
	s.rows, problems[0] = meter.Int64Counter("aliquot.relay.rows", metric.WithUnit("{row}"),
		metric.WithDescription("Journal rows published to a stream, or found there."))
	s.retries, problems[1] = meter.Int64Counter("aliquot.relay.retries", metric.WithUnit("{attempt}"),
		metric.WithDescription("Publishes to a stream that had to be checked again or repeated."))
	s.lag, problems[2] = meter.Float64ObservableGauge("aliquot.relay.lag", metric.WithUnit("s"),
		metric.WithDescription("Age of the oldest journal row that is not in its stream, as far as this process knows; 0 if there is none."))
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("showing the relay of %s: %w", r.stream.Name(), err)
	}
	s.rows.Add(context.Background(), 0, s.stream)
	s.retries.Add(context.Background(), 0, s.stream)
	r.show = s
	return nil
}

// watch registers the lag, which is measured when it is collected; the caller
// unregisters it.
func (r *Relay) watch() (metric.Registration, error) {
	s := r.show
	if s.waits == nil {
		return noop.Registration{}, nil
	}
	s.waits.mark() // rows left by the last process, if any, count as waiting from now on
	return s.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveFloat64(s.lag, s.waits.lag(time.Now()).Seconds(), s.stream)
		return nil
	}, s.lag)
}

// wrote records that rows were written in the trace of ctx.
func (s *shown) wrote(ctx context.Context) {
	if s.waits == nil {
		return
	}
	s.waits.mark()
	if at := trace.SpanContextFromContext(ctx); at.IsSampled() {
		s.waits.mu.Lock()
		s.waits.from.Add(at)
		s.waits.mu.Unlock()
	}
}

// begin takes the traces of the rows that are about to be read.
func (s *shown) begin() trail.Trail {
	if s.waits == nil {
		return trail.Trail{}
	}
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	if s.waits.taken.IsZero() {
		s.waits.taken = s.waits.since
	}
	s.waits.since = time.Time{}
	s.waits.going.Join(s.waits.from.Take())
	return s.waits.going
}

// drained records that all rows that existed at the last begin are relayed.
func (s *shown) drained() {
	if s.waits == nil {
		return
	}
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	s.waits.taken, s.waits.going = time.Time{}, trail.Trail{}
}

func (w *waits) mark() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since.IsZero() {
		w.since = time.Now()
	}
}

func (w *waits) lag(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, at := range [...]time.Time{w.taken, w.since} {
		if !at.IsZero() {
			return now.Sub(at)
		}
	}
	return 0
}

// span begins the span of rows that were written in these traces.
func (r *Relay) span(ctx context.Context, from trail.Trail, rows []Row) (context.Context, trace.Span) {
	ctx, span := from.Start(ctx, r.show.tracer, "relay "+r.stream.Name(), trace.WithSpanKind(trace.SpanKindProducer))
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("messaging.system", "nats"),
			attribute.String("messaging.destination.name", r.stream.Name()),
			attribute.Int("messaging.batch.message_count", len(rows)),
			attribute.Int64("aliquot.row", int64(rows[0].Number)),
		)
	}
	return ctx, span
}

func end(span trace.Span, err error) {
	if err != nil && span.IsRecording() {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
