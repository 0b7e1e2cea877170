package settle

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"

	"github.com/aliquot-engine/aliquot/internal/telemetry/trail"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/settle/posting"
)

// seen is what is remembered of the messages that a cut settles, for the
// metrics and traces that are recorded once the cut is committed.
type seen struct {
	from     trail.Trail
	received []int64 // of each batch: when its oldest segment was received, nanoseconds since 1970 UTC
}

// take notes a message.
func (s *seen) take(m *message) {
	s.from.Add(m.trace)
	if len(m.segments) == 0 {
		return
	}
	oldest := m.segments[0].Received
	for i := range m.segments {
		oldest = min(oldest, m.segments[i].Received)
	}
	s.received = append(s.received, oldest)
}

// made is a cut on its way to the store.
type made struct {
	cut *settlement.Cut
	seen
}

// instruments measure commits and the messages in them, but never single
// events.
type instruments struct {
	meter     metric.Meter
	tracer    trace.Tracer
	partition int
	waiting   atomic.Pointer[[]posting.Waiting] // as of the last cut

	events   metric.Int64Counter
	latency  metric.Float64Histogram
	commits  metric.Float64Histogram
	retries  metric.Int64Counter
	voids    metric.Int64Counter
	lag      metric.Int64ObservableGauge
	behind   metric.Float64ObservableGauge
	undone   metric.Int64ObservableGauge
	lines    metric.Int64ObservableGauge
	quantity metric.Int64ObservableGauge
	age      metric.Float64ObservableGauge
	window   metric.Float64ObservableGauge

	here     metric.MeasurementOption // the partition
	outcomes map[outcome]metric.MeasurementOption
}

type outcome struct {
	outcome events.Outcome
	reason  events.Reason // of a refused event
}

// newInstruments makes every instrument; its error names all that cannot be
// made.
func newInstruments(meter metric.Meter, tracer trace.Tracer, partition int) (*instruments, error) {
	if meter == nil {
		meter = noop.Meter{}
	}
	i := &instruments{meter: meter, tracer: tracer, partition: partition, outcomes: map[outcome]metric.MeasurementOption{}}
	problems := make([]error, 12)
	i.events, problems[0] = meter.Int64Counter("aliquot.settle.events", metric.WithUnit("{event}"),
		metric.WithDescription("Settled events by outcome (accepted, late, duplicate, refused), and by reason where refused."))
	i.latency, problems[1] = meter.Float64Histogram("aliquot.settle.latency", metric.WithUnit("s"),
		metric.WithDescription("Time from the receipt of the oldest event of a message of USAGE until the effects of the message are committed; measured once per message."),
		metric.WithExplicitBucketBoundaries(.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200))
	i.commits, problems[2] = meter.Float64Histogram("aliquot.settle.commit.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of one commit of whole cuts, including retries."),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60))
	i.retries, problems[3] = meter.Int64Counter("aliquot.settle.commit.retries", metric.WithUnit("{attempt}"),
		metric.WithDescription("Commits that were interrupted and retried."))
	i.voids, problems[4] = meter.Int64Counter("aliquot.settle.voids", metric.WithUnit("{decision}"),
		metric.WithDescription("Decisions that had no effect on settlement."))
	i.lag, problems[5] = meter.Int64ObservableGauge("aliquot.settle.lag.messages", metric.WithUnit("{message}"),
		metric.WithDescription("Messages of USAGE that are stored and not settled."))
	i.behind, problems[6] = meter.Float64ObservableGauge("aliquot.settle.lag.duration", metric.WithUnit("s"),
		metric.WithDescription("Age of the oldest message of USAGE that is not settled; 0 if all are."))
	i.undone, problems[7] = meter.Int64ObservableGauge("aliquot.settle.lag.decisions", metric.WithUnit("{decision}"),
		metric.WithDescription("Decisions of CONTROL that are not in effect in the partition."))
	i.lines, problems[8] = meter.Int64ObservableGauge("aliquot.settle.suspense.lines", metric.WithUnit("{line}"),
		metric.WithDescription("Lines of suspense: quantities of one node, customer, meter, rule and period that wait for a price."))
	i.quantity, problems[9] = meter.Int64ObservableGauge("aliquot.settle.suspense.events", metric.WithUnit("{event}"),
		metric.WithDescription("Accepted events that wait for a price."))
	i.age, problems[10] = meter.Float64ObservableGauge("aliquot.settle.quote.age", metric.WithUnit("s"),
		metric.WithDescription("Age of the newest observation of a source of quotes."))
	i.window, problems[11] = meter.Float64ObservableGauge("aliquot.settle.quote.window", metric.WithUnit("s"),
		metric.WithDescription("Heartbeat plus margin of a pair: an older observation is too old."))

	here := attribute.Int("partition", partition)
	i.here = metric.WithAttributeSet(attribute.NewSet(here))
	for _, o := range [...]struct {
		outcome events.Outcome
		name    string
	}{{events.Accepted, "accepted"}, {events.Late, "late"}, {events.Duplicate, "duplicate"}} {
		i.outcomes[outcome{outcome: o.outcome}] = metric.WithAttributeSet(attribute.NewSet(here, attribute.String("outcome", o.name)))
	}
	for _, reason := range events.Reasons() {
		i.outcomes[outcome{events.Refused, reason}] = metric.WithAttributeSet(attribute.NewSet(here,
			attribute.String("outcome", "refused"), attribute.String("reason", string(reason))))
	}
	// Counters begin at zero: a rate over a series that begins with its first
	// event misses that event.
	ctx := context.Background()
	for _, set := range i.outcomes {
		i.events.Add(ctx, 0, set)
	}
	i.retries.Add(ctx, 0, i.here)
	i.voids.Add(ctx, 0, i.here)
	return i, errors.Join(problems...)
}

