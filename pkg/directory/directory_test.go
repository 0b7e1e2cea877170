package directory

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func amount(s string) money.Amount {
	a, err := money.ParseAmount(s)
	if err != nil {
		panic(err)
	}
	return a
}

func quantity(s string) money.Quantity {
	q, err := money.ParseQuantity(s)
	if err != nil {
		panic(err)
	}
	return q
}

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

var noon = at("2026-11-22T12:00:00Z")

// recorded is when the decisions of a fold are recorded: after every period that
// these tests close.
var recorded = at("2027-06-01T00:00:00Z")

// fold applies decisions one after the other, each with an id of its own.
type fold struct {
	t *testing.T
	d *Directory
}

func (f *fold) apply(body events.Body) error {
	id := fmt.Sprintf("d-%d", f.d.Position()+1)
	return f.applyAs(id, body)
}

func (f *fold) applyAs(id string, body events.Body) error {
	return f.d.Apply(f.d.Position()+1, events.Decision{ID: id, Actor: "operator:alice", At: recorded, Body: body})
}

// do applies what must have an effect.
func (f *fold) do(bodies ...events.Body) {
	f.t.Helper()
	for _, b := range bodies {
		if err := f.apply(b); err != nil {
			f.t.Fatalf("%s: %v", b.Kind(), err)
		}
	}
}

// void applies what must have none, and checks that nothing changed.
func (f *fold) void(why string, body events.Body, want string) {
	f.t.Helper()
	before := f.state()
	voids := len(f.d.Voids())
	err := f.apply(body)
	if err == nil || !strings.Contains(err.Error(), want) {
		f.t.Errorf("%s: got %v, want an error with %q", why, err, want)
	}
	if after := f.state(); after != before {
		f.t.Errorf("%s: changed\n%s\nto\n%s", why, before, after)
	}
	if list := f.d.Voids(); len(list) != voids+1 || list[voids].Position != f.d.Position() {
		f.t.Errorf("%s: is not recorded as void", why)
	}
}

// state prints everything that the fold can be asked for.
func (f *fold) state() string {
	var b strings.Builder
	d := f.d
	fmt.Fprintln(&b, d.Providers(), d.Books(), d.Nodes(""), d.Customers(""), d.QuotePolicies(), d.Tokens(), d.Keys(), d.Lists(), d.Distributions())
	for _, book := range d.Books() {
		fmt.Fprintln(&b, d.Meters(book.Book), d.CardVersions(book.Book))
	}
	for _, t := range d.Tokens() {
		fmt.Fprintln(&b, fmt.Sprint(d.Waterfall(t.Token)))
	}
	for _, n := range d.Nodes("") {
		fmt.Fprintln(&b, fmt.Sprint(d.TokenOf(n.Node)))
	}
	fmt.Fprint(&b, d.tokenOf, d.batches, d.reversed, len(d.ids))
	return b.String()
}

var (
	acme  = events.ProviderDeclared{Provider: "acme"}
	eu    = events.BookDeclared{Book: "eu", Provider: "acme", Calendar: "month", TimeZone: "UTC", Asset: "USDC", HorizonSeconds: 3_024_000, FutureSeconds: 300}
	us    = events.BookDeclared{Book: "us", Provider: "acme", Calendar: "day", TimeZone: "UTC", Asset: "USDC"}
	gpu1  = events.NodeDeclared{Node: "gpu-1", Book: "eu", Attributes: map[string]string{"region": "eu-west", "gpu": "H100"}}
	gpu2  = events.NodeDeclared{Node: "gpu-2", Book: "eu"}
	lab   = events.CustomerDeclared{Customer: "lab", Book: "eu", Plan: "pro"}
	meter = events.MeterDeclared{Meter: "gpu.seconds", Book: "eu", Unit: "s"}
	card  = events.CardDeclared{Card: "gpu", Version: 1, Book: "eu", Currency: "USD", Effective: noon, Rules: []events.CardRule{{Meter: "gpu.seconds", Price: amount("1.99"), Per: quantity("3600")}}}
	peg   = events.QuotePolicyDeclared{Pair: "USDC/USD", Fixed: amount("1")}
	token = events.TokenDeclared{Token: "GPU1", Book: "eu", Nodes: []events.Node{"gpu-1"}}
	falls = events.WaterfallDeclared{Token: "GPU1", FeeBasisPoints: 250}
)

