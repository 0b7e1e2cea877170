package settle_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/relay"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/ids"
	"github.com/aliquot-engine/aliquot/internal/store/sqlite"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/settle"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// house is the streams, which outlive every settler.
type house struct {
	t       testing.TB
	log     *eventlog.Log
	usage   *eventlog.Stream
	control *eventlog.Stream
	ledger  *eventlog.Stream
	dir     string
	decided int
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir()}
	var err error
	h.log, err = eventlog.Open(t.Context(), eventlog.Config{Dir: filepath.Join(h.dir, "log"), LazySync: true, Logger: quiet})
	h.must(err)
	t.Cleanup(func() { _ = h.log.Close() })
	h.usage, err = h.log.Usage(t.Context(), 0, 0)
	h.must(err)
	h.control, err = h.log.Control(t.Context())
	h.must(err)
	h.ledger, err = h.log.Ledger(t.Context())
	h.must(err)
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// decide appends a decision to CONTROL.
func (h *house) decide(body events.Body) uint64 {
	h.t.Helper()
	h.decided++
	d := events.Decision{ID: fmt.Sprintf("d%d", h.decided), Actor: "operator:alice", At: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), Body: body}
	data, err := events.AppendDecision(nil, d)
	h.must(err)
	position, err := h.control.Publish(context.Background(), eventlog.ControlSubject(body.Kind()), data, eventlog.PublishOptions{})
	h.must(err)
	return position
}

// send publishes a batch.
func (h *house) send(segments ...events.Segment) uint64 {
	h.t.Helper()
	data := events.AppendMessage(nil, &events.Message{Kind: events.Batch, Segments: segments})
	position, err := h.usage.Publish(context.Background(), eventlog.UsageSubject(0), data, eventlog.PublishOptions{})
	h.must(err)
	return position
}

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// declare sets a book up: nodes n0…, customers c0…, a price of 0.1 in USD, and
// USDC quoted at 0.9997.
func (h *house) declare(nodes, customers int) {
	h.decide(events.ProviderDeclared{Provider: "acme"})
	h.decide(events.BookDeclared{Book: "b", Provider: "acme", Calendar: "day", TimeZone: "UTC", Asset: "USDC", FutureSeconds: 300})
	h.decide(events.MeterDeclared{Meter: "m", Book: "b", Unit: "s"})
	for i := range nodes {
		h.decide(events.NodeDeclared{Node: events.Node(fmt.Sprintf("n%d", i)), Book: "b"})
	}
	for i := range customers {
		h.decide(events.CustomerDeclared{Customer: events.Customer(fmt.Sprintf("c%d", i)), Book: "b"})
	}
	tenth, err := money.ParseAmount("0.1")
	h.must(err)
	rate, err := money.ParseAmount("0.9997")
	h.must(err)
	one, err := money.ParseQuantity("1")
	h.must(err)
	h.decide(events.CardDeclared{Card: "std", Version: 1, Book: "b", Currency: "USD", Effective: noon.AddDate(-1, 0, 0),
		Rules: []events.CardRule{{Meter: "m", Price: tenth, Per: one}}})
	h.decide(events.QuotePolicyDeclared{Pair: "USDC/USD", HeartbeatSeconds: 86400, MinSources: 1})
	h.decide(events.QuotesObserved{Pair: "USDC/USD", Source: "feed", Rounds: []events.Round{{Round: "1", Time: noon.Add(-time.Hour), Rate: rate}}})
}

// segment packs events k to k+n of one generated sequence. Foreign ones are
// named instead of numbered.
func segment(b *packed.Builder, k, n, nodes, customers int, foreign bool) events.Segment {
	b.Reset("acme", !foreign)
	for i := k; i < k+n; i++ {
		end := noon.UnixNano() + int64(i%1000)*int64(time.Millisecond)
		u := packed.RawUsage{
			Source: []byte("client"), Sequenced: !foreign, Node: fmt.Appendf(nil, "n%d", i*7%nodes), Customer: fmt.Appendf(nil, "c%d", i*31/nodes%customers),
			Meter: []byte("m"), QuantityLow: uint64(1 + i%977), Scale: 3, Start: end, End: end,
		}
		if foreign {
			u.ID = fmt.Appendf(nil, "event-%d", i)
		} else {
			u.Sequence = uint64(i)
		}
		b.Add(&u)
	}
	return events.Segment{Book: "b", Received: noon.Add(time.Hour).UnixNano(), Packed: b.AppendTo(nil)}
}

// place is one store and its settlers, one after the other.
type place struct {
	h     *house
	db    *store.DB
	ids   *ids.Store
	store *store.Settle
	fail  *failing
}

