package quotes

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func TestAMagnitudeThatCannotBeHolds(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines string
		peg   string
		want  Reason // empty: priced at the last
	}{
		{"an atto", "a 1 10 0.000000000000000001", "", Magnitude},
		{"an integer without its decimals", "a 1 10 99990000", "", Magnitude},
		{"decimals that were taken off twice", "a 1 10 0.0000000099990000", "", Magnitude},
		{"beyond all bounds", "a 1 10 1000000000000000000", "", Magnitude},
		{"exactly at the lower bound", "a 1 10 0.0000001", "", ""},
		{"below it", "a 1 10 0.000000099999999999", "", Magnitude},
		{"exactly at the upper bound", "a 1 10 10000000", "", ""},
		{"above it", "a 1 10 10000000.000000000000000001", "", Magnitude},
		{"ten times the last one", "a 1 10 1; a 2 20 10", "", ""},
		{"more than ten times the last one", "a 1 10 1; a 2 20 10.000000000000000001", "", Magnitude},
		{"a tenth of the last one", "a 1 10 1; a 2 20 0.1", "", ""},
		{"less than a tenth of the last one", "a 1 10 1; a 2 20 0.099999999999999999", "", Magnitude},
		// Fails when the wrong one is what the next is compared with.
		{"two in a row", "a 1 10 1; a 2 20 100; a 3 30 101", "", Magnitude},
		{"back again", "a 1 10 1; a 2 20 100; a 3 30 1.1", "", ""},
		{"a first one that cannot be is nobody's measure", "a 1 10 99990000; a 2 20 1", "", ""},
		{"step by step", "a 1 10 1; a 2 20 9; a 3 30 81", "", ""},
		{"one source of two", "a 1 10 1; b 1 10 1; b 2 20 100", "", Magnitude},
		{"with a peg the peg is asked", "a 1 10 99990000", "1", OffPeg},
		{"and lets through what is at it", "a 1 10 100; a 2 20 1", "1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Board
			p := events.QuotePolicyDeclared{Pair: usdc, HeartbeatSeconds: 100, Peg: amount(t, c.peg), PegHold: amount(t, "")}
			if err := b.SetPolicy(p); err != nil {
				t.Fatal(err)
			}
			for _, line := range strings.Split(c.lines, "; ") {
				observe(t, &b, line)
			}
			v := b.At(usdc, at(30).UnixNano())
			if v.Held != (c.want != "") || v.Reason != c.want || v.Held && !v.Quote.IsZero() {
				t.Errorf("got %+v, want %q", v, c.want)
			}
		})
	}
}

