package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

func snapshots(t *testing.T, db *store.DB) {
	ctx := t.Context()
	s, _ := settler(t, db, 0, "me")
	const rows = 600 // more than any engine fetches at once
	for i := range uint64(rows) / 16 {
		var cuts []*settlement.Cut
		for k := range uint64(16) {
			c := cut(i*16+k+1, post("customer:c:receivable", "node:n:earned", atto(1)))
			c.Voids = []settlement.Void{{Control: c.Position, Reason: "because"}}
			cuts = append(cuts, c)
		}
		must(t, commit(ctx, s, i*16, cuts...))
	}
	const there = rows / 16 * 16
	must(t, db.Snapshot(ctx, func(now *store.Snapshot) error {
		writers, err := now.Writers()
		must(t, err)
		if len(writers) != 1 || writers[0].Last != there || writers[0].Rows != there {
			t.Errorf("writers are %+v", writers)
		}
		n := uint64(0)
		// While it is read, more is written, and other questions are asked.
		err = now.Journal(writers[0], 1, func(row store.Written) error {
			n++
			if row.Number != n || row.Cut != n {
				t.Fatalf("row %d, cut at %d, comes as number %d", row.Number, row.Cut, n)
			}
			if n%200 == 1 {
				at := there + n/200
				must(t, commit(ctx, s, at, cut(at+1, post("customer:c:receivable", "node:n:earned", atto(1)))))
				c, err := now.Cursors()
				must(t, err)
				list, err := now.Balances("node:")
				must(t, err)
				if c[0].Position != there || list[0].Credit != atto(there) {
					t.Errorf("at row %d the snapshot has cursor %d and balance %s", n, c[0].Position, list[0].Credit)
				}
			}
			return nil
		})
		if n != there {
			t.Errorf("%d rows were read, want %d", n, there)
		}
		return err
	}))
	list, err := db.Balances(ctx, "node:")
	must(t, err)
	if list[0].Credit != atto(there+there/200+1) {
		t.Errorf("afterwards the balance is %s", list[0].Credit)
	}
}

// words in the order of their bytes: no language has it.
var words = []string{"!", "-a", "A", "Z", "_", "a", "a b", "a-b", "aB", "ab", "b", "z", "~", "ß", "ä", "é", "Ω", "я", "漢", "\U0001f600"}

func byteOrder(t *testing.T, db *store.DB) {
	ctx := t.Context()
	s, _ := settler(t, db, 0, "me")
	var want []ledger.Account
	var postings []ledger.Posting
	c := cut(1)
	for _, w := range words {
		if w != "-a" && w != "!" && w != "a b" {
			want = append(want, ledger.NodeEarned(events.Node(w)))
			postings = append(postings, post("customer:c:receivable", want[len(want)-1], atto(1)))
		}
		c.Tallies = append(c.Tallies, settlement.Tally{Book: "b", Node: events.Node(w), Period: "p", Outcome: events.Accepted, Events: 1})
		c.Outstanding = append(c.Outstanding, settlement.Outstanding{Book: "b", Customer: "c", Asset: "USDC", Node: events.Node(w), Amount: atto(1)})
	}
	slices.Reverse(postings)
	c.Records = []ledger.Record{record(1, postings...)}
	must(t, commit(ctx, s, 0, c))
	slices.Sort(want)
	list, err := db.Balances(ctx, "node:")
	must(t, err)
	var got []ledger.Account
	for _, b := range list {
		got = append(got, b.Account)
	}
	same(t, "accounts", got, want)
	tallies, err := db.Tallies(ctx, "b")
	must(t, err)
	var nodes []string
	for _, l := range tallies {
		nodes = append(nodes, string(l.Node))
	}
	same(t, "tallies", nodes, words)
	d, at, err := db.Distribute(ctx, "me")
	must(t, err)
	step := made("d", 1, 0)
	shares := distribution.Shares{Asset: "USDC"}
	owed := distribution.Owed{Token: "t", Asset: "USDC"}
	for _, w := range words {
		shares.List = append(shares.List, distribution.Share{Holder: events.Holder(w), Units: money.UnitsOf(1), Amount: atto(1)})
		owed.List = append(owed.List, distribution.Entitlement{Holder: events.Holder(w), Payable: atto(1)})
	}
	step.Shares, step.Owed = []distribution.Shares{shares}, []distribution.Owed{owed}
	must(t, d.Commit(ctx, at.Control, at.Ledger, &step.Step))
	var holders []string
	must(t, db.Shares(ctx, "d", "USDC", func(s distribution.Share) error { holders = append(holders, string(s.Holder)); return nil }))
	same(t, "shares", holders, words)
	holders = nil
	must(t, d.Entitlements(ctx, "t", "USDC", func(e distribution.Entitlement) error { holders = append(holders, string(e.Holder)); return nil }))
	same(t, "entitlements", holders, words)
}