func (h *house) place(name string) *place {
	h.t.Helper()
	dir := filepath.Join(h.dir, name)
	db, err := sqlite.Open(dir + ".db")
	h.must(err)
	index, err := ids.Open(dir + ".ids")
	h.must(err)
	p := &place{h: h, db: db, ids: index}
	h.t.Cleanup(p.close)
	return p
}

func (p *place) close() {
	if p.db == nil {
		return
	}
	p.h.must(p.ids.Close())
	p.h.must(p.db.Close())
	p.db = nil
}

// settler takes the store over.
func (p *place) settler(until uint64) *settle.Settler {
	p.h.t.Helper()
	created := p.h.usage.Created().UnixNano()
	store, cursor, err := p.db.Settle(context.Background(), 0, p.h.usage.Name(), created, fmt.Sprint(rand.Uint64()))
	p.h.must(err)
	p.store, p.fail = store, &failing{Store: store}
	c := settle.Config{Tree: new(chain), Usage: p.h.usage, Control: p.h.control, Store: p.fail, Cursor: cursor, IDs: p.ids, Until: until, Logger: quiet}
	if until == 0 {
		c.Ledger = relay.New(settle.Journal{Written: store}, p.h.ledger, quiet)
	}
	return settle.New(c)
}

// chain stands for the tree of CONTROL: a hash over everything before.
type chain [32]byte

func (c *chain) Append(position uint64, subject string, data []byte) {
	*c = sha256.Sum256(fmt.Appendf(c[:], "%d %s %s", position, subject, data))
}

func (c *chain) Root() [32]byte { return *c }

// failing is a store that fails once: before or after a commit took effect.
type failing struct {
	settle.Store
	commits int32
	at      int32 // 1: the first; 0: never
	after   bool
	err     error
}

func (f *failing) Commit(ctx context.Context, from uint64, cuts []*settlement.Cut, encoded [][][]byte) error {
	if n := atomic.AddInt32(&f.commits, 1); n != f.at {
		return f.Store.Commit(ctx, from, cuts, encoded)
	}
	if f.after {
		if err := f.Store.Commit(ctx, from, cuts, encoded); err != nil {
			return err
		}
	}
	return f.err
}

// run starts a settler; the function it returns stops it and gives its error.
func run(s *settle.Settler) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() error { cancel(); return <-done }
}

// journal returns the settler's rows, and the journal's hash.
func (p *place) journal() (rows [][]byte, hash [32]byte) {
	p.h.t.Helper()
	sum := ledger.NewJournal()
	p.h.must(p.store.Journal(context.Background(), 1, 0, func(w store.Written) error {
		rows = append(rows, w.Record)
		r, err := ledger.DecodeRecord(w.Record)
		if err != nil {
			return err
		}
		return sum.Add(&r)
	}))
	return rows, sum.Hash()
}

// same checks that a replay from the streams gives these very rows, and that
// LEDGER has them.
func (p *place) same() {
	p.h.t.Helper()
	ctx := context.Background()
	cursor, err := p.db.Cursor(ctx, 0)
	p.h.must(err)
	rows, _ := p.journal()
	replayed := p.h.place(fmt.Sprintf("replay-%d", rand.Uint64()))
	p.h.must(replayed.settler(cursor.Position).Run(ctx))
	again, _ := replayed.journal()
	if len(rows) != len(again) {
		p.h.t.Fatalf("replay gives %d rows, live gave %d", len(again), len(rows))
	}
	for i := range rows {
		if !bytes.Equal(rows[i], again[i]) {
			p.h.t.Fatalf("row %d differs in replay", i+1)
		}
	}
	replayed.close()
}

func (p *place) outcomes() (counts map[string]uint64) {
	p.h.t.Helper()
	list, err := p.db.Tallies(context.Background(), "")
	p.h.must(err)
	counts = map[string]uint64{}
	for _, t := range list {
		counts[[]string{"", "accepted", "late", "duplicate", "refused"}[t.Outcome]] += t.Events
	}
	return counts
}