// observeTimeout bounds the requests to the streams for one collection.
const observeTimeout = 5 * time.Second

// watch registers the values that are measured when they are collected; Run
// unregisters it.
func (s *Settler) watch() (metric.Registration, error) {
	i := s.show
	s.sees()
	return i.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, observeTimeout)
		defer cancel()
		s.observeLag(ctx, o)
		for _, w := range *i.waiting.Load() {
			at := metric.WithAttributes(attribute.Int("partition", i.partition), attribute.String("pair", string(w.Pair)))
			o.ObserveInt64(i.lines, int64(w.Lines), at)
			o.ObserveInt64(i.quantity, int64(w.Events), at)
		}
		s.directory.RLock()
		newest := s.state.Quotes()
		s.directory.RUnlock()
		now := time.Now()
		for _, n := range newest {
			at := []attribute.KeyValue{attribute.Int("partition", i.partition), attribute.String("pair", string(n.Pair)), attribute.String("source", n.Source)}
			o.ObserveFloat64(i.age, now.Sub(time.Unix(0, n.At)).Seconds(), metric.WithAttributes(at...))
			o.ObserveFloat64(i.window, time.Duration(n.Window).Seconds(), metric.WithAttributes(at[:2]...))
		}
		return nil
	}, i.lag, i.behind, i.undone, i.lines, i.quantity, i.age, i.window)
}

// observeLag reports no figure for a stream that does not answer: people notice
// a missing figure, but believe a wrong one.
func (s *Settler) observeLag(ctx context.Context, o metric.Observer) {
	i := s.show
	if last, err := s.config.Control.Last(ctx); err == nil {
		o.ObserveInt64(i.undone, max(int64(last)-int64(s.Effective()), 0), i.here)
	}
	last, err := s.config.Usage.Last(ctx)
	if err != nil {
		return
	}
	settled := s.Settled()
	o.ObserveInt64(i.lag, max(int64(last)-int64(settled), 0), i.here)
	behind := time.Duration(0)
	if last > settled {
		m, err := s.config.Usage.Get(ctx, settled+1)
		if err != nil {
			return
		}
		behind = max(time.Since(m.Time), 0)
	}
	o.ObserveFloat64(i.behind, behind.Seconds(), i.here)
}

// sees remembers what waits for a price as of the last cut.
func (s *Settler) sees() {
	waiting := s.state.Waiting()
	s.show.waiting.Store(&waiting)
}

// begin begins the span of a commit, which continues the traces of the messages
// that it settles.
func (i *instruments) begin(ctx context.Context, list []made) (context.Context, trace.Span) {
	var from trail.Trail
	for _, m := range list {
		from.Join(m.from)
	}
	return from.Start(ctx, i.tracer, "settle", trace.WithSpanKind(trace.SpanKindConsumer))
}

// committed records a commit that began at this time.
func (i *instruments) committed(ctx context.Context, span trace.Span, began time.Time, list []made) {
	now := time.Now()
	i.commits.Record(ctx, now.Sub(began).Seconds(), i.here)
	counts := map[outcome]int{}
	voids, settled := 0, uint64(0)
	for _, m := range list {
		for _, received := range m.received {
			i.latency.Record(ctx, max(now.Sub(time.Unix(0, received)), 0).Seconds(), i.here)
		}
		for j := range m.cut.Outcomes {
			for _, r := range m.cut.Outcomes[j].Runs {
				counts[outcome{r.Outcome, r.Reason}] += r.Events
			}
		}
		voids += len(m.cut.Voids)
		settled += m.cut.Events
	}
	for o, n := range counts {
		i.events.Add(ctx, int64(n), i.outcomes[o])
	}
	if voids > 0 {
		i.voids.Add(ctx, int64(voids), i.here)
	}
	if span.IsRecording() {
		last := list[len(list)-1].cut
		span.SetAttributes(
			attribute.String("messaging.system", "nats"),
			attribute.String("messaging.destination.name", "usage."+strconv.Itoa(i.partition)),
			attribute.Int("aliquot.partition", i.partition),
			attribute.Int("aliquot.cuts", len(list)),
			attribute.Int64("aliquot.events", int64(settled)),
			attribute.Int64("aliquot.position", int64(last.Position)),
			attribute.Int64("aliquot.control", int64(last.Control)),
			attribute.Int("aliquot.voids", voids),
		)
	}
	span.End()
}

// failed ends the span of a commit that failed.
func failed(span trace.Span, err error) error {
	if span.IsRecording() {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
	return err
}