func declared(t *testing.T) *fold {
	t.Helper()
	f := &fold{t: t, d: New()}
	f.do(acme, eu, us, gpu1, gpu2, lab, meter, card, peg, token, falls)
	return f
}

func TestWhatIsDeclaredIsFound(t *testing.T) {
	d := declared(t).d
	if n, ok := d.Node("gpu-1"); !ok || n.Book != "eu" || !reflect.DeepEqual(n.Attributes, []events.Attribute{{Name: "gpu", Value: "H100"}, {Name: "region", Value: "eu-west"}}) {
		t.Errorf("node %+v", n)
	}
	if m, ok := d.Meter("eu", "gpu.seconds"); !ok || m.Max != quantity("100000000000000") {
		t.Errorf("meter %+v", m)
	}
	if _, ok := d.Meter("us", "gpu.seconds"); ok {
		t.Error("the meter is in another book too")
	}
	if c, ok := d.Customer("lab"); !ok || c.Plan != "pro" {
		t.Errorf("customer %+v", c)
	}
	if p, ok := d.QuotePolicy("USDC/USD"); !ok || p.Fixed != amount("1") {
		t.Errorf("policy %+v", p)
	}
	if len(d.Nodes("eu")) != 2 || len(d.Nodes("us")) != 0 || len(d.Customers("eu")) != 1 || len(d.Customers("us")) != 0 {
		t.Error("lists by book")
	}
	for _, missing := range []bool{
		second(d.Node("x")), second(d.Customer("x")), second(d.Book("x")), second(d.Provider("x")), second(d.Token("x")),
		second(d.Meter("x", "y")), second(d.TokenOf("x")), second(d.TokenOf("gpu-2")), second(d.Key("x")), second(d.Key("")),
		second(d.Distribution("x")), second(d.Batch("x")), second(d.Posting("x", 1)), second(d.Listed("x")), second(d.QuotePolicy("x")),
	} {
		if missing {
			t.Error("found what was not declared")
		}
	}
	if d.Meters("x") != nil || d.CardVersions("x") != nil || d.ClosedThrough("x") != 0 {
		t.Error("a book that is not declared has something")
	}
}

func second[V any](_ V, ok bool) bool { return ok }

