package distribute_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/relay"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/services/distribute"
)

// story writes everything that three distributions need, and returns the last
// position of CONTROL.
func story(t *testing.T, s *streams) uint64 {
	t.Helper()
	s.basics("0.5", 250)
	for i := range 200 {
		s.move("acme", events.Movement{Kind: events.Issued, To: events.Holder(fmt.Sprintf("holder-%03d", i*37%200)), Units: money.UnitsOf(uint64(i*i + 1))})
	}
	s.move("acme", events.Movement{Kind: events.Frozen, From: "holder-007", Units: money.UnitsOf(3)})
	s.decide(events.HoldersListed{List: "sanctions", Parts: 1, Holders: []events.Holder{"holder-100", "holder-150"}})
	last := uint64(0)
	for month := 1; month <= 3; month++ {
		period := events.Period(fmt.Sprintf("2026-%02d", month))
		s.decide(events.PeriodClosed{Book: "acme-eu", Period: period})
		s.settle("acme-eu", "acme", period, map[money.Asset]string{"USDC": fmt.Sprintf("%d.123456789", 1000*month), "EURC": "77.7"})
		id := fmt.Sprint("d", month)
		s.decide(s.declare(id, "acme", period))
		if month == 2 {
			s.move("acme", events.Movement{Kind: events.Recovered, From: "holder-050", To: "holder-x"})
			s.decide(events.HoldersListed{List: "sanctions", Parts: 1, Holders: []events.Holder{"holder-150", "holder-003"}})
		}
		s.decide(events.PayoutsSubmitted{Batch: "b" + id, Rail: "csv", Distribution: id})
		last = s.decide(events.DistributionDeclared{Distribution: "bad-" + id, Token: "acme", Period: period, RecordDate: start, ControlSeq: 1})
	}
	return last
}

// errCrash is what a commit returns when the process is thought to have died.
var errCrash = errors.New("crash")

// dying lets a number of commits through and dies at the next: before it is
// written, or after, when nobody hears that it was.
type dying struct {
	distribute.Store
	left  int
	after bool
	die   context.CancelFunc
}

func (d *dying) Commit(ctx context.Context, control, read distribution.Mark, step *distribution.Step) error {
	if d.left > 0 {
		d.left--
		return d.Store.Commit(ctx, control, read, step)
	}
	if d.after {
		if err := d.Store.Commit(ctx, control, read, step); err != nil {
			return err
		}
	}
	d.die()
	return errCrash
}

