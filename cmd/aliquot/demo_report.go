package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/services/audit/check"
	"github.com/aliquot-engine/aliquot/services/audit/summary"
)

// demoResult is the result of a demo. Amounts are decimal strings in Asset.
// Every event that was sent is counted in one of accepted, duplicate, late and
// refused.
type demoResult struct {
	Seed   *uint64       `json:"seed,omitempty"` // of a generated day
	Book   events.Book   `json:"book"`
	Closed events.Period `json:"closed"` // up to this period

	Sent           int    `json:"sent"`
	Accepted       uint64 `json:"accepted"`
	Duplicate      uint64 `json:"duplicate"`
	Late           uint64 `json:"late"`
	Refused        uint64 `json:"refused"`
	RefusedBodies  int    `json:"refused_submissions"` // bodies from which no event could be read
	Suspended      uint64 `json:"suspended"`           // events that wait for a price now
	SuspendedLines int    `json:"suspended_lines"`
	Released       uint64 `json:"released"` // events that waited and were released
	Skipped        int    `json:"skipped"`  // rows that the map's filters removed

	Asset         money.Asset  `json:"asset"`
	Charged       money.Amount `json:"charged"`
	Earned        money.Amount `json:"earned"`
	Collected     money.Amount `json:"collected"`
	Owed          money.Amount `json:"owed"`
	Prepaid       money.Amount `json:"prepaid"`
	Providers     money.Amount `json:"providers"`
	Fees          money.Amount `json:"fees"`
	Undistributed money.Amount `json:"undistributed"`
	Pool          money.Amount `json:"pool"`
	Paid          money.Amount `json:"paid"`
	InFlight      money.Amount `json:"in_flight"`
	Planned       money.Amount `json:"planned"`
	Held          money.Amount `json:"held"`
	Carried       money.Amount `json:"carried"`

	Billed        map[events.Meter]money.Quantity `json:"billed"`
	Waiting       []summary.Wait                  `json:"waiting"` // quantities without a price
	Reasons       map[events.Reason]uint64        `json:"reasons"` // why usage was refused
	Refusals      []refusedRow                    `json:"refusals"`
	Distributions []api.Distribution              `json:"distributions"`
	Holders       int                             `json:"holders"`
	Payouts       int                             `json:"payouts"` // confirmed

	JournalHash string          `json:"journal_hash"`
	Seconds     json.Number     `json:"seconds"`
	Checks      map[string]bool `json:"checks"`
	Notes       []string        `json:"notes"`

	trace         Sent
	refusedAtOnce int // by the map or at ingest
	payees        []payee
	checks        []check.Check
	regions       map[events.Node]string
	customers     []api.Balance
	nodes         []api.Balance
	faults        []string
	returned      []string
	example       string          // an event to explain
	expected      []events.Reason // each must be the reason of some refusal
}

// merge adds the next part of a sending; its row counts continue from the
// beginning of the file.
func (s *Sent) merge(next Sent) {
	s.Sent, s.Rows, s.Skipped = next.Sent, next.Rows, next.Skipped
	s.Accepted += next.Accepted
	s.Unmapped += next.Unmapped
	listed := len(s.Refusals)
	s.Refusals = append(s.Refusals, next.Refusals[:min(len(next.Refusals), shownRefusals-listed)]...)
	s.Refused += next.Refused
	if s.Reasons == nil {
		s.Reasons = map[events.Reason]int{}
	}
	for reason, n := range next.Reasons {
		s.Reasons[reason] += n
	}
}

// reasons counts how often each reason occurred before settlement.
func (s *Sent) reasons() map[events.Reason]uint64 {
	all := make(map[events.Reason]uint64, len(s.Reasons))
	for reason, n := range s.Reasons {
		all[reason] = uint64(max(n, 0))
	}
	return all
}

func (d *demoResult) note(format string, args ...any) {
	d.Notes = append(d.Notes, fmt.Sprintf(format, args...))
}

func (d *demoResult) distributed(made *api.Distribution, paid []payee) {
	d.Distributions = append(d.Distributions, *made)
	d.Holders += made.Holders
	d.Payouts += len(paid)
	d.payees = append(d.payees, paid...)
}

