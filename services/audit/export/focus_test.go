package export_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/export"
)

// focusHeader is the column list of FOCUS 1.2 with its content constraints: M and
// C are mandatory and conditional columns, R recommended ones; columns with !
// must not be null here, columns with ? may.
const focusHeader = `AvailabilityZone R? string; BilledCost M! decimal; BillingAccountId M! string; BillingAccountName M? string;
BillingAccountType C! string; BillingCurrency M! currency; BillingPeriodEnd M! datetime; BillingPeriodStart M! datetime;
CapacityReservationId C? string; CapacityReservationStatus C? string; ChargeCategory M! string; ChargeClass M? string;
ChargeDescription M? string; ChargeFrequency R! string; ChargePeriodEnd M! datetime; ChargePeriodStart M! datetime;
CommitmentDiscountCategory C? string; CommitmentDiscountId C? string; CommitmentDiscountName C? string; CommitmentDiscountQuantity C? decimal;
CommitmentDiscountStatus C? string; CommitmentDiscountType C? string; CommitmentDiscountUnit C? string; ConsumedQuantity C! decimal;
ConsumedUnit C! string; ContractedCost M! decimal; ContractedUnitPrice C! decimal; EffectiveCost M! decimal; InvoiceId R? string;
InvoiceIssuerName M! string; ListCost M! decimal; ListUnitPrice C! decimal; PricingCategory C! string; PricingCurrency C! currency;
PricingCurrencyContractedUnitPrice C! decimal; PricingCurrencyEffectiveCost C! decimal; PricingCurrencyListUnitPrice C! decimal;
PricingQuantity M! decimal; PricingUnit M! string; ProviderName M! string; PublisherName M! string; RegionId C? string; RegionName C? string;
ResourceId C! string; ResourceName C! string; ResourceType C! string; ServiceCategory M! string; ServiceName M! string;
ServiceSubcategory R! string; SkuId C! string; SkuMeter C! string; SkuPriceDetails C! json; SkuPriceId C! string; SubAccountId C? string;
SubAccountName C? string; SubAccountType C? string; Tags C! json`

