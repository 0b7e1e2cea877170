package quotes

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func rational(a money.Amount) *big.Rat {
	r, _ := new(big.Rat).SetString(a.String())
	return r
}

// spoken is one observation of the oracle: no order, no index.
type spoken struct {
	source, round string
	time          int64
	rate          *big.Rat
}

// oracle is the package comment once more, by rationals and whole scans.
func oracle(p events.QuotePolicyDeclared, all []spoken, end int64) string {
	latest := map[string]spoken{}
	for _, s := range all {
		if s.time <= end && (latest[s.source].rate == nil || s.time > latest[s.source].time) {
			latest[s.source] = s
		}
	}
	if len(latest) == 0 {
		return "missing"
	}
	window := big.NewInt(p.HeartbeatSeconds + p.MarginSeconds)
	window.Mul(window, big.NewInt(1e9))
	var fresh []spoken
	for _, s := range latest {
		if age := new(big.Int).Sub(big.NewInt(end), big.NewInt(s.time)); age.Cmp(window) <= 0 {
			fresh = append(fresh, s)
		}
	}
	if len(fresh) == 0 {
		return "stale"
	}
	if len(fresh) < p.MinSources {
		return "few"
	}
	slices.SortFunc(fresh, func(a, b spoken) int { return strings.Compare(a.source, b.source) })
	var ids []string
	for _, s := range fresh {
		ids = append(ids, s.source+"#"+s.round)
	}
	id := ids[0]
	if len(ids) > 1 {
		id = "median:" + strings.Join(ids, ",")
	}
	slices.SortFunc(fresh, func(a, b spoken) int { return a.rate.Cmp(b.rate) })
	n := len(fresh)
	median := fresh[n/2].rate
	if n%2 == 0 {
		median = halfEven(new(big.Rat).Quo(new(big.Rat).Add(fresh[n/2-1].rate, median), big.NewRat(2, 1)))
	}
	if p.Peg.IsZero() {
		for _, s := range fresh {
			if !sound(all, s) {
				return "magnitude"
			}
		}
	}
	far := func(a, b, fraction, of *big.Rat) bool {
		gap := new(big.Rat).Sub(a, b)
		return gap.Abs(gap).Cmp(new(big.Rat).Mul(fraction, of)) > 0
	}
	if d := rational(p.MaxDeviation); d.Sign() > 0 && far(fresh[0].rate, fresh[n-1].rate, d, median) {
		return "deviating"
	}
	warn := ""
	if peg := rational(p.Peg); peg.Sign() > 0 {
		if far(median, peg, rational(p.PegHold), peg) {
			return "off_peg"
		}
		if far(median, peg, rational(p.PegWarn), peg) {
			warn = " warn"
		}
	}
	return median.RatString() + " " + id + warn
}

// sound reports whether the magnitude of what one source said can be: between
// 10⁻⁷ and 10⁷, and within ten times of what it said last of which that is so.
func sound(all []spoken, of spoken) bool {
	var own []spoken
	for _, s := range all {
		if s.source == of.source && s.time <= of.time {
			own = append(own, s)
		}
	}
	slices.SortFunc(own, func(a, b spoken) int { return int(a.time - b.time) })
	var last *big.Rat
	good := false
	for _, s := range own {
		good = s.rate.Cmp(big.NewRat(1, 10_000_000)) >= 0 && s.rate.Cmp(big.NewRat(10_000_000, 1)) <= 0
		if good && last != nil {
			times := new(big.Rat).Quo(s.rate, last)
			good = times.Cmp(big.NewRat(10, 1)) <= 0 && times.Cmp(big.NewRat(1, 10)) >= 0
		}
		if good {
			last = s.rate
		}
	}
	return good
}

// halfEven rounds to 18 places.
func halfEven(r *big.Rat) *big.Rat {
	atto := new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)
	num := new(big.Int).Mul(r.Num(), atto)
	q, rest := new(big.Int).QuoRem(num, r.Denom(), new(big.Int))
	switch rest.Lsh(rest, 1).Cmp(r.Denom()) {
	case 1:
		q.Add(q, big.NewInt(1))
	case 0:
		if q.Bit(0) == 1 {
			q.Add(q, big.NewInt(1))
		}
	}
	return new(big.Rat).SetFrac(q, atto)
}

func said(v Verdict) string {
	if v.Held {
		return string(v.Reason)
	}
	s := rational(v.Quote).RatString() + " " + v.ID
	if v.Warn {
		s += " warn"
	}
	return s
}

// FuzzAt checks the invariants of the package comment on random boards, one a
// line: verdicts equal the oracle's, and stand in all of [From, Until).
func FuzzAt(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		p := events.QuotePolicyDeclared{
			Pair: usdc, HeartbeatSeconds: random.Int64N(5), MarginSeconds: random.Int64N(3), MinSources: 1 + random.IntN(3),
			MaxDeviation: money.Atto(random.Int64N(4) * 10_000_000_000_000_000),
			Peg:          money.Atto(random.Int64N(2) * 1_000_000_000_000_000_000),
			PegWarn:      money.Atto(random.Int64N(2) * 10_000_000_000_000_000),
			PegHold:      money.Atto(random.Int64N(4) * 10_000_000_000_000_000),
		}
		var b Board
		if err := b.SetPolicy(p); err != nil {
			t.Fatal(err)
		}
		var all []spoken
		for _, source := range []string{"c", "a", "b", "d"}[:1+random.IntN(4)] {
			o := events.QuotesObserved{Pair: usdc, Source: source}
			second := random.Int64N(5)
			for i := range random.IntN(8) {
				// A hundredth apart, so that bounds are met exactly, and often an atto off.
				rate := money.Atto(1_000_000_000_000_000_000 + (random.Int64N(9)-4)*10_000_000_000_000_000 + random.Int64N(3) - 1)
				switch random.IntN(12) { // of another magnitude now and then, the bounds included
				case 0:
					rate = money.Atto(10_000_000_000_000_000 + random.Int64N(3) - 1)
				case 1:
					rate = money.Atto(100_000_000_000 + random.Int64N(3) - 1)
				case 2:
					rate = amount(t, "99990000")
				case 3:
					rate = amount(t, []string{"9.6", "10", "10.000000000000000001"}[random.IntN(3)])
				}
				round := string(rune('0' + i))
				o.Rounds = append(o.Rounds, events.Round{Round: round, Time: at(second), Rate: rate})
				all = append(all, spoken{source, round, at(second).UnixNano(), rational(rate)})
				second += 1 + random.Int64N(6)
			}
			// In two messages that overlap: a repeat changes nothing.
			half := len(o.Rounds) / 2
			for _, part := range [][]events.Round{o.Rounds[:half], o.Rounds} {
				if err := b.Observe(events.QuotesObserved{Pair: o.Pair, Source: o.Source, Rounds: part}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 20 {
			end := at(random.Int64N(60)-2).UnixNano() + random.Int64N(3) - 1
			v := b.At(usdc, end)
			want := oracle(p, all, end)
			if got := said(v); got != want {
				t.Fatalf("at %d: got %q, want %q", end, got, want)
			}
			low, high := max(v.From, at(-10).UnixNano()), min(v.Until, at(100).UnixNano())
			for _, inside := range []int64{low, high - 1, low + random.Int64N(high-low)} {
				if got := oracle(p, all, inside); got != want {
					t.Fatalf("verdict %q of %d claims [%d, %d), but at %d it is %q", want, end, v.From, v.Until, inside, got)
				}
				if w := b.At(usdc, inside); w != v {
					t.Fatalf("at %d in the same interval: got %+v, want %+v", inside, w, v)
				}
			}
		}
	})
}
