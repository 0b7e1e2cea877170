package export_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/export"
)

var update = flag.Bool("update", false, "rewrite the reports in testdata; review the difference")

// told are the columns of each report that do not depend on clocks, on keys, or
// on when a loop was idle.
var told = map[string][]string{
	"trial-balance":  {"account", "asset", "debit", "credit", "balance", "postings", "stream"},
	"journal":        {"entry", "posting", "kind", "period", "origin", "ref", "debit", "credit", "asset", "amount", "card", "quote", "meter", "quantity", "events", "stream"},
	"exceptions":     {"outcome", "reason", "period", "node", "customer", "quantity", "end", "received", "source", "id", "epoch", "sequence", "key", "ordinal", "stream"},
	"accounted":      {"book", "node", "period", "received", "accepted", "late", "duplicate", "refused", "accounted", "gaps", "missing", "reasons"},
	"gaps":           {"provider", "source", "epoch", "first", "last", "missing", "book", "node", "period", "ordinal", "next_node", "next_period", "stream"},
	"holders":        {"token", "holder", "units", "frozen", "frozen_whole", "supply", "holders", "stream", "position"},
	"payouts":        {"payout", "distribution", "token", "book", "period", "holder", "asset", "amount", "rail", "state", "reference", "batch", "answer", "answered_by", "answer_position", "conflict", "agrees", "stream"},
	"reconciliation": {"distribution", "rail", "asset", "payouts", "amount", "planned_amount", "submitted_amount", "confirmed_amount", "failed_amount", "returned_amount", "answered_confirmed", "answered_failed", "ledger_in_flight", "ledger_paid", "in_flight_difference", "paid_difference", "conflicts", "disagreeing", "agrees"},
	"decisions":      {"kind", "id", "actor", "at", "subject", "book", "effect", "reason", "stream", "position"},
	"duties":         {"rule", "verdict", "actor", "subject", "book", "first_kind", "first_stream", "first_position", "second_kind", "second_at", "stream", "position"},
	"refused":        {"received", "provider", "actor", "media", "size", "events", "reason", "count", "index", "line", "event_id", "field", "detail", "head", "stream", "position"},
}