var (
	focusTime    = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`)
	focusDecimal = regexp.MustCompile(`^-?\d+(\.\d+)?$`)
)

func TestFOCUSHasItsColumnsInTheirOrder(t *testing.T) {
	report, err := export.Find("focus")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for one := range strings.SplitSeq(focusHeader, ";") {
		want = append(want, strings.Fields(one)[0])
	}
	if len(want) != 57 {
		t.Fatalf("FOCUS 1.2 has 57 columns, not %d", len(want))
	}
	for i, c := range report.Columns() {
		switch {
		case i < len(want) && c.Name != want[i]:
			t.Errorf("column %d is %s, want %s", i, c.Name, want[i])
		case i >= len(want) && !strings.HasPrefix(c.Name, "x_"):
			t.Errorf("column %s is ours and has no x_", c.Name)
		case len(c.Name) > 50:
			t.Errorf("column %s is longer than 50", c.Name)
		}
	}
}

// priced is the story with a second day of tokens, an exact card in its own
// asset, and a card whose rules for one meter are posted together.
func priced(t testing.TB) *audittest.World {
	t.Helper()
	w := audittest.Story(t)
	a, q := func(s string) money.Amount { return audittest.Amount(t, s) }, func(s string) money.Quantity { return audittest.Quantity(t, s) }
	w.Declare(
		events.MeterDeclared{Meter: "llm.tokens", Book: "eu", Unit: "tokens"},
		events.NodeDeclared{Node: "n4", Book: "eu", Attributes: map[string]string{"region": "eu-west", "note": `a,"b"`}},
		events.CardDeclared{Card: "llm", Version: 1, Book: "eu", Currency: "USD", Effective: audittest.Noon.AddDate(-1, 0, 0), Rules: []events.CardRule{
			{Meter: "llm.tokens", Price: a("2.5"), Per: q("1000000")},
			{Meter: "llm.tokens", Match: map[string]string{"model": "big"}, Price: a("10"), Per: q("1000000")},
		}},
		events.QuotesObserved{Pair: "USDC/USD", Source: "feed", Rounds: []events.Round{{Round: "9", Time: audittest.Noon.AddDate(0, 0, 3), Rate: a("1.0001")}}},
	)
	at := audittest.Noon.AddDate(0, 0, 3).Add(time.Hour)
	w.Send("eu", "acme",
		audittest.Event{ID: "t1", Node: "n4", Customer: "ann", Meter: "llm.tokens", Quantity: "1234567", End: at},
		audittest.Event{ID: "t2", Node: "n4", Customer: "bob", Meter: "llm.tokens", Quantity: "1000", Model: "big", End: at},
		audittest.Event{ID: "t3", Node: "n4", Customer: "bob", Meter: "llm.tokens", Quantity: "3000", End: at})
	w.Rest()
	return w
}

func rat(t testing.TB, s string) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("%q is no number", s)
	}
	return r
}

// Each row satisfies the specification's rules for its columns.
func TestFOCUSRowsKeepItsRules(t *testing.T) {
	k := keep(t, priced(t))
	list := k.rows(t, "focus", export.Options{})
	if len(list) == 0 {
		t.Fatal("no row")
	}
	for n, r := range list {
		for one := range strings.SplitSeq(focusHeader, ";") {
			field := strings.Fields(one)
			value := r[field[0]]
			if value == "" {
				if strings.HasSuffix(field[1], "!") {
					t.Errorf("row %d: %s is null", n, field[0])
				}
				continue
			}
			ok := true
			switch field[2] {
			case "datetime":
				ok = focusTime.MatchString(value)
			case "decimal":
				ok = focusDecimal.MatchString(value)
			case "currency":
				ok = regexp.MustCompile(`^[A-Z]{3}$`).MatchString(value) && value == "USD" // ISO 4217, national
			case "json":
				ok = json.Unmarshal([]byte(export.ReadText(value)), &map[string]string{}) == nil
			}
			if !ok {
				t.Errorf("row %d: %s is %q, no %s", n, field[0], value, field[2])
			}
		}
		focusRow(t, n, r)
	}
}

func focusRow(t *testing.T, n int, r row) {
	t.Helper()
	among := func(column string, allowed ...string) {
		if !slices.Contains(allowed, r[column]) {
			t.Errorf("row %d: %s is %q, none of %q", n, column, r[column], allowed)
		}
	}
	among("ChargeCategory", "Usage", "Purchase", "Tax", "Credit", "Adjustment")
	among("ChargeClass", "", "Correction")
	among("ChargeFrequency", "One-Time", "Recurring", "Usage-Based")
	among("PricingCategory", "Standard", "Dynamic", "Committed", "Other")
	among("ServiceCategory", "AI and Machine Learning", "Compute")
	among("ServiceSubcategory", map[string]string{"AI and Machine Learning": "Generative AI", "Compute": "Other (Compute)"}[r["ServiceCategory"]])
	for _, period := range []string{"Billing", "Charge"} {
		if r[period+"PeriodStart"] >= r[period+"PeriodEnd"] {
			t.Errorf("row %d: the %s period ends before it begins", n, period)
		}
	}
	if (r["RegionId"] == "") != (r["RegionName"] == "") {
		t.Errorf("row %d: region %q is called %q", n, r["RegionId"], r["RegionName"])
	}
	for _, column := range r.commitments() {
		if r[column] != "" {
			t.Errorf("row %d: %s is %q without a commitment", n, column, r[column])
		}
	}
	// There are no discounts, so all costs are equal. A unit price times its
	// quantity is the cost, except for the rounding of the quantity to 18
	// decimals and of each charge.
	for _, column := range []string{"ListCost", "ContractedCost", "EffectiveCost", "PricingCurrencyEffectiveCost"} {
		if r[column] != r["BilledCost"] {
			t.Errorf("row %d: %s is %s, BilledCost %s", n, column, r[column], r["BilledCost"])
		}
	}
	atto := big.NewRat(1, 1_000_000_000_000_000_000)
	bound := new(big.Rat).Mul(atto, new(big.Rat).Add(rat(t, r["ListUnitPrice"]), rat(t, r["PricingQuantity"])))
	bound.Add(bound, new(big.Rat).Mul(atto, new(big.Rat).Add(rat(t, r["x_Events"]), big.NewRat(2, 1))))
	product := new(big.Rat).Mul(rat(t, r["ListUnitPrice"]), rat(t, r["PricingQuantity"]))
	if d := new(big.Rat).Sub(product, rat(t, r["ListCost"])); d.Abs(d).Cmp(bound) > 0 {
		t.Errorf("row %d: %s × %s is not %s, by %s", n, r["ListUnitPrice"], r["PricingQuantity"], r["ListCost"], d.FloatString(20))
	}
	// What was posted, at its quote, rounded once.
	cost := new(big.Rat).Mul(rat(t, r["x_SettlementAmount"]), rat(t, r["x_QuoteRate"]))
	if d := new(big.Rat).Sub(cost, rat(t, r["BilledCost"])); d.Abs(d).Cmp(new(big.Rat).Quo(atto, big.NewRat(2, 1))) > 0 {
		t.Errorf("row %d: %s at %s is not %s", n, r["x_SettlementAmount"], r["x_QuoteRate"], r["BilledCost"])
	}
}

func (r row) commitments() (list []string) {
	for column := range r {
		if strings.HasPrefix(column, "CommitmentDiscount") || strings.HasPrefix(column, "CapacityReservation") {
			list = append(list, column)
		}
	}
	return list
}

// The rows are exactly the journal's charges, with the prices that settle used.
func TestFOCUSIsWhatWasCharged(t *testing.T) {
	k := keep(t, priced(t))
	want := map[string]string{}
	for _, r := range k.rows(t, "journal", export.Options{}) {
		if r["card"] != "" {
			want[strings.Join([]string{r["row"], r["debit"], r["credit"], r["card"], r["quote"], r["meter"], r["quantity"]}, "|")] = r["amount"]
		}
	}
	seen := map[string]string{}
	for _, r := range k.rows(t, "focus", export.Options{}) {
		id := strings.Join([]string{r["x_JournalRow"], "customer:" + r["BillingAccountId"] + ":receivable", "node:" + r["ResourceId"] + ":earned", r["x_Card"], r["x_Quote"], r["SkuMeter"], r["ConsumedQuantity"]}, "|")
		if want[id] != r["x_SettlementAmount"] || want[id] == "" {
			t.Errorf("%s is %s, the journal has %q", id, r["x_SettlementAmount"], want[id])
		}
		delete(want, id)
		seen[r["SkuPriceId"]+" "+r["PricingUnit"]+" "+r["ListUnitPrice"]] = r["PricingQuantity"]
	}
	if len(want) > 0 {
		t.Errorf("not in FOCUS: %v", want)
	}
	for _, price := range []string{
		"eu/gpu.seconds/std/ 3600 Seconds 1.99", "eu/gpu.seconds/std/gpu=h100 3600 Seconds 4.5", "eu/llm.tokens/llm/ 1000000 Tokens 2.5",
		// One event for each rule, posted together: what a token cost.
		"eu/llm.tokens/llm Tokens 0.000004375",
	} {
		if seen[price] == "" {
			t.Errorf("no row is priced %q: %s", price, fmt.Sprint(seen))
		}
	}
}
