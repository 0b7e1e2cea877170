package audittest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// counting counts messages.
func counting(n *uint64) func(distribution.Outgoing) error {
	return func(distribution.Outgoing) error { *n++; return nil }
}

// Token is the token of the [Story]: it stands for n1 and n2, not n3.
func Token(t testing.TB) events.TokenDeclared {
	return events.TokenDeclared{Token: "REV", Book: "eu", Nodes: []events.Node{"n1", "n2"}, Minimum: Amount(t, "0.01")}
}

// Story is a world with a little of everything: two customers, one of whom pays
// too little; repeated, refused, late and suspended events, some of them
// released; two closings and two distributions, with a listed and a frozen
// holder, and payouts of which some are confirmed and one failed.
func Story(t testing.TB) *World {
	t.Helper()
	return Retold(t, nil, nil)
}

// Retold is the [Story] with edited decisions and movements, and with everything
// that follows from them derived again. Either edit may be nil.
func Retold(t testing.TB, decision func(events.Body) events.Body, movement func(*events.Movement)) *World {
	t.Helper()
	return New(t).tell(decision, movement)
}

// StoryOn is the [Story] on a store that the caller closes.
func StoryOn(t testing.TB, db *store.DB) *World {
	t.Helper()
	return On(t, db).tell(nil, nil)
}

func (w *World) tell(decision func(events.Body) events.Body, movement func(*events.Movement)) *World {
	t := w.t
	t.Helper()
	w.decision, w.movement = decision, movement
	amount := func(text string) money.Amount { return Amount(t, text) }
	quantity := func(text string) money.Quantity { return Quantity(t, text) }
	w.Declare(
		events.ProviderDeclared{Provider: "acme"},
		events.BookDeclared{Book: "eu", Provider: "acme", Calendar: "day", TimeZone: "UTC", Asset: "USDC", FutureSeconds: 300},
		events.MeterDeclared{Meter: "gpu.seconds", Book: "eu", Unit: "s"},
		events.NodeDeclared{Node: "n1", Book: "eu", Attributes: map[string]string{"gpu": "h100"}},
		events.NodeDeclared{Node: "n2", Book: "eu"},
		events.NodeDeclared{Node: "n3", Book: "eu"},
		events.CustomerDeclared{Customer: "ann", Book: "eu"},
		events.CustomerDeclared{Customer: "bob", Book: "eu", Plan: "gold"},
		events.CardDeclared{Card: "std", Version: 1, Book: "eu", Currency: "USD", Effective: Noon.AddDate(-1, 0, 0), Rules: []events.CardRule{
			{Meter: "gpu.seconds", Price: amount("1.99"), Per: quantity("3600"), Granularity: quantity("0.5")},
			{Meter: "gpu.seconds", Match: map[string]string{"gpu": "h100"}, Price: amount("4.5"), Per: quantity("3600")},
		}},
		events.QuotePolicyDeclared{Pair: "USDC/USD", HeartbeatSeconds: 86400, MarginSeconds: 600, MinSources: 1, Peg: amount("1"), PegWarn: amount("0.005"), PegHold: amount("0.02")},
		events.QuotesObserved{Pair: "USDC/USD", Source: "feed", Rounds: []events.Round{
			{Round: "1", Time: Noon.Add(-time.Hour), Rate: amount("0.9997")}, {Round: "2", Time: Noon.Add(time.Hour), Rate: amount("0.93")}, {Round: "3", Time: Noon.Add(2 * time.Hour), Rate: amount("0.991")},
		}},
		Token(t),
		events.WaterfallDeclared{Token: "REV", FeeBasisPoints: 250},
		events.HoldersListed{List: "sanctions", Parts: 1, Holders: []events.Holder{"mallory"}},
	)
	var issued []events.Movement
	for i, h := range []events.Holder{"carol", "dave", "erin", "mallory", "zoe"} {
		issued = append(issued, events.Movement{Kind: events.Issued, To: h, Units: money.UnitsOf(uint64(1 + i*i*7))})
	}
	w.Move("REV", "issue", issued...)
	w.Move("REV", "freeze", events.Movement{Kind: events.Frozen, From: "erin", Units: money.UnitsOf(3)})

	var list []Event
	for i := range uint64(40) {
		list = append(list, Event{Sequence: i + 1, Node: fmt.Sprint("n", 1+i%3), Customer: []string{"ann", "bob"}[i%2], Quantity: fmt.Sprintf("%d.25", 1000+i*37)})
	}
	w.Send("eu", "acme", list[:25]...)
	w.Send("eu", "acme", list[20:]...) // five of them are repeated
	w.Send("eu", "acme",
		Event{ID: "a", Node: "n1", Customer: "ann", Quantity: "7.125"},
		Event{ID: "b", Node: "nowhere", Customer: "ann", Quantity: "1"},
		Event{ID: "a", Node: "n1", Customer: "ann", Quantity: "7.125"},
		Event{ID: "a", Node: "n1", Customer: "ann", Quantity: "8"},
		Event{ID: "free", Node: "n2", Customer: "bob", Quantity: "0"})
	// These fall into the time off the peg: they wait.
	w.Send("eu", "acme",
		Event{ID: "s1", Node: "n1", Customer: "ann", Quantity: "100", End: Noon.Add(90 * time.Minute)},
		Event{ID: "s2", Node: "n2", Customer: "bob", Quantity: "50.1", End: Noon.Add(95 * time.Minute)})
	w.Declare(
		events.DepositRecorded{Book: "eu", Customer: "ann", Asset: "USDC", Amount: amount("500"), Reference: "bank-1"},
		events.DepositRecorded{Book: "eu", Customer: "bob", Asset: "USDC", Amount: amount("5.5"), Reference: "bank-2"},
		events.PeriodClosed{Book: "eu", Period: "2026-11-20"},
	)
	w.Distribute("d1", Token(t), "2026-11-20")
	w.Declare(events.PayoutsSubmitted{Batch: "d1:csv", Rail: "csv", Distribution: "d1"})
	var results []events.PayoutOutcome
	w.must(w.DB.Payouts(context.Background(), "d1", "", func(p distribution.Payout) error {
		r := events.PayoutOutcome{Payout: p.ID, State: "confirmed", Reference: "tx-" + string(p.Holder)}
		switch p.Holder {
		case "dave":
			r.State = "failed"
		case "zoe":
			return nil // not answered
		}
		results = append(results, r)
		return nil
	}))
	w.Declare(events.PayoutsConfirmed{Batch: "d1:csv", Rail: "csv", Parts: 1, Results: results})
	// A second day: late usage, a release, and a distribution that also pays what
	// was carried.
	w.Send("eu", "acme",
		Event{Sequence: 41, Node: "n1", Customer: "ann", Quantity: "3600"},
		Event{Sequence: 42, Node: "n2", Customer: "ann", Quantity: "1234", End: Noon.Add(20 * time.Hour)})
	w.Declare(events.SuspenseReleased{Pair: "USDC/USD", Source: "feed", Round: "3", Reason: "the peg is back"})
	w.Send("eu", "acme", Event{ID: "s3", Node: "n2", Customer: "bob", Quantity: "9", End: Noon.Add(100 * time.Minute)})
	w.Declare(
		events.CollectionRequested{Book: "eu"},
		events.PeriodClosed{Book: "eu", Period: "2026-11-21"},
	)
	w.Distribute("d2", Token(t), "2026-11-21")
	w.Rest()
	return w
}
