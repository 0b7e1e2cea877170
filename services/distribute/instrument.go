package distribute

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

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/telemetry/trail"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// instruments measure commits. Open payouts are counted once at the start, from
// the store, and updated with every commit.
type instruments struct {
	meter  metric.Meter
	tracer trace.Tracer
	counts bool // whether there is a meter: otherwise nothing is counted at the start

	distributions metric.Int64Counter
	changes       metric.Int64Counter
	commits       metric.Float64Histogram
	retries       metric.Int64Counter
	voids         metric.Int64Counter
	open          metric.Int64ObservableGauge
	age           metric.Float64ObservableGauge
	lag           metric.Int64ObservableGauge

	states map[distribution.State]metric.MeasurementOption

	// Used only by the loop.
	declared map[string]trace.SpanContext  // sampled traces of declarations, by distribution and by batch
	handed   map[events.Token]*trail.Trail // of what reached a token's inbox since its last distribution
	moved    map[string]map[transition]int // by the step that is not committed yet, by distribution

	mu    sync.Mutex // guards what follows
	waits map[string]*waits
}

// waits is the open payouts of one distribution.
type waits struct {
	planned, submitted int
	since              time.Time // when they were submitted
}

type transition struct{ from, to distribution.State }

// mostTraces bounds the traces of declarations that are remembered.
const mostTraces = 1024

// newInstruments makes every instrument; its error names all that cannot be
// made.
func newInstruments(meter metric.Meter, tracer trace.Tracer) (*instruments, error) {
	i := &instruments{
		meter: meter, tracer: tracer, counts: meter != nil, states: map[distribution.State]metric.MeasurementOption{},
		declared: map[string]trace.SpanContext{}, handed: map[events.Token]*trail.Trail{},
		moved: map[string]map[transition]int{}, waits: map[string]*waits{},
	}
	if meter == nil {
		meter = noop.Meter{}
		i.meter = meter
	}
	problems := make([]error, 8)
	i.distributions, problems[0] = meter.Int64Counter("aliquot.distribute.distributions", metric.WithUnit("{distribution}"),
		metric.WithDescription("Distributions made."))
	i.changes, problems[1] = meter.Int64Counter("aliquot.distribute.payout.changes", metric.WithUnit("{payout}"),
		metric.WithDescription("Payouts that came into a state: planned, submitted, confirmed, failed, returned, withheld."))
	i.commits, problems[2] = meter.Float64Histogram("aliquot.distribute.commit.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of one commit, including retries."),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60))
	i.retries, problems[3] = meter.Int64Counter("aliquot.distribute.commit.retries", metric.WithUnit("{attempt}"),
		metric.WithDescription("Commits whose outcome was unknown and that were retried."))
	i.voids, problems[4] = meter.Int64Counter("aliquot.distribute.voids", metric.WithUnit("{decision}"),
		metric.WithDescription("Decisions that had no effect, or only a part of it, on distribution."))
	i.open, problems[5] = meter.Int64ObservableGauge("aliquot.distribute.payouts", metric.WithUnit("{payout}"),
		metric.WithDescription("Payouts that are planned or submitted."))
	i.age, problems[6] = meter.Float64ObservableGauge("aliquot.distribute.submitted.age", metric.WithUnit("s"),
		metric.WithDescription("Age of the oldest submission of payouts for which no rail has answered; 0 if there is none."))
	i.lag, problems[7] = meter.Int64ObservableGauge("aliquot.distribute.lag.messages", metric.WithUnit("{message}"),
		metric.WithDescription("Messages of CONTROL and LEDGER that distribution has not committed."))
	ctx := context.Background()
	for _, state := range distribution.States() {
		i.states[state] = metric.WithAttributeSet(attribute.NewSet(attribute.String("state", string(state))))
		i.changes.Add(ctx, 0, i.states[state])
	}
	i.distributions.Add(ctx, 0)
	i.retries.Add(ctx, 0)
	i.voids.Add(ctx, 0)
	return i, errors.Join(problems...)
}

// watch registers the values that are measured when they are collected; Run
// unregisters it.
func (d *Distributor) watch() (metric.Registration, error) {
	i := d.show
	return i.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, observeTimeout)
		defer cancel()
		done, followed := d.done.At(), d.followed.At()
		for _, s := range []struct {
			stream *eventlog.Stream
			at     uint64
		}{{d.config.Control, done}, {d.config.Ledger, followed}} {
			// On an error no figure is reported: people notice a missing
			// figure, but believe a wrong one.
			if last, err := s.stream.Last(ctx); err == nil {
				o.ObserveInt64(i.lag, max(int64(last)-int64(s.at), 0), metric.WithAttributes(attribute.String("stream", s.stream.Name())))
			}
		}
		planned, submitted, oldest := i.opened()
		o.ObserveInt64(i.open, int64(planned), i.states[distribution.Planned])
		o.ObserveInt64(i.open, int64(submitted), i.states[distribution.Submitted])
		age := time.Duration(0)
		if !oldest.IsZero() {
			age = max(time.Since(oldest), 0)
		}
		o.ObserveFloat64(i.age, age.Seconds())
		return nil
	}, i.open, i.age, i.lag)
}

