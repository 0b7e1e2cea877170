package storetest

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

func sequences(t *testing.T, db *store.DB) {
	ctx := t.Context()
	s, _ := settler(t, db, 0, "me")
	source := settlement.Source{Provider: "p", Source: "urn:s", Epoch: math.MaxUint64}
	want := []settlement.Span{{First: 0, Last: 0}, {First: 5, Last: math.MaxInt64 + 1}, {First: math.MaxUint64 - 1, Last: math.MaxUint64}}
	c := cut(1)
	c.Sources = []settlement.Progress{{Source: source, Put: want}}
	for i, span := range want {
		c.Originals = append(c.Originals, settlement.Original{Source: source, Span: span, Position: uint64(i + 1)})
	}
	must(t, commit(ctx, s, 0, c))
	spans, err := db.Spans(ctx, source)
	must(t, err)
	same(t, "spans", spans, want)
	for sequence, position := range map[uint64]uint64{0: 1, 1: 0, 4: 0, 5: 2, math.MaxInt64 + 1: 2, math.MaxInt64 + 2: 0, math.MaxUint64 - 2: 0, math.MaxUint64: 3} {
		o, ok, err := db.Original(ctx, source, sequence)
		if err != nil || ok != (position > 0) || ok && o.Position != position {
			t.Errorf("sequence %d: %+v, %v, %v", sequence, o, ok, err)
		}
	}
	list, err := db.Sources(ctx, "p")
	must(t, err)
	same(t, "sources", list, []settlement.Source{source})
}

func extremes(t *testing.T, db *store.DB) {
	ctx := t.Context()
	s, _ := settler(t, db, 0, "me")
	most := money.AmountFromLimbs(math.MaxInt64, math.MaxUint64)
	c := cut(1, post("customer:c:receivable", "node:n:earned", most))
	c.Outstanding = []settlement.Outstanding{{Book: "b", Customer: "c", Asset: "USDC", Node: "n", Amount: most}}
	c.Suspense = []settlement.Suspense{{Book: "b", Node: "n", Customer: "c", Meter: "m", Card: "card@1", Pair: "USDC/USD", Period: "2026-01",
		Quantity: money.QuantityFromLimbs(math.MaxInt64, math.MaxUint64), Events: math.MaxInt64}}
	must(t, commit(ctx, s, 0, c))
	list, err := db.Balances(ctx, "")
	must(t, err)
	same(t, "balances", list, []store.Balance{{Account: "customer:c:receivable", Asset: "USDC", Debit: most}, {Account: "node:n:earned", Asset: "USDC", Credit: most}})
	held, err := db.Suspense(ctx, "b")
	must(t, err)
	same(t, "suspense", held, c.Suspense)
	owed, err := db.Outstanding(ctx, "b", "c")
	must(t, err)
	same(t, "outstanding", owed, c.Outstanding)
	before := contents(t, db)
	if err := commit(ctx, s, 1, cut(2, post("customer:c:receivable", "node:n:earned", atto(1)))); err == nil || errors.Is(err, settlement.ErrInterrupted) {
		t.Errorf("a balance beyond the largest amount: %v", err)
	}
	if after := contents(t, db); after != before {
		t.Errorf("a balance that overflowed has written:\n%s\nbefore:\n%s", after, before)
	}
	// Every power of ten, and what lies beside it.
	n := money.UnitsOf(1)
	c = cut(2)
	for digits := range 38 {
		for _, off := range []uint64{0, 1, 9_999} {
			u, err := n.Add(money.UnitsOf(off))
			must(t, err)
			c.Outstanding = append(c.Outstanding, settlement.Outstanding{Book: "b", Customer: "d", Asset: "USDC", Node: events.Node(fmt.Sprintf("n-%02d-%04d", digits, off)), Amount: money.AmountFromLimbs(int64(u.Hi), u.Lo)})
		}
		for range 3 {
			n, err = n.Add(n) // 2, 4, 8 times
			must(t, err)
		}
	}
	must(t, commit(ctx, s, 1, c))
	owed, err = db.Outstanding(ctx, "b", "d")
	must(t, err)
	same(t, "outstanding", owed, c.Outstanding)
}

