// Package audittest makes small stores for the tests of the observers, by
// running the real settler and distributor on an embedded event log in a
// temporary folder.
package audittest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/relay"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/ids"
	"github.com/aliquot-engine/aliquot/internal/store/sqlite"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/distribute"
	"github.com/aliquot-engine/aliquot/services/settle"
)

// Noon is the time of usage in a [World], unless a test says otherwise.
var Noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// Late is the time at which everything is decided and received: five days after
// Noon, so that nothing in a test lies in the future. Decision n is made n
// seconds later.
var Late = Noon.AddDate(0, 0, 5)

// patience limits every wait.
const patience = time.Minute

// World is an event log, a store, and the loops between them.
type World struct {
	t testing.TB

	Usage, Control, Register, Ledger, Payout *eventlog.Stream

	DB   *store.DB
	File string // of the store, if it is in a file
	IDs  *ids.Store

	settler   *settle.Settler
	settled   *store.Settle
	payer     *distribute.Distributor
	stop      func()
	lives     int
	decisions int
	builder   packed.Builder
	decision  func(events.Body) events.Body // edits decisions; nil for none
	movement  func(*events.Movement)        // edits movements; nil for none
}

// New returns a world in which nothing is declared and the loops run, on a store
// in a file.
func New(t testing.TB) *World {
	t.Helper()
	return On(t, nil)
}

// On does the same as [New] on a store that the caller closes; nil means a new
// one in a file.
func On(t testing.TB, db *store.DB) *World {
	t.Helper()
	dir := t.TempDir()
	w := &World{t: t, File: filepath.Join(dir, "ledger.db")}
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: filepath.Join(dir, "streams"), LazySync: true, Logger: quiet()})
	w.must(err)
	t.Cleanup(func() { _ = log.Close() })
	for _, open := range []struct {
		to *(*eventlog.Stream)
		by func(context.Context) (*eventlog.Stream, error)
	}{
		{&w.Usage, func(ctx context.Context) (*eventlog.Stream, error) { return log.Usage(ctx, 0, 0) }},
		{&w.Control, log.Control}, {&w.Register, log.Register}, {&w.Ledger, log.Ledger}, {&w.Payout, log.Payout},
	} {
		*open.to, err = open.by(t.Context())
		w.must(err)
	}
	if w.DB = db; db == nil {
		w.DB, err = sqlite.Open(w.File)
		w.must(err)
		t.Cleanup(func() { _ = w.DB.Close() })
	}
	w.IDs, err = ids.Open(filepath.Join(dir, "ids"))
	w.must(err)
	t.Cleanup(func() { _ = w.IDs.Close() })
	w.Start()
	return w
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (w *World) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// Start runs the loops, which take over the store.
func (w *World) Start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.lives++
	nonce := fmt.Sprint("life ", w.lives)
	store, cursor, err := w.DB.Settle(ctx, 0, w.Usage.Name(), w.Usage.Created().UnixNano(), nonce)
	w.must(err)
	payer, done, err := w.DB.Distribute(ctx, nonce)
	w.must(err)
	w.settled = store
	w.settler = settle.New(settle.Config{
		Usage: w.Usage, Control: w.Control, Store: store, Cursor: cursor, IDs: w.IDs, Tree: new(tlog.StreamTree), Ledger: relay.New(settle.Journal{Written: store}, w.Ledger, quiet()), Logger: quiet(),
	})
	w.payer = distribute.New(distribute.Config{
		Control: w.Control, Ledger: w.Ledger, Register: w.Register, Store: payer, Cursor: done, Payout: w.Payout, Logger: quiet(),
	})
	var loops sync.WaitGroup
	loops.Go(func() { _ = w.settler.Run(ctx) })
	loops.Go(func() { _ = w.payer.Run(ctx) })
	w.stop = sync.OnceFunc(func() { cancel(); loops.Wait() })
	w.t.Cleanup(w.stop)
}

// Stop ends the loops after everything committed was published.
func (w *World) Stop() {
	w.t.Helper()
	w.Rest()
	w.stop()
}

// Rest waits until everything is settled, published and distributed.
func (w *World) Rest() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	last, err := w.Usage.Last(ctx)
	w.must(err)
	w.must(w.settler.WaitSettled(ctx, last))
	last, err = w.Control.Last(ctx)
	w.must(err)
	w.must(w.settler.WaitEffective(ctx, last))
	w.must(w.payer.WaitDone(ctx, last))
	for {
		behind := false
		err := w.DB.Snapshot(ctx, func(s *store.Snapshot) error {
			writers, err := s.Writers()
			for _, writer := range writers {
				rows := writer.Last
				if writer.Name == store.DistributeWriter {
					rows = 0
					err = s.PayoutMessages(counting(&rows))
				}
				behind = behind || writer.Relayed < rows
			}
			return err
		})
		if !errors.Is(err, settlement.ErrInterrupted) {
			w.must(err)
			if !behind {
				return
			}
		}
		select {
		case <-ctx.Done():
			w.t.Fatal("the relays did not finish")
		case <-time.After(time.Millisecond):
		}
	}
}