// observeTimeout bounds the requests to the streams for one collection.
const observeTimeout = 5 * time.Second

// opened adds up the open payouts.
func (i *instruments) opened() (planned, submitted int, oldest time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, w := range i.waits {
		planned += w.planned
		submitted += w.submitted
		if w.submitted > 0 && (oldest.IsZero() || w.since.Before(oldest)) {
			oldest = w.since
		}
	}
	return planned, submitted, oldest
}

// count counts the open payouts in the store, if there is a meter. decided are
// the distributions of CONTROL so far, each with the time of its last
// submission.
func (i *instruments) count(ctx context.Context, store Store, decided map[string]time.Time) error {
	if !i.counts {
		return nil
	}
	for id, since := range decided {
		w := &waits{since: since}
		for state, n := range map[distribution.State]*int{distribution.Planned: &w.planned, distribution.Submitted: &w.submitted} {
			_, made, err := store.Distribution(ctx, id)
			if err == nil && made {
				err = store.Payouts(ctx, id, state, func(distribution.Payout) error { *n++; return nil })
			}
			if err != nil {
				return fmt.Errorf("counting the open payouts of %s: %w", id, err)
			}
		}
		if w.planned+w.submitted > 0 {
			i.waits[id] = w
		}
	}
	return nil
}

// move notes what the step that is being made does to a payout.
func (i *instruments) move(id string, from, to distribution.State, n int) {
	if i.moved[id] == nil {
		i.moved[id] = map[transition]int{}
	}
	i.moved[id][transition{from, to}] += n
}

// undo forgets the changes of a step that was given up.
func (i *instruments) undo() { clear(i.moved) }

// committed records a step that began at this time.
func (i *instruments) committed(ctx context.Context, began time.Time, step *distribution.Step, at time.Time) {
	i.commits.Record(ctx, time.Since(began).Seconds())
	if step.Made != nil {
		i.distributions.Add(ctx, 1)
	}
	if n := len(step.Voids); n > 0 {
		i.voids.Add(ctx, int64(n))
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for id, moves := range i.moved {
		w := i.waits[id]
		if w == nil {
			w = &waits{}
			i.waits[id] = w
		}
		for t, n := range moves {
			i.changes.Add(ctx, int64(n), i.states[t.to])
			switch t.from {
			case distribution.Planned:
				w.planned -= n
			case distribution.Submitted:
				w.submitted -= n
			}
			switch t.to {
			case distribution.Planned:
				w.planned += n
			case distribution.Submitted:
				w.submitted += n
				w.since = at
			}
		}
		if w.planned+w.submitted == 0 {
			delete(i.waits, id)
		}
	}
	clear(i.moved)
}

// hand remembers the trace of a record that moved revenue into a token's inbox.
func (i *instruments) hand(token events.Token, from trace.SpanContext) {
	if i.tracer == nil || !from.IsSampled() {
		return
	}
	if i.handed[token] == nil {
		i.handed[token] = &trail.Trail{}
	}
	i.handed[token].Add(from)
}

// begin begins the span of a decision: a child of the request that decided. The
// span of a distribution is linked to the records that brought its revenue, and
// the spans of its payouts to its declaration.
func (i *instruments) begin(ctx context.Context, m *eventlog.Message, body events.Body) (context.Context, trace.Span) {
	from := trail.Trail{}
	if i.tracer == nil {
		return from.Start(ctx, nil, "")
	}
	from.Add(m.Trace())
	id := ""
	switch b := body.(type) {
	case events.DistributionDeclared:
		id = b.Distribution
		i.declare(id, m.Trace())
		if handed := i.handed[b.Token]; handed != nil && !from.IsEmpty() {
			from.Join(handed.Take())
		}
	case events.PayoutRunDeclared:
		id = b.Run
		i.declare(id, m.Trace())
	case events.PayoutsSubmitted:
		id = b.Distribution
		i.declare(b.Batch, i.declared[id])
	case events.PayoutsConfirmed:
		id = b.Batch
	}
	if !from.IsEmpty() {
		from.Add(i.declared[id])
	}
	ctx, span := from.Start(ctx, i.tracer, "distribute "+body.Kind(), trace.WithSpanKind(trace.SpanKindConsumer))
	if span.IsRecording() {
		span.SetAttributes(attribute.String("aliquot.decision", body.Kind()), attribute.Int64("aliquot.control", int64(m.Seq)))
	}
	return ctx, span
}

// declare remembers the trace of a declaration for the decisions that follow
// from it.
func (i *instruments) declare(id string, from trace.SpanContext) {
	if i.tracer != nil && from.IsSampled() && len(i.declared) < mostTraces {
		i.declared[id] = from
	}
}

// end ends the span of a decision.
func end(span trace.Span, void, err error) {
	if span.IsRecording() {
		if void != nil {
			span.SetAttributes(attribute.String("aliquot.void", void.Error()))
		}
		if err != nil {
			span.RecordError(err)
			span.SetStatus(codes.Error, err.Error())
		}
	}
	span.End()
}
