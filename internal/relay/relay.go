// Package relay carries a writer's journal rows from the store into a stream,
// each exactly once and in their order.
//
// The method: the store remembers how far the stream is known to agree with the
// journal. Later messages in the stream, which come from a publish whose answer
// was lost or from the time before the store was restored from a copy, are
// compared with the next rows. A row is published only when the stream has no
// more messages of this writer. Start, recovery and unknown outcomes all take
// this one path.
//
// # Invariants
//
//   - Once: row n of a writer is in the stream once, after row n-1. Its message
//     carries the id "<writer>-<n>" and is stored only if the subject ends at
//     the position that the relay expects.
//   - Never against the journal: if the stream has another row n, the relay
//     stops with [ErrDiffers]. A ledger that stops is only a delay.
//   - Restored stores publish nothing: while the stream is ahead, rows are only
//     compared.
package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/telemetry/trail"
)

// ErrDiffers means that stream and journal disagree: one of them was altered,
// or two writers use one name.
var ErrDiffers = errors.New("stream and journal differ")

// Row is one message to be published.
type Row struct {
	Number  uint64 // 1, 2, … without gaps
	Subject string
	Data    []byte
}

// Journal has the rows. Relayed and SetRelayed read and write the watermark:
// the number of the last row known to be in the stream, and its position there,
// both 0 before the first row. The watermark may be too low, but never too
// high. Rows returns at most limit rows from a number on, in ascending order;
// if it returns fewer, there are no more.
type Journal interface {
	Name() string
	Relayed(ctx context.Context) (number, position uint64, err error)
	SetRelayed(ctx context.Context, number, position uint64) error
	Rows(ctx context.Context, from uint64, limit int) ([]Row, error)
}

const (
	perRead   = 32 // rows held in memory: at most 13 MB
	firstWait = 50 * time.Millisecond
	longWait  = 5 * time.Second // between attempts while the log is unavailable
	idleCheck = 5 * time.Second // the longest delay after a lost wake-up
)

// Relay carries one writer's rows into one stream. Make it with [New].
type Relay struct {
	journal Journal
	stream  *eventlog.Stream
	log     *slog.Logger
	wake    chan struct{}
	show    shown

	number   uint64 // the last row known to be in the stream
	position uint64 // its position
	saved    uint64 // the last row that the watermark in the store names

	tail    *eventlog.Reader  // reads the stream after position; nil if there is nothing to read
	checked uint64            // tail reads up to here; every message of this writer up to here is known
	unsure  bool              // the stream may have messages of this writer after checked
	ends    map[string]uint64 // position of a subject's last message
}

// New returns a relay that does nothing until [Relay.Run].
func New(journal Journal, stream *eventlog.Stream, log *slog.Logger) *Relay {
	if log == nil {
		log = slog.Default()
	}
	return &Relay{journal: journal, stream: stream, log: log, wake: make(chan struct{}, 1), ends: map[string]uint64{}, show: unshown}
}

