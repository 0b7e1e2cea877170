package api

import "testing"

// Fails when a user is shown the name of a decision in the codec, or when a decision
// that was not recorded is given a position.
func TestAVoidDecisionIsNamedInWords(t *testing.T) {
	for _, test := range []struct {
		decided Decided
		want    string
	}{
		{
			Decided{Kind: "period_reopened", Position: 12, Reason: "2026-09 is not closed"},
			"the reopening of a period (control record 12) has no effect: 2026-09 is not closed",
		},
		{
			Decided{Kind: "deposit_recorded", Reason: "its id belongs to another decision"},
			"the deposit was not recorded: its id belongs to another decision",
		},
	} {
		if got := test.decided.WhyVoid(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