// Nothing is released at a round whose magnitude cannot be: neither in its series
// nor at the peg. Fails when a peg lets every round through.
func TestARoundIsSoundInItsSeriesOrAtThePeg(t *testing.T) {
	for _, c := range []struct {
		name, lines, peg, round string
		want                    bool
	}{
		{"the first one", "a 1 10 1", "", "1", true},
		{"one far from the last", "a 1 10 1; a 2 20 11", "", "2", false},
		{"the one after it", "a 1 10 1; a 2 20 11; a 3 30 2", "", "3", true},
		{"one far from the last, at the peg", "a 1 10 0.05; a 2 20 1", "1", "2", true},
		{"one far from the last and from the peg", "a 1 10 1; a 2 20 99990000", "1", "2", false},
		{"exactly ten times the peg", "a 1 10 0.5; a 2 20 10", "1", "2", true},
		{"more than ten times the peg", "a 1 10 0.5; a 2 20 10.000000000000000001", "1", "2", false},
		{"exactly a tenth of the peg", "a 1 10 5; a 2 20 0.1", "1", "2", true},
		{"less than a tenth of the peg", "a 1 10 5; a 2 20 0.099999999999999999", "1", "2", false},
		{"another source's round", "a 1 10 1; b 2 10 1", "1", "2", false},
		{"a round that is not known", "a 1 10 1", "1", "9", false},
	} {
		var b Board
		if err := b.SetPolicy(events.QuotePolicyDeclared{Pair: usdc, HeartbeatSeconds: 100, Peg: amount(t, c.peg), PegHold: amount(t, "")}); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(c.lines, "; ") {
			observe(t, &b, line)
		}
		if got := b.Sound(usdc, "a", c.round); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestSiftTakesWhatIsRightAndNamesTheRest(t *testing.T) {
	for _, c := range []struct {
		name, there, peg, rounds string
		fresh                    string // names of the rounds
		known                    int
		refused                  string // index: a part of the reason
	}{
		{"all new", "", "", "a 1 10 1; a 2 20 1.1", "1 2", 0, ""},
		{"a repeat and news", "a 1 10 1", "", "a 1 10 1; a 2 20 1.1", "2", 1, ""},
		{"two equal ones at one time", "", "", "a 1 10 1; a 2 10 1; a 3 20 1", "1 3", 1, ""},
		{"two different ones at one time", "", "", "a 1 10 1; a 2 10 1.1; a 3 20 1", "1 3", 0, "1: 1 is known of that time"},
		{"one that is different from what stands", "a 1 10 1", "", "a 9 10 1.1; a 3 20 1", "3", 0, "0: 1 is known of that time"},
		{"a round that is known otherwise", "a 1 10 1", "", "a 1 10 1.1; a 3 20 1", "3", 0, "0: is known with rate"},
		{"one of before", "a 1 10 1", "", "a 0 5 1; a 3 20 1", "3", 0, "0: is not after"},
		{"a rate of zero", "", "", "a 1 10 0; a 2 20 1", "2", 0, "0: not above 0"},
		{"one far from the last", "a 1 10 1", "", "a 2 20 99990000; a 3 30 1.1", "3", 0, "0: another magnitude than 1"},
		{"one far from the others", "", "", "a 1 10 99990000; a 2 20 1; a 3 30 1.1", "2 3", 0, "0: another magnitude than 1.1"},
		{"one far from the peg", "", "1", "a 1 10 99990000", "", 0, "0: another magnitude than 1"},
		{"an atto", "", "1", "a 1 10 0.000000000000000001", "", 0, "0: another magnitude"},
		{"a peg that was lost, step by step", "a 1 10 0.2", "1", "a 2 20 0.05", "2", 0, ""},
		{"back at the peg", "a 1 10 0.05", "1", "a 2 20 1", "2", 0, ""},
		{"the last one is unsound", "a 1 10 99990000", "", "a 2 20 1; a 3 30 1", "2 3", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Board
			if err := b.SetPolicy(events.QuotePolicyDeclared{Pair: usdc, HeartbeatSeconds: 100, Peg: amount(t, c.peg), PegHold: money.One}); err != nil {
				t.Fatal(err)
			}
			if c.there != "" {
				observe(t, &b, c.there)
			}
			o := events.QuotesObserved{Pair: usdc, Source: "a"}
			for _, part := range strings.Split(c.rounds, "; ") {
				var source, round, rate string
				var second int64
				if _, err := fmt.Sscan(part, &source, &round, &second, &rate); err != nil {
					t.Fatal(err)
				}
				o.Rounds = append(o.Rounds, events.Round{Round: round, Time: at(second), Rate: amount(t, rate)})
			}
			before := b.Revision()
			fresh, known, refused := b.Sift(o)
			var names, wrong []string
			for _, r := range fresh {
				names = append(names, r.Round)
			}
			for _, r := range refused {
				wrong = append(wrong, fmt.Sprintf("%d: %s", r.Index, r.Reason))
			}
			if got := strings.Join(names, " "); got != c.fresh || known != c.known {
				t.Errorf("new %q and %d known, want %q and %d", got, known, c.fresh, c.known)
			}
			index, reason, _ := strings.Cut(c.refused, ": ")
			if got := strings.Join(wrong, "; "); !strings.HasPrefix(got, index) || !strings.Contains(got, reason) || (got == "") != (c.refused == "") {
				t.Errorf("refused %q, want %q", got, c.refused)
			}
			if b.Revision() != before {
				t.Error("the board changed")
			}
			if err := b.Observe(events.QuotesObserved{Pair: usdc, Source: "a", Rounds: fresh}); err != nil {
				t.Errorf("what is new cannot be observed: %v", err)
			}
		})
	}
}

func TestARoundKeepsItsOtherName(t *testing.T) {
	var b Board
	observe(t, &b, "a 1 10 1; a 2 20 1.1", "a again 10 1; a 3 30 1.2; a third 30 1.2")
	for round, want := range map[string]string{"1": "1", "again": "1", "third": "1.2"} {
		if rate, ok := b.Round(usdc, "a", round); !ok || rate != amount(t, want) {
			t.Errorf("round %s: %v, %t; want %s", round, rate, ok, want)
		}
	}
	if err := try(t, &b, "a again 40 1"); err == nil {
		t.Error("another name is given to another round")
	}
}