func TestWhatCannotTakeEffectIsVoidAndChangesNothing(t *testing.T) {
	f := declared(t)
	f.do(events.PeriodClosed{Book: "eu", Period: "2026-10"},
		events.DistributionDeclared{Distribution: "d1", Token: "GPU1", Period: "2026-10", RecordDate: noon},
		events.PayoutsSubmitted{Batch: "b1", Rail: "csv", Distribution: "d1"},
		events.KeyIssued{Key: "k", SHA256: strings.Repeat("a", 64), Scope: "operator"},
		events.KeyIssued{Key: "gone", SHA256: strings.Repeat("b", 64), Scope: "auditor"}, events.KeyRevoked{Key: "gone"})
	changed := func(change func(*events.BookDeclared)) events.Body {
		b := eu
		change(&b)
		return b
	}
	for _, c := range []struct {
		why  string
		body events.Body
		want string
	}{
		{"a body that is not valid", events.NodeDeclared{}, "name is empty"},
		{"a book of no provider", changed(func(b *events.BookDeclared) { b.Provider = "nobody" }), `provider "nobody" is not declared`},
		{"another calendar", changed(func(b *events.BookDeclared) { b.Calendar = "day" }), "calendar of book"},
		{"another asset", changed(func(b *events.BookDeclared) { b.Asset = "USDT" }), "asset of book"},
		{"another partition", changed(func(b *events.BookDeclared) { b.Partition = 1 }), "partition of book"},
		{"a node of no book", events.NodeDeclared{Node: "n", Book: "nowhere"}, `book "nowhere" is not declared`},
		{"a node that moves to another book", events.NodeDeclared{Node: "gpu-1", Book: "us"}, `is of book "eu"`},
		{"a customer that moves to another book", events.CustomerDeclared{Customer: "lab", Book: "us"}, `is of book "eu"`},
		{"a customer of no book", events.CustomerDeclared{Customer: "c", Book: "nowhere"}, "not declared"},
		{"a meter of no book", events.MeterDeclared{Meter: "m", Book: "nowhere", Unit: "s"}, "not declared"},
		{"another unit", events.MeterDeclared{Meter: "gpu.seconds", Book: "eu", Unit: "ms"}, "prices are per unit"},
		{"a card of no book", events.CardDeclared{Card: "gpu", Version: 1, Book: "nowhere", Currency: "USD", Effective: noon, Rules: card.Rules}, "not declared"},
		{"a version with another price", events.CardDeclared{Card: "gpu", Version: 1, Book: "eu", Currency: "USD", Effective: noon, Rules: []events.CardRule{{Meter: "gpu.seconds", Price: amount("2"), Per: quantity("3600")}}}, "versions never change"},
		{"a version after a gap", events.CardDeclared{Card: "gpu", Version: 3, Book: "eu", Currency: "USD", Effective: noon, Rules: card.Rules}, "gap"},
		{"a card of an unknown meter", events.CardDeclared{Card: "cpu", Version: 1, Book: "eu", Currency: "USD", Effective: noon, Rules: []events.CardRule{{Meter: "cpu.seconds", Per: quantity("1")}}}, "rules[0].meter"},
		{"a release of a pair without policy", events.SuspenseReleased{Pair: "USDT/USD", Source: "s", Round: "1", Reason: "r"}, "no quote policy"},
		{"a release in no book", events.SuspenseReleased{Pair: "USDC/USD", Book: "nowhere", Source: "s", Round: "1", Reason: "r"}, "not declared"},
		{"a deposit in another asset", events.DepositRecorded{Book: "eu", Customer: "lab", Asset: "USDT", Amount: amount("1")}, "could cover nothing"},
		{"a deposit of nobody", events.DepositRecorded{Book: "eu", Customer: "nobody", Asset: "USDC", Amount: amount("1")}, "not declared in book"},
		{"a deposit in another book", events.DepositRecorded{Book: "us", Customer: "lab", Asset: "USDC", Amount: amount("1")}, "not declared in book"},
		{"a collection from nobody", events.CollectionRequested{Book: "eu", Customer: "nobody"}, "not declared in book"},
		{"a collection in no book", events.CollectionRequested{Book: "nowhere"}, "not declared"},
		{"a period that is closed", events.PeriodClosed{Book: "eu", Period: "2026-10"}, "is closed"},
		{"a period before one that is closed", events.PeriodClosed{Book: "eu", Period: "2026-09"}, "is closed"},
		{"a day of a book of months", events.PeriodClosed{Book: "eu", Period: "2026-11-22"}, "not of the form"},
		{"a token of no book", events.TokenDeclared{Token: "T", Book: "nowhere", Pool: true}, "not declared"},
		{"a token that moves", events.TokenDeclared{Token: "GPU1", Book: "us", Pool: true}, `is of book "eu"`},
		{"a token of an unknown node", events.TokenDeclared{Token: "T", Book: "eu", Nodes: []events.Node{"gpu-2", "gpu-3"}}, "nodes[1]"},
		{"a token of a node of another book", events.TokenDeclared{Token: "T", Book: "us", Nodes: []events.Node{"gpu-2"}}, "nodes[0]"},
		{"a token of another token's node", events.TokenDeclared{Token: "T", Book: "eu", Nodes: []events.Node{"gpu-2", "gpu-1"}}, `belongs to token "GPU1"`},
		{"a waterfall of no token", events.WaterfallDeclared{Token: "T"}, "not declared"},
		{"a distribution of no token", events.DistributionDeclared{Distribution: "d2", Token: "T", Period: "2026-10", RecordDate: noon}, "not declared"},
		{"a distribution of an open period", events.DistributionDeclared{Distribution: "d2", Token: "GPU1", Period: "2026-11", RecordDate: noon}, "not closed"},
		{"a distribution of a day of a book of months", events.DistributionDeclared{Distribution: "d2", Token: "GPU1", Period: "2026-10-01", RecordDate: noon}, "not of the form"},
		{"a distribution declared twice", events.DistributionDeclared{Distribution: "d1", Token: "GPU1", Period: "2026-10", RecordDate: noon}, "declared already"},
		{"a distribution that rests on the future", events.DistributionDeclared{Distribution: "d2", Token: "GPU1", Period: "2026-10", ControlSeq: 1 << 60, RecordDate: noon}, "control_position"},
		{"a submission of no distribution", events.PayoutsSubmitted{Batch: "b2", Rail: "csv", Distribution: "d2"}, "not declared"},
		{"a batch on another rail", events.PayoutsSubmitted{Batch: "b1", Rail: "sepa", Distribution: "d1"}, "batch"},
		{"a confirmation of no batch", events.PayoutsConfirmed{Batch: "b2", Rail: "csv", Parts: 1, Results: []events.PayoutOutcome{{Payout: "p", State: "failed"}}}, "not submitted"},
		{"a key for an unknown provider", events.KeyIssued{Key: "p", SHA256: strings.Repeat("c", 64), Scope: "provider", Provider: "nobody"}, "not declared"},
		{"a key with another secret", events.KeyIssued{Key: "k", SHA256: strings.Repeat("c", 64), Scope: "operator"}, "issued before"},
		{"a revoked key issued again", events.KeyIssued{Key: "gone", SHA256: strings.Repeat("b", 64), Scope: "auditor"}, "issued before"},
		{"a secret of two keys", events.KeyIssued{Key: "l", SHA256: strings.Repeat("a", 64), Scope: "auditor"}, `that of key "k"`},
		{"a revocation of no key", events.KeyRevoked{Key: "l"}, "not issued"},
		{"a correction of no distribution", events.PayoutCorrected{Distribution: "d9", Payout: "p", From: "failed", State: "confirmed", Reason: "r"}, "not declared"},
		{"the second part of no list", events.HoldersListed{List: "l", Part: 1, Parts: 2}, "does not follow"},
	} {
		f.void(c.why, c.body, c.want)
	}
}

