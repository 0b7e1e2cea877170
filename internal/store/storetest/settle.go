package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

func fencing(t *testing.T, db *store.DB) {
	ctx := t.Context()
	first, cursor := settler(t, db, 0, "first")
	if cursor.Epoch != 1 || cursor.Position != 0 || cursor.Stream != stream || cursor.Created != 5 || cursor.Hash != [32]byte{} {
		t.Fatalf("the first cursor is %+v", cursor)
	}
	must(t, commit(ctx, first, 0, cut(3, post("customer:c:receivable", "node:n:earned", atto(5)))))
	must(t, first.Owned(ctx))
	second, now := settler(t, db, 0, "second")
	must(t, second.Owned(ctx))
	if err := first.Owned(ctx); !errors.Is(err, settlement.ErrFenced) {
		t.Errorf("asked whether it owns the partition, after another took over: %v", err)
	}
	if now.Epoch != 2 || now.Position != 3 || now.Hash != [32]byte{3} || now.Control != 3 || now.Batches != 1 {
		t.Fatalf("the second took over at %+v", now)
	}
	before := contents(t, db)
	// The first has not noticed: from where it stands, and again from the start.
	for _, from := range []uint64{3, 0} {
		if err := commit(ctx, first, from, cut(4, post("customer:c:receivable", "node:n:earned", atto(1)))); !errors.Is(err, settlement.ErrFenced) {
			t.Errorf("from %d, after another took over: %v", from, err)
		}
	}
	// Even what it has committed itself is not its own any more.
	if err := commit(ctx, first, 0, cut(3, post("customer:c:receivable", "node:n:earned", atto(5)))); !errors.Is(err, settlement.ErrFenced) {
		t.Errorf("its own commit again, after another took over: %v", err)
	}
	if after := contents(t, db); after != before {
		t.Errorf("one that was fenced has written:\n%s\nbefore:\n%s", after, before)
	}
	must(t, commit(ctx, second, 3, cut(4, post("customer:c:receivable", "node:n:earned", atto(2)))))
	if err := commit(ctx, second, 3, cut(5)); !errors.Is(err, settlement.ErrFenced) {
		t.Errorf("from behind the cursor: %v", err)
	}
	if c, err := db.Cursor(ctx, 1); err != nil || c.Epoch != 0 {
		t.Errorf("a partition that nobody has: %+v, %v", c, err)
	}
}

func repeated(t *testing.T, db *store.DB) {
	s, _ := settler(t, db, 0, "me")
	c := everyKind(2)
	must(t, commit(t.Context(), s, 0, c))
	before := contents(t, db)
	for range 2 {
		must(t, commit(t.Context(), s, 0, c))
	}
	if after := contents(t, db); after != before {
		t.Errorf("a commit again has written:\n%s\nbefore:\n%s", after, before)
	}
	// Another message at that position is another stream: fails when the position
	// alone says that a commit is done.
	other := everyKind(2)
	other.Hash[31]++
	if err := commit(t.Context(), s, 0, other); !errors.Is(err, settlement.ErrFenced) {
		t.Errorf("a commit of another message at the same position: %v", err)
	}
	if after := contents(t, db); after != before {
		t.Errorf("it has written:\n%s\nbefore:\n%s", after, before)
	}
	// And it goes on from there.
	must(t, commit(t.Context(), s, 2, cut(3, post("customer:c:receivable", "node:n:earned", atto(5)))))
	if last, err := s.Last(t.Context()); err != nil || last != 2 {
		t.Errorf("the last row is %d, %v; want 2", last, err)
	}
}

// everyKind is a cut with something of each kind.
func everyKind(position uint64) *settlement.Cut {
	source := settlement.Source{Provider: "p", Source: "urn:s", Epoch: 1}
	c := cut(position, post("customer:c:receivable", "node:n:earned", atto(int64(position))))
	c.Outcomes = []settlement.Outcome{{Position: position - 1, Events: 3, Runs: []settlement.Run{
		{Events: 2, Outcome: events.Accepted}, {Events: 1, Outcome: events.Refused, Reason: "unknown_node"}}}}
	c.Tallies = []settlement.Tally{{Book: "b", Node: "", Period: "2026-01", Outcome: events.Refused, Reason: "unknown_node", Events: 1},
		{Book: "b", Node: "n", Period: "2026-01", Outcome: events.Accepted, Events: 2}}
	c.Sources = []settlement.Progress{{Source: source, Put: []settlement.Span{{First: position * 10, Last: position*10 + 1}}}}
	c.Originals = []settlement.Original{{Source: source, Span: settlement.Span{First: position * 10, Last: position*10 + 1}, Position: position - 1, Segment: 1, Ordinal: 7}}
	c.Suspense = []settlement.Suspense{{Book: "b", Node: "n", Customer: "c", Meter: "m", Card: "card@1", Rule: 2, Pair: "USDC/USD", Period: "2026-01",
		Quantity: money.QuantityFromLimbs(0, position), Events: 1}}
	c.Outstanding = []settlement.Outstanding{{Book: "b", Customer: "c", Asset: "USDC", Period: "2026-01", Node: "n", Amount: atto(int64(position))}}
	c.Collected = []settlement.Collected{{Book: "b", Period: "2026-01", Node: "n", Asset: "USDC", Amount: atto(int64(position) + 1)}}
	c.Voids = []settlement.Void{{Control: position, Reason: "because"}}
	return c
}

