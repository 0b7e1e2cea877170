// Package distribute turns collected revenue into payouts.
//
// It is one loop. It reads CONTROL in order and, for each decision that
// concerns it (a distribution or a payout run declared, payouts submitted,
// confirmed or corrected), lets the pure packages below decide: register (who
// holds), waterfall and plan (who is owed), payout (what may become of a
// payment). The result is committed in one transaction with the position read,
// and a relay carries it to PAYOUT.
//
// A distribution rests on LEDGER and REGISTER up to the positions that its
// declaration names, and on nothing later: the loop waits until these positions
// exist. While it reads LEDGER, it keeps what it needs of it: what reached the
// inboxes of tokens, and which periods are settled. A register is folded when
// it is first needed, and kept.
//
// # Invariants
//
//   - Never more than funded: a distribution takes what reached the inbox up to
//     its LEDGER position, less what earlier ones took.
//   - Settled first: the token's book has settled the period at or before that
//     position. Otherwise the declaration is void, with a reason, like every
//     other invalid declaration.
//   - Screened twice: at the declaration, and again when payouts are submitted.
//   - Once: a decision takes effect in the transaction that moves the cursor
//     past it. Crash and normal start are the same path.
package distribute

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"
	"github.com/aliquot-engine/aliquot/internal/watermark"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/relay"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Store keeps what the distributor decides. Commit writes a whole step and
// moves the cursor from the two marks given to those of the step; it is on disk
// when Commit returns nil. Repeating an equal commit returns nil and writes
// nothing. It fails with [distribution.ErrFenced] if another process has moved
// the cursor. After any other error the outcome is unknown, and the caller
// repeats the same commit. The other methods see every step that was committed.
type Store interface {
	Commit(ctx context.Context, control, ledger distribution.Mark, step *distribution.Step) error
	Inbox(ctx context.Context, token events.Token, period events.Period, through uint64) ([]distribution.Handover, error)
	SettledAt(ctx context.Context, book events.Book, period events.Period) (uint64, error)
	Distribution(ctx context.Context, id string) (distribution.Distribution, bool, error)
	Debts
	EntitlementOf(ctx context.Context, token events.Token, asset money.Asset, holder events.Holder) (distribution.Entitlement, error)
	Payouts(ctx context.Context, id string, state distribution.State, each func(distribution.Payout) error) error
	PayoutsOf(ctx context.Context, id string, names []string, each func(distribution.Payout) error) error
	Batch(ctx context.Context, name string) (distribution.Batch, bool, error)
	Void(ctx context.Context, control uint64) (distribution.Void, bool, error)
	Outbox
}

// Outbox is the messages for PAYOUT that were committed, and the watermark up
// to which they are known to be there: see [relay.Journal].
type Outbox interface {
	Name() string
	Relayed(ctx context.Context) (number, position uint64, err error)
	SetRelayed(ctx context.Context, number, position uint64) error
	Messages(ctx context.Context, from uint64, limit int) ([]distribution.Outgoing, error)
}

// journal is an outbox as a [relay.Journal].
type journal struct{ Outbox }

func (j journal) Rows(ctx context.Context, from uint64, limit int) ([]relay.Row, error) {
	messages, err := j.Messages(ctx, from, limit)
	rows := make([]relay.Row, len(messages))
	for i, m := range messages {
		rows[i] = relay.Row{Number: m.Number, Subject: eventlog.PayoutSubject(string(m.Token)), Data: m.Data}
	}
	return rows, err
}

// Rail is the rail that payouts are planned for in rules version 1.
const Rail events.Rail = "csv"

// Config is what a [Distributor] needs.
type Config struct {
	Control, Ledger, Register *eventlog.Stream

	Store  Store
	Cursor distribution.Cursor // as the store returned it when it was taken over

	// Payout is the stream to which committed messages are published; nil
	// publishes nothing, which is for replay.
	Payout *eventlog.Stream
	// Until is the position in CONTROL after which Run returns nil; 0 means no
	// end.
	Until uint64

	Logger *slog.Logger // nil: slog.Default

	// Meter and Tracer receive metrics and traces; nil means none. With a
	// meter, the open payouts are counted at the start, which reads every
	// payout.
	Meter  metric.Meter
	Tracer trace.Tracer
}

const (
	// pause is how long the loop waits for a decision before it reads LEDGER.
	// It is also the longest time for which a decision without effect here
	// stays unconfirmed.
	pause = 20 * time.Millisecond
	// perLook bounds the LEDGER messages read between two reads of CONTROL.
	perLook = 256
	// perMark is how many of them may be read without moving the cursor, which
	// a restart then reads again.
	perMark = 4096
	// poll is the time between two checks for a position that does not exist
	// yet.
	poll = 100 * time.Millisecond
	// interruptedPause follows the first commit whose outcome is unknown, and the
	// first read of the log that was not answered. Each further pause is twice as
	// long, up to interruptedLongest.
	interruptedPause   = 50 * time.Millisecond
	interruptedLongest = time.Second
)