// Fails when write moves `from` before the commit, when the commit's cursor
// check is dropped, when Restore forgets what is owed, or when the index of
// identities answers with what a failed commit wrote.
func TestAStoreThatFailsAnywhereLeavesTheSameJournal(t *testing.T) {
	const nodes, customers = 5, 3
	h := newHouse(t)
	var b packed.Builder
	h.declare(nodes, customers)
	calm := h.place("calm")
	s := calm.settler(0)
	stop := run(s)
	h.must(s.WaitEffective(t.Context(), uint64(h.decided)))
	last := uint64(0)
	for i := range 12 {
		h.send(segment(&b, 1+i*40, 40, nodes, customers, false), segment(&b, i*30, 40, nodes, customers, true))
		if i == 5 {
			ten, err := money.ParseAmount("10")
			h.must(err)
			k := h.decide(events.DepositRecorded{Book: "b", Customer: "c1", Asset: "USDC", Amount: ten, Reference: "wire"})
			h.must(s.WaitEffective(t.Context(), k))
		}
		if i == 8 {
			k := h.decide(events.PeriodClosed{Book: "b", Period: "2026-11-20"})
			h.must(s.WaitEffective(t.Context(), k))
		}
		last = h.send(segment(&b, 1+i*40, 10, nodes, customers, false)) // again
	}
	h.must(s.WaitSettled(t.Context(), last))
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	calm.same()
	want, hash := calm.journal()
	counts := calm.outcomes()
	if counts["accepted"]+counts["late"] != 12*40+11*30+40 || counts["late"] == 0 || counts["duplicate"] != 12*10+11*10 || counts["refused"] != 0 {
		t.Errorf("outcomes %v", counts)
	}

	cursor, err := calm.db.Cursor(t.Context(), 0)
	h.must(err)
	broken := errors.New("broken")
	for _, after := range []bool{false, true} {
		for _, cause := range []error{broken, settlement.ErrInterrupted} {
			p := h.place(fmt.Sprintf("broken-%v-%v", after, cause == broken))
			for at := int32(1); ; at++ {
				s := p.settler(cursor.Position)
				p.fail.at, p.fail.after, p.fail.err = 1+at%3, after, cause
				err := s.Run(t.Context())
				if err == nil {
					break
				}
				if !errors.Is(err, broken) {
					t.Fatal(err)
				}
			}
			rows, got := p.journal()
			if got != hash || len(rows) != len(want) {
				t.Fatalf("after=%v cause=%v: %d rows with hash %x, want %d with %x", after, cause, len(rows), got[:4], len(want), hash[:4])
			}
			for i := range rows {
				if !bytes.Equal(rows[i], want[i]) {
					t.Fatalf("after=%v cause=%v: row %d differs", after, cause, i+1)
				}
			}
			p.close()
		}
	}
}