func journal(t *testing.T, db *store.DB) {
	ctx := t.Context()
	s, _ := settler(t, db, 0, "me")
	for i := range uint64(20) {
		must(t, commit(ctx, s, 2*i, cut(2*i+2, post("customer:c:receivable", "node:n:earned", atto(1)))))
	}
	for _, c := range []struct {
		from  uint64
		limit int
		want  []uint64
	}{{1, 3, []uint64{1, 2, 3}}, {18, 0, []uint64{18, 19, 20}}, {18, 100, []uint64{18, 19, 20}}, {21, 0, nil}} {
		var got []uint64
		must(t, s.Journal(ctx, c.from, c.limit, func(w store.Written) error { got = append(got, w.Number); return nil }))
		same(t, fmt.Sprintf("from %d, %d", c.from, c.limit), got, c.want)
	}
	must(t, s.Journal(ctx, 20, 5, func(w store.Written) error {
		if w.Number != 20 || w.Book != "b" {
			t.Errorf("row %d of book %s, want row 20 of book b", w.Number, w.Book)
		}
		return nil
	}))
	must(t, db.Snapshot(ctx, func(now *store.Snapshot) error {
		writers, err := now.Writers()
		must(t, err)
		for position, want := range map[uint64]uint64{0: 1, 2: 1, 3: 2, 40: 20, 41: 21} {
			if at, err := now.FirstAt(writers[0], position); err != nil || at != want {
				t.Errorf("the first row at %d is %d, %v; want %d", position, at, err, want)
			}
		}
		_, ok, err := now.Row(writers[0], 21)
		if ok {
			t.Error("row 21 is there")
		}
		return err
	}))
	n := 0
	must(t, db.Journal(ctx, func(writer string, row store.Written) error {
		if n++; writer != "settle-0" || row.Number != uint64(n) || row.Book != "b" {
			t.Errorf("row %+v of %s comes as number %d", row, writer, n)
		}
		return nil
	}))
	stop := errors.New("enough")
	if err := s.Journal(ctx, 1, 0, func(store.Written) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a reader that had enough: %v", err)
	}
}

func marks(t *testing.T, db *store.DB) {
	ctx := t.Context()
	s, _ := settler(t, db, 0, "me")
	d, at, err := db.Distribute(ctx, "me")
	must(t, err)
	if number, position, err := s.Relayed(ctx); err != nil || number != 0 || position != 0 {
		t.Errorf("before the first: %d at %d, %v", number, position, err)
	}
	must(t, s.SetRelayed(ctx, 3, 30))
	must(t, d.SetRelayed(ctx, 1, 10))
	settler(t, db, 0, "another") // takes the mark over
	if number, position, err := s.Relayed(ctx); err != nil || number != 3 || position != 30 {
		t.Errorf("settle is relayed up to %d at %d, %v", number, position, err)
	}
	step := distributed(1, 1)
	step.record(t, post("token:t:inbox", "token:t:pool", atto(3)))
	step.Messages = append(step.Messages, distribution.Message{Token: "u", Data: []byte("paid")})
	step.record(t, post("token:t:inbox", "token:t:pool", atto(4)))
	must(t, d.Commit(ctx, at.Control, at.Ledger, &step.Step))
	messages, err := d.Messages(ctx, 1, 2)
	must(t, err)
	if len(messages) != 2 || string(messages[0].Data) != string(step.Encoded[0]) || messages[1].Token != "u" || string(messages[1].Data) != "paid" {
		t.Errorf("messages 1 and 2 are %+v", messages)
	}
	messages, err = d.Messages(ctx, 3, 2)
	must(t, err)
	if len(messages) != 1 || messages[0].Number != 3 || string(messages[0].Data) != string(step.Encoded[1]) {
		t.Errorf("message 3 is %+v", messages)
	}
}