// Distributor is the loop. Make it with [New].
type Distributor struct {
	config    Config
	log       *slog.Logger
	show      *instruments
	broken    error               // error of making the instruments
	watched   metric.Registration // while it runs
	directory *directory.Directory
	changed   map[events.Token]uint64 // position in CONTROL of the last change of the token or its waterfall
	registers map[events.Token]*fold
	ledger    *eventlog.Reader
	relay     *relay.Relay // nil if nothing is published
	decidedAt time.Time    // of the decision that is being applied

	committed distribution.Cursor
	step      *distribution.Step // not committed yet
	control   []byte             // message at the step's CONTROL mark, hashed when the step is committed
	read      []byte             // message at the step's LEDGER mark, hashed when the step is committed

	done     watermark.Mark // last position of CONTROL that is committed
	followed watermark.Mark // last position of LEDGER that is committed
}

// New returns a distributor that does nothing until [Distributor.Run].
func New(config Config) *Distributor {
	d := &Distributor{
		config: config, log: config.Logger, directory: directory.New(),
		changed: map[events.Token]uint64{}, registers: map[events.Token]*fold{},
		committed: config.Cursor,
	}
	if d.log == nil {
		d.log = slog.Default()
	}
	d.show, d.broken = newInstruments(config.Meter, config.Tracer)
	if config.Payout != nil {
		d.relay = relay.New(journal{config.Store}, config.Payout, d.log)
		d.broken = errors.Join(d.broken, d.relay.Show(config.Meter, config.Tracer))
	}
	return d
}