// TestReports writes every report of a small world, for people to read.
func TestReports(t *testing.T) {
	k := keep(t, world(t))
	k.refuse(t)
	var out strings.Builder
	for _, report := range export.Reports() {
		columns, ok := told[report.Name]
		if !ok {
			continue // focus and trail have tests of their own
		}
		fmt.Fprintf(&out, "> export %s\n%s\n", report.Name, strings.Join(columns, ","))
		w := csv.NewWriter(&out)
		for _, r := range k.rows(t, report.Name, export.Options{}) {
			var line []string
			for _, c := range columns {
				value, ok := r[c]
				if !ok {
					t.Fatalf("report %s has no column %s", report.Name, c)
				}
				line = append(line, value)
			}
			if err := w.Write(line); err != nil {
				t.Fatal(err)
			}
		}
		w.Flush()
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

// world is the story, with a hostile reference and a source that leaves gaps.
func world(t testing.TB) *audittest.World {
	t.Helper()
	w := audittest.Story(t)
	// 43 to 49 and 52 never come; 51 comes after 53.
	w.Send("eu", "acme", audittest.Event{Sequence: 50, Node: "n3", Customer: "bob", Quantity: "1"}, audittest.Event{Sequence: 53, Node: "n2", Customer: "bob", Quantity: "1", End: audittest.Noon.AddDate(0, 0, 2)})
	w.Send("eu", "acme", audittest.Event{Sequence: 51, Node: "n1", Customer: "ann", Quantity: "1", End: audittest.Noon.AddDate(0, 0, 2)})
	w.Declare(events.DepositRecorded{Book: "eu", Customer: "ann", Asset: "USDC", Amount: audittest.Amount(t, "0.000001"), Reference: `=HYPERLINK("http://x"),'`})
	if reason := w.Decide(events.NodeDeclared{Node: "n1", Book: "nowhere"}); reason == "" {
		t.Fatal("a node of no book was declared")
	}
	// The rail says about a payment that it has confirmed that it never left.
	// That is impossible, has no effect, and is shown.
	var carol string
	if err := w.DB.Payouts(t.Context(), "d1", "", func(p distribution.Payout) error {
		if p.Holder == "carol" {
			carol = p.ID
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if reason := w.Decide(events.PayoutsConfirmed{Batch: "d1:csv", Rail: "csv", Parts: 1, Results: []events.PayoutOutcome{{Payout: carol, State: "failed", Reference: "sorry"}}}); reason == "" {
		t.Fatal("a confirmed payout has failed")
	}
	w.Rest()
	return w
}

// refuse publishes refused submissions, one of them hostile.
func (k *kept) refuse(t testing.TB) {
	t.Helper()
	for _, s := range []events.RefusedSubmission{
		events.NewRefused("acme", "provider:key-1", audittest.Noon, "application/json", []byte("{\x00=1"), []events.Refusal{
			{Index: 2, Line: 3, ID: "=cmd", Field: "data.quantity", Reason: events.Negative, Detail: "-1"},
			{Index: 5, Line: 6, Reason: events.Negative},
			{Index: 6, Line: 7, Field: "time", Reason: events.BadTime, Detail: "tomorrow,\nor not"},
		}),
		events.NewRefused("", "", audittest.Noon, "", nil, []events.Refusal{{Index: -1, Reason: events.Unauthorized}}),
	} {
		data, err := events.AppendRefused(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.refused.Publish(t.Context(), eventlog.RefusedSubject(string(s.Provider)), data, eventlog.PublishOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// Equal streams give equal bytes, in every format. Fails when the order of a map
// or a clock affects a file.
func TestTheSameStreamsGiveTheSameBytes(t *testing.T) {
	k := keep(t, world(t))
	k.refuse(t)
	for _, report := range export.Reports() {
		for _, format := range export.Formats() {
			first := k.file(t, report.Name, format, export.Options{})
			for range 2 {
				if !bytes.Equal(first, k.file(t, report.Name, format, export.Options{})) {
					t.Errorf("%s as %s differs from time to time", report.Name, format)
				}
			}
		}
	}
}

func TestBooksPeriodsAndTokensNarrow(t *testing.T) {
	k := keep(t, world(t))
	for _, test := range []struct {
		report  string
		options export.Options
		column  string
		want    []string
	}{
		{"journal", export.Options{Period: "2026-11-21"}, "period", []string{"2026-11-21"}},
		{"journal", export.Options{Book: "eu", Period: "2026-11-20"}, "period", []string{"2026-11-20"}},
		{"accounted", export.Options{Period: "2026-11-21"}, "period", []string{"2026-11-21"}},
		{"exceptions", export.Options{Book: "eu", Period: "2026-11-20"}, "period", []string{"2026-11-20"}},
		{"gaps", export.Options{Period: "2026-11-22"}, "first", []string{"52"}},
		{"payouts", export.Options{Period: "2026-11-21"}, "distribution", []string{"d2"}},
		{"payouts", export.Options{Token: "REV", Period: "2026-11-20"}, "distribution", []string{"d1"}},
		{"reconciliation", export.Options{Period: "2026-11-21"}, "distribution", []string{"d2"}},
		{"focus", export.Options{Period: "2026-11-21"}, "BillingPeriodStart", []string{"2026-11-21T00:00:00Z"}},
		{"decisions", export.Options{Book: "eu"}, "book", []string{"eu"}},
		{"holders", export.Options{Token: "REV"}, "token", []string{"REV"}},
	} {
		var got []string
		for _, r := range k.rows(t, test.report, test.options) {
			got = append(got, r[test.column])
		}
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, test.want) {
			t.Errorf("%s of %+v: %s is %q, want %q", test.report, test.options, test.column, got, test.want)
		}
	}
}

func TestWrongQuestionsGetOneClearError(t *testing.T) {
	k := keep(t, audittest.Story(t))
	for _, test := range []struct {
		report  string
		format  export.Format
		options export.Options
		want    string
	}{
		{"", export.CSV, export.Options{}, `report "" is unknown: trial-balance, journal,`},
		{"balances\n", export.CSV, export.Options{}, `report "balances\n" is unknown`},
		{"journal", "xlsx", export.Options{}, `format "xlsx" is unknown: csv, parquet, json`},
		{"journal", "", export.Options{}, `format "" is unknown`},
		{"journal", export.CSV, export.Options{Book: "us"}, `book "us" is not declared`},
		{"journal", export.CSV, export.Options{Period: "yesterday"}, `period "yesterday" is not a day`},
		{"journal", export.CSV, export.Options{Book: "eu", Period: "2026-11"}, `book eu: period "2026-11" is not of the form`},
		{"holders", export.CSV, export.Options{Token: "NONE"}, `token "NONE" is not declared`},
		{"holders", export.CSV, export.Options{Book: "eu"}, `report holders does not accept book`},
		{"holders", export.CSV, export.Options{At: "register:3"}, `at register:3: REGISTER ends at 2`},
		{"holders", export.CSV, export.Options{At: "ledger:1"}, `at "ledger:1" is not a position (register:7) or a record date`},
		{"accounted", export.CSV, export.Options{At: "ledger:1"}, `report accounted does not accept at`},
		{"trial-balance", export.CSV, export.Options{At: "ledger:999"}, `at ledger:999: LEDGER ends at`},
		{"trial-balance", export.CSV, export.Options{At: "ledger:0"}, `at "ledger:0" is not a position`},
		{"trial-balance", export.CSV, export.Options{At: "usage:1"}, `at usage:1: a position must be of ledger, payout or control`},
		{"trial-balance", export.CSV, export.Options{At: "settle-0-999"}, `at settle-0-999: there is no such journal row`},
		{"trial-balance", export.CSV, export.Options{At: "settle-7-1"}, `at settle-7-1: there is no such journal row`},
		{"trial-balance", export.CSV, export.Options{At: "2026-13-01T00:00:00Z"}, `at "2026-13-01T00:00:00Z" is not a position`},
		{"trial-balance", export.CSV, export.Options{At: "payout:1"}, `at payout:1: PAYOUT has no journal row up to this position`},
		{"trial-balance", export.CSV, export.Options{At: "ledger:-1"}, `at "ledger:-1" is not a position`},
	} {
		_, err := export.Prepare(t.Context(), k.sources(), test.report, test.format, test.options)
		if !errors.Is(err, export.ErrQuestion) || !strings.Contains(err.Error(), test.want) || strings.ContainsRune(err.Error(), '\n') {
			t.Errorf("%s %s %+v: %v, want %s", test.report, test.format, test.options, err, test.want)
		}
	}
}