// Wake tells the relay that there are new rows, written in the trace of ctx. It
// never blocks.
func (r *Relay) Wake(ctx context.Context) {
	r.show.wrote(ctx)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run relays until ctx ends and returns ctx's error, or until it cannot
// continue ([ErrDiffers], an error of the store, a damaged stream). While the
// log is unavailable or full, it waits and retries.
func (r *Relay) Run(ctx context.Context) error {
	watched, err := r.watch()
	if err != nil {
		return fmt.Errorf("relaying %s to %s: %w", r.journal.Name(), r.stream.Name(), err)
	}
	defer func() { _ = watched.Unregister() }() // never fails
	err = r.run(ctx)
	r.endTail()
	return fmt.Errorf("relaying %s to %s: %w", r.journal.Name(), r.stream.Name(), err)
}

func (r *Relay) run(ctx context.Context) error {
	err := retry.Policy{Pause: firstWait, Again: eventlog.Unavailable, Waits: func(cause error, _ time.Duration) {
		r.log.Warn("relay waits to begin", "writer", r.journal.Name(), "cause", cause)
	}}.Do(ctx, func() error { return r.begin(ctx) })
	if err != nil {
		return err
	}
	timer := time.NewTimer(idleCheck)
	defer timer.Stop()
	for {
		if err := r.drain(ctx); err != nil {
			return err
		}
		timer.Reset(idleCheck)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// Drain relays the rows that the journal has now and returns. Use either Run or
// Drain.
func (r *Relay) Drain(ctx context.Context) error {
	defer r.endTail()
	if err := r.begin(ctx); err != nil {
		return fmt.Errorf("relaying %s to %s: %w", r.journal.Name(), r.stream.Name(), err)
	}
	if err := r.drain(ctx); err != nil {
		return fmt.Errorf("relaying %s to %s: %w", r.journal.Name(), r.stream.Name(), err)
	}
	return nil
}

func (r *Relay) begin(ctx context.Context) (err error) {
	if r.number, r.position, err = r.journal.Relayed(ctx); err != nil {
		return err
	}
	r.saved = r.number
	if r.number > 0 {
		if err := r.isThere(ctx); err != nil {
			return err
		}
	}
	r.unsure = true
	return nil
}

// isThere checks that the stream still has the row of the watermark.
func (r *Relay) isThere(ctx context.Context) error {
	m, err := r.stream.Get(ctx, r.position)
	if err != nil {
		return fmt.Errorf("position %d should hold row %d: %w", r.position, r.number, err)
	}
	rows, err := r.journal.Rows(ctx, r.number, 1)
	if err != nil {
		return err
	}
	if len(rows) == 0 || rows[0].Number != r.number || !bytes.Equal(rows[0].Data, m.Data) {
		return fmt.Errorf("position %d does not hold row %d: %w", r.position, r.number, ErrDiffers)
	}
	return nil
}

// beginTail starts reading the stream after the last known row.
func (r *Relay) beginTail(ctx context.Context) error {
	r.endTail()
	last, err := r.stream.Last(ctx)
	if err != nil {
		return err
	}
	if last > r.position {
		if r.tail, err = r.stream.Read(ctx, r.position+1, ""); err != nil {
			return err
		}
	}
	clear(r.ends)
	r.checked, r.unsure = max(last, r.position), false
	return nil
}

func (r *Relay) endTail() {
	if r.tail != nil {
		r.tail.Stop()
		r.tail = nil
	}
}

// drain relays rows until the journal has no more.
func (r *Relay) drain(ctx context.Context) error {
	for {
		from := r.show.begin()
		rows, err := r.journal.Rows(ctx, r.number+1, perRead)
		if err != nil {
			return err
		}
		if err := r.carryAll(ctx, rows, from); err != nil {
			return err
		}
		if len(rows) < perRead {
			r.show.drained()
			return nil
		}
	}
}

// carryAll relays rows that were read, in the trace in which they were written.
func (r *Relay) carryAll(ctx context.Context, rows []Row, from trail.Trail) (err error) {
	if len(rows) > 0 {
		var span trace.Span
		ctx, span = r.span(ctx, from, rows)
		defer func() { end(span, err) }()
	}
	for _, row := range rows {
		if row.Number != r.number+1 {
			return fmt.Errorf("the journal has row %d after row %d: %w", row.Number, r.number, ErrDiffers)
		}
		if err := r.carry(ctx, row); err != nil {
			return err
		}
	}
	if r.number > r.saved {
		if err := r.journal.SetRelayed(ctx, r.number, r.position); err != nil {
			return err
		}
		r.saved = r.number
	}
	r.show.rows.Add(ctx, int64(len(rows)), r.show.stream)
	return nil
}

// carry publishes one row, or finds it in the stream.
func (r *Relay) carry(ctx context.Context, row Row) error {
	return retry.Policy{
		Pause: firstWait, Longest: longWait,
		Again: func(err error) bool {
			if errors.Is(err, eventlog.ErrAmbiguous) || errors.Is(err, eventlog.ErrWrongLastSequence) {
				r.unsure = true // it was stored after all, or another process wrote: read back
				return true
			}
			return eventlog.Unavailable(err) || errors.Is(err, eventlog.ErrFull)
		},
		Waits: func(cause error, wait time.Duration) {
			r.show.retries.Add(ctx, 1, r.show.stream)
			r.log.WarnContext(ctx, "relay waits", "writer", r.journal.Name(), "row", row.Number, "cause", cause, "wait", wait)
		},
	}.Do(ctx, func() error { return r.try(ctx, row) })
}

// try looks for one row in the rest of the stream, and publishes it if it is
// not there.
func (r *Relay) try(ctx context.Context, row Row) error {
	if r.unsure {
		if err := r.beginTail(ctx); err != nil {
			return err
		}
	}
	if there, err := r.compare(ctx, row); err != nil || there {
		return err
	}
	position, err := r.publish(ctx, row)
	if err != nil {
		return err
	}
	r.number, r.position, r.ends[row.Subject] = row.Number, position, position
	r.checked = max(r.checked, position)
	return nil
}

// compare looks for the row in the rest of the stream. Every message of this
// writer there must be the next row.
func (r *Relay) compare(ctx context.Context, row Row) (there bool, err error) {
	for r.tail != nil {
		m, err := r.tail.Next(ctx)
		if err != nil {
			return false, err
		}
		if m.Seq >= r.checked {
			r.endTail()
		}
		number, mine := r.numberOf(m)
		if !mine {
			continue
		}
		if number != row.Number || m.Subject != row.Subject || !bytes.Equal(m.Data, row.Data) {
			return false, fmt.Errorf("position %d holds row %d, which is not row %d of the journal: %w", m.Seq, number, row.Number, ErrDiffers)
		}
		r.number, r.position = number, m.Seq
		return true, nil
	}
	return false, nil
}

func (r *Relay) id(number uint64) string {
	return r.journal.Name() + "-" + strconv.FormatUint(number, 10)
}

func (r *Relay) numberOf(m eventlog.Message) (number uint64, mine bool) {
	digits, ok := strings.CutPrefix(m.Header.Get(nats.MsgIdHdr), r.journal.Name()+"-")
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil && r.id(number) == m.Header.Get(nats.MsgIdHdr)
}

func (r *Relay) publish(ctx context.Context, row Row) (uint64, error) {
	end, ok := r.ends[row.Subject]
	if !ok {
		last, err := r.stream.GetLastFor(ctx, row.Subject)
		if err != nil && !errors.Is(err, eventlog.ErrNotFound) {
			return 0, err
		}
		if end = last.Seq; end > r.checked { // 0 if there is none
			// The message may be this relay's own, from a publish that was
			// thought lost: expecting that position would store the row twice.
			return 0, fmt.Errorf("subject %s ends at %d, beyond %d: %w", row.Subject, end, r.checked, eventlog.ErrWrongLastSequence)
		}
	}
	return r.stream.Publish(ctx, row.Subject, row.Data, eventlog.PublishOptions{MsgID: r.id(row.Number), ExpectLastSubjectSeq: &end})
}
