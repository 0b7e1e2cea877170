package payout

import (
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Fails when a step is added to the table or removed from it. Above all a
// confirmed payout must not become failed, because it would be paid twice.
func TestStep(t *testing.T) {
	want := map[[2]distribution.State]bool{
		{distribution.Planned, distribution.Submitted}: true, {distribution.Planned, distribution.Withheld}: true,
		{distribution.Submitted, distribution.Confirmed}: true, {distribution.Submitted, distribution.Failed}: true, {distribution.Submitted, distribution.Returned}: true,
		{distribution.Confirmed, distribution.Returned}: true,
	}
	for _, from := range distribution.States() {
		for _, to := range distribution.States() {
			changes, err := Step(from, to)
			switch {
			case from == to && (changes || err != nil):
				t.Errorf("%s to itself: %v, %v; want no change and no error", from, changes, err)
			case from != to && changes != want[[2]distribution.State{from, to}]:
				t.Errorf("%s to %s: changes %v", from, to, changes)
			case from != to && (err == nil) != changes:
				t.Errorf("%s to %s: changes %v with error %v", from, to, changes, err)
			}
		}
	}
	if _, err := Step(distribution.Planned, "lost"); err == nil {
		t.Error("a state that does not exist was accepted")
	}
}

// Fails when a column is not compared, or when a second reference is accepted.
func TestAnAnswerAgreesWithTheInstructionInEveryColumnThatItHas(t *testing.T) {
	two, three := money.Atto(2), money.Atto(3)
	for _, c := range []struct {
		name      string
		state     distribution.State
		reference string
		answer    events.PayoutOutcome
		changes   bool
		want      string
	}{
		{"no more than the state", distribution.Submitted, "", events.PayoutOutcome{State: "confirmed"}, true, ""},
		{"every column, equal", distribution.Submitted, "", events.PayoutOutcome{State: "failed", Holder: "ann", Asset: "USDC", Amount: two}, true, ""},
		{"another amount", distribution.Submitted, "", events.PayoutOutcome{State: "confirmed", Amount: three}, false, "amount"},
		{"another asset", distribution.Submitted, "", events.PayoutOutcome{State: "confirmed", Asset: "EURC", Amount: two}, false, "asset EURC"},
		{"another holder", distribution.Submitted, "", events.PayoutOutcome{State: "returned", Holder: "ben"}, false, "holder ben"},
		{"another amount of what is confirmed already", distribution.Confirmed, "tx-1", events.PayoutOutcome{State: "confirmed", Reference: "tx-1", Amount: three}, false, "amount"},
		{"the same again", distribution.Confirmed, "tx-1", events.PayoutOutcome{State: "confirmed", Reference: "tx-1"}, false, ""},
		{"the same without its reference", distribution.Confirmed, "tx-1", events.PayoutOutcome{State: "confirmed"}, false, ""},
		{"the first reference, later", distribution.Confirmed, "", events.PayoutOutcome{State: "confirmed", Reference: "tx-1"}, true, ""},
		{"a second reference", distribution.Confirmed, "tx-1", events.PayoutOutcome{State: "confirmed", Reference: "tx-2"}, false, `reference "tx-1"`},
		{"a second reference of a failure", distribution.Failed, "tx-1", events.PayoutOutcome{State: "failed", Reference: "tx-2"}, false, `"tx-2"`},
		{"a reference of its own for the return", distribution.Confirmed, "tx-1", events.PayoutOutcome{State: "returned", Reference: "tx-2"}, true, ""},
		{"confirmed after it failed", distribution.Failed, "", events.PayoutOutcome{State: "confirmed"}, false, "failed cannot become confirmed"},
		{"confirmed before it was handed over", distribution.Planned, "", events.PayoutOutcome{State: "confirmed"}, false, "planned cannot become confirmed"},
	} {
		p := distribution.Payout{ID: "po-1", Holder: "ann", Asset: "USDC", Amount: two, State: c.state, Reference: c.reference}
		changes, err := Answer(&p, &c.answer)
		if changes != c.changes || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: changes %v, %v; want %v, %q", c.name, changes, err, c.changes, c.want)
		}
	}
}

// Fails when a payout can be corrected that no rail has answered for: that would
// pay a payout that was never handed over, or pay a holder who was screened out.
func TestOnlyWhatARailAnswersForIsCorrected(t *testing.T) {
	may := func(s distribution.State) bool {
		return s != distribution.Planned && s != distribution.Withheld && s != "lost"
	}
	for _, from := range append(distribution.States(), "lost") {
		for _, to := range append(distribution.States(), "lost") {
			if err := Correct(from, to); (err == nil) != (may(from) && may(to)) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
		}
	}
}

func TestIDIsTheSameForever(t *testing.T) {
	const want = "po-22dd744972eff101cc58891b9dcddbb9" // sha256sum of the four lines
	if got := ID("d1", "USDC", "alice"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Fails when the parts are joined without a separator.
	if ID("d1", "USDC", "alice") == ID("d1U", "SDC", "alice") {
		t.Error("two payouts share an id")
	}
}

func TestAccountFollowsTheState(t *testing.T) {
	for state, want := range map[distribution.State]string{
		distribution.Planned: "rail:csv:in_flight", distribution.Submitted: "rail:csv:in_flight", distribution.Confirmed: "rail:csv:paid",
		distribution.Failed: "holder:h:payable", distribution.Returned: "holder:h:payable", distribution.Withheld: "holder:h:held",
	} {
		if got := Account(state, events.Holder("h"), "csv"); string(got) != want {
			t.Errorf("%s: %s, want %s", state, got, want)
		}
	}
}