// sumUp reads every figure and runs every check.
func (d *demoResult) sumUp(ctx context.Context, st *stage) error {
	if err := st.waitSettled(ctx); err != nil {
		return err
	}
	var sum summary.Summary
	if err := st.server.call(ctx, http.MethodGet, "/v1/summary", nil, &sum); err != nil {
		return err
	}
	d.figures(&sum)
	st.progress.step("checking every invariant")
	var checked api.Checked
	if err := st.server.call(ctx, http.MethodGet, "/v1/check?deep=true", nil, &checked); err != nil {
		return err
	}
	outcomes := uint64(d.Sent) == d.Accepted+d.Duplicate+d.Late+d.Refused
	d.checks = checked.Checks
	d.checks = append(d.checks, check.Check{Name: "every_event_has_one_outcome", OK: outcomes})
	if !outcomes {
		d.checks[len(d.checks)-1].Detail = fmt.Sprintf("%d sent, %d accepted + %d duplicate + %d late + %d refused",
			d.Sent, d.Accepted, d.Duplicate, d.Late, d.Refused)
	}
	if len(d.expected) > 0 {
		missed := check.Check{Name: "every_fault_refused", OK: true}
		for _, reason := range d.expected {
			if d.Reasons[reason] == 0 {
				missed.OK, missed.Detail = false, fmt.Sprintf("nothing was refused as %s", reason)
				break
			}
		}
		d.checks = append(d.checks, missed)
	}
	d.Checks = map[string]bool{}
	for _, c := range d.checks {
		d.Checks[c.Name] = c.OK
	}
	for prefix, to := range map[string]*[]api.Balance{ledger.OfCustomer.Prefix(): &d.customers, ledger.OfNode.Prefix(): &d.nodes} {
		if err := st.server.call(ctx, http.MethodGet, "/v1/balances?prefix="+prefix, nil, to); err != nil {
			return err
		}
	}
	return nil
}

// figures copies the figures of a summary. A book charges in one asset.
func (d *demoResult) figures(sum *summary.Summary) {
	d.Accepted, d.Duplicate, d.Late = sum.Accepted, sum.Duplicate, sum.Late
	d.Refused = sum.Refused + uint64(d.refusedAtOnce)
	d.Suspended, d.SuspendedLines, d.Waiting = sum.Suspended, sum.SuspendedLines, sum.Waiting
	d.JournalHash = sum.JournalHash
	d.Billed = map[events.Meter]money.Quantity{}
	for _, m := range sum.Meters {
		d.Billed[m.Meter] = m.Quantity
	}
	if d.Reasons == nil {
		d.Reasons = map[events.Reason]uint64{}
	}
	for _, r := range sum.Reasons {
		d.Reasons[r.Reason] += r.Events
	}
	if d.Refusals == nil {
		d.Refusals = []refusedRow{}
	}
	if d.Distributions == nil {
		d.Distributions = []api.Distribution{}
	}
	if len(sum.Assets) == 0 {
		return
	}
	a := sum.Assets[0]
	d.Asset, d.Charged, d.Earned, d.Collected, d.Owed, d.Prepaid = a.Asset, a.Charged, a.Earned, a.Collected, a.Owed, a.Prepaid
	d.Fees, d.Undistributed, d.Pool, d.Paid = a.Fees, a.Undistributed, a.Pool, a.Paid
	d.InFlight, d.Planned, d.Held, d.Carried, d.Providers = a.InFlight, a.Planned, a.Held, a.Carried, a.Providers
}

// shownTop is how many customers, nodes and payees are listed.
const shownTop = 5

// write prints the report for people, with all digits of every amount, so that
// the parts add up.
func (d *demoResult) write(w io.Writer, st *stage) {
	plain.Fprintf(w, "\n%s, closed up to %s, in %s s\n", d.Book, d.Closed, d.Seconds)
	for _, note := range d.Notes {
		plain.Fprintf(w, "  note: %s\n", note)
	}
	d.writeEvents(w)
	d.writePeople(w)
	d.writeMoney(w)
	fmt.Fprintln(w, "\nVERIFIED")
	for _, c := range d.checks {
		plain.Fprintf(w, "  %s %s", mark(c.OK), strings.ReplaceAll(c.Name, "_", " "))
		if c.Detail != "" {
			plain.Fprintf(w, ": %s", c.Detail)
		}
		fmt.Fprintln(w)
	}
	plain.Fprintf(w, "  journal_hash %s\n", d.JournalHash)
	d.writeNext(w, st)
}

func (d *demoResult) writeEvents(w io.Writer) {
	fmt.Fprintln(w, "\nEVENTS")
	plain.Fprintf(w, "  %d sent = %d accepted + %d late + %d duplicate + %d refused\n", d.Sent, d.Accepted, d.Late, d.Duplicate, d.Refused)
	if d.RefusedBodies > 0 {
		plain.Fprintf(w, "  %d more submissions were refused as a whole\n", d.RefusedBodies)
	}
	if d.Skipped > 0 {
		plain.Fprintf(w, "  %d rows skipped by the map's filters\n", d.Skipped)
	}
	if d.Released > 0 {
		plain.Fprintf(w, "  %d waited for a price and were released by a named person\n", d.Released)
	}
	if d.Suspended > 0 {
		plain.Fprintf(w, "  %d wait for a price, in %d lines:\n", d.Suspended, d.SuspendedLines)
		for _, one := range d.Waiting {
			plain.Fprintf(w, "    %s %s for %s\n", one.Quantity, one.Meter, one.Pair)
		}
	}
	if len(d.Reasons) > 0 {
		fmt.Fprintln(w, "\nREFUSED, AND WHY")
		t := plain.NewTable(w, "  REASON", "TIMES")
		for _, reason := range sortedKeys(d.Reasons) {
			t.Row("  "+string(reason), d.Reasons[reason])
		}
		t.End()
	}
	for _, what := range d.faults {
		plain.Fprintf(w, "  %s\n", what)
	}
	if len(d.faults) == 0 {
		for _, row := range d.Refusals {
			plain.Fprintf(w, "  %s\n", row)
		}
		if more := d.refusedAtOnce - len(d.Refusals); more > 0 {
			plain.Fprintf(w, "  and %d more before settlement\n", more)
		}
	}
}

