package distribute_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/sqlite"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/services/distribute"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// start is when everything in these tests happens.
var start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// streams are one event log and what a settler and commands would write to it.
type streams struct {
	t                                 testing.TB
	log                               *eventlog.Log
	control, ledger, register, payout *eventlog.Stream
	decisions, movements              int
}

func newStreams(t testing.TB) *streams {
	t.Helper()
	l, err := eventlog.Open(t.Context(), eventlog.Config{Dir: t.TempDir(), LazySync: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &streams{t: t, log: l}
	for _, open := range []struct {
		stream **eventlog.Stream
		open   func(context.Context) (*eventlog.Stream, error)
	}{{&s.control, l.Control}, {&s.ledger, l.Ledger}, {&s.register, l.Register}, {&s.payout, l.Payout}} {
		if *open.stream, err = open.open(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *streams) publish(to *eventlog.Stream, subject string, data []byte, err error) uint64 {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	at, err := to.Publish(context.Background(), subject, data, eventlog.PublishOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return at
}

func (s *streams) decide(body events.Body) uint64 {
	s.t.Helper()
	s.decisions++
	data, err := events.AppendDecision(nil, events.Decision{
		ID: fmt.Sprintf("decision-%d", s.decisions), Actor: "operator:ada", At: start.Add(time.Duration(s.decisions) * time.Second), Body: body,
	})
	return s.publish(s.control, eventlog.ControlSubject(body.Kind()), data, err)
}

func (s *streams) move(token events.Token, list ...events.Movement) uint64 {
	s.t.Helper()
	s.movements++
	m := events.Movements{ID: fmt.Sprintf("movements-%d", s.movements), Token: token, Actor: "operator:ada", At: start, Movements: list}
	for i := range list {
		list[i].Effective = start
	}
	last := uint64(0)
	for _, part := range events.SplitMovements(m, events.MaxMovements) {
		data, err := events.AppendMovements(nil, &part)
		last = s.publish(s.register, eventlog.RegisterSubject(string(token)), data, err)
	}
	return last
}

// settle says what settle would: revenue of a period is handed over, and the
// period is settled.
func (s *streams) settle(book events.Book, token events.Token, period events.Period, amounts map[money.Asset]string) uint64 {
	s.t.Helper()
	e := ledger.Entry{Book: book, Kind: "handover", Period: period, Origin: period, Ref: "control:1"}
	for _, asset := range []money.Asset{"EURC", "USDC"} {
		if text, ok := amounts[asset]; ok {
			e.Postings = append(e.Postings, ledger.Posting{Debit: ledger.NodeCollected("n1"), Credit: ledger.TokenInbox(token), Asset: asset, Amount: amount(s.t, text)})
		}
	}
	r := ledger.Record{Cut: 1, Control: 1, Parts: 1, Book: book, Settled: []events.Period{period}}
	if len(e.Postings) > 0 {
		r.Entries = []ledger.Entry{e}
	}
	data, err := ledger.AppendRecord(nil, &r)
	return s.publish(s.ledger, eventlog.LedgerSubject(string(book)), data, err)
}

// ends returns the last position of LEDGER and REGISTER.
func (s *streams) ends() (ledgerAt, registerAt uint64) {
	s.t.Helper()
	ledgerAt, err := s.ledger.Last(context.Background())
	if err == nil {
		registerAt, err = s.register.Last(context.Background())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return ledgerAt, registerAt
}

// declare is a declaration that rests on everything there is.
func (s *streams) declare(id string, token events.Token, period events.Period) events.DistributionDeclared {
	s.t.Helper()
	b := events.DistributionDeclared{Distribution: id, Token: token, Period: period, RecordDate: start}
	b.LedgerSeq, b.RegisterSeq = s.ends()
	var err error
	if b.ControlSeq, err = s.control.Last(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	return b
}

// basics declares a book with a token.
func (s *streams) basics(minimum string, basisPoints int) {
	s.t.Helper()
	s.decide(events.ProviderDeclared{Provider: "acme"})
	s.decide(events.BookDeclared{Book: "acme-eu", Provider: "acme", Calendar: "month", TimeZone: "UTC", Asset: "USDC", FutureSeconds: 300})
	s.decide(events.NodeDeclared{Node: "n1", Book: "acme-eu"})
	s.decide(events.TokenDeclared{Token: "acme", Book: "acme-eu", Pool: true, Minimum: amount(s.t, minimum)})
	s.decide(events.WaterfallDeclared{Token: "acme", FeeBasisPoints: basisPoints})
}

func amount(t testing.TB, text string) money.Amount {
	t.Helper()
	a, err := money.ParseAmount(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// running is a distributor on a store.
type running struct {
	*distribute.Distributor
	stop func() error
}

// run starts a distributor; wrap may put something between it and the store.
func (s *streams) run(db *store.DB, nonce string, until uint64, wrap func(distribute.Store) distribute.Store) *running {
	s.t.Helper()
	store, cursor, err := db.Distribute(context.Background(), nonce)
	if err != nil {
		s.t.Fatal(err)
	}
	config := distribute.Config{Control: s.control, Ledger: s.ledger, Register: s.register, Payout: s.payout, Store: store, Cursor: cursor, Logger: quiet, Until: until}
	if until > 0 {
		config.Payout = nil
	}
	if wrap != nil {
		config.Store = wrap(store)
	}
	d := distribute.New(config)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	stopped := false
	r := &running{Distributor: d}
	r.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		if until == 0 {
			cancel()
		}
		err := <-ended
		cancel()
		return err
	}
	s.t.Cleanup(func() { cancel(); _ = r.stop() })
	return r
}

func openStore(t testing.TB) *store.DB {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// wait is bounded by the time of the whole test run only: how long a register
// takes depends on the machine.
func (r *running) wait(t testing.TB, position uint64) {
	t.Helper()
	if err := r.WaitDone(t.Context(), position); err != nil {
		t.Fatal(err)
	}
}

// journalText is every posting of the distributor from a row on, for reading.
func journalText(t testing.TB, db *store.DB, from uint64) (text string, next uint64) {
	t.Helper()
	var b strings.Builder
	next = from
	err := db.Journal(context.Background(), func(writer string, row store.Written) error {
		if writer != store.DistributeWriter || row.Number < from {
			return nil
		}
		next = row.Number + 1
		r, err := ledger.DecodeRecord(row.Record)
		if err != nil {
			return err
		}
		for _, e := range r.Entries {
			fmt.Fprintf(&b, "  %s posted in %s for %s, %s\n", e.Kind, e.Period, e.Origin, e.Ref)
			for _, p := range e.Postings {
				fmt.Fprintf(&b, "    %s → %s  %v %s\n", p.Debit, p.Credit, p.Amount, p.Asset)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), next
}

// journalBytes is every journal row as it is stored.
func journalBytes(t testing.TB, db *store.DB) string {
	t.Helper()
	var b strings.Builder
	err := db.Journal(context.Background(), func(writer string, row store.Written) error {
		fmt.Fprintf(&b, "%s %d %d %d %x\n", writer, row.Number, row.Cut, row.Part, row.Record)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// checkBooks checks the invariants between the ledger and what is kept beside it.
func checkBooks(t testing.TB, db *store.DB) {
	t.Helper()
	ctx := context.Background()
	balances := map[ledger.Place]money.Amount{} // credit less debit
	list, err := db.Balances(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	folded := ledger.NewBalances()
	for _, b := range list {
		net, err := b.Credit.Sub(b.Debit)
		if err != nil {
			t.Fatal(err)
		}
		balances[ledger.Place{Account: b.Account, Asset: b.Asset}] = net
		if err := folded.AddRow(ledger.Place{Account: b.Account, Asset: b.Asset}, ledger.Balance{Debit: b.Debit, Credit: b.Credit}); err != nil {
			t.Fatal(err)
		}
	}
	if err := folded.CheckBalanced(); err != nil {
		t.Error(err)
	}
	add := func(sums map[ledger.Place]money.Amount, at ledger.Place, a money.Amount) {
		sum, err := sums[at].Add(a)
		if err != nil {
			t.Fatal(err)
		}
		sums[at] = sum
	}
	want := map[ledger.Place]money.Amount{}
	shares, settledShares := map[ledger.Place]money.Amount{}, map[ledger.Place]money.Amount{}
	made, err := db.Distributions(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	type tokenAsset struct {
		token events.Token
		asset money.Asset
	}
	seen := map[tokenAsset]bool{}
	for _, d := range made {
		for _, p := range d.Pools {
			all := ledger.Place{Account: "all", Asset: p.Asset}
			if sum, err := p.Fee.Add(p.Pool); err != nil || sum != p.Inbox {
				t.Errorf("%s: fee %v + pool %v is not inbox %v", d.ID, p.Fee, p.Pool, p.Inbox)
			}
			var sum money.Amount
			if err := db.Shares(ctx, d.ID, p.Asset, func(s distribution.Share) (err error) {
				sum, err = sum.Add(s.Amount)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if sum != p.Pool {
				t.Errorf("%s: shares of %v are not the pool of %v", d.ID, sum, p.Pool)
			}
			add(shares, all, sum)
			add(want, ledger.Place{Account: ledger.PlatformFees, Asset: p.Asset}, p.Fee)
			k := tokenAsset{d.Token, p.Asset}
			if seen[k] {
				continue
			}
			seen[k] = true
			if err := db.Entitlements(ctx, d.Token, p.Asset, func(e distribution.Entitlement) error {
				add(want, ledger.Place{Account: ledger.HolderPayable(e.Holder), Asset: p.Asset}, e.Payable)
				add(want, ledger.Place{Account: ledger.HolderHeld(e.Holder), Asset: p.Asset}, e.Held)
				add(settledShares, all, e.Payable)
				add(settledShares, all, e.Held)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Payouts(ctx, d.ID, "", func(p distribution.Payout) error {
			all := ledger.Place{Account: "all", Asset: p.Asset}
			switch p.State {
			case distribution.Planned, distribution.Submitted:
				add(want, ledger.Place{Account: ledger.RailInFlight(d.Rail), Asset: p.Asset}, p.Amount)
				add(settledShares, all, p.Amount)
			case distribution.Confirmed:
				add(want, ledger.Place{Account: ledger.RailPaid(d.Rail), Asset: p.Asset}, p.Amount)
				add(settledShares, all, p.Amount)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for at, sum := range shares {
		if settledShares[at] != sum {
			t.Errorf("%s: Σ shares %v is not paid + in flight + payable + held %v", at.Asset, sum, settledShares[at])
		}
	}
	for at, sum := range want {
		if balances[at] != sum {
			t.Errorf("%s %s: the ledger has %v, the tables %v", at.Account, at.Asset, balances[at], sum)
		}
	}
	for at, net := range balances {
		kind, _, part := at.Account.Split()
		if kind == "token" && part == "pool" && !net.IsZero() {
			t.Errorf("%s %s is left with %v", at.Account, at.Asset, net)
		}
		if (kind == "holder" || kind == "rail") && net != want[at] {
			t.Errorf("%s %s: the ledger has %v, the tables %v", at.Account, at.Asset, net, want[at])
		}
	}
}
