package check

import (
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// No closing hands over revenue of a later period, and a handover comes from what
// a node has collected. Fails when either is not checked.
func TestAHandoverIsOfItsPeriodOrBefore(t *testing.T) {
	for _, c := range []struct {
		name           string
		period, origin events.Period
		from           ledger.Account
		want           string // part of the reported fault; empty if there is none
	}{
		{"of its own period", "2026-10", "2026-10", "node:n:collected", ""},
		{"of one before", "2026-10", "2026-09", "node:n:collected", ""},
		{"of a later one", "2026-10", "2026-11", "node:n:collected", "a later period"},
		{"from what was earned", "2026-10", "2026-10", "node:n:earned", "not from what a node collected"},
	} {
		b := &books{handed: sums[place]{}, kept: sums[earning]{}}
		e := &ledger.Entry{Book: "b", Kind: "handover", Period: c.period, Origin: c.origin,
			Postings: []ledger.Posting{{Debit: c.from, Credit: "token:T:inbox", Asset: "USDC", Amount: money.Atto(1)}}}
		if err := b.entry(&walk{}, e); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.broken, c.want) || (b.broken == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", c.name, b.broken, c.want)
		}
	}
}

// The amounts that cover receivables are collected for nodes. Fails when a side
// is compared with itself.
func TestWhatCoversReceivablesIsCollectedForNodes(t *testing.T) {
	for _, c := range []struct {
		name                                   string
		deposited, prepaid, covered, collected int64
		want                                   string
	}{
		{"as it is", 10, 4, 6, 6, ""},
		{"less was collected for nodes", 10, 4, 6, 5, "collected for nodes"},
		{"more was collected for nodes", 10, 4, 6, 7, "collected for nodes"},
		{"less is left of what was prepaid", 10, 3, 6, 6, "deposited"},
	} {
		credit := func(account ledger.Account, a int64) held {
			return held{ledger.Place{Account: account, Asset: "USDC"}, ledger.Balance{Credit: money.Atto(a)}}
		}
		b := &books{collected: sums[money.Asset]{"USDC": money.Atto(c.collected)}, sorted: []held{
			credit("customer:c:prepaid", c.prepaid), credit("customer:c:receivable", c.covered),
			{ledger.Place{Account: "treasury:USDC", Asset: "USDC"}, ledger.Balance{Debit: money.Atto(c.deposited)}},
		}}
		got, err := b.depositsEqualCollectedAndPrepaid()
		if err != nil || !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}