// Decide appends a decision, waits until it is in effect, and returns the reason
// if it is void, or "".
func (w *World) Decide(body events.Body) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w.decisions++
	if w.decision != nil {
		body = w.decision(body)
	}
	data, err := events.AppendDecision(nil, events.Decision{
		ID: fmt.Sprint("decision-", w.decisions), Actor: "operator:ada", At: Late.Add(time.Duration(w.decisions) * time.Second), Body: body,
	})
	w.must(err)
	at, err := w.Control.Publish(ctx, eventlog.ControlSubject(body.Kind()), data, eventlog.PublishOptions{})
	w.must(err)
	w.must(w.settler.WaitEffective(ctx, at))
	w.must(w.payer.WaitDone(ctx, at))
	reason, err := w.settler.VoidReason(ctx, at)
	w.must(err)
	if reason == "" {
		reason, err = w.payer.VoidReason(ctx, at)
		w.must(err)
	}
	return reason
}

// Declare does the same as Decide for decisions that must take effect.
func (w *World) Declare(bodies ...events.Body) {
	w.t.Helper()
	for _, b := range bodies {
		if reason := w.Decide(b); reason != "" {
			w.t.Fatalf("%s is void: %s", b.Kind(), reason)
		}
	}
}

// Event is usage as it is sent. If Sequence is zero, the event is identified by
// its ID.
type Event struct {
	ID       string
	Sequence uint64
	Node     string
	Customer string
	Meter    string // "gpu.seconds" if empty
	Quantity string
	Model    string    // attribute "model" if not empty
	Start    time.Time // a minute before End if zero
	End      time.Time // [Noon] if zero
}

// Send publishes one batch and returns its position. Its events belong to one
// book and provider; either all or none of them have sequences.
func (w *World) Send(book events.Book, provider events.Provider, list ...Event) uint64 {
	w.t.Helper()
	b := &w.builder
	b.Reset(provider, list[0].Sequence > 0)
	for _, e := range list {
		q := Quantity(w.t, e.Quantity)
		high, low, scale, err := q.Mantissa()
		w.must(err)
		if e.End.IsZero() {
			e.End = Noon
		}
		if e.Start.IsZero() {
			e.Start = e.End.Add(-time.Minute)
		}
		if e.Meter == "" {
			e.Meter = "gpu.seconds"
		}
		u := packed.RawUsage{
			Source: []byte("meter-1"), ID: []byte(e.ID), Sequence: e.Sequence, Sequenced: e.Sequence > 0,
			Node: []byte(e.Node), Customer: []byte(e.Customer), Meter: []byte(e.Meter),
			QuantityHigh: high, QuantityLow: low, Scale: scale, Start: e.Start.UnixNano(), End: e.End.UnixNano(),
		}
		if e.Model != "" {
			u.Attributes = []packed.RawAttribute{{Name: []byte("model"), Value: []byte(e.Model)}}
		}
		if !b.Add(&u) {
			w.t.Fatal("the segment is full")
		}
	}
	data := events.AppendMessage(nil, &events.Message{Kind: events.Batch, Segments: []events.Segment{
		{Book: book, Received: Late.UnixNano(), Key: "key-1", Packed: b.AppendTo(nil)},
	}})
	at, err := w.Usage.Publish(context.Background(), eventlog.UsageSubject(0), data, eventlog.PublishOptions{})
	w.must(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w.must(w.settler.WaitSettled(ctx, at))
	return at
}

// Move publishes movements of a token's register.
func (w *World) Move(token events.Token, id string, list ...events.Movement) {
	w.t.Helper()
	for i := range list {
		list[i].Effective = Noon
		if w.movement != nil {
			w.movement(&list[i])
		}
	}
	data, err := events.AppendMovements(nil, &events.Movements{ID: id, Token: token, Actor: "operator:ada", At: Noon, Movements: list})
	w.must(err)
	_, err = w.Register.Publish(context.Background(), eventlog.RegisterSubject(string(token)), data, eventlog.PublishOptions{})
	w.must(err)
}

// Distribute declares a distribution that rests on the ends of all streams.
func (w *World) Distribute(id string, token events.TokenDeclared, period events.Period) {
	w.t.Helper()
	w.Rest()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d, err := w.payer.Declaration(ctx, id, token, period, Noon)
	w.must(err)
	d.RestsOn = []events.LogState{w.state(w.Control, d.ControlSeq), w.state(w.Ledger, d.LedgerSeq), w.state(w.Register, d.RegisterSeq)}
	w.Declare(d)
}

// PayOwed declares a payout run that rests on the ends of all streams.
func (w *World) PayOwed(run string, token events.Token) {
	w.t.Helper()
	w.Rest()
	control, err := w.Control.Last(context.Background())
	w.must(err)
	register, err := w.Register.Last(context.Background())
	w.must(err)
	w.Declare(events.PayoutRunDeclared{
		Run: run, Token: token, ControlSeq: control, RegisterSeq: register,
		RestsOn: []events.LogState{w.state(w.Control, control), w.state(w.Register, register)},
	})
}

// state returns the state of a stream's log at a position.
func (w *World) state(stream *eventlog.Stream, position uint64) events.LogState {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var tree tlog.StreamTree
	for at := uint64(1); at <= position; at++ {
		m, err := stream.Get(ctx, at)
		w.must(err)
		tree.Append(at, m.Subject, m.Data)
	}
	return events.LogState{Log: strings.ToLower(stream.Name()), Size: position, Root: events.Root(tree.Root())}
}

// Amount reads an amount.
func Amount(t testing.TB, text string) money.Amount {
	t.Helper()
	a, err := money.ParseAmount(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Quantity reads a quantity.
func Quantity(t testing.TB, text string) money.Quantity {
	t.Helper()
	q, err := money.ParseQuantity(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}
