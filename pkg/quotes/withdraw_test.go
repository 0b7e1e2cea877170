package quotes

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// A board of which rounds were withdrawn gives every verdict that a board gives
// which never saw them, for every instant, and says correctly for how long;
// whether they are withdrawn at once or after all others have come. Fails when a
// withdrawn round prices, ends what another said, hides the one before it, or is
// what the magnitude of those after it is still measured by; and when another
// source's round of that name is withdrawn.
func TestAWithdrawnRoundIsAsIfItHadNotBeen(t *testing.T) {
	// Source a says the even ones, b the odd ones; 30 and 40 are far from the others.
	// Both number their rounds alike.
	name := func(i int) string { return fmt.Sprint(i / 2) }
	texts := []string{"1", "1.001", "30", "1.003", "1.004", "40", "1.006"}
	rounds := make([]events.QuotesObserved, len(texts))
	for i, text := range texts {
		rate, err := money.ParseAmount(text)
		if err != nil {
			t.Fatal(err)
		}
		rounds[i] = events.QuotesObserved{Pair: "USDC/USD", Source: []string{"a", "b"}[i%2],
			Rounds: []events.Round{{Round: name(i), Time: time.Unix(int64(10*i), 0), Rate: rate}}}
	}
	policy := events.QuotePolicyDeclared{Pair: "USDC/USD", HeartbeatSeconds: 25, MinSources: 1}
	for n := range 2 << len(texts) {
		gone, afterwards := n>>1, n&1 == 1
		var with, without Board
		for _, b := range []*Board{&with, &without} {
			if err := b.SetPolicy(policy); err != nil {
				t.Fatal(err)
			}
		}
		withdraw := func(i int) {
			w := events.RoundWithdrawn{Pair: "USDC/USD", Source: rounds[i].Source, Round: name(i), Reason: "misread"}
			before := with.Revision()
			if err := with.Withdraw(w); err != nil || with.Revision() == before {
				t.Fatalf("revision %d after %d: %v", with.Revision(), before, err)
			}
			before = with.Revision()
			if err := with.Withdraw(w); err != nil || with.Revision() != before {
				t.Fatal("withdrawn again, it changes something", err)
			}
			if _, ok := with.Round("USDC/USD", rounds[i].Source, name(i)); ok {
				t.Fatal("a release may name a withdrawn round")
			}
			if err := with.Observe(rounds[i]); err != nil {
				t.Fatal(err) // A repeated import changes nothing.
			}
		}
		for i, o := range rounds {
			if err := with.Observe(o); err != nil {
				t.Fatal(err)
			}
			if gone>>i&1 == 0 {
				if err := without.Observe(o); err != nil {
					t.Fatal(err)
				}
			} else if !afterwards {
				withdraw(i)
			}
		}
		for i := range rounds {
			if gone>>i&1 == 1 && afterwards {
				withdraw(i)
			}
		}
		for second := int64(-1); second < 110; second++ {
			at := second * int64(time.Second)
			if got, want := with.At("USDC/USD", at), without.At("USDC/USD", at); got != want {
				t.Fatalf("rounds %07b withdrawn, afterwards %v, at %d s: %+v, and not %+v", gone, afterwards, second, got, want)
			}
		}
		for i, o := range rounds {
			if got, want := with.Sound("USDC/USD", o.Source, name(i)), without.Sound("USDC/USD", o.Source, name(i)); got != want {
				t.Fatalf("rounds %07b withdrawn, afterwards %v: round %d is sound: %v, and not %v", gone, afterwards, i, got, want)
			}
		}
		if got, want := fmt.Sprint(with.Newest()), fmt.Sprint(without.Newest()); got != want {
			t.Fatalf("rounds %07b withdrawn: the newest are %s, not %s", gone, got, want)
		}
	}
	var empty Board
	if err := empty.Withdraw(events.RoundWithdrawn{Pair: "USDC/USD", Source: "a", Round: "1"}); err == nil {
		t.Error("a round that is not known was withdrawn")
	}
	if v := empty.At("USDC/USD", math.MaxInt64); v.Reason != NoPolicy {
		t.Error("withdrawing declared a pair")
	}
}
