package quotes

import (
	"slices"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

func TestAnIDSaysWhatItsQuoteRestsOn(t *testing.T) {
	for _, c := range []struct {
		id     string
		rounds []string
	}{
		{"", nil},
		{Fixed, nil},
		{RoundID("a", "7"), []string{"a#7"}},
		// Fails when the prefix of a median stays with its first round.
		{medianID([]observation{{source: "a", round: "7"}, {source: "b", round: "median:9"}}), []string{"a#7", "b#median:9"}},
	} {
		if got := Rounds(c.id); !slices.Equal(got, c.rounds) {
			t.Errorf("%q rests on %q, want %q", c.id, got, c.rounds)
		}
	}
	for _, c := range []struct {
		id, source, round string
		ok                bool
	}{
		{"a#7", "a", "7", true},
		{"", "", "", false},
		{Fixed, "", "", false},
		{"a#7#8", "", "", false},
		{"a#7,b#8", "", "", false},
		{"median:a#7,b#8", "", "", false},
		{"a,b#7", "", "", false},
	} {
		if source, round, ok := ParseRound(c.id); source != c.source || round != c.round || ok != c.ok {
			t.Errorf("%q is round %q of %q, %v", c.id, round, source, ok)
		}
	}
}

// Fails when the rounds of a median are not sorted, when the mean of the two in
// the middle is not taken, and when a round that was withdrawn since is missing.
func TestTheQuoteOfAPostingIsFoundByItsID(t *testing.T) {
	var b Board
	observe(t, &b, "a 1 0 1.02", "b 1 0 0.98", "c 1 0 1.00", "d 1 0 1.04")
	for _, withdrawn := range []bool{false, true} {
		for _, c := range []struct{ id, want string }{
			{"a#1", "1.02"},
			{"median:a#1,b#1", "1"},
			{"median:a#1,b#1,c#1", "1"},
			{"median:a#1,b#1,d#1", "1.02"},
			{"median:a#1,b#1,c#1,d#1", "1.01"},
		} {
			if got, ok := b.Named(usdc, c.id); !ok || got != amount(t, c.want) {
				t.Errorf("withdrawn %v: %s is %v, %v; want %s", withdrawn, c.id, got, ok, c.want)
			}
		}
		if err := b.Withdraw(events.RoundWithdrawn{Pair: usdc, Source: "a", Round: "1"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"", Fixed, "a#2", "e#1", "a", "median:a#1,e#1"} {
		if got, ok := b.Named(usdc, id); ok {
			t.Errorf("%q is %v", id, got)
		}
	}
	if got, ok := b.Named("EURC/EUR", "a#1"); ok {
		t.Errorf("another pair has it: %v", got)
	}
}
