package issue

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/pricing"
)

var morning = time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)

func amountOf(t *testing.T, s string) money.Amount {
	t.Helper()
	a, err := money.ParseAmount(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// declaredAnew are all kinds of declarations that price an event, each declared
// several times.
func declaredAnew(t *testing.T) (list []events.Decision) {
	unit, err := money.ParseQuantity("1")
	if err != nil {
		t.Fatal(err)
	}
	do := func(body events.Body) {
		list = append(list, events.Decision{ID: fmt.Sprint(len(list)), Actor: "o", At: morning.Add(time.Hour), Body: body})
	}
	version := func(card events.Card, n int, price string, match map[string]string) events.CardDeclared {
		return events.CardDeclared{Card: card, Version: n, Book: "eu", Currency: "USD", Effective: morning.Add(-time.Duration(10-n) * time.Hour),
			Rules: []events.CardRule{{Meter: "s", Match: match, Price: amountOf(t, price), Per: unit}}}
	}
	round := func(source string, n int, rate string) events.QuotesObserved {
		return events.QuotesObserved{Pair: "USDC/USD", Source: source, Rounds: []events.Round{
			{Round: fmt.Sprint(n - 1), Time: morning.Add(time.Duration(n-1) * time.Minute), Rate: amountOf(t, rate)},
			{Round: fmt.Sprint(n), Time: morning.Add(time.Duration(n) * time.Minute), Rate: amountOf(t, rate)}}}
	}
	policy := events.QuotePolicyDeclared{Pair: "USDC/USD", HeartbeatSeconds: 600, MarginSeconds: 60, MaxDeviation: amountOf(t, "0.5"), MinSources: 1}
	fixed := events.QuotePolicyDeclared{Pair: "USDC/USD", Fixed: amountOf(t, "1.25")}
	book := events.BookDeclared{Book: "eu", Provider: "acme", Calendar: "month", TimeZone: "UTC", Asset: "USDC", HorizonSeconds: 3_024_000, FutureSeconds: 300}
	longer := book
	longer.HorizonSeconds++
	do(events.ProviderDeclared{Provider: "acme"})
	do(book)
	do(events.MeterDeclared{Meter: "s", Book: "eu", Unit: "s"})
	do(events.NodeDeclared{Node: "n", Book: "eu", Attributes: map[string]string{"gpu": "a"}})
	do(events.CustomerDeclared{Customer: "c", Book: "eu", Plan: "pro"})
	do(version("std", 1, "1", nil))
	do(round("x", 2, "1.01"))
	do(policy)
	do(round("y", 2, "1.03"))
	do(longer)
	do(version("std", 2, "2", nil))
	do(version("std", 2, "2", nil)) // says nothing new
	do(events.NodeDeclared{Node: "n", Book: "eu", Attributes: map[string]string{"gpu": "b"}})
	do(version("gpu", 1, "7", map[string]string{"gpu": "b"}))
	do(events.NodeDeclared{Node: "n", Book: "nowhere"}) // void
	do(round("x", 4, "1.05"))
	do(round("x", 4, "1.06")) // void: a known round has another rate
	do(fixed)
	do(events.CustomerDeclared{Customer: "c", Book: "eu", Plan: "big"})
	do(version("plan", 1, "3", map[string]string{"gpu": "b", "plan": "big"}))
	do(policy)
	do(round("y", 6, "1.07"))
	withdrawn := events.RoundWithdrawn{Pair: "USDC/USD", Source: "y", Round: "6", Reason: "misread"}
	do(withdrawn)
	do(withdrawn)                                                                            // again
	do(round("y", 6, "1.07"))                                                                // a known round, which stays withdrawn
	do(events.RoundWithdrawn{Pair: "USDC/USD", Source: "y", Round: "99", Reason: "misread"}) // void
	do(round("y", 8, "1.08"))
	do(events.RoundWithdrawn{Pair: "USDC/USD", Source: "x", Round: "4", Reason: "misread"})
	return list
}

// For each position, the decisions that were read give the same result as
// settle's directory, cards and board, which have seen only the decisions up to
// that position. What was read beyond it does not matter.
func TestWhatWasDeclaredAsOfAPosition(t *testing.T) {
	decisions := declaredAnew(t)
	ahead := NewDecisions()
	for i, d := range decisions {
		if err := ahead.take(uint64(i)+1, d, true); err != nil {
			t.Fatal(err)
		}
	}
	one, err := money.ParseQuantity("10")
	if err != nil {
		t.Fatal(err)
	}
	prices := map[string]bool{}
	for through := range len(decisions) + 1 {
		declared, tariff := directory.New(), pricing.Tariff{}
		for i, d := range decisions[:through] {
			if declared.Apply(uint64(i)+1, d) != nil {
				continue
			}
			_ = tariff.Learn(d.Body)
		}
		alone := NewDecisions()
		for i, d := range decisions[:through] {
			if err := alone.take(uint64(i)+1, d, true); err != nil {
				t.Fatal(err)
			}
		}
		for minute := -1; minute < 20; minute++ {
			u := &events.Usage{Node: "n", Customer: "c", Meter: "s", Quantity: one, End: morning.Add(time.Duration(minute) * time.Minute).UnixNano()}
			book, _ := declared.Book("eu")
			node, _ := declared.Node(u.Node)
			customer, _ := declared.Customer(u.Customer)
			facts := pricing.FactsOf(u, "eu", book.Asset, node.Attributes, customer.Plan)
			price := tariff.Price(&facts)
			line, verdict := price.Line, price.Quote
			got, from, ok := (&world{ahead, uint64(through)}).price("eu", u)
			if ok != (price.State == pricing.Charged) {
				t.Fatalf("as of %d, minute %d: a price is %v, %v and %+v say otherwise", through, minute, ok, price.State, verdict)
			}
			same, where, _ := (&world{alone, uint64(through)}).price("eu", u)
			if !reflect.DeepEqual(got, same) || !slices.Equal(from, where) {
				t.Fatalf("as of %d, minute %d: %+v from %d, read no further %+v from %d", through, minute, got, from, same, where)
			}
			if !ok {
				continue
			}
			charge, err := price.Charge(u.Quantity)
			amount := charge.Amount
			if err != nil || got.Amount != amount || got.Card != line.Card || got.Quote != verdict.ID || got.Rate != verdict.Quote {
				t.Fatalf("as of %d, minute %d: %+v, want %v of %s at %s: %v", through, minute, got, amount, line.Card, verdict.ID, err)
			}
			if slices.Contains(from, 0) || slices.Max(from) > uint64(through) {
				t.Fatalf("as of %d: decisions at %d", through, from)
			}
			prices[got.Card+" "+got.Quote] = true
		}
	}
	if len(prices) < 10 {
		t.Errorf("only %d prices: %v", len(prices), prices)
	}
}
