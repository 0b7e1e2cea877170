package payout

import (
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Fails when any step is added to or taken from the table: above all when a
// confirmed payout may become failed, which would pay it twice.
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
