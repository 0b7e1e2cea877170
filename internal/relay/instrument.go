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

// shown is what a relay shows of itself.
type shown struct {
	tracer  trace.Tracer
	stream  metric.MeasurementOption
	rows    metric.Int64Counter
	retries metric.Int64Counter
	lag     metric.Float64ObservableGauge
	meter   metric.Meter

	waits *waits
}

// waits is what was written and is not relayed yet.
type waits struct {
	mu    sync.Mutex  // guards what follows
	since time.Time   // when the oldest of it was written, as far as this process knows; zero: nothing waits
	from  trail.Trail // the traces it was written in
	taken time.Time   // what since was of what is being relayed
	going trail.Trail // likewise its traces
}

// unshown shows nothing.
var unshown = shown{rows: noop.Int64Counter{}, retries: noop.Int64Counter{}, meter: noop.Meter{}, stream: metric.WithAttributes()}

// Show lets a meter and a tracer, either of which may be nil, see the relay. It
// is called before Run.
func (r *Relay) Show(meter metric.Meter, tracer trace.Tracer) error {
	if meter == nil {
		meter = noop.Meter{}
	}
	s := shown{tracer: tracer, meter: meter, waits: &waits{}, stream: metric.WithAttributeSet(attribute.NewSet(
		attribute.String("stream", r.stream.Name()), attribute.String("writer", r.journal.Name())))}
	problems := make([]error, 3)
	s.rows, problems[0] = meter.Int64Counter("aliquot.relay.rows", metric.WithUnit("{row}"),
		metric.WithDescription("Journal rows brought into a stream, or found there."))
	s.retries, problems[1] = meter.Int64Counter("aliquot.relay.retries", metric.WithUnit("{attempt}"),
		metric.WithDescription("Publishes into a stream that had to be looked at again or repeated."))
	s.lag, problems[2] = meter.Float64ObservableGauge("aliquot.relay.lag", metric.WithUnit("s"),
		metric.WithDescription("How long the oldest journal row that is not in its stream has been waiting, as far as this process knows; 0 where none is."))
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("showing the relay of %s: %w", r.stream.Name(), err)
	}
	s.rows.Add(context.Background(), 0, s.stream)
	s.retries.Add(context.Background(), 0, s.stream)
	r.show = s
	return nil
}

// watch measures the lag when it is asked for; the caller ends it.
func (r *Relay) watch() (metric.Registration, error) {
	s := r.show
	if s.waits == nil {
		return noop.Registration{}, nil
	}
	s.waits.mark() // what the last process left, if anything, waits as of now
	return s.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveFloat64(s.lag, s.waits.lag(time.Now()).Seconds(), s.stream)
		return nil
	}, s.lag)
}

// wrote notes that rows were written, in the trace of ctx.
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

// begin takes the traces of what is to be read now.
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

// drained says that what was there at the last begin is relayed.
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