func everything(t *testing.T, db *store.DB) {
	ctx := t.Context()
	Fill(t, db)
	o, ok, err := db.Outcome(ctx, 0, 1)
	must(t, err)
	if !ok || o.Events != 3 || len(o.Runs) != 2 || o.Runs[1].Reason != "unknown_node" {
		t.Errorf("the outcome at 1 is %+v, %v", o, ok)
	}
	for _, nowhere := range []uint64{2, math.MaxInt64 + 1} {
		if _, ok, err := db.Outcome(ctx, 0, nowhere); ok || err != nil {
			t.Errorf("an outcome at %d: %v", nowhere, err)
		}
	}
	n := 0
	must(t, db.Outcomes(ctx, 0, 2, math.MaxUint64, func(o settlement.Outcome) error { n++; return nil }))
	if n != 1 {
		t.Errorf("%d outcomes after 1, want 1", n)
	}
	if reason, ok, err := db.VoidReason(ctx, 0, 2); err != nil || !ok || reason != "because" {
		t.Errorf("void: %q, %v, %v", reason, ok, err)
	}
	voids, err := db.Voids(ctx, 0)
	must(t, err)
	same(t, "voids", voids, []settlement.Void{{Control: 2, Reason: "because"}, {Control: 4, Reason: "because"}})
	d, ok, err := db.Distribution(ctx, "d")
	must(t, err)
	want := made("d", 1, 3).Made
	if !ok || fmt.Sprintf("%+v", d) != fmt.Sprintf("%+v", *want) {
		t.Errorf("the distribution is %+v, want %+v", d, *want)
	}
	if _, ok, err := db.Distribution(ctx, "x"); ok || err != nil {
		t.Errorf("a distribution that is not there: %v", err)
	}
	all, err := db.Distributions(ctx, "t")
	must(t, err)
	if len(all) != 2 || all[1].ID != "e" || len(all[1].Pools) != 2 {
		t.Errorf("distributions are %+v", all)
	}
	share, ok, err := db.ShareOf(ctx, "d", "USDC", "h2")
	if err != nil || !ok || share != aShare("h2") {
		t.Errorf("the share is %+v, %v, %v", share, ok, err)
	}
	if p, ok, err := db.PayoutOf(ctx, "d", "po-002"); err != nil || !ok || p.State != distribution.Confirmed || p.Reference != "ref" {
		t.Errorf("the payout is %+v, %v, %v", p, ok, err)
	}
	if p, of, ok, err := db.FindPayout(ctx, "po-004"); err != nil || !ok || of == "" || p.ID != "po-004" {
		t.Errorf("the payout is found as %+v of %s, %v, %v", p, of, ok, err)
	}
	totals, err := db.PayoutTotals(ctx, "d")
	must(t, err)
	same(t, "payout totals", totals, []store.StateTotal{{Asset: "USDC", State: distribution.Planned, Count: 2, Amount: atto(2)}, {Asset: "USDC", State: distribution.Confirmed, Count: 1, Amount: atto(1)}})
	if b, ok, err := db.Batch(ctx, "batch"); err != nil || !ok || b != (distribution.Batch{Name: "batch", Rail: "csv", Distribution: "d", Control: 3}) {
		t.Errorf("the batch is %+v, %v, %v", b, ok, err)
	}
	batches, err := db.Batches(ctx, "e")
	if err != nil || len(batches) != 0 {
		t.Errorf("batches of another: %v, %v", batches, err)
	}
	if e, err := db.EntitlementOf(ctx, "t", "USDC", "h2"); err != nil || e.Payable != atto(2) || e.Held != atto(1) {
		t.Errorf("the entitlement is %+v, %v", e, err)
	}
	if e, err := db.EntitlementOf(ctx, "t", "USDC", "h1"); err != nil || !e.IsZero() {
		t.Errorf("an entitlement that is gone is %+v, %v", e, err)
	}
	partly, err := db.DistributeVoids(ctx)
	must(t, err)
	same(t, "void decisions", partly, []distribution.Void{{Control: 2, Partly: true, Reason: "one of them"}})
	must(t, db.Snapshot(ctx, func(now *store.Snapshot) error {
		var owed []store.Owed
		must(t, now.Owed("h2", func(o store.Owed) error { owed = append(owed, o); return nil }))
		same(t, "owed", owed, []store.Owed{{Token: "t", Asset: "USDC", Entitlement: distribution.Entitlement{Holder: "h2", Payable: atto(2), Held: atto(1)}}})
		var handed []distribution.Handover
		must(t, now.Handovers("", func(h distribution.Handover) error { handed = append(handed, h); return nil }))
		same(t, "handovers", handed, []distribution.Handover{{Token: "t", Asset: "USDC", Position: 1, Period: "2026-01", Amount: atto(100)}})
		sources, err := now.Sources("urn:s")
		must(t, err)
		if len(sources) != 1 {
			t.Fatalf("sources are %v", sources)
		}
		var originals []settlement.Original
		must(t, now.Originals(sources[0], func(o settlement.Original) error { originals = append(originals, o); return nil }))
		same(t, "originals", originals, slices.Concat(everyKind(2).Originals, everyKind(4).Originals))
		writers, err := now.Writers()
		must(t, err)
		var rows []store.Balance
		for _, w := range writers {
			must(t, now.BalanceRows(w, func(b store.Balance) error { rows = append(rows, b); return nil }))
		}
		if len(rows) != 4 {
			t.Errorf("balance rows are %v", rows)
		}
		return nil
	}))
}

