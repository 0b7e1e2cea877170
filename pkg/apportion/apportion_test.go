package apportion

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aliquot-engine/aliquot/internal/published"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func amount(t testing.TB, s string) money.Amount {
	t.Helper()
	a, err := money.ParseAmount(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func total(t testing.TB, shares []Share) (sum money.Amount) {
	t.Helper()
	for _, s := range shares {
		var err error
		if sum, err = sum.Add(s.Amount); err != nil {
			t.Fatal(err)
		}
	}
	return sum
}

func bigOf(u money.Units) *big.Int {
	n := new(big.Int).Lsh(new(big.Int).SetUint64(u.Hi), 64)
	return n.Add(n, new(big.Int).SetUint64(u.Lo))
}

// attos of an amount that is not negative.
func attos(a money.Amount) *big.Int {
	hi, lo := a.Limbs()
	return bigOf(money.Units{Hi: uint64(hi), Lo: lo})
}

// byDefinition computes the shares by the wording of the package comment: quotas
// first, then the holders sorted by fraction and id.
func byDefinition(pool money.Amount, holders []Holding) map[string]*big.Int {
	supply := new(big.Int)
	for _, h := range holders {
		supply.Add(supply, bigOf(h.Units))
	}
	type quota struct {
		holder      string
		whole, rest *big.Int
	}
	quotas := make([]quota, len(holders))
	left := attos(pool)
	for i, h := range holders {
		whole, rest := new(big.Int).QuoRem(new(big.Int).Mul(attos(pool), bigOf(h.Units)), supply, new(big.Int))
		quotas[i] = quota{h.Holder, whole, rest}
		left.Sub(left, whole)
	}
	slices.SortFunc(quotas, func(a, b quota) int {
		if c := b.rest.Cmp(a.rest); c != 0 {
			return c
		}
		return strings.Compare(a.holder, b.holder)
	})
	shares := map[string]*big.Int{}
	for i, q := range quotas {
		if big.NewInt(int64(i)).Cmp(left) < 0 {
			q.whole.Add(q.whole, big.NewInt(1))
		}
		shares[q.holder] = q.whole
	}
	return shares
}

func compare(t interface {
	Helper()
	Fatalf(string, ...any)
}, pool money.Amount, holders []Holding, shares []Share) {
	t.Helper()
	if len(shares) != len(holders) {
		t.Fatalf("%d shares of %d holdings", len(shares), len(holders))
	}
	want := byDefinition(pool, holders)
	for i, s := range shares {
		if s.Holder != holders[i].Holder || s.Units != holders[i].Units {
			t.Fatalf("share %d is of %s with %v units, the holding of %s with %v", i, s.Holder, s.Units, holders[i].Holder, holders[i].Units)
		}
		if attos(s.Amount).Cmp(want[s.Holder]) != 0 {
			t.Fatalf("%s receives %v of %v, want %v attos", s.Holder, s.Amount, pool, want[s.Holder])
		}
	}
}

func TestDivide(t *testing.T) {
	u := money.UnitsOf
	for name, c := range map[string]struct {
		pool    money.Amount
		holders []Holding
		want    []int64 // In attos.
		err     error
	}{
		"three equal holders, one atto over":      {money.Atto(10), []Holding{{"a", u(1)}, {"b", u(1)}, {"c", u(1)}}, []int64{4, 3, 3}, nil},
		"two attos over":                          {money.Atto(11), []Holding{{"a", u(1)}, {"b", u(1)}, {"c", u(1)}}, []int64{4, 4, 3}, nil},
		"the larger fraction before the lower id": {money.Atto(10), []Holding{{"a", u(51)}, {"b", u(49)}, {"c", u(13)}}, []int64{5, 4, 1}, nil},
		"no units, no share":                      {money.Atto(2), []Holding{{"a", u(0)}, {"b", u(1)}, {"c", u(1)}, {"d", u(1)}}, []int64{0, 1, 1, 0}, nil},
		"nothing to divide":                       {money.Atto(0), []Holding{{"a", u(5)}, {"b", u(0)}}, []int64{0, 0}, nil},
		"nobody and nothing":                      {money.Atto(0), nil, nil, nil},
		"nobody":                                  {money.Atto(1), nil, nil, money.ErrDomain},
		"nobody with units":                       {money.Atto(1), []Holding{{"a", u(0)}}, nil, money.ErrDomain},
		"a negative pool":                         {money.Atto(-1), []Holding{{"a", u(1)}}, nil, money.ErrDomain},
		"not in order":                            {money.Atto(1), []Holding{{"b", u(1)}, {"a", u(1)}}, nil, money.ErrDomain},
		"a holder twice":                          {money.Atto(1), []Holding{{"a", u(1)}, {"a", u(1)}}, nil, money.ErrDomain},
		"a supply beyond 128 bits":                {money.Atto(1), []Holding{{"a", money.Units{Hi: 1 << 63}}, {"b", money.Units{Hi: 1 << 63}}}, nil, money.ErrOverflow},
	} {
		t.Run(name, func(t *testing.T) {
			shares, err := Divide(c.pool, c.holders)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			var got []int64
			for _, s := range shares {
				got = append(got, attos(s.Amount).Int64())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// A long register of mixed holdings in which the last spare atto falls inside a
// tie: holders with larger fractions come before the tie, holders of equal and of
// smaller fractions after it, and the tied holders are not neighbours. Only such
// a register distinguishes a rule with the tie-break from one without it: short
// registers, and registers of equal holders, pass either way.
//
// Fails when ties go to the higher id or to the first in memory, when all of the
// tied holders or none of them receive an atto, and when the left-over attos go
// by units instead of by fraction.
func TestLastSpareAttoInsideATie(t *testing.T) {
	sizes := []uint64{7, 400, 13, 400, 1, 9_999, 400, 0, 86, 400, 1_000_003}
	var holders []Holding
	for i := range 5_000 {
		holders = append(holders, Holding{fmt.Sprintf("0x%040x", uint64(i)*0x9E3779B97F4A7C15), money.UnitsOf(sizes[i%len(sizes)])})
	}
	slices.SortFunc(holders, func(a, b Holding) int { return strings.Compare(a.Holder, b.Holder) })
	inside := 0
	for pool := int64(1_000_000); pool < 1_000_040; pool++ {
		shares, err := Divide(money.Atto(pool), holders)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, money.Atto(pool), holders, shares)
		if tiedBothWays(shares) {
			inside++
		}
	}
	t.Logf("in %d of 40 pools the last spare atto falls inside a tie", inside)
	if inside < 20 {
		t.Errorf("in only %d of 40 pools does the last spare atto fall inside a tie: the register tests too little", inside)
	}
}

// tiedBothWays reports that two holders of equal units have different shares.
func tiedBothWays(shares []Share) bool {
	first := map[money.Units]money.Amount{}
	for _, s := range shares {
		if a, ok := first[s.Units]; ok && a != s.Amount {
			return true
		}
		first[s.Units] = s.Amount
	}
	return false
}

func TestDivideIsTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-f]{1,6}`), 1, 80, rapid.ID[string]).Draw(t, "ids")
		slices.Sort(ids)
		holders := make([]Holding, len(ids))
		some := false
		for i, id := range ids {
			units := rapid.Uint64Range(0, 9).Draw(t, "units")
			some = some || units > 0
			holders[i] = Holding{id, money.Units{Hi: units * rapid.Uint64Range(0, 1).Draw(t, "huge"), Lo: units}}
		}
		pool := money.AmountFromLimbs(rapid.Int64Range(0, 3).Draw(t, "hi"), rapid.Uint64().Draw(t, "lo"))
		shares, err := Divide(pool, holders)
		if !some {
			if (err == nil) != pool.IsZero() {
				t.Fatalf("divided %v among nobody: %v", pool, err)
			}
			return
		}
		if err != nil {
			t.Fatalf("%v", err)
		}
		compare(t, pool, holders, shares)
	})
}

func uniHolders(t testing.TB) []Holding {
	t.Helper()
	file, err := os.Open(published.Path(t, "5-holders/uniswap-uni-claims-252803.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	holders := make([]Holding, len(rows)-1)
	for i, row := range rows[1:] {
		units, err := money.ParseUnits(row[2])
		if err != nil {
			t.Fatal(err)
		}
		holders[i] = Holding{strings.ToLower(row[1]), units}
	}
	slices.SortFunc(holders, func(a, b Holding) int { return strings.Compare(a.Holder, b.Holder) })
	return holders
}

// The published register of UNI: 252,803 holders, most of them with 400 UNI.
// Fails when an atto too few or too many is left over.
func TestAMillionAmongTheHoldersOfUNI(t *testing.T) {
	holders := uniHolders(t)
	if len(holders) != 252_803 {
		t.Fatalf("%d holders", len(holders))
	}
	supply := money.Units{}
	for _, h := range holders {
		var err error
		if supply, err = supply.Add(h.Units); err != nil {
			t.Fatal(err)
		}
	}
	if supply.String() != "149999999975656000000000000" {
		t.Fatalf("the supply is %v", supply)
	}
	for _, text := range []string{"1000000", "0.000000000000100003", "33333333.333333333333333333"} {
		pool := amount(t, text)
		shares, err := Divide(pool, holders)
		if err != nil {
			t.Fatal(err)
		}
		if sum := total(t, shares); sum != pool {
			t.Errorf("the shares of %v sum to %v", pool, sum)
		}
		if text == "1000000" { // The definition takes seconds.
			compare(t, pool, holders, shares)
		}
	}
}

func BenchmarkDivideAmongTheHoldersOfUNI(b *testing.B) {
	holders := uniHolders(b)
	pool := amount(b, "1000000")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Divide(pool, holders); err != nil {
			b.Fatal(err)
		}
	}
}