// Fails when apply does not compare ids: the deposit then counts twice.
func TestTheSameDecisionAgainIsARepeat(t *testing.T) {
	f := declared(t)
	deposit := events.DepositRecorded{Book: "eu", Customer: "lab", Asset: "USDC", Amount: amount("10")}
	if err := f.applyAs("wire-1", deposit); err != nil {
		t.Fatal(err)
	}
	if err := f.applyAs("wire-1", deposit); !errors.Is(err, ErrRepeat) {
		t.Errorf("the same again gave %v", err)
	}
	deposit.Amount = amount("11")
	if err := f.applyAs("wire-1", deposit); err == nil || errors.Is(err, ErrRepeat) {
		t.Errorf("another amount under the same id gave %v", err)
	}
	if err := f.applyAs("wire-1", events.CollectionRequested{Book: "eu"}); err == nil || errors.Is(err, ErrRepeat) {
		t.Errorf("another decision under the same id gave %v", err)
	}
	if err := f.applyAs("wire-2", deposit); err != nil {
		t.Errorf("another id gave %v", err)
	}
	// Asked again a closing rests on longer logs, and is the same closing.
	closing := events.PeriodClosed{Book: "eu", Period: "2026-10", RestsOn: []events.LogState{{Log: "ledger", Size: 1}}}
	if err := f.applyAs("close", closing); err != nil {
		t.Fatal(err)
	}
	closing.RestsOn = []events.LogState{{Log: "ledger", Size: 2, Root: events.Root{1}}}
	if err := f.applyAs("close", closing); !errors.Is(err, ErrRepeat) {
		t.Errorf("the same closing on longer logs gave %v", err)
	}
	if closing.Period = "2026-11"; f.applyAs("close", closing) == nil {
		t.Error("another closing under the same id")
	}
}