func TestSettlersThatAreStoppedAtAnyMomentLoseAndRepeatNothing(t *testing.T) {
	const nodes, customers = 7, 4
	h := newHouse(t)
	var b packed.Builder
	h.declare(nodes, customers)
	p := h.place("live")
	random := rand.New(rand.NewPCG(1, 2))
	last := uint64(0)
	for round := range 12 {
		s := p.settler(0)
		stop := run(s)
		if round == 0 {
			h.must(s.WaitEffective(t.Context(), uint64(h.decided)))
		}
		for i := range 5 {
			k := round*5 + i
			last = h.send(segment(&b, 1+k*50, 50, nodes, customers, false), segment(&b, k*20, 20, nodes, customers, true))
		}
		time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	s := p.settler(0)
	stop := run(s)
	h.must(s.WaitSettled(t.Context(), last))
	h.must(s.WaitEffective(t.Context(), uint64(h.decided)))
	if counts := p.outcomes(); counts["accepted"] != 60*70 || len(counts) != 1 {
		t.Errorf("outcomes %v", counts)
	}
	_ = stop()
	p.same()
	_, hash := p.journal()

	// The same events in other batches, in other streams: the same sums.
	other := newHouse(t)
	other.declare(nodes, customers)
	q := other.place("other")
	s = q.settler(0)
	stop = run(s)
	other.must(s.WaitEffective(t.Context(), uint64(other.decided)))
	for i := range 6 {
		other.send(segment(&b, 1+i*500, 500, nodes, customers, false))
	}
	last = other.send(segment(&b, 0, 1200, nodes, customers, true))
	other.must(s.WaitSettled(t.Context(), last))
	_ = stop()
	if _, got := q.journal(); got != hash {
		t.Errorf("other batches give hash %x, want %x", got, hash)
	}
}

func TestTheSecondSettlerFencesTheFirst(t *testing.T) {
	h := newHouse(t)
	var b packed.Builder
	h.declare(2, 2)
	p := h.place("live")
	first := p.settler(0)
	stop := run(first)
	h.must(first.WaitEffective(t.Context(), uint64(h.decided)))
	second := p.settler(0)
	defer run(second)()
	position := h.send(segment(&b, 1, 10, 2, 2, false))
	if err := first.WaitSettled(t.Context(), position); !errors.Is(err, settlement.ErrFenced) {
		t.Errorf("the first settler: %v", err)
	}
	if err := stop(); !errors.Is(err, settlement.ErrFenced) || !strings.Contains(err.Error(), "another settler has taken over") {
		t.Errorf("the first settler stopped with: %v", err)
	}
	h.must(second.WaitSettled(t.Context(), position))
	if counts := p.outcomes(); counts["accepted"] != 10 {
		t.Errorf("outcomes %v", counts)
	}
}

// Fails when begin does not bind the index to the stream's watermark, and when
// rebuild remembers what was refused.
func TestALostIndexOfIdentitiesIsRebuilt(t *testing.T) {
	h := newHouse(t)
	var b packed.Builder
	h.declare(2, 2)
	p := h.place("live")
	s := p.settler(0)
	stop := run(s)
	h.must(s.WaitEffective(t.Context(), uint64(h.decided)))
	unknown := segment(&b, 100, 10, 50, 2, true) // most of its nodes are not declared
	h.send(segment(&b, 0, 50, 2, 2, true), unknown)
	h.must(s.WaitSettled(t.Context(), h.send(segment(&b, 1, 5, 2, 2, false))))
	_ = stop()
	before := p.outcomes()
	if before["refused"] == 0 || before["accepted"] <= 55 {
		t.Fatalf("outcomes %v", before)
	}
	h.must(p.ids.Close())
	var err error
	p.ids, err = ids.Open(filepath.Join(h.dir, "anew.ids"))
	h.must(err)
	s = p.settler(0)
	stop = run(s)
	h.must(s.WaitSettled(t.Context(), h.send(segment(&b, 0, 60, 2, 2, true), unknown)))
	_ = stop()
	after := p.outcomes()
	if after["duplicate"] != 50+before["accepted"]-55 || after["accepted"] != before["accepted"]+10 || after["refused"] != 2*before["refused"] {
		t.Errorf("outcomes %v, before %v", after, before)
	}
	p.same()
}

func TestAStreamThatIsNotTheOneKnownIsNotSettled(t *testing.T) {
	h := newHouse(t)
	var b packed.Builder
	h.declare(2, 2)
	p := h.place("live")
	s := p.settler(0)
	stop := run(s)
	h.must(s.WaitSettled(t.Context(), h.send(segment(&b, 1, 5, 2, 2, false))))
	_ = stop()
	other := newHouse(t)
	other.declare(2, 2)
	p.h = other
	if err := p.settler(0).Run(t.Context()); !errors.Is(err, eventlog.ErrOtherStream) {
		t.Errorf("settling another stream: %v", err)
	}
}

// Every barrier carries the root of CONTROL as far as it reaches, no matter who made
// it, and one that carries another stops settlement and replay: decisions were
// altered since. Fails when the root of the last decision is not the one that is
// compared.
func TestABarrierRestsOnTheDecisionsThatItNames(t *testing.T) {
	h := newHouse(t)
	h.declare(2, 2)
	p := h.place("one")
	for range 3 { // A settler that starts again goes on from the same root.
		s := p.settler(0)
		stop := run(s)
		h.must(s.WaitEffective(t.Context(), h.decide(events.MeterDeclared{Meter: events.Meter(fmt.Sprint("m", h.decided)), Book: "b", Unit: "s"})))
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	roots := map[uint64]events.Root{}
	var tree chain
	for at := uint64(1); at <= uint64(h.decided); at++ {
		m, err := h.control.Get(ctx, at)
		h.must(err)
		tree.Append(at, m.Subject, m.Data)
		roots[at] = events.Root(tree.Root())
	}
	last, err := h.usage.Last(ctx)
	h.must(err)
	carried := 0
	for at := uint64(1); at <= last; at++ {
		raw, err := h.usage.Get(ctx, at)
		h.must(err)
		var m events.Message
		_, err = m.Decode(raw.Data, nil)
		h.must(err)
		if m.Kind != events.Barrier {
			continue
		}
		if carried++; m.Root == nil || *m.Root != roots[m.Control] {
			t.Errorf("the barrier at %d for %d carries %v", at, m.Control, m.Root)
		}
	}
	if carried < 3 {
		t.Fatalf("%d barriers", carried)
	}
	p.same()

	forged := roots[uint64(h.decided)]
	forged[7] ^= 1
	right := roots[uint64(h.decided)]
	for i, root := range []*events.Root{nil, &right, &forged} { // none, the right one, another
		data := events.AppendMessage(nil, &events.Message{Kind: events.Barrier, Control: uint64(h.decided), Rules: 1, Root: root})
		at, err := h.usage.Publish(ctx, eventlog.UsageSubject(0), data, eventlog.PublishOptions{})
		h.must(err)
		s := p.settler(0)
		stop := run(s)
		err = s.WaitSettled(t.Context(), at)
		_ = stop()
		if (err != nil) != (i == 2) || err != nil && !strings.Contains(err.Error(), "decisions were altered since") {
			t.Errorf("root %d: %v", i, err)
		}
	}
}
