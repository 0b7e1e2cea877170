package money

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

// edged draws numbers whose words are often all ones, zero or a power of two,
// because these reach the rare corrections of long division.
func edged(random *rand.Rand) uint128 {
	word := func() uint64 {
		switch random.UintN(6) {
		case 0:
			return 0
		case 1:
			return 1<<64 - 1 - random.Uint64N(3)
		case 2:
			return 1<<random.UintN(64) + random.Uint64N(3) - 1
		}
		return random.Uint64() >> random.UintN(64)
	}
	u := uint128{word(), word()}
	if random.UintN(3) == 0 {
		u.hi = 0
	}
	return u
}

func (a uint128) big() *big.Int { return bigOfUnits(Units{a.hi, a.lo}) }

// Compares both ways to divide with math/big. Fails when either one leaves out a
// correction, including the rare ones, and when a reciprocal is one too large or
// too small.
func TestBothWaysToDivide(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	words, fits := 0, 0
	for range 400_000 {
		high, low, d := edged(random), edged(random), edged(random)
		if random.UintN(2) == 0 && !d.isZero() { // Near the largest quotient.
			high = d.sub(uint128{lo: 1 + random.Uint64N(2)})
		}
		quotient, rest, ok := divide(high, low, d)
		if ok != high.less(d) {
			t.Fatalf("(%v:%v) ÷ %v: %t", high, low, d, ok)
		}
		if !ok {
			continue
		}
		fits++
		n := new(big.Int).Lsh(high.big(), 128)
		wantQuotient, wantRest := n.Add(n, low.big()).QuoRem(n, d.big(), new(big.Int))
		if quotient.big().Cmp(wantQuotient) != 0 || rest.big().Cmp(wantRest) != 0 {
			t.Fatalf("(%v:%v) ÷ %v = %v rest %v; want %v rest %v", high, low, d, quotient, rest, wantQuotient, wantRest)
		}
		v := newDivisor(d)
		if d.hi == 0 {
			words++
			quotient, rest.lo = v.divide64(high.lo, low.hi, low.lo)
		} else {
			quotient, rest = v.divide(high, low)
		}
		if quotient.big().Cmp(wantQuotient) != 0 || rest.shiftRight(int(v.shift)).big().Cmp(wantRest) != 0 {
			t.Fatalf("(%v:%v) × 1/%v = %v rest %v; want %v rest %v", high, low, d, quotient, rest.shiftRight(int(v.shift)), wantQuotient, wantRest)
		}
	}
	t.Logf("%d divisions compared, %d of them by one word", fits, words)
}