// What a decision rests on was read at another moment, and decides nothing: said
// again it rests on longer logs. Fails when the roots are part of what an id
// stands for; the positions are.
func TestTheSameDecisionOnLongerLogsIsARepeat(t *testing.T) {
	short := []events.LogState{{Log: "ledger", Size: 1}}
	long := []events.LogState{{Log: "ledger", Size: 2, Root: events.Root{1}}}
	for _, c := range []struct {
		name string
		body func(rests []events.LogState, control uint64) events.Body
	}{
		{"a closing", func(rests []events.LogState, control uint64) events.Body {
			return events.PeriodClosed{Book: "eu", Period: []events.Period{"2026-10", "2026-11"}[control-1], RestsOn: rests}
		}},
		{"a distribution", func(rests []events.LogState, control uint64) events.Body {
			return events.DistributionDeclared{Distribution: "d1", Token: "GPU1", Period: "2026-09", ControlSeq: control, LedgerSeq: 1, RegisterSeq: 1, RecordDate: noon, RestsOn: rests}
		}},
		{"a payout run", func(rests []events.LogState, control uint64) events.Body {
			return events.PayoutRunDeclared{Run: "r1", Token: "GPU1", ControlSeq: control, RegisterSeq: 1, RestsOn: rests}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := declared(t)
			f.do(events.PeriodClosed{Book: "eu", Period: "2026-09"})
			if err := f.applyAs("x", c.body(short, 1)); err != nil {
				t.Fatal(err)
			}
			if err := f.applyAs("x", c.body(long, 1)); !errors.Is(err, ErrRepeat) {
				t.Errorf("on longer logs: %v", err)
			}
			if err := f.applyAs("x", c.body(nil, 1)); !errors.Is(err, ErrRepeat) {
				t.Errorf("on no logs: %v", err)
			}
			if position, reason := f.d.Taken("x", c.body(long, 1)); position == 0 || !errors.Is(reason, ErrRepeat) {
				t.Errorf("taken at %d: %v", position, reason)
			}
			if err := f.applyAs("x", c.body(short, 2)); err == nil || errors.Is(err, ErrRepeat) {
				t.Errorf("another decision under the same id: %v", err)
			}
		})
	}
}

// Fails when apply remembers the id before it knows of the effect.
func TestAVoidDecisionCanBeSentAgainOnceItCanTakeEffect(t *testing.T) {
	f := declared(t)
	deposit := events.DepositRecorded{Book: "us", Customer: "new", Asset: "USDC", Amount: amount("10")}
	if err := f.applyAs("wire-1", deposit); err == nil {
		t.Fatal("a deposit of nobody had an effect")
	}
	f.do(events.CustomerDeclared{Customer: "new", Book: "us"})
	if err := f.applyAs("wire-1", deposit); err != nil {
		t.Errorf("sent again: %v", err)
	}
}

func TestPositionsAreAppliedInOrderWithoutGaps(t *testing.T) {
	d := New()
	decision := events.Decision{ID: "x", Actor: "a", At: recorded, Body: acme}
	for _, position := range []uint64{0, 2} {
		if err := d.Apply(position, decision); !errors.Is(err, ErrOrder) {
			t.Errorf("position %d first gave %v", position, err)
		}
	}
	if err := d.Apply(1, decision); err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(1, decision); !errors.Is(err, ErrOrder) {
		t.Errorf("position 1 twice gave %v", err)
	}
}

func TestVoidsAreBounded(t *testing.T) {
	f := &fold{t: t, d: New()}
	for range 5 * maxVoids {
		_ = f.apply(gpu1)
	}
	list := f.d.Voids()
	if len(list) > 2*maxVoids || len(list) < maxVoids || list[len(list)-1].Position != 5*maxVoids {
		t.Errorf("%d voids, the last at %d", len(list), list[len(list)-1].Position)
	}
	if err := f.d.Apply(f.d.Position()+1, events.Decision{ID: "x", Actor: "a", At: recorded}); err == nil {
		t.Error("a decision of nothing had an effect")
	}
}

