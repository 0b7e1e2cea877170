package pricing

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

const usdc = events.Pair("USDC/USD")

// tariff has a card that charges 10 USD for a gpu of model=h100 and 2 for any
// other, from day 3 on, and a quote that decisions set.
func tariff(t *testing.T, decisions ...events.Body) *Tariff {
	t.Helper()
	var all Tariff
	card := declare(t, "a", 1, day(3), "gpu model=h100 @10", "gpu @2")
	card.Rules[0].Granularity = quantity(t, "60")
	for _, d := range append([]events.Body{card, events.NodeDeclared{Node: "n"}}, decisions...) {
		if err := all.Learn(d); err != nil {
			t.Fatal(err)
		}
	}
	return &all
}

func fixed(t *testing.T, quote string) events.QuotePolicyDeclared {
	return events.QuotePolicyDeclared{Pair: usdc, Fixed: amount(t, quote)}
}

func observed(t *testing.T, round string, when time.Time, rate string) events.QuotesObserved {
	return events.QuotesObserved{Pair: usdc, Source: "s", Rounds: []events.Round{{Round: round, Time: when, Rate: amount(t, rate)}}}
}

func TestAPriceIsComposedInOnePlace(t *testing.T) {
	hour := events.QuotePolicyDeclared{Pair: usdc, HeartbeatSeconds: 3600}
	for _, c := range []struct {
		name      string
		decisions []events.Body
		facts     Facts
		quantity  string
		want      string
	}{
		{"no quote is needed for the card's own currency", nil, Facts{Asset: "USD"}, "3", `charged 6 for 3 by a@1/1 at ""`},
		{"the node's attributes override the event's", []events.Body{fixed(t, "2")},
			Facts{Attributes: attributes("model=a100"), Node: attributes("model=h100")}, "61", `charged 600 for 120 by a@1/0 at "fixed"`},
		{"the plan is an attribute", []events.Body{declare(t, "b", 1, day(3), "gpu plan=gold model=h100 @1"), fixed(t, "1")},
			Facts{Node: attributes("model=h100"), Plan: "gold"}, "3", `charged 3 for 3 by b@1/0 at "fixed"`},
		{"before the card nothing matches", nil, Facts{Instant: day(2).UnixNano()}, "3", "no rate"},
		{"without a policy the billed quantity waits", nil, Facts{Node: attributes("model=h100")}, "61", "waits 120 because no_policy"},
		{"the round of the last instant prices", []events.Body{hour, observed(t, "1", day(4), "1"), observed(t, "2", day(4).Add(time.Second), "4")},
			Facts{}, "2", `charged 4 for 2 by a@1/1 at "s#1"`},
		{"a withdrawn round prices nothing", []events.Body{hour, observed(t, "1", day(4), "1"), events.RoundWithdrawn{Pair: usdc, Source: "s", Round: "1"}},
			Facts{}, "2", "waits 2 because missing"},
		// Fails when a charge that does not fit at the quote is refused, which would
		// blame the sender for a quote that cannot be.
		{"a charge that does not fit at the quote waits", []events.Body{fixed(t, "0.000000000000000001")}, Facts{}, "1000", "waits 1000 because "},
		{"a charge that does not fit at par is refused", []events.Body{fixed(t, "1")}, Facts{}, "1e20", "overflow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.facts
			f.Book, f.Meter = "book", "gpu"
			if f.Asset == "" {
				f.Asset = "USDC"
			}
			if f.Instant == 0 {
				f.Instant = day(4).UnixNano()
			}
			p := tariff(t, c.decisions...).Price(&f)
			charge, err := p.Charge(quantity(t, c.quantity))
			got := fmt.Sprintf("charged %v for %v by %s/%d at %q", charge.Amount, charge.Billed, p.Line.Card, p.Line.Rule, p.Quote.ID)
			switch {
			case errors.Is(err, money.ErrOverflow):
				got = "overflow"
			case p.State == NoRate && err != nil:
				got = "no rate"
			case err != nil:
				got = err.Error()
			case charge.Waits:
				got = fmt.Sprintf("waits %v because %s", charge.Billed, p.Quote.Reason)
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if f.Instant < p.From || f.Instant >= p.Until {
				t.Errorf("the price of %d holds from %d to %d", f.Instant, p.From, p.Until)
			}
		})
	}
}

// Fails when the bounds of the card or those of the quote are left out: a price
// that is kept would then outlive one of them.
func TestAPriceHoldsAsLongAsItsRuleAndItsQuote(t *testing.T) {
	all := tariff(t, declare(t, "a", 2, day(6), "gpu @3"), events.QuotePolicyDeclared{Pair: usdc, HeartbeatSeconds: 10 * 86400},
		observed(t, "1", day(2), "1"), observed(t, "2", day(5), "1"))
	for _, c := range []struct{ at, from, until int }{{4, 3, 5}, {5, 5, 6}} {
		f := Facts{Book: "book", Asset: "USDC", Meter: "gpu", Instant: day(c.at).UnixNano()}
		if p := all.Price(&f); p.From != day(c.from).UnixNano() || p.Until != day(c.until).UnixNano() {
			t.Errorf("on day %d: from %v to %v", c.at, time.Unix(0, p.From).UTC(), time.Unix(0, p.Until).UTC())
		}
	}
}

// Fails when a release charges by another rule than the line of suspense names,
// takes a round that no quote may rest on, or bills a second time.
func TestAReleaseChargesByTheRuleThatWaited(t *testing.T) {
	all := tariff(t, declare(t, "a", 2, day(6), "gpu model=h100 @100"), observed(t, "1", day(4), "0.5"), observed(t, "2", day(5), "50000000"))
	r, err := all.Release(usdc, "s", "1")
	if err != nil || r.Quote != "s#1" {
		t.Fatal(r, err)
	}
	for _, c := range []struct {
		card   string
		rule   int
		billed string
		want   string
	}{
		{"a@1", 0, "120", "2400"},
		{"a@1", 1, "120", "480"},
		{"a@2", 0, "120", "24000"},
		{"a@1", 1, "1e20", "does not fit"},
		{"a@1", 2, "120", "book book has no rule 2 for gpu in card a@1"},
		{"a@3", 0, "120", "book book has no rule 0 for gpu in card a@3"},
	} {
		amount, fits, err := r.Charge("book", "gpu", c.card, c.rule, quantity(t, c.billed))
		got := amount.String()
		if err != nil {
			got = err.Error()
		} else if !fits {
			got = "does not fit"
		}
		if got != c.want {
			t.Errorf("rule %d of %s: got %s, want %s", c.rule, c.card, got, c.want)
		}
	}
	for round, want := range map[string]string{"2": "a magnitude that cannot be", "3": `has no round "3"`} {
		if _, err := all.Release(usdc, "s", round); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("round %s: %v", round, err)
		}
	}
}
