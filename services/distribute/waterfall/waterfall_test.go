package waterfall

import (
	"errors"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Fails when the fee rounds down instead of half-even (fourth and fifth row), and
// when the pool is computed by a product of its own (the two roundings sum to 3
// attos).
func TestDivide(t *testing.T) {
	for _, c := range []struct {
		name, inbox string
		basisPoints int
		fee, pool   string
	}{
		{"two per cent of a hundred is two", "100", 200, "2", "98"},
		{"no fee leaves everything in the pool", "1.5", 0, "0", "1.5"},
		{"the whole as a fee leaves nothing", "1.5", 10_000, "1.5", "0"},
		{"half an atto goes to the even neighbour below", "0.000000000000000001", 5_000, "0", "0.000000000000000001"},
		{"half an atto goes to the even neighbour above", "0.000000000000000003", 5_000, "0.000000000000000002", "0.000000000000000001"},
		{"one basis point of a million is a hundred", "1000000", 1, "100", "999900"},
		{"an empty inbox has neither", "0", 200, "0", "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inbox, err := money.ParseAmount(c.inbox)
			if err != nil {
				t.Fatal(err)
			}
			fee, pool, err := Divide(inbox, c.basisPoints)
			if err != nil || fee.String() != c.fee || pool.String() != c.pool {
				t.Fatalf("fee %v, pool %v, %v; want %s and %s", fee, pool, err, c.fee, c.pool)
			}
		})
	}
}

func TestDivideRefuses(t *testing.T) {
	for _, c := range []struct {
		name        string
		inbox       money.Amount
		basisPoints int
	}{
		{"a negative inbox", money.Atto(-1), 0},
		{"a negative fee", money.Atto(1), -1},
		{"more than the whole", money.Atto(1), 10_001},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, _, err := Divide(c.inbox, c.basisPoints); !errors.Is(err, money.ErrDomain) {
				t.Fatalf("got %v, want %v", err, money.ErrDomain)
			}
		})
	}
}

func FuzzDivide(f *testing.F) {
	f.Add(int64(0), uint64(3), 5_000)
	f.Add(int64(1<<62), uint64(1<<63), 9_999)
	f.Fuzz(func(t *testing.T, hi int64, lo uint64, basisPoints int) {
		inbox := money.AmountFromLimbs(hi, lo)
		fee, pool, err := Divide(inbox, basisPoints)
		if err != nil {
			return
		}
		if sum, err := fee.Add(pool); err != nil || sum != inbox {
			t.Fatalf("%v + %v is not %v", fee, pool, inbox)
		}
		if fee.Sign() < 0 || pool.Sign() < 0 {
			t.Fatalf("fee %v, pool %v", fee, pool)
		}
	})
}
