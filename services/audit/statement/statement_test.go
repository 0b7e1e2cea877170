package statement_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/statement"
)

var update = flag.Bool("update", false, "rewrite the statements in testdata; review the difference")

// of is the balances of a world.
type of struct {
	t    *testing.T
	rows *ledger.Balances
}

func balances(t *testing.T, db *store.DB) of {
	t.Helper()
	b := of{t, ledger.NewBalances()}
	list, err := db.Balances(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if err := b.rows.AddRow(ledger.Place{Account: r.Account, Asset: r.Asset}, ledger.Balance{Debit: r.Debit, Credit: r.Credit}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b of) is(what string, have money.Amount, account ledger.Account) {
	b.t.Helper()
	net, err := b.rows.Of(account, "USDC").Net().Abs()
	if err != nil || net != have {
		b.t.Errorf("%s is %v, the balance of %s %v (%v)", what, have, account, net, err)
	}
}

func total(t *testing.T, list ...money.Amount) (sum money.Amount) {
	t.Helper()
	for _, a := range list {
		var err error
		if sum, err = sum.Add(a); err != nil {
			t.Fatal(err)
		}
	}
	return sum
}

func equal(t *testing.T, what string, a, b money.Amount) {
	t.Helper()
	if a != b {
		t.Errorf("%s: %v is not %v", what, a, b)
	}
}

// Fails when a release or late usage is left out of the charges, when a node
// whose usage was all refused is left out, and when a total differs from the
// ledger.
func TestTotalsAreTheLedgers(t *testing.T) {
	w := audittest.Story(t)
	ctx, b := t.Context(), balances(t, w.DB)
	var out strings.Builder

	p, err := statement.Provider(ctx, w.DB, "acme", []events.Book{"eu"}, "")
	if err != nil || len(p.Totals) != 1 || len(p.Nodes) != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	p.Write(&out)
	write(t, &out, p, nil)
	b.is("payable", p.Totals[0].Payable, ledger.ProviderPayable("acme"))
	var charged, owed money.Amount
	for _, c := range p.Charges {
		charged = total(t, charged, c.Charged)
	}
	for _, n := range p.Nodes {
		owed = total(t, owed, n.Owed)
		b.is("owed", n.Owed, ledger.NodeEarned(n.Node))
		equal(t, "charged of "+string(n.Node), n.Charged, total(t, n.Collected, n.Owed))
	}
	equal(t, "charges", charged, p.Totals[0].Charged)
	equal(t, "owed", owed, p.Totals[0].Owed)
	received := uint64(0)
	for _, o := range p.Outcomes {
		received += o.Received
		if o.Received != o.Accepted+o.Late+o.Duplicate+o.Refused {
			t.Errorf("%+v", o)
		}
	}
	if received != 55 {
		t.Errorf("%d events received", received)
	}

	customers, ofCustomers := money.Amount{}, money.Amount{}
	var parts statement.ProviderTotal
	shares := 0
	for _, id := range []events.Customer{"ann", "bob"} {
		c, err := statement.Customer(ctx, w.DB, id, "")
		if err != nil || len(c.Totals) != 1 {
			t.Fatalf("%+v, %v", c, err)
		}
		c.Write(&out)
		write(t, &out, c, nil)
		sum := c.Totals[0]
		b.is("prepaid", sum.Prepaid, ledger.CustomerPrepaid(id))
		b.is("owed", sum.Owed, ledger.CustomerReceivable(id))
		equal(t, "deposits", sum.Deposited, total(t, sum.Collected, sum.Prepaid))
		var lines, deposits, collections, left money.Amount
		for _, l := range c.Charges {
			lines = total(t, lines, l.Charged)
		}
		for _, l := range c.Money {
			if l.Kind == "deposit" {
				deposits = total(t, deposits, l.Amount)
			} else {
				collections = total(t, collections, l.Amount)
			}
		}
		for _, l := range c.Owed {
			left = total(t, left, l.Amount)
		}
		equal(t, "charges", lines, sum.Charged)
		equal(t, "deposits", deposits, sum.Deposited)
		equal(t, "collections", collections, sum.Collected)
		equal(t, "owed", left, sum.Owed)
		customers = total(t, customers, sum.Charged)
	}
	equal(t, "what customers were charged", customers, charged)

	for _, id := range []events.Holder{"carol", "dave", "erin", "mallory", "zoe"} {
		h, err := statement.Holder(ctx, w.DB, id, "")
		if err != nil || len(h.Totals) != 1 || len(h.Shares) != 2 {
			t.Fatalf("%+v, %v", h, err)
		}
		h.Write(&out)
		write(t, &out, h, nil)
		sum := h.Totals[0]
		b.is("carried", sum.Carried, ledger.HolderPayable(id))
		b.is("held", sum.Held, ledger.HolderHeld(id))
		equal(t, "shares of "+string(id), sum.Shares, total(t, sum.Paid, sum.InFlight, sum.Planned, sum.Carried, sum.Held))
		if h.Empty() {
			t.Errorf("%s is a stranger", id)
		}
	}

	// The lines of each period are the lines of the whole statement that belong
	// to it.
	for _, period := range []events.Period{"2026-11-20", "2026-11-21"} {
		of, err := statement.Provider(ctx, w.DB, "acme", []events.Book{"eu"}, period)
		if err != nil || of.Of != period || len(of.Totals) != 1 {
			t.Fatalf("%+v, %v", of, err)
		}
		of.Write(&out)
		write(t, &out, of, nil)
		sum := of.Totals[0]
		equal(t, "charged in "+string(period), sum.Charged, total(t, sum.Collected, sum.Owed))
		var lines money.Amount
		for _, l := range of.Charges {
			lines = total(t, lines, l.Charged)
			if l.Origin != period {
				t.Errorf("%+v in the statement of %s", l, period)
			}
		}
		equal(t, "charges of "+string(period), lines, sum.Charged)
		parts.Charged, parts.Collected = total(t, parts.Charged, sum.Charged), total(t, parts.Collected, sum.Collected)
		parts.Owed, parts.HandedOver = total(t, parts.Owed, sum.Owed), total(t, parts.HandedOver, sum.HandedOver)

		for _, id := range []events.Customer{"ann", "bob"} {
			c, err := statement.Customer(ctx, w.DB, id, period)
			if err != nil {
				t.Fatal(err)
			}
			c.Write(&out)
			write(t, &out, c, nil)
			for _, sum := range c.Totals {
				equal(t, "charged to "+string(id), sum.Charged, total(t, sum.Collected, sum.Owed))
				b.is("prepaid", sum.Prepaid, ledger.CustomerPrepaid(id))
				ofCustomers = total(t, ofCustomers, sum.Charged)
			}
		}
		h, err := statement.Holder(ctx, w.DB, "carol", period)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(&out)
		write(t, &out, h, nil)
		for _, l := range h.Shares {
			if l.Period != period {
				t.Errorf("%+v in the statement of %s", l, period)
			}
			shares++
		}
	}
	parts.Asset, parts.Payable = p.Totals[0].Asset, p.Totals[0].Payable
	if parts != p.Totals[0] {
		t.Errorf("the periods' totals sum to %+v, the whole is %+v", parts, p.Totals[0])
	}
	equal(t, "what customers were charged by period", ofCustomers, charged)
	if shares != 2 {
		t.Errorf("%d shares in two periods", shares)
	}

	const file = "testdata/story.txt"
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("run with -update to see the difference; got\n%s", out.String())
	}
}

// write separates two statements, and checks that a statement has no null in
// JSON.
func write(t *testing.T, out *strings.Builder, s any, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(out, "\n----")
	data, err := json.Marshal(s)
	if err != nil || strings.Contains(string(data), "null") {
		t.Errorf("%s, %v", data, err)
	}
}

func TestAStrangerHasAnEmptyStatement(t *testing.T) {
	w := audittest.Story(t)
	p, err := statement.Provider(t.Context(), w.DB, "nobody", nil, "")
	write(t, &strings.Builder{}, p, err)
	c, err := statement.Customer(t.Context(), w.DB, "an", "")
	write(t, &strings.Builder{}, c, err)
	h, err := statement.Holder(t.Context(), w.DB, "caro", "")
	write(t, &strings.Builder{}, h, err)
	if !h.Empty() {
		t.Errorf("a stranger has %+v", h)
	}
	if len(p.Totals)+len(c.Totals)+len(h.Totals)+len(c.Money)+len(c.Charges)+len(h.Shares) > 0 {
		t.Errorf("%+v\n%+v\n%+v", p, c, h)
	}
}