// Fails when Posting says Late for until < ClosedThrough, or posts late usage
// in the period closed last instead of the one after it.
func TestUsageIsPostedInItsOwnPeriodWhileThatIsOpen(t *testing.T) {
	f := declared(t)
	f.do(events.PeriodClosed{Book: "eu", Period: "2026-10"}, events.PeriodClosed{Book: "us", Period: "2026-12-31"})
	for _, c := range []struct {
		why            string
		book           events.Book
		instant        string
		period, origin events.Period
		late           bool
	}{
		{"the open period", "eu", "2026-11-22T12:00:00Z", "2026-11", "2026-11", false},
		{"a later period", "eu", "2027-02-01T12:00:00Z", "2027-02", "2027-02", false},
		{"the closed period", "eu", "2026-10-15T00:00:00Z", "2026-11", "2026-10", true},
		{"long before", "eu", "2025-01-15T00:00:00Z", "2026-11", "2025-01", true},
		{"the last instant before the closing's end", "eu", "2026-10-31T23:59:59.999999999Z", "2026-11", "2026-10", true},
		{"the closing's end itself", "eu", "2026-11-01T00:00:00Z", "2026-11", "2026-11", false},
		{"the last day of a year, closed", "us", "2026-12-31T23:00:00Z", "2027-01-01", "2026-12-31", true},
		{"the first day of a year", "us", "2027-01-01T00:00:00Z", "2027-01-01", "2027-01-01", false},
	} {
		instant := at(c.instant).UnixNano()
		p, ok := f.d.Posting(c.book, instant)
		if !ok || p.Period != c.period || p.Origin != c.origin || p.Late != c.late {
			t.Errorf("%s: %+v", c.why, p)
		}
		for _, same := range []int64{p.From, p.Until - 1} {
			if q, _ := f.d.Posting(c.book, same); q != p {
				t.Errorf("%s: the answer for %d differs: %+v", c.why, same, q)
			}
		}
		for _, other := range []int64{p.From - 1, p.Until} {
			if q, _ := f.d.Posting(c.book, other); q.Origin == p.Origin {
				t.Errorf("%s: %d has the same origin", c.why, other)
			}
		}
	}
	b, _ := f.d.Book("eu")
	if open, ok := b.Open(); !ok || open != "2026-11" {
		t.Errorf("open is %q", open)
	}
	fresh := declared(t)
	b, _ = fresh.d.Book("eu")
	if _, ok := b.Open(); ok {
		t.Error("a book of which nothing was closed has one open period")
	}
	if fresh.d.ClosedThrough("eu") != 0 || f.d.ClosedThrough("eu") != at("2026-11-01T00:00:00Z").UnixNano() {
		t.Error("closed through")
	}
}

// Fails when a token keeps the nodes that its next declaration does not name,
// and when the token of all nodes is looked up before the one that names a node.
func TestANodesRevenueGoesToOneToken(t *testing.T) {
	f := declared(t)
	of := func(n events.Node) events.Token { t, _ := f.d.TokenOf(n); return t }
	f.do(events.TokenDeclared{Token: "ALL", Book: "eu", Pool: true})
	if of("gpu-1") != "GPU1" || of("gpu-2") != "ALL" {
		t.Errorf("%q and %q", of("gpu-1"), of("gpu-2"))
	}
	f.void("a second token of all nodes", events.TokenDeclared{Token: "ALSO", Book: "eu", Pool: true}, "stands for all nodes")
	f.do(events.TokenDeclared{Token: "GPU1", Book: "eu", Nodes: []events.Node{"gpu-2"}})
	if of("gpu-1") != "ALL" || of("gpu-2") != "GPU1" {
		t.Errorf("after the change: %q and %q", of("gpu-1"), of("gpu-2"))
	}
	f.do(events.TokenDeclared{Token: "ALL", Book: "eu", Nodes: []events.Node{"gpu-1"}})
	f.do(gpuNode("gpu-3"))
	if of("gpu-1") != "ALL" || of("gpu-3") != "" {
		t.Errorf("after the pool is none: %q and %q", of("gpu-1"), of("gpu-3"))
	}
}

func gpuNode(n events.Node) events.Body { return events.NodeDeclared{Node: n, Book: "eu"} }

