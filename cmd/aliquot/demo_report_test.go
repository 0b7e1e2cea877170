package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// The amounts that the report of a demo prints add up as printed. Fails when an
// amount is cut (403.205036 beside 403.205037), when a part is not printed, or
// when the sum of the lines beyond the first few is missing.
func TestThePrintedPartsAddUp(t *testing.T) {
	amount := func(text string) money.Amount {
		a, err := money.ParseAmount(text)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	d := &demoResult{
		Asset: "USDC", Charged: amount("403.205036999999999999"), Collected: amount("403.205036000000000001"), Owed: amount("0.000000999999999998"),
		Fees: amount("8.000000000000000001"), Undistributed: amount("2.1"),
		Pool: amount("389.9"), Paid: amount("380"), InFlight: amount("9"), Held: amount("0.800000000000000001"), Carried: amount("0.099999999999999999"),
	}
	d.Providers = less(t, d.Collected, d.Fees, d.Undistributed, d.Pool)
	for i := range 2 * shownTop {
		part := amount(fmt.Sprintf("%d.00000000000000000%d", 1+i, i%10))
		d.customers = append(d.customers, api.Balance{Account: ledger.Account(fmt.Sprintf("customer:c%d:receivable", i)), Asset: "USDC", Debit: part, Net: part})
		d.nodes = append(d.nodes, api.Balance{Account: ledger.Account(fmt.Sprintf("node:n%d:earned", i)), Asset: "USDC", Credit: part})
	}
	var out bytes.Buffer
	d.writePeople(&out)
	d.writeMoney(&out)
	printed := map[string]money.Amount{}
	for _, name := range []string{"charged", "collected", "owed", "providers", "fees", "undistributed", "pool", "paid", "in flight", "held", "carried"} {
		for line := range strings.Lines(out.String()) {
			if rest, ok := strings.CutPrefix(line, "  "+name+" "); ok {
				printed[name] = amount(strings.Fields(rest)[0])
			}
		}
	}
	for _, test := range []struct {
		whole string
		parts []string
	}{
		{"charged", []string{"collected", "owed"}},
		{"collected", []string{"providers", "fees", "undistributed", "pool"}},
		{"pool", []string{"paid", "in flight", "held", "carried"}},
	} {
		var sum money.Amount
		for _, part := range test.parts {
			sum = plus(t, sum, printed[part])
		}
		if sum != printed[test.whole] || sum.IsZero() {
			t.Errorf("%s is printed as %v, and its parts %v sum to %v:\n%s", test.whole, printed[test.whole], test.parts, sum, out.String())
		}
	}
	for _, test := range []struct {
		heading string
		of      []api.Balance
		side    func(api.Balance) money.Amount
		column  int
	}{
		{"WHO USED", d.customers, debit, 1}, {"WHO USED", d.customers, unpaid, 2}, {"WHO EARNED", d.nodes, credit, 1},
	} {
		var want, got money.Amount
		for _, b := range test.of {
			want = plus(t, want, test.side(b))
		}
		_, section, _ := strings.Cut(out.String(), test.heading+"\n")
		section, _, _ = strings.Cut(section, "\n\n")
		for i, line := range strings.Split(strings.TrimSpace(section), "\n") {
			cells := strings.Fields(strings.Replace(line, "and 5 more", "others", 1))
			if i > 0 {
				got = plus(t, got, amount(cells[test.column]))
			}
		}
		if got != want {
			t.Errorf("%s, column %d: %v are printed, of %v:\n%s", test.heading, test.column, got, want, section)
		}
	}
}

func plus(t *testing.T, a, b money.Amount) money.Amount {
	t.Helper()
	sum, err := a.Add(b)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func less(t *testing.T, a money.Amount, parts ...money.Amount) money.Amount {
	t.Helper()
	for _, part := range parts {
		var err error
		if a, err = a.Sub(part); err != nil {
			t.Fatal(err)
		}
	}
	return a
}
