package export_test

import (
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/export"
)

// An answer of a rail that contradicts the instruction or an earlier answer is in
// the reconciliation until a right answer or a person resolves it; then
// everything agrees. Fails when a repetition closes a conflict, or when nothing
// does.
func TestAConflictIsOpenUntilSomebodyDecides(t *testing.T) {
	w := audittest.Story(t)
	payouts := map[events.Holder]distribution.Payout{}
	if err := w.DB.Payouts(t.Context(), "d1", "", func(p distribution.Payout) error {
		payouts[p.Holder] = p
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	answer := func(holder events.Holder, o events.PayoutOutcome) string {
		o.Payout = payouts[holder].ID
		return w.Decide(events.PayoutsConfirmed{Batch: "d1:csv", Rail: "csv", Parts: 1, Results: []events.PayoutOutcome{o}})
	}
	conflicts := []struct {
		holder events.Holder
		answer events.PayoutOutcome
		want   string
	}{
		{"zoe", events.PayoutOutcome{State: "confirmed", Amount: audittest.Amount(t, "12.6")}, "the answer says amount 12.6, the instruction 12.609784"},
		{"erin", events.PayoutOutcome{State: "confirmed", Reference: "tx-other"}, `it is confirmed with reference "tx-erin", and the answer has another one, "tx-other"`},
		{"dave", events.PayoutOutcome{State: "confirmed", Reference: "tx-late"}, "a payout that is failed cannot become confirmed"},
		{"carol", events.PayoutOutcome{State: "confirmed", Asset: "EURC"}, "the answer says asset EURC, the instruction USDC"},
	}
	for _, c := range conflicts {
		if reason := answer(c.holder, c.answer); !strings.Contains(reason, c.want) {
			t.Errorf("%s: %q, want %q", c.holder, reason, c.want)
		}
	}
	answer("erin", events.PayoutOutcome{State: "confirmed", Reference: "tx-erin"}) // an answer that is already known resolves nothing
	w.Rest()
	k := keep(t, w)
	open := map[string]string{}
	for _, r := range k.rows(t, "payouts", export.Options{Period: "2026-11-20"}) {
		if r["agrees"] != "false" {
			t.Errorf("%s agrees", r["holder"])
		}
		open[r["holder"]] = r["conflict"]
	}
	for _, c := range conflicts {
		if open[string(c.holder)] != c.want {
			t.Errorf("%s: conflict %q, want %q", c.holder, open[string(c.holder)], c.want)
		}
	}
	if r := k.rows(t, "reconciliation", export.Options{Period: "2026-11-20"})[0]; r["conflicts"] != "4" || r["disagreeing"] != "4" || r["agrees"] != "false" {
		t.Errorf("before anybody decided: %v", r)
	}

	if reason := answer("zoe", events.PayoutOutcome{State: "confirmed", Amount: payouts["zoe"].Amount, Asset: "USDC", Holder: "zoe"}); reason != "" {
		t.Fatal(reason)
	}
	for _, c := range []events.PayoutCorrected{
		{Payout: payouts["erin"].ID, From: "confirmed", State: "confirmed", Reference: "tx-other", Reason: "the rail paid in two steps"},
		{Payout: payouts["dave"].ID, From: "failed", State: "confirmed", Reference: "tx-late", Reason: "it arrived after all"},
		{Payout: payouts["carol"].ID, From: "confirmed", State: "submitted", Reason: "the rail looks into it"},
	} {
		c.Distribution = "d1"
		if reason := w.Decide(c); reason != "" {
			t.Fatal(reason)
		}
	}
	if reason := w.Decide(events.PayoutCorrected{Distribution: "d1", Payout: payouts["dave"].ID, From: "failed", State: "returned", Reason: "too late"}); reason == "" {
		t.Error("a correction of what was corrected already took effect")
	}
	w.Rest()
	k.sign(t)
	for _, r := range k.rows(t, "payouts", export.Options{Period: "2026-11-20"}) {
		if r["agrees"] != "true" || r["conflict"] != "" {
			t.Errorf("%s is %s, and the answer %s: %q", r["holder"], r["state"], r["answer"], r["conflict"])
		}
	}
	r := k.rows(t, "reconciliation", export.Options{Period: "2026-11-20"})[0]
	if r["agrees"] != "true" || r["conflicts"] != "0" || r["in_flight_difference"] != "0" || r["paid_difference"] != "0" || r["failed_amount"] != "0" {
		t.Errorf("after it was decided: %v", r)
	}
}

// The payouts of a payout run are reconciled like those of a distribution,
// separately and under the run's own name. Fails when the journal of a run is not
// found by its reference, or when its payouts are left out.
func TestARunIsReconciled(t *testing.T) {
	w := audittest.Story(t)
	var zoe string
	if err := w.DB.Payouts(t.Context(), "d2", "", func(p distribution.Payout) error {
		if p.Holder == "zoe" {
			zoe = p.ID
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.Declare(
		events.PayoutsSubmitted{Batch: "d2:csv", Rail: "csv", Distribution: "d2"},
		events.PayoutsConfirmed{Batch: "d2:csv", Rail: "csv", Parts: 1, Results: []events.PayoutOutcome{{Payout: zoe, State: "returned"}}},
	)
	w.PayOwed("REV:run:1", "REV")
	w.Declare(events.PayoutsSubmitted{Batch: "REV:run:1:csv", Rail: "csv", Distribution: "REV:run:1"})
	w.Rest()
	k := keep(t, w)
	list := k.rows(t, "reconciliation", export.Options{Token: "REV"})
	if len(list) != 3 {
		t.Fatalf("%d lanes", len(list))
	}
	for _, r := range list {
		if r["agrees"] != "true" || r["in_flight_difference"] != "0" || r["paid_difference"] != "0" {
			t.Errorf("%v", r)
		}
	}
	if r := list[0]; r["distribution"] != "REV:run:1" || r["period"] != "" || r["submitted_amount"] != "2.724043" || r["ledger_in_flight"] != "2.724043" {
		t.Errorf("the run: %v", r)
	}
	found := false
	for _, r := range k.rows(t, "decisions", export.Options{Book: "eu"}) {
		found = found || r["kind"] == "payout_run_declared" && r["subject"] == "REV:run:1" && r["effect"] == "applied"
	}
	if !found {
		t.Error("the run is not among the decisions of its book")
	}
}
