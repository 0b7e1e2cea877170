package ingest

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"

	"github.com/aliquot-engine/aliquot/internal/telemetry/trail"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// What became of a submission, as values of aliquot.ingest.submissions.
const (
	wasAccepted   = "accepted"   // its good events are stored
	wasRefused    = "refused"    // it had no good event
	wasOverloaded = "overloaded" // 503: nothing was stored
	wasFull       = "full"       // 507: nothing was stored
	wasUnknown    = "unknown"    // 503: it is unknown whether it was stored
)

// instruments measure submissions and messages. Single events are only measured
// if they are refused one by one.
type instruments struct {
	tracer trace.Tracer // nil means that nothing is traced

	accepted    metric.Int64Counter
	refused     metric.Int64Counter
	submissions metric.Int64Counter
	duration    metric.Float64Histogram
	batchEvents metric.Int64Histogram
	batchBytes  metric.Int64Histogram
	storing     metric.Float64Histogram

	// Made once: making a set of attributes costs as much as the measurement.
	outcomes map[string]metric.MeasurementOption
	reasons  map[events.Reason]metric.MeasurementOption
	others   metric.MeasurementOption
}

// newInstruments makes every instrument; its error names all that cannot be made.
func newInstruments(meter metric.Meter, tracer trace.Tracer) (*instruments, error) {
	if meter == nil {
		meter = noop.Meter{}
	}
	i := &instruments{tracer: tracer, outcomes: map[string]metric.MeasurementOption{}, reasons: map[events.Reason]metric.MeasurementOption{}}
	problems := make([]error, 7)
	i.accepted, problems[0] = meter.Int64Counter("aliquot.ingest.accepted", metric.WithUnit("{event}"),
		metric.WithDescription("Events stored in USAGE. Settlement says later which of them are duplicates or late."))
	i.refused, problems[1] = meter.Int64Counter("aliquot.ingest.refused", metric.WithUnit("{event}"),
		metric.WithDescription("Events refused before they were stored, by reason; a submission that is refused as a whole counts as one."))
	i.submissions, problems[2] = meter.Int64Counter("aliquot.ingest.submissions", metric.WithUnit("{submission}"),
		metric.WithDescription("Submissions by what became of them: accepted, refused, overloaded, full, unknown."))
	i.duration, problems[3] = meter.Float64Histogram("aliquot.ingest.submission.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from a submission that is read to its answer, without waiting for outcomes."),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
	i.batchEvents, problems[4] = meter.Int64Histogram("aliquot.ingest.batch.events", metric.WithUnit("{event}"),
		metric.WithDescription("Events of one message of USAGE."),
		metric.WithExplicitBucketBoundaries(1, 10, 100, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000))
	i.batchBytes, problems[5] = meter.Int64Histogram("aliquot.ingest.batch.size", metric.WithUnit("By"),
		metric.WithDescription("Bytes of one message of USAGE."),
		metric.WithExplicitBucketBoundaries(256, 1<<10, 4<<10, 16<<10, 64<<10, 128<<10, 256<<10, 512<<10, 1<<20))
	i.storing, problems[6] = meter.Float64Histogram("aliquot.ingest.publish.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from sending a message of USAGE until it is known to be on disk."),
		metric.WithExplicitBucketBoundaries(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30))
	for _, name := range [...]string{wasAccepted, wasRefused, wasOverloaded, wasFull, wasUnknown} {
		i.outcomes[name] = metric.WithAttributeSet(attribute.NewSet(attribute.String("outcome", name)))
	}
	for _, reason := range events.Reasons() {
		i.reasons[reason] = metric.WithAttributeSet(attribute.NewSet(attribute.String("reason", string(reason))))
	}
	i.others = metric.WithAttributeSet(attribute.NewSet(attribute.String("reason", "other")))
	// Counters begin at zero: a rate over a series that begins with its first
	// event misses that event.
	ctx := context.Background()
	i.accepted.Add(ctx, 0)
	for _, set := range i.outcomes {
		i.submissions.Add(ctx, 0, set)
	}
	for _, set := range i.reasons {
		i.refused.Add(ctx, 0, set)
	}
	return i, errors.Join(problems...)
}

// watch measures values that cannot be counted as they happen. The caller must
// unregister it.
func (s *Service) watch() (metric.Registration, error) {
	meter := s.config.Meter
	if meter == nil {
		meter = noop.Meter{}
	}
	dropped, err := meter.Int64ObservableCounter("aliquot.ingest.refused.dropped", metric.WithUnit("{submission}"),
		metric.WithDescription("Refused submissions that could not be kept in REFUSED."))
	if err != nil {
		return nil, err
	}
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(dropped, int64(s.Dropped()))
		return nil
	}, dropped)
}

func (i *instruments) refusals(ctx context.Context, list []events.Refusal) {
	for at := 0; at < len(list); {
		reason, from := list[at].Reason, at
		for at < len(list) && list[at].Reason == reason {
			at++ // consecutive events often have the same fault
		}
		set, ok := i.reasons[reason]
		if !ok {
			set = i.others
		}
		i.refused.Add(ctx, int64(at-from), set)
	}
}

// answered records a submission that began at this time.
func (i *instruments) answered(ctx context.Context, began time.Time, answer *events.Answer, err error) {
	outcome := wasAccepted
	switch {
	case errors.Is(err, ErrFull):
		outcome = wasFull
	case errors.Is(err, ErrOverloaded):
		outcome = wasOverloaded
	case err != nil:
		outcome = wasUnknown
	case answer.Accepted == 0 && len(answer.Refusals) > 0:
		outcome = wasRefused
	}
	i.submissions.Add(ctx, 1, i.outcomes[outcome])
	i.duration.Record(ctx, time.Since(began).Seconds())
	if err == nil {
		i.accepted.Add(ctx, int64(answer.Accepted))
		i.refusals(ctx, answer.Refusals)
	}
}

// begin begins the span of a submission that has been read. Its parent is the
// trace in the request's header, or, if there is none, the trace that the first
// CloudEvent names (the distributed tracing extension). If both exist, the other
// one becomes a link.
func (i *instruments) begin(ctx context.Context, w *work, b *Submission, received int64) (context.Context, trace.Span) {
	if i.tracer == nil {
		return trail.Trail{}.Start(ctx, nil, "")
	}
	here := trace.SpanContextFromContext(ctx) // the span of the HTTP request
	asked, event := trail.Of(b.Header), trail.Parse(w.traceparent(b))
	var from trail.Trail
	if here.IsValid() && (asked.IsValid() || !event.IsValid()) {
		from.Add(here)
	} else if !here.IsValid() {
		from.Add(asked)
	}
	from.Add(event)
	from.Add(here)
	options := []trace.SpanStartOption{trace.WithTimestamp(time.Unix(0, received))}
	if from.IsEmpty() && !here.IsValid() && !asked.IsValid() && !event.IsValid() {
		return i.tracer.Start(ctx, "accept usage", options...) // the sampler here decides
	}
	return from.Start(ctx, i.tracer, "accept usage", options...)
}

// end ends the span of a submission.
func end(span trace.Span, b *Submission, answer *events.Answer, err error) {
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("aliquot.provider", string(b.Provider)),
			attribute.Int("aliquot.accepted", answer.Accepted),
			attribute.Int("aliquot.refused", answer.Refused),
		)
		for _, h := range answer.Handle {
			span.SetAttributes(attribute.Int("aliquot.partition", h.Partition), attribute.Int64("aliquot.position", int64(h.Position)))
		}
		failed(span, err)
	}
	span.End()
}

func failed(span trace.Span, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
}
