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
// which never saw them, for every instant, and says correctly for how long.
// Fails when a withdrawn round prices, ends what another said, or hides the one
// before it.
func TestAWithdrawnRoundIsAsIfItHadNotBeen(t *testing.T) {
	rate := func(i int) money.Amount {
		a, err := money.ParseAmount(fmt.Sprintf("1.%03d", i))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	policy := events.QuotePolicyDeclared{Pair: "USDC/USD", HeartbeatSeconds: 25, MinSources: 1}
	const rounds = 7
	for gone := range 1 << rounds {
		var with, without Board
		for _, b := range []*Board{&with, &without} {
			if err := b.SetPolicy(policy); err != nil {
				t.Fatal(err)
			}
		}
		for i := range rounds {
			source := []string{"a", "b"}[i%2]
			o := events.QuotesObserved{Pair: "USDC/USD", Source: source, Rounds: []events.Round{{Round: fmt.Sprint(i), Time: time.Unix(int64(10*i), 0), Rate: rate(i)}}}
			if err := with.Observe(o); err != nil {
				t.Fatal(err)
			}
			w := events.RoundWithdrawn{Pair: "USDC/USD", Source: source, Round: fmt.Sprint(i), Reason: "misread"}
			if gone>>i&1 == 0 {
				if err := without.Observe(o); err != nil {
					t.Fatal(err)
				}
				continue
			}
			before := with.Revision()
			if err := with.Withdraw(w); err != nil || with.Revision() == before {
				t.Fatalf("revision %d after %d: %v", with.Revision(), before, err)
			}
			before = with.Revision()
			if err := with.Withdraw(w); err != nil || with.Revision() != before {
				t.Fatal("withdrawn again, it changes something", err)
			}
			if _, ok := with.Round("USDC/USD", source, fmt.Sprint(i)); ok {
				t.Fatal("a release may name a withdrawn round")
			}
			if err := with.Observe(o); err != nil {
				t.Fatal(err) // A repeated import changes nothing.
			}
		}
		for second := int64(-1); second < 110; second++ {
			at := second * int64(time.Second)
			got, want := with.At("USDC/USD", at), without.At("USDC/USD", at)
			if got.Held && want.Held && (got.Reason == Missing) != (want.Reason == Missing) || got != want {
				t.Fatalf("rounds %07b withdrawn, at %d s: %+v, and not %+v", gone, second, got, want)
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