// Fails when the cursor moves in another transaction than the effects, when a
// restart forgets the directory, or when the inbox counts a handover twice.
func TestACrashAtEveryCommitGivesTheSameJournal(t *testing.T) {
	t.Parallel()
	s := newStreams(t)
	last := story(t, s)
	calm := openStore(t)
	r := s.run(calm, "calm", last, nil)
	r.wait(t, last)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	checkBooks(t, calm)
	want := journalBytes(t, calm)
	if len(want) == 0 {
		t.Fatal("no journal")
	}

	for _, after := range []bool{false, true} {
		db := openStore(t)
		crashes := 0
		for {
			store, cursor, err := db.Distribute(t.Context(), fmt.Sprint("life ", crashes))
			if err != nil {
				t.Fatal(err)
			}
			if cursor.Control.Position == last {
				break
			}
			ctx, cancel := context.WithCancel(t.Context())
			// Without a commit that gets through, dying before it never ends.
			left := 1
			if after {
				left = 0
			}
			d := distribute.New(distribute.Config{
				Control: s.control, Ledger: s.ledger, Register: s.register, Cursor: cursor, Until: last, Logger: quiet,
				Store: &dying{Store: store, left: left, after: after, die: cancel},
			})
			if err := d.Run(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			cancel()
			crashes++
			if crashes > 100 {
				t.Fatal("it never ends")
			}
		}
		if crashes < 9 {
			t.Errorf("only %d crashes", crashes)
		}
		checkBooks(t, db)
		if got := journalBytes(t, db); got != want {
			t.Errorf("dying after=%v: the journal is another", after)
		}
	}
}

func TestPayoutHoldsTheJournalAndWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	s := newStreams(t)
	last := story(t, s)
	db := openStore(t)
	r := s.run(db, "live", 0, nil)
	r.wait(t, last)
	_ = r.stop()
	// The relay is cut short by the stop: what is left is carried now, once.
	payer, _, err := db.Distribute(t.Context(), "relay")
	if err != nil {
		t.Fatal(err)
	}
	drain(t, s, payer)
	drain(t, s, payer)

	records := ""
	made, void, planned := 0, 0, 0
	end, err := s.payout.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= end; seq++ {
		m, err := s.payout.Get(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject != eventlog.PayoutSubject("acme") {
			t.Errorf("position %d has subject %s", seq, m.Subject)
		}
		if ledger.IsRecord(m.Data) {
			r, err := ledger.DecodeRecord(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			records += fmt.Sprintf("%d %d %x\n", r.Cut, r.Part, m.Data)
			continue
		}
		p, err := events.DecodePaid(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		switch p := p.(type) {
		case events.DistributionMade:
			if p.Void != "" {
				void++
			} else {
				made++
			}
		case events.PayoutsPlanned:
			planned += len(p.Payouts)
		}
	}
	want := ""
	if err := db.Journal(t.Context(), func(_ string, row store.Written) error {
		want += fmt.Sprintf("%d %d %x\n", row.Cut, row.Part, row.Record)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if records != want {
		t.Error("the records of PAYOUT are not the journal")
	}
	count := 0
	for _, id := range []string{"d1", "d2", "d3"} {
		if err := db.Payouts(t.Context(), id, "", func(distribution.Payout) error { count++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if made != 3 || void != 3 || planned != count || count == 0 {
		t.Errorf("%d distributions made, %d void, %d payouts planned of %d", made, void, planned, count)
	}
}

type journal struct{ *store.Distribute }

func (j journal) Rows(ctx context.Context, from uint64, limit int) (rows []relay.Row, err error) {
	list, err := j.Messages(ctx, from, limit)
	for _, m := range list {
		rows = append(rows, relay.Row{Number: m.Number, Subject: eventlog.PayoutSubject(string(m.Token)), Data: m.Data})
	}
	return rows, err
}

func drain(t *testing.T, s *streams, store *store.Distribute) {
	t.Helper()
	if err := relay.New(journal{store}, s.payout, quiet).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestASecondDistributorTakesOver(t *testing.T) {
	t.Parallel()
	s := newStreams(t)
	s.basics("0", 0)
	db := openStore(t)
	first := s.run(db, "first", 0, nil)
	first.wait(t, s.decide(events.ProviderDeclared{Provider: "other"}))
	second := s.run(db, "second", 0, nil)
	at := s.decide(events.ProviderDeclared{Provider: "third"})
	second.wait(t, at)
	_ = first.WaitDone(t.Context(), at) // it has stopped, or lost, by itself
	if err := first.stop(); !errors.Is(err, distribution.ErrFenced) {
		t.Fatalf("the first stopped with %v, want %v", err, distribution.ErrFenced)
	}
}

func TestAnotherStreamIsRefused(t *testing.T) {
	t.Parallel()
	s := newStreams(t)
	s.basics("0", 0)
	db := openStore(t)
	r := s.run(db, "first", 0, nil)
	r.wait(t, s.decide(events.ProviderDeclared{Provider: "other"}))
	_ = r.stop()

	other := newStreams(t)
	last := story(t, other)
	store, cursor, err := db.Distribute(t.Context(), "second")
	if err != nil {
		t.Fatal(err)
	}
	d := distribute.New(distribute.Config{Control: other.control, Ledger: other.ledger, Register: other.register, Store: store, Cursor: cursor, Until: last, Logger: quiet})
	if err := d.Run(t.Context()); !errors.Is(err, eventlog.ErrOtherStream) {
		t.Fatalf("got %v, want %v", err, eventlog.ErrOtherStream)
	}
}

// A register is read to the position that the declaration names, also after it
// was read further for another.
func TestAnEarlierRegisterPosition(t *testing.T) {
	t.Parallel()
	s := newStreams(t)
	s.basics("0", 0)
	s.move("acme", events.Movement{Kind: events.Issued, To: "ann", Units: money.UnitsOf(1)})
	s.decide(events.PeriodClosed{Book: "acme-eu", Period: "2026-01"})
	s.settle("acme-eu", "acme", "2026-01", map[money.Asset]string{"USDC": "1"})
	early := s.declare("early", "acme", "2026-01")
	s.move("acme", events.Movement{Kind: events.Transferred, From: "ann", To: "ben", Units: money.UnitsOf(1)})
	late := s.declare("late", "acme", "2026-01")
	db := openStore(t)
	r := s.run(db, "n", 0, nil)
	r.wait(t, s.decide(late))
	s.settle("acme-eu", "acme", "2026-01", map[money.Asset]string{"USDC": "1"}) // collected later
	early.LedgerSeq, _ = s.ends()
	r.wait(t, s.decide(early))
	for id, who := range map[string]events.Holder{"late": "ben", "early": "ann"} {
		if share, ok, err := db.ShareOf(t.Context(), id, "USDC", who); err != nil || !ok || share.Amount != amount(t, "1") {
			t.Errorf("%s: share of %s is %v, %v, %v", id, who, share.Amount, ok, err)
		}
	}
}

// A declaration waits for a LEDGER position that is not there yet, rather than
// making the outcome a matter of timing.
func TestADeclarationWaitsForItsPositions(t *testing.T) {
	t.Parallel()
	s := newStreams(t)
	s.basics("0", 0)
	s.move("acme", events.Movement{Kind: events.Issued, To: "ann", Units: money.UnitsOf(1)})
	s.decide(events.PeriodClosed{Book: "acme-eu", Period: "2026-01"})
	b := s.declare("d1", "acme", "2026-01")
	b.LedgerSeq = 1
	db := openStore(t)
	r := s.run(db, "n", 0, nil)
	at := s.decide(b)
	r.wait(t, at-1)
	s.settle("acme-eu", "acme", "2026-01", map[money.Asset]string{"USDC": "1"})
	r.wait(t, at)
	if reason, err := r.VoidReason(t.Context(), at); err != nil || reason != "" {
		t.Fatalf("void: %q, %v", reason, err)
	}
}

// What LEDGER says after the position that a declaration names has no part in
// it, also where the distributor has read it already.
//
// Fails when the inbox or the settled periods are taken as they are now.
func TestADeclarationRestsOnNothingLater(t *testing.T) {
	t.Parallel()
	s := newStreams(t)
	s.basics("0", 0)
	s.move("acme", events.Movement{Kind: events.Issued, To: "ann", Units: money.UnitsOf(1)})
	for _, month := range []events.Period{"2026-01", "2026-02"} {
		s.decide(events.PeriodClosed{Book: "acme-eu", Period: month})
		s.settle("acme-eu", "acme", month, map[money.Asset]string{"USDC": "1"})
	}
	db := openStore(t)
	r := s.run(db, "n", 0, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := r.Declaration(ctx, "early", events.TokenDeclared{Token: "acme", Book: "acme-eu"}, "2026-02", start)
	if err != nil || b.LedgerSeq != 2 {
		t.Fatalf("%+v, %v", b, err)
	}
	b.LedgerSeq = 1
	at := s.decide(b)
	r.wait(t, at)
	if reason, err := r.VoidReason(t.Context(), at); err != nil || !strings.Contains(reason, "2026-02 of book acme-eu is not settled at ledger position 1") {
		t.Errorf("void: %q, %v", reason, err)
	}
	b.Distribution, b.Period, b.ControlSeq = "january", "2026-01", at
	r.wait(t, s.decide(b))
	if d, ok, err := db.Distribution(t.Context(), "january"); err != nil || !ok || d.Pools[0].Inbox != amount(t, "1") {
		t.Errorf("%+v, %v, %v", d, ok, err)
	}
}