// Fails when the first part of a new list already replaces the old one.
func TestNobodyIsUnlistedWhileAListIsReplaced(t *testing.T) {
	f := declared(t)
	listed := func(h events.Holder) bool { _, ok := f.d.Listed(h); return ok }
	f.do(events.HoldersListed{List: "sdn", Part: 0, Parts: 2, Holders: []events.Holder{"mallory"}})
	if !listed("mallory") {
		t.Error("the first part of the first list holds nobody")
	}
	f.do(events.HoldersListed{List: "sdn", Part: 1, Parts: 2, Holders: []events.Holder{"trudy"}})
	// The new list has both, in the other order.
	f.do(events.HoldersListed{List: "sdn", Part: 0, Parts: 2, Holders: []events.Holder{"trudy", "oscar"}})
	for _, h := range []events.Holder{"mallory", "trudy", "oscar"} {
		if !listed(h) {
			t.Errorf("%s is free halfway", h)
		}
	}
	f.void("a part of another list", events.HoldersListed{List: "sdn", Part: 1, Parts: 3}, "does not follow")
	f.do(events.HoldersListed{List: "sdn", Part: 1, Parts: 2})
	if listed("mallory") || !listed("trudy") || !listed("oscar") || listed("alice") {
		t.Error("the new list is not in effect")
	}
	f.do(events.HoldersListed{List: "eu", Parts: 1, Holders: []events.Holder{"trudy"}})
	if list, _ := f.d.Listed("trudy"); list != "eu" {
		t.Errorf("trudy is on %q first", list)
	}
	f.do(events.HoldersListed{List: "sdn", Parts: 1})
	if listed("oscar") {
		t.Error("an empty list holds somebody")
	}
	if got := f.d.Lists(); !reflect.DeepEqual(got, []List{{"eu", 1}, {"sdn", 0}}) {
		t.Errorf("lists %v", got)
	}
}

// A list and a register may write one holder in two ways. Fails when they are
// compared byte for byte.
func TestAListedHolderIsFoundHoweverItIsWritten(t *testing.T) {
	const wallet = "0xdcbeffbecce100cce9e4b153c4e15cb885643193"
	for _, c := range []struct {
		name           string
		listed, holder events.Holder
		want           bool
	}{
		{"as it is", wallet, wallet, true},
		{"with its checksum on the list", "0xdcbEfFBECcE100cCE9E4b153C4e15cB885643193", wallet, true},
		{"with its checksum in the register", wallet, "0xdcbEfFBECcE100cCE9E4b153C4e15cB885643193", true},
		{"with its chain on the list", "eip155:1:0xdcbEfFBECcE100cCE9E4b153C4e15cB885643193", wallet, true},
		{"with its chain in the register", wallet, "eip155:10:" + wallet, true},
		{"in capitals", "0XDCBEFFBECCE100CCE9E4B153C4E15CB885643193", wallet, true},
		{"decomposed on the list", "Zoe\u0308", "Zo\u00eb", true},
		{"decomposed in the register", "Zo\u00eb", "Zoe\u0308", true},
		{"a name in another case is another name", "Mallory", "mallory", false},
		{"another address", wallet, "0xdcbeffbecce100cce9e4b153c4e15cb885643194", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := New()
			if err := d.listHolders(events.HoldersListed{List: "sdn", Parts: 1, Holders: []events.Holder{c.listed}}); err != nil {
				t.Fatal(err)
			}
			if _, got := d.Listed(c.holder); got != c.want {
				t.Errorf("listed: %t, want %t", got, c.want)
			}
		})
	}
}

func TestDeclaringTheSameAgainIsSeen(t *testing.T) {
	f := declared(t)
	key := events.KeyIssued{Key: "k", SHA256: strings.Repeat("a", 64), Scope: "provider", Provider: "acme"}
	list := events.HoldersListed{List: "sdn", Parts: 1, Holders: []events.Holder{"mallory"}}
	bodies := []events.Body{acme, eu, us, gpu1, gpu2, lab, meter, card, peg, token, falls, key, list}
	f.do(key, list)
	zoned := card
	zoned.Effective = card.Effective.In(time.FixedZone("east", 7200))
	for _, b := range append(bodies, zoned) {
		if !f.d.Same(b) {
			t.Errorf("%s: is not the same", b.Kind())
		}
		before := f.state()
		if err := f.apply(b); err != nil {
			t.Errorf("%s: declared again: %v", b.Kind(), err)
		}
		if got := f.state(); got[:len(got)-2] != before[:len(before)-2] { // All but the number of ids.
			t.Errorf("%s: declared again, changed\n%s\nto\n%s", b.Kind(), before, got)
		}
	}
	other := gpu1
	other.Attributes = map[string]string{"region": "eu-west"}
	longer := list
	longer.Holders = []events.Holder{"mallory", "trudy"}
	next := card
	next.Version = 2
	for _, b := range []events.Body{
		other, longer, next, events.ProviderDeclared{Provider: "acme", Name: "Acme"}, events.NodeDeclared{Node: "gpu-3", Book: "eu"},
		events.CollectionRequested{Book: "eu"}, events.WaterfallDeclared{Token: "GPU1"}, events.HoldersListed{List: "new", Parts: 1},
		events.CardDeclared{Card: "gpu", Book: "eu"}, events.MeterDeclared{Meter: "gpu.seconds", Book: "nowhere"}, nil,
	} {
		if f.d.Same(b) {
			t.Errorf("%+v: is the same", b)
		}
	}
	f.do(events.KeyRevoked{Key: "k"})
	if f.d.Same(key) {
		t.Error("a revoked key is the same")
	}
}

