package issue_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/receipt"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/explain"
)

// Settlement, explain and receipts price the same event at the same instant, even
// if cards, quotes and periods change exactly at the end of usage. Fails when one
// of them uses the exclusive end.
func TestEverybodyDatesUsageByItsLastInstant(t *testing.T) {
	midnight := audittest.Noon.Truncate(24 * time.Hour).Add(24 * time.Hour)
	w := audittest.New(t)
	amount := func(s string) money.Amount { return audittest.Amount(t, s) }
	card := func(version int, effective time.Time, price string) events.CardDeclared {
		return events.CardDeclared{Card: "std", Version: version, Book: "eu", Currency: "USD", Effective: effective,
			Rules: []events.CardRule{{Meter: "gpu.seconds", Price: amount(price), Per: audittest.Quantity(t, "1")}}}
	}
	w.Declare(
		events.ProviderDeclared{Provider: "acme"},
		events.BookDeclared{Book: "eu", Provider: "acme", Calendar: "day", TimeZone: "UTC", Asset: "USDC", FutureSeconds: 300},
		events.MeterDeclared{Meter: "gpu.seconds", Book: "eu", Unit: "s"},
		events.NodeDeclared{Node: "n1", Book: "eu"}, events.CustomerDeclared{Customer: "ann", Book: "eu"},
		card(1, midnight.AddDate(-1, 0, 0), "1"), card(2, midnight, "10"),
		events.QuotePolicyDeclared{Pair: "USDC/USD", HeartbeatSeconds: 7200, MinSources: 1},
		events.QuotesObserved{Pair: "USDC/USD", Source: "feed", Rounds: []events.Round{
			{Round: "1", Time: midnight.Add(-time.Hour), Rate: amount("1")}, {Round: "2", Time: midnight, Rate: amount("0.5")}}},
	)
	tests := []struct {
		name, id, handle string
		start            time.Time
		end              time.Time
		period           string
		cost             string
	}{
		{"an hour that ends as everything changes", "before", "meter-1#before", midnight.Add(-time.Hour), midnight, "2026-11-20", "it cost 100 USDC"},
		{"an event without duration at that instant", "at", "meter-1#at", midnight, midnight, "2026-11-21", "it cost 2000 USDC"},
		{"a nanosecond from that instant on", "ns", "meter-1#ns", midnight, midnight.Add(1), "2026-11-21", "it cost 2000 USDC"},
		{"the nanosecond before it", "last", "meter-1#last", midnight.Add(-1), midnight, "2026-11-20", "it cost 100 USDC"},
	}
	for _, test := range tests {
		w.Send("eu", "acme", audittest.Event{ID: test.id, Node: "n1", Customer: "ann", Quantity: "100", Start: test.start, End: test.end})
	}
	w.Rest()
	k := keep(t, w)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n, err := explain.Explain(t.Context(), k.sources().Sources, test.handle)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := explain.Write(&out, &n); err != nil {
				t.Fatal(err)
			}
			if text := out.String(); !strings.Contains(text, "equal to the posting") || strings.Contains(text, "NOT equal") || !strings.Contains(text, test.period) {
				t.Errorf("explained as\n%s", text)
			}
			verdict, err := receipt.Verify(k.issue(t, test.handle), k.key)
			if err != nil {
				t.Fatal(err)
			}
			if text := verdict.String(); !strings.Contains(text, test.cost) {
				t.Errorf("want %q in\n%s", test.cost, text)
			}
		})
	}
}