func large(t *testing.T, db *store.DB) {
	ctx := t.Context()
	s, _ := settler(t, db, 0, "me")
	const rows = 45_000
	c := cut(1)
	total := money.Amount{}
	for i := range rows {
		o := settlement.Outstanding{Book: "b", Customer: events.Customer(fmt.Sprintf("c%02d", i%50)), Asset: "USDC", Node: events.Node(fmt.Sprintf("n%05d", i/50)), Amount: atto(int64(i + 1))}
		c.Outstanding = append(c.Outstanding, o)
		var err error
		total, err = total.Add(o.Amount)
		must(t, err)
	}
	var postings []ledger.Posting
	for i := range 5_000 {
		postings = append(postings, post("customer:c:receivable", ledger.NodeEarned(events.Node(fmt.Sprintf("n%05d", i))), atto(1)))
	}
	c.Records = []ledger.Record{record(1, postings...)}
	must(t, commit(ctx, s, 0, c))
	list, err := db.Outstanding(ctx, "", "")
	must(t, err)
	sum := money.Amount{}
	for i := range list {
		sum, err = sum.Add(list[i].Amount)
		must(t, err)
	}
	if len(list) != rows || sum != total {
		t.Errorf("%d lines of %s in all, want %d of %s", len(list), sum, rows, total)
	}
	all, err := db.Balances(ctx, "")
	must(t, err)
	if len(all) != 5_001 || all[0].Debit != atto(5_000) {
		t.Errorf("%d balances, the first %v", len(all), all[0])
	}
	var records int
	must(t, db.Snapshot(ctx, func(now *store.Snapshot) error {
		records = 0
		return now.Entries("b", func(_ string, _ store.Written, r *ledger.Record) error {
			records += len(r.Entries[0].Postings)
			return nil
		})
	}))
	if records != 5_000 {
		t.Errorf("%d postings are read, want 5000", records)
	}
}

func rebound(t *testing.T, db *store.DB) {
	ctx := t.Context()
	settler(t, db, 0, "me")
	d, at, err := db.Distribute(ctx, "me")
	must(t, err)
	step := distributed(1, 1)
	must(t, d.Commit(ctx, at.Control, at.Ledger, &step.Step))
	must(t, db.RebindUsage(ctx, stream, 100))
	must(t, db.RebindControl(ctx, 101))
	must(t, db.RebindLedger(ctx, 102))
	must(t, db.RebindUsage(ctx, "another", 103))
	c, err := db.Cursor(ctx, 0)
	must(t, err)
	now, err := db.DistributeCursor(ctx)
	must(t, err)
	if c.Created != 100 || now.Control.Created != 101 || now.Ledger.Created != 102 {
		t.Errorf("created at %d, %d and %d", c.Created, now.Control.Created, now.Ledger.Created)
	}
}

func belongs(t *testing.T, db *store.DB) {
	ctx := t.Context()
	must(t, db.Belong(ctx, "one"))
	must(t, db.Belong(ctx, "one"))
	if err := db.Belong(ctx, "two"); err == nil || err.Error() != "the database belongs to installation one, this is two" {
		t.Errorf("another installation: %v", err)
	}
}

// The first key signs; another one does where the logs were handed over to it,
// and never the old one again.
func signs(t *testing.T, db *store.DB) {
	ctx := t.Context()
	known := func(want string) {
		t.Helper()
		got, err := db.Signer(ctx)
		must(t, err)
		if got != want {
			t.Errorf("the store knows %q to sign, want %q", got, want)
		}
	}
	known("")
	must(t, db.Sign(ctx, "one"))
	must(t, db.Sign(ctx, "one"))
	if err := db.Sign(ctx, "two", "none"); err == nil || !strings.Contains(err.Error(), "signed by the key one, this is two") {
		t.Errorf("another key: %v", err)
	}
	known("one")
	must(t, db.Sign(ctx, "three", "one", "two"))
	known("three")
	if err := db.Sign(ctx, "one"); err == nil {
		t.Error("the key that was handed over signs again")
	}
}