func nothingLeft(t *testing.T, db *store.DB) {
	ctx := t.Context()
	s, _ := settler(t, db, 0, "me")
	must(t, commit(ctx, s, 0, everyKind(2)))
	before := contents(t, db)
	// The last thing written has a key that is there already.
	bad := everyKind(4)
	bad.Sources[0].Source.Epoch, bad.Originals[0].Source.Epoch = 9, 9 // a source that is then not there
	bad.Voids[0].Control = 2
	err := commit(ctx, s, 2, bad)
	if err == nil || errors.Is(err, settlement.ErrFenced) || errors.Is(err, settlement.ErrInterrupted) {
		t.Fatalf("a decision void twice: %v", err)
	}
	if after := contents(t, db); after != before {
		t.Errorf("a commit that failed has written:\n%s\nbefore:\n%s", after, before)
	}
	// What it had begun is not remembered either.
	bad.Voids[0].Control = 4
	must(t, commit(ctx, s, 2, bad))
	list, err := db.Balances(ctx, "node:")
	must(t, err)
	same(t, "balances", list, []store.Balance{{Account: "node:n:earned", Asset: "USDC", Credit: atto(6)}})
	if last, err := s.Last(ctx); err != nil || last != 2 {
		t.Errorf("the last row is %d, %v; want 2", last, err)
	}
	spans, err := s.Spans(ctx, bad.Sources[0].Source)
	must(t, err)
	same(t, "spans", spans, []settlement.Span{{First: 40, Last: 41}})
}

func balances(t *testing.T, db *store.DB) {
	ctx := t.Context()
	s, _ := settler(t, db, 0, "me")
	d, at, err := db.Distribute(ctx, "me")
	must(t, err)
	must(t, commit(ctx, s, 0, cut(1, post("customer:a:receivable", "node:n:earned", atto(5)))))
	must(t, commit(ctx, s, 1, cut(2, post("customer:a:receivable", "node:n:earned", atto(7))), cut(3, post("node:n:collected", "token:t:inbox", atto(4)))))
	step := distributed(1, 1)
	step.record(t, post("token:t:inbox", "token:t:pool", atto(3)))
	must(t, d.Commit(ctx, at.Control, at.Ledger, &step.Step))
	list, err := db.Balances(ctx, "")
	must(t, err)
	same(t, "balances", list, []store.Balance{
		{Account: "customer:a:receivable", Asset: "USDC", Debit: atto(12)},
		{Account: "node:n:collected", Asset: "USDC", Debit: atto(4)},
		{Account: "node:n:earned", Asset: "USDC", Credit: atto(12)},
		{Account: "token:t:inbox", Asset: "USDC", Debit: atto(3), Credit: atto(4)},
		{Account: "token:t:pool", Asset: "USDC", Credit: atto(3)},
	})
	nodes, err := db.Balances(ctx, "node:n:")
	must(t, err)
	if len(nodes) != 2 {
		t.Errorf("%d balances of node n, want 2", len(nodes))
	}
	must(t, db.Snapshot(ctx, func(now *store.Snapshot) error {
		shared, err := now.SharedAccounts()
		same(t, "shared accounts", shared, []ledger.Account{"token:t:inbox"})
		return err
	}))
}

