package issue_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/receipt"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
)

// A payout of a payout run is proved like others, down to the posting that takes
// it from what the holder was owed. Every change of a member of its receipt is
// detected, except for the members that the verdict calls stated.
func TestAPayoutOfARunIsProved(t *testing.T) {
	w := audittest.Story(t)
	k := kept{World: w}
	w.Declare(
		events.PayoutsSubmitted{Batch: "d2:csv", Rail: "csv", Distribution: "d2"},
		events.PayoutsConfirmed{Batch: "d2:csv", Rail: "csv", Parts: 1, Results: []events.PayoutOutcome{
			{Payout: k.payoutOf(t, "d2", "dave"), State: "returned"}, {Payout: k.payoutOf(t, "d2", "zoe"), State: "failed"},
		}},
	)
	w.PayOwed("REV:run:1", "REV")
	w.Rest()
	k = keep(t, w)
	id := k.payoutOf(t, "REV:run:1", "dave")
	data := k.issue(t, id)
	verdict, err := receipt.Verify(data, k.key)
	if err != nil {
		t.Fatal(err)
	}
	text := verdict.String()
	for _, want := range []string{
		"payout " + id + " of 1.08558 USDC to dave by rail csv was planned by payout run REV:run:1 of token REV", "the declaration of a payout run (control record ",
		"the journal takes 1.08558 USDC from what was payable to dave", "carries the root of register up to", "carries the root of control up to",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "zoe") {
		t.Errorf("another holder is in\n%s", text)
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	walk("", tree, func(at, is string, set func(any)) {
		changed, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := receipt.Verify(changed, k.key); (err == nil) != (at == ".id") {
			t.Errorf("%s changed to %q: %v", at, is, err)
		}
	})
}