func aShare(holder events.Holder) distribution.Share {
	s := distribution.Share{Holder: holder, Units: money.Units{Hi: 1, Lo: 2}, Amount: atto(5)}
	if holder == "h2" {
		s.Frozen, s.Held = money.UnitsOf(1), atto(1)
	}
	return s
}

// Fill writes something into every table of an empty store, always the same.
func Fill(t *testing.T, db *store.DB) {
	t.Helper()
	ctx := t.Context()
	s, _ := settler(t, db, 0, "fill")
	must(t, commit(ctx, s, 0, everyKind(2)))
	must(t, commit(ctx, s, 2, everyKind(4)))
	d, at, err := db.Distribute(ctx, "fill")
	must(t, err)
	first, second, third := made("d", 1, 3), made("e", 2, 2), distributed(3, 3)
	first.Handovers = []distribution.Handover{{Token: "t", Asset: "USDC", Position: 1, Period: "2026-01", Amount: atto(100)}}
	first.Settlements = []distribution.Settlement{{Book: "b", Period: "2026-01", Position: 1}}
	first.Shares = []distribution.Shares{{Asset: "USDC", List: []distribution.Share{aShare("h1"), aShare("h2")}}}
	first.Owed = []distribution.Owed{{Token: "t", Asset: "USDC", List: []distribution.Entitlement{{Holder: "h1", Payable: atto(1)}, {Holder: "h2", Payable: atto(1)}}}}
	first.record(t, post("token:t:inbox", "token:t:pool", atto(98)))
	second.Owed = []distribution.Owed{{Token: "t", Asset: "USDC", List: []distribution.Entitlement{{Holder: "h1"}, {Holder: "h2", Payable: atto(2), Held: atto(1)}}}}
	second.Voids = []distribution.Void{{Control: 2, Partly: true, Reason: "one of them"}}
	third.Batch = &distribution.Batch{Name: "batch", Rail: "csv", Distribution: "d", Control: 3}
	third.Changes = []distribution.Change{{Distribution: "d", Payout: "po-002", State: distribution.Confirmed, Reference: "ref"}}
	third.Messages = []distribution.Message{{Token: "t", Data: []byte("paid")}}
	for _, step := range []*aStep{first, second, third} {
		must(t, d.Commit(ctx, at.Control, at.Ledger, &step.Step))
		at.Control, at.Ledger = step.Control, step.Ledger
	}
}