func folded(t *testing.T, db *store.DB) {
	ctx := t.Context()
	s, _ := settler(t, db, 0, "me")
	source := settlement.Source{Provider: "p", Source: "urn:s", Epoch: math.MaxUint64}
	var cuts []*settlement.Cut
	for i := range uint64(4) {
		c := everyKind(2 * (i + 1))
		c.Sources = []settlement.Progress{{Source: source, Put: []settlement.Span{{First: 1 + i%2, Last: 10 * (i + 1)}}, Remove: []uint64{2 - i%2}}}
		c.Originals = nil
		cuts = append(cuts, c)
	}
	cuts[3].Suspense[0].Events = 0                 // released
	cuts[2].Outstanding[0].Amount = money.Amount{} // paid
	cuts[3].Outstanding[0].Node = "other"          // what is owed for another
	cuts[2].Collected[0].Amount = money.Amount{}   // handed over
	cuts[3].Collected[0].Period = "2026-02"        // what is collected of another
	cuts[3].Tallies = append(cuts[3].Tallies[:1:1], settlement.Tally{Book: "b", Node: "o", Period: "2026-01", Outcome: events.Late, Events: 5})
	must(t, commit(ctx, s, 0, cuts...))
	spans, err := s.Spans(ctx, source)
	must(t, err)
	same(t, "spans", spans, []settlement.Span{{First: 2, Last: 40}})
	tallies, err := db.Tallies(ctx, "b")
	must(t, err)
	same(t, "tallies", tallies, []settlement.Tally{
		{Book: "b", Period: "2026-01", Outcome: events.Refused, Reason: "unknown_node", Events: 4},
		{Book: "b", Node: "n", Period: "2026-01", Outcome: events.Accepted, Events: 6},
		{Book: "b", Node: "o", Period: "2026-01", Outcome: events.Late, Events: 5},
	})
	held, err := db.Suspense(ctx, "")
	must(t, err)
	same(t, "suspense", held, nil)
	owed, err := db.Outstanding(ctx, "", "")
	must(t, err)
	same(t, "outstanding", owed, []settlement.Outstanding{{Book: "b", Customer: "c", Asset: "USDC", Period: "2026-01", Node: "other", Amount: atto(8)}})
	same(t, "collected", collectedNow(t, db), []settlement.Collected{{Book: "b", Period: "2026-02", Node: "n", Asset: "USDC", Amount: atto(9)}})
	if c, err := db.Cursor(ctx, 0); err != nil || c.Position != 8 || c.Batches != 4 {
		t.Errorf("the cursor is %+v, %v", c, err)
	}
}

func outstanding(t *testing.T, db *store.DB) {
	ctx := t.Context()
	s, _ := settler(t, db, 0, "me")
	random := rand.New(rand.NewPCG(3, 4))
	type key struct {
		customer events.Customer
		period   events.Period
		node     events.Node
	}
	want := map[key]money.Amount{}
	var from uint64
	for range 10 {
		var cuts []*settlement.Cut
		for range 3 {
			c := cut(from + uint64(len(cuts)) + 1)
			seen := map[key]bool{}
			for range 200 {
				k := key{events.Customer(fmt.Sprintf("c%d", random.IntN(4))), events.Period(fmt.Sprintf("2026-0%d", 1+random.IntN(2))), events.Node(fmt.Sprintf("n:%d", random.IntN(150)))}
				if seen[k] {
					continue
				}
				seen[k] = true
				want[k] = atto(int64(random.IntN(3)))
				c.Outstanding = append(c.Outstanding, settlement.Outstanding{Book: "b", Customer: k.customer, Asset: "USDC", Period: k.period, Node: k.node, Amount: want[k]})
			}
			cuts = append(cuts, c)
		}
		must(t, commit(ctx, s, from, cuts...))
		from += 3
	}
	for _, customer := range []events.Customer{"", "c2"} {
		list, err := db.Outstanding(ctx, "b", customer)
		must(t, err)
		n := 0
		for k, amount := range want {
			if !amount.IsZero() && (customer == "" || k.customer == customer) {
				n++
			}
		}
		if len(list) != n {
			t.Errorf("%d lines of %q, want %d", len(list), customer, n)
		}
		for _, o := range list {
			if want[key{o.Customer, o.Period, o.Node}] != o.Amount || o.Amount.IsZero() || o.Book != "b" || o.Asset != "USDC" {
				t.Errorf("line %v, want %v", o, want[key{o.Customer, o.Period, o.Node}])
			}
		}
	}
	if other, err := db.Outstanding(ctx, "another", ""); err != nil || len(other) != 0 {
		t.Errorf("another book's: %v, %v", other, err)
	}
}

func collectedNow(t *testing.T, db *store.DB) (list []settlement.Collected) {
	t.Helper()
	must(t, db.Snapshot(t.Context(), func(now *store.Snapshot) (err error) {
		list, err = now.Collected()
		return err
	}))
	return list
}