// Run distributes until ctx ends and returns ctx's error, or until Config.Until
// and returns nil. It returns another error if it cannot continue: because a
// stream is not the one that the cursor knows, because another distributor has
// taken over the store, or because a message cannot be read. It may be called
// once.
func (d *Distributor) Run(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("distributing: %w", err)
		}
		stopped := err
		if stopped == nil {
			stopped = errors.New("distributing: ended")
		}
		d.done.Stop(stopped)
		d.followed.Stop(stopped)
	}()
	if d.relay == nil {
		return d.run(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	relayed := make(chan struct{})
	go func() {
		defer close(relayed)
		cancel(d.relay.Run(ctx)) // returns when ctx ends, or when the relay cannot continue
	}()
	err = d.run(ctx)
	cancel(nil)
	<-relayed
	if cause := context.Cause(ctx); errors.Is(err, context.Canceled) && cause != nil {
		return cause
	}
	return err
}

func (d *Distributor) run(ctx context.Context) error {
	if d.broken != nil {
		return d.broken
	}
	defer func() {
		if d.watched != nil {
			_ = d.watched.Unregister() // never fails
		}
	}()
	if err := d.begin(ctx); err != nil {
		return err
	}
	defer func() {
		if d.ledger != nil {
			d.ledger.Stop()
		}
	}()
	control, err := d.config.Control.Read(ctx, d.committed.Control.Position+1, "")
	if err != nil {
		return err
	}
	defer control.Stop()
	for until := d.config.Until; until == 0 || d.Done() < until; {
		m, ok, err := control.NextTimeout(ctx, pause)
		if err != nil {
			return err
		}
		if ok && (until == 0 || m.Seq <= until) {
			if err := d.decide(ctx, m); err != nil {
				return fmt.Errorf("control position %d: %w", m.Seq, err)
			}
			if until == 0 || m.Seq < until {
				continue // a decision without effect is committed with a later one
			}
		}
		if err := d.look(ctx); err != nil {
			return err
		}
		if d.step.Control != d.committed.Control || d.due() {
			if err := d.commit(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// apply gives a decision its effect on the directory. If it has none, void is
// the reason.
func (d *Distributor) apply(m eventlog.Message) (body events.Body, void, err error) {
	decision, err := events.DecodeDecision(m.Data)
	if err != nil {
		decision = events.Decision{} // void in every service, like every decision without a body
	}
	d.decidedAt = decision.At
	if void = d.directory.Apply(m.Seq, decision); void != nil {
		if errors.Is(void, directory.ErrOrder) {
			return nil, nil, void
		}
		return decision.Body, void, nil
	}
	switch b := decision.Body.(type) {
	case events.TokenDeclared:
		d.changed[b.Token] = m.Seq
	case events.WaterfallDeclared:
		d.changed[b.Token] = m.Seq
	}
	return decision.Body, nil, nil
}

// decide applies one message of CONTROL, and commits if it had an effect.
func (d *Distributor) decide(ctx context.Context, m eventlog.Message) (err error) {
	body, void, err := d.apply(m)
	if err != nil {
		return err
	}
	var effect func(context.Context, uint64) (*distribution.Step, error)
	switch b := body.(type) {
	case events.DistributionDeclared:
		effect = func(ctx context.Context, at uint64) (*distribution.Step, error) { return d.declared(ctx, at, b) }
	case events.PayoutRunDeclared:
		effect = func(ctx context.Context, at uint64) (*distribution.Step, error) { return d.ran(ctx, at, b) }
	case events.PayoutsSubmitted:
		effect = func(ctx context.Context, at uint64) (*distribution.Step, error) { return d.submitted(ctx, at, b) }
	case events.PayoutsConfirmed:
		effect = func(ctx context.Context, at uint64) (*distribution.Step, error) { return d.confirmed(ctx, at, b) }
	case events.PayoutCorrected:
		effect = func(ctx context.Context, at uint64) (*distribution.Step, error) { return d.corrected(ctx, at, b) }
	default:
		d.pass(m)
		return nil
	}
	if void != nil && errors.Is(void, directory.ErrRepeat) {
		d.pass(m)
		return nil
	}
	// The effect reads the store, so everything before it must be committed.
	if d.step.Control != d.committed.Control || d.step.Ledger != d.committed.Ledger {
		if err := d.commit(ctx); err != nil {
			return err
		}
	}
	ctx, span := d.show.begin(ctx, &m, body)
	defer func() { end(span, void, err) }()
	step := &distribution.Step{}
	if void == nil {
		err = d.patiently(ctx, func() error {
			step, err = effect(ctx, m.Seq)
			return err
		})
		var reason voidError
		if errors.As(err, &reason) {
			void, step, err = reason, &distribution.Step{}, nil
			d.show.undo()
		} else if err != nil {
			return err
		}
	}
	if void != nil {
		switch b := body.(type) {
		case events.DistributionDeclared:
			said := events.DistributionMade{Distribution: b.Distribution, Token: b.Token, Period: b.Period, Control: m.Seq, Void: void.Error()}
			err = say(step, b.Token, said)
		case events.PayoutRunDeclared:
			err = say(step, b.Token, events.PayoutRunMade{Run: b.Run, Token: b.Token, Control: m.Seq, Void: void.Error()})
		}
		if err != nil {
			return err
		}
		step.Voids = append(step.Voids, distribution.Void{Control: m.Seq, Reason: void.Error()})
		d.log.WarnContext(ctx, "a decision is void", "position", m.Seq, "kind", body.Kind(), "reason", void)
	}
	step.Control, step.Ledger = d.step.Control, d.step.Ledger // the effect may have read more of LEDGER
	d.step = step
	d.pass(m)
	return d.commit(ctx)
}

// patiently repeats a function that only reads while the log does not answer;
// reads of the store have their own retries. An effect may be repeated, because
// it commits only what it has read of LEDGER.
func (d *Distributor) patiently(ctx context.Context, read func() error) error {
	return retry.Policy{Pause: interruptedPause, Longest: interruptedLongest, Again: eventlog.Unavailable, Waits: func(cause error, _ time.Duration) {
		d.log.Warn("distribution waits for the log", "cause", cause)
	}}.Do(ctx, read)
}

// pass moves the step past a message of CONTROL.
func (d *Distributor) pass(m eventlog.Message) {
	d.step.Control.Position, d.control = m.Seq, m.Data
	d.step.Control.Hash = [32]byte{} // set when it is committed
}

// commit writes the step, and retries while the outcome is unknown.
func (d *Distributor) commit(ctx context.Context) error {
	if d.control != nil {
		d.step.Control.Hash = sha256.Sum256(d.control)
	}
	if d.read != nil {
		d.step.Ledger.Hash = sha256.Sum256(d.read)
	}
	began := time.Now()
	err := retry.Policy{
		Pause: interruptedPause, Longest: interruptedLongest,
		Again: func(err error) bool { return !errors.Is(err, distribution.ErrFenced) },
		Waits: func(cause error, _ time.Duration) {
			d.show.retries.Add(ctx, 1)
			d.log.ErrorContext(ctx, "committing a distribution is retried", "error", cause)
		},
	}.Do(ctx, func() error { return d.config.Store.Commit(ctx, d.committed.Control, d.committed.Ledger, d.step) })
	if err != nil {
		return err
	}
	d.show.committed(ctx, began, d.step, d.decidedAt)
	if len(d.step.Messages) > 0 && d.relay != nil {
		d.relay.Wake(ctx)
	}
	d.committed.Control, d.committed.Ledger = d.step.Control, d.step.Ledger
	d.step = &distribution.Step{Control: d.step.Control, Ledger: d.step.Ledger}
	d.control, d.read = nil, nil
	d.publish()
	return nil
}