func (d *demoResult) writePeople(w io.Writer) {
	fmt.Fprintln(w, "\nWHO USED")
	t := plain.NewTable(w, "  CUSTOMER", "CHARGED", "OWES")
	used := suffixed(d.customers, ledger.Receivable.Suffix())
	for _, b := range largest(used, debit) {
		t.Row("  "+middle(b), b.Debit, b.Net)
	}
	if sum, n, ok := others(used, debit); ok {
		owed, _, _ := others(used, unpaid)
		t.Row(fmt.Sprintf("  and %d more", n), sum, owed)
	}
	t.End()
	fmt.Fprintln(w, "\nWHO EARNED")
	earned := suffixed(d.nodes, ledger.Earned.Suffix())
	t = plain.NewTable(w, "  NODE", "EARNED")
	for _, b := range largest(earned, credit) {
		t.Row("  "+middle(b), b.Credit)
	}
	if sum, n, ok := others(earned, credit); ok {
		t.Row(fmt.Sprintf("  and %d more", n), sum)
	}
	t.End()
	if len(d.regions) > 0 {
		t = plain.NewTable(w, "  REGION", "NODES", "EARNED")
		for _, r := range byRegion(earned, d.regions) {
			t.Row("  "+r.name, r.nodes, r.sum)
		}
		t.End()
	}
	if len(d.payees) > 0 {
		fmt.Fprintln(w, "\nWHO WAS PAID")
		t = plain.NewTable(w, "  HOLDER", "TOKEN", "PAID")
		for _, p := range topPayees(d.payees) {
			t.Row("  "+p.Holder, p.Token, p.Amount)
		}
		t.Row(fmt.Sprintf("  and %d more payouts", len(d.payees)-min(shownTop, len(d.payees))), "", "")
		t.End()
	}
	for _, what := range d.returned {
		plain.Fprintf(w, "  %s\n", what)
	}
}

func (d *demoResult) writeMoney(w io.Writer) {
	plain.Fprintf(w, "\nMONEY, %s\n", d.Asset)
	t := plain.NewTable(w, "  WHAT", "AMOUNT", "")
	for _, line := range []struct {
		name   string
		amount money.Amount
		is     string
	}{
		{"charged", d.Charged, "usage, each event rounded once to 10^-18"},
		{"collected", d.Collected, "part of it that customers paid"},
		{"owed", d.Owed, "part of it that is not paid yet"},
		{"providers", d.Providers, "part of it for nodes that no token stands for"},
		{"fees", d.Fees, "part of it for the platform"},
		{"undistributed", d.Undistributed, "part of it not distributed yet: it is of a later period, or was collected after the closing"},
		{"pool", d.Pool, "the rest of it, divided among the holders, exactly"},
		{"paid", d.Paid, "part of the pool: confirmed by the rail"},
		{"in flight", d.InFlight, "part of the pool: planned or submitted, not answered yet"},
		{"held", d.Held, "part of the pool: for holders on a screening list"},
		{"carried", d.Carried, "part of the pool: below the minimum or the minor unit, or returned; paid with the next payout"},
		{"prepaid", d.Prepaid, "customers' money that covers no usage yet"},
	} {
		t.Row("  "+line.name, line.amount, line.is)
	}
	t.End()
}

func (d *demoResult) writeNext(w io.Writer, st *stage) {
	plain.Fprintf(w, "\nWHERE TO LOOK NEXT (the folder is kept until you delete it)\n")
	on := "  aliquot --data " + st.dir
	plain.Fprintf(w, "%s check --deep\n%s replay\n", on, on)
	if len(d.customers) > 0 {
		plain.Fprintf(w, "%s balances customer:\n", on)
	}
	if top := topPayees(d.payees); len(top) > 0 {
		plain.Fprintf(w, "%s statement holder %s\n", on, top[0].Holder)
	}
	if len(d.Distributions) > 0 {
		plain.Fprintf(w, "%s explain %s\n", on, d.Distributions[0].Distribution)
	}
	if d.example != "" {
		plain.Fprintf(w, "%s explain %s\n", on, d.example)
	}
}