func collected(t *testing.T, db *store.DB) {
	ctx := t.Context()
	s, _ := settler(t, db, 0, "me")
	random := rand.New(rand.NewPCG(5, 6))
	want := map[settlement.Collected]money.Amount{}
	var from uint64
	for range 10 {
		var cuts []*settlement.Cut
		for range 3 {
			c := cut(from + uint64(len(cuts)) + 1)
			seen := map[settlement.Collected]bool{}
			for range 100 {
				k := settlement.Collected{Book: events.Book(fmt.Sprintf("b%d", random.IntN(2))), Period: events.Period(fmt.Sprintf("2026-0%d", 1+random.IntN(3))),
					Node: events.Node(fmt.Sprintf("n:%d", random.IntN(20))), Asset: money.Asset(fmt.Sprintf("A%d", random.IntN(2)))}
				if seen[k] {
					continue
				}
				seen[k] = true
				want[k] = atto(int64(random.IntN(3)))
				now := k
				now.Amount = want[k]
				c.Collected = append(c.Collected, now)
			}
			cuts = append(cuts, c)
		}
		must(t, commit(ctx, s, from, cuts...))
		from += 3
	}
	var all []settlement.Collected
	for k, amount := range want {
		if k.Amount = amount; !amount.IsZero() {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, func(a, b settlement.Collected) int {
		return cmp.Or(cmp.Compare(a.Book, b.Book), cmp.Compare(a.Period, b.Period), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Asset, b.Asset))
	})
	same(t, "collected", collectedNow(t, db), all)
	_, _, loaded, _, err := s.Load(ctx)
	must(t, err)
	same(t, "collected as loaded", loaded, all)
}

func partitions(t *testing.T, db *store.DB) {
	ctx := t.Context()
	var settlers []*store.Settle
	for p := range 2 {
		s, _ := settler(t, db, p, fmt.Sprint("of ", p))
		settlers = append(settlers, s)
		c := everyKind(uint64(2 + 2*p))
		for i := range c.Tallies {
			c.Tallies[i].Book = events.Book(fmt.Sprint("b", p))
		}
		c.Suspense[0].Book = events.Book(fmt.Sprint("b", p))
		c.Outstanding[0].Customer = events.Customer(fmt.Sprint("c", p))
		c.Outstanding[0].Book = events.Book(fmt.Sprint("b", p))
		c.Collected[0].Book = events.Book(fmt.Sprint("b", p))
		must(t, commit(ctx, s, 0, c))
	}
	source := settlement.Source{Provider: "p", Source: "urn:s", Epoch: 1}
	for p, s := range settlers {
		first := uint64(20 + 20*p)
		spans, err := s.Spans(ctx, source)
		must(t, err)
		same(t, "spans of one partition", spans, []settlement.Span{{First: first, Last: first + 1}})
		if o, ok, err := s.Original(ctx, source, first+1); err != nil || !ok || o.Position != uint64(1+2*p) {
			t.Errorf("partition %d has the original %+v, %v, %v", p, o, ok, err)
		}
		if _, ok, err := s.Original(ctx, source, uint64(40-20*p)); err != nil || ok {
			t.Errorf("partition %d has the other's sequence: %v", p, err)
		}
		held, owed, kept, sums, err := s.Load(ctx)
		must(t, err)
		if len(held) != 1 || held[0].Book != events.Book(fmt.Sprint("b", p)) || len(owed) != 1 || owed[0].Customer != events.Customer(fmt.Sprint("c", p)) ||
			len(kept) != 1 || kept[0].Book != events.Book(fmt.Sprint("b", p)) {
			t.Errorf("partition %d loads %v, %v and %v", p, held, owed, kept)
		}
		if got := sums.Of("node:n:earned", "USDC").Credit; got != atto(int64(2+2*p)) {
			t.Errorf("partition %d loads %v as earned", p, got)
		}
	}
	spans, err := db.Spans(ctx, source)
	must(t, err)
	same(t, "spans of all", spans, []settlement.Span{{First: 20, Last: 21}, {First: 40, Last: 41}})
	for _, sequence := range []uint64{21, 40} {
		if _, ok, err := db.Original(ctx, source, sequence); err != nil || !ok {
			t.Errorf("sequence %d is not found: %v", sequence, err)
		}
	}
	must(t, db.Snapshot(ctx, func(now *store.Snapshot) error {
		cursors, err := now.Cursors()
		if len(cursors) != 2 || cursors[1].Partition != 1 || cursors[1].Position != 4 {
			t.Errorf("cursors are %+v", cursors)
		}
		return err
	}))
}