func TestAListInPartsIsTheSameOnlyAsAWhole(t *testing.T) {
	f := declared(t)
	one := events.HoldersListed{List: "sdn", Part: 0, Parts: 2, Holders: []events.Holder{"mallory"}}
	two := events.HoldersListed{List: "sdn", Part: 1, Parts: 2, Holders: []events.Holder{"trudy"}}
	f.do(one, two)
	if got := f.d.Unchanged([]events.Body{acme, one, two}); !reflect.DeepEqual(got, []bool{true, true, true}) {
		t.Errorf("the same list: %v", got)
	}
	changed := two
	changed.Holders = nil
	if got := f.d.Unchanged([]events.Body{one, changed, gpuNode("new")}); !reflect.DeepEqual(got, []bool{false, false, false}) {
		t.Errorf("another second part: %v", got)
	}
	f.do(one)
	if got := f.d.Unchanged([]events.Body{one, two}); !reflect.DeepEqual(got, []bool{false, false}) {
		t.Errorf("with half a list on its way: %v", got)
	}
}

func TestKeysAreFoundByTheirSecretUntilTheyAreRevoked(t *testing.T) {
	f := declared(t)
	nkey := "U" + strings.Repeat("B", 55)
	f.do(events.KeyIssued{Key: "b", SHA256: strings.Repeat("a", 64), Scope: "provider", Provider: "acme"},
		events.KeyIssued{Key: "a", NKey: nkey, Scope: "auditor"})
	if k, ok := f.d.Key(strings.Repeat("a", 64)); !ok || k.Key != "b" {
		t.Errorf("by hash: %+v", k)
	}
	if k, ok := f.d.Key(nkey); !ok || k.Key != "a" {
		t.Errorf("by NKey: %+v", k)
	}
	if keys := f.d.Keys(); len(keys) != 2 || keys[0].Key != "a" {
		t.Errorf("keys %v", keys)
	}
	f.do(events.KeyRevoked{Key: "b"})
	if _, ok := f.d.Key(strings.Repeat("a", 64)); ok || len(f.d.Keys()) != 1 {
		t.Error("a revoked key is found")
	}
}

func TestACardsVersionsStandInOrder(t *testing.T) {
	f := declared(t)
	second := card
	second.Version = 2
	other := card
	other.Card = "cheap"
	f.do(second, other)
	var got []string
	for _, c := range f.d.CardVersions("eu") {
		got = append(got, fmt.Sprintf("%s@%d", c.Card, c.Version))
	}
	if want := []string{"cheap@1", "gpu@1", "gpu@2"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func BenchmarkApply(b *testing.B) {
	d := New()
	for i, body := range []events.Body{acme, eu} {
		if err := d.Apply(uint64(i+1), events.Decision{ID: fmt.Sprint(i), Actor: "a", At: recorded, Body: body}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		n := d.Position() + 1
		body := events.NodeDeclared{Node: events.Node(fmt.Sprintf("gpu-%d", n)), Book: "eu", Attributes: gpu1.Attributes}
		if err := d.Apply(n, events.Decision{ID: fmt.Sprint(n), Actor: "a", At: recorded, Body: body}); err != nil {
			b.Fatal(err)
		}
	}
}
