package money

import (
	"errors"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// Fails when Charge rounds ties up or drops the carry of rounding up.
func TestChargesOfAnInvoice(t *testing.T) {
	for name, c := range map[string]struct {
		amount, per, quote, quantity, want string
	}{
		"input tokens of the Azure trace":        {"2.50", "1000000", "1", "22361870", "55.904675"},
		"output tokens of the Azure trace":       {"10.00", "1000000", "1", "4088665", "40.88665"},
		"GPU-seconds by the hour":                {"1.99", "3600", "1", "3600", "1.99"},
		"a second of an hour's price, rounded":   {"1.99", "3600", "1", "1", "0.000552777777777778"},
		"a correction is of equal size":          {"1.99", "3600", "1", "-1", "-0.000552777777777778"},
		"a cheap asset costs more of it":         {"1", "1", "0.88", "1", "1.136363636363636364"},
		"the depeg's trigger":                    {"2.50", "1000000", "0.99209183", "1000000", "2.519928019163306687"},
		"half an atto, to even below":            {"0.000000000000000001", "1", "1", "0.5", "0"},
		"one and a half, to even above":          {"0.000000000000000003", "1", "1", "0.5", "0.000000000000000002"},
		"two and a half, to even below":          {"0.000000000000000005", "1", "1", "0.5", "0.000000000000000002"},
		"the same below zero":                    {"0.000000000000000005", "1", "1", "-0.5", "-0.000000000000000002"},
		"2⁶⁴ - ¼ attos carry into the next word": {"0.25", "1", "1", "73.786976294838206463", "18.446744073709551616"},
		"free":                                 {"0", "1000", "1", "22361870", "0"},
		"nothing used":                         {"2.5", "1", "1", "0", "0"},
		"the largest quantity at a tiny price": {"0.000000000000000001", "1", "1", largest, "170.141183460469231732"},
		"a fraction that needs more than 64 bits": {"1.23456789012345", "7.000000000000000001", "0.999876543210987", "98765.432109876543", "17421.098058116067680601"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ParsePrice(c.amount, c.per)
			if err != nil {
				t.Fatal(err)
			}
			r, err := p.Rate(amount(t, c.quote))
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Charge(quantity(t, c.quantity))
			want := chargeOf(p, amount(t, c.quote), quantity(t, c.quantity))
			if err != nil || bigOf(got).Cmp(want) != 0 {
				t.Fatalf("charged %v, %v; the rationals say %v attos", got, err, want)
			}
			if got.String() != c.want {
				t.Errorf("charged %v, want %s", got, c.want)
			}
		})
	}
}

// chargeOf is quantity × amount ÷ per ÷ quote by the definition of each.
func chargeOf(p Price, quote Amount, q Quantity) *big.Int {
	unit := big.NewInt(one)
	exact := new(big.Rat).SetFrac(bigOf(Amount{q.int128}), bigOf(Amount{p.Per.int128}))
	exact.Mul(exact, new(big.Rat).SetFrac(bigOf(p.Amount), unit))
	exact.Quo(exact, new(big.Rat).SetFrac(bigOf(quote), unit))
	return halfEvenOf(exact.Mul(exact, new(big.Rat).SetInt(unit)))
}

// Fails when Rate leaves out the 10¹⁸ of a quote or a reduction, and when Charge
// truncates.
func TestChargeIsThePriceRoundedOnce(t *testing.T) {
	charged, general := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		a, per, quote := drawAmount(t), Quantity{drawAmount(t).int128}, drawAmount(t)
		if rapid.Bool().Draw(t, "usual") { // Of the sizes that cards have.
			a = Atto(rapid.Int64Range(0, 1_000_000).Draw(t, "micro")*1_000_000_000_000 + rapid.Int64Range(0, 3).Draw(t, "atto"))
			per = Quantity{Atto(one / 1000 * rapid.Int64Range(1, 9_000).Draw(t, "milli")).int128}
			quote = Atto(rapid.Int64Range(1, 2e8).Draw(t, "quote") * 10_000_000_000)
		}
		q := Quantity{drawAmount(t).int128}
		p := Price{a, per}
		r, err := p.Rate(quote)
		if a.Sign() < 0 || per.Sign() <= 0 || quote.Sign() <= 0 {
			if !errors.Is(err, ErrDomain) {
				t.Fatalf("a rate of %v at %v: %v, %v", p, quote, r, err)
			}
			return
		}
		num, den := r.Fraction()
		if err == nil {
			if new(big.Int).GCD(nil, nil, bigOfUnits(num), bigOfUnits(den)).Cmp(big.NewInt(1)) != 0 {
				t.Fatalf("%v is not in lowest terms", r)
			}
		} else {
			exact := new(big.Rat).SetFrac(new(big.Int).Mul(bigOf(a), big.NewInt(one)), new(big.Int).Mul(bigOf(Amount{per.int128}), bigOf(quote)))
			if !errors.Is(err, ErrOverflow) || exact.Num().BitLen() <= 128 && exact.Denom().BitLen() <= 128 {
				t.Fatalf("%v at %v is %v and was refused: %v", p, quote, exact, err)
			}
			return
		}
		got, err := r.Charge(q)
		want, fits := amountOfBig(chargeOf(p, quote, q))
		if fits && (err != nil || got != want) {
			t.Fatalf("%v for %v at a quote of %v: %v, %v; want %v", p, q, quote, got, err, want)
		}
		if !fits && !errors.Is(err, ErrOverflow) {
			t.Fatalf("%v for %v at a quote of %v: %v, %v; want an overflow", p, q, quote, got, err)
		}
		charged++
		if num.Hi|den.Hi != 0 {
			general++
		}
	})
	t.Logf("%d charges compared, %d of them by more than 64 bits", charged, general)
}

// Covers any fraction, not only those that prices make; FuzzCharge reaches the
// limits.
func FuzzCharge(f *testing.F) {
	f.Add(int64(0), uint64(5), uint64(0), uint64(1), uint64(0), uint64(2))
	f.Add(int64(-1<<63), uint64(0), uint64(0), uint64(1), uint64(0), uint64(1))
	f.Add(int64(1<<63-1), uint64(1<<64-1), uint64(0), uint64(1<<64-1), uint64(0), uint64(1<<63))
	f.Add(int64(1<<63-1), uint64(1<<64-1), uint64(1<<63), uint64(1), uint64(1<<63), uint64(3))
	f.Add(int64(1<<62), uint64(7), uint64(1<<64-1), uint64(1<<64-1), uint64(1<<64-1), uint64(1<<64-2))
	f.Add(int64(0x5555555555555555), uint64(0x5555555555555555), uint64(0), uint64(15), uint64(0), uint64(5))
	f.Fuzz(func(t *testing.T, qhi int64, qlo, nhi, nlo, dhi, dlo uint64) {
		q := QuantityFromLimbs(qhi, qlo)
		r, err := rateOf(Units{nhi, nlo}, Units{dhi, dlo})
		if dhi|dlo == 0 {
			if !errors.Is(err, ErrDomain) {
				t.Fatal(err)
			}
			return
		}
		exact := new(big.Rat).SetFrac(bigOfUnits(Units{nhi, nlo}), bigOfUnits(Units{dhi, dlo}))
		exact.Mul(exact, new(big.Rat).SetInt(bigOf(Amount{q.int128})))
		want, fits := amountOfBig(halfEvenOf(exact))
		got, err := r.Charge(q)
		if fits && (err != nil || got != want) || !fits && !errors.Is(err, ErrOverflow) {
			t.Fatalf("%v × %v: %v, %v; want %v, %t", q, r, got, err, want, fits)
		}
	})
}

// A quotient of 2¹²⁸-1 and a rest above one half: rounding up would wrap to
// zero. Fails when Charge ignores the carry out of its increment.
func TestChargeDoesNotWrapWhenItRoundsUp(t *testing.T) {
	// A quantity × n ÷ d just below 2¹²⁸ exists only if n divides 2¹²⁸ × d - 1.
	target := new(big.Int).Lsh(big.NewInt(1), 128)
	found := 0
	for d := int64(3); d < 4000 && found < 3; d += 2 {
		product := new(big.Int).Mul(target, big.NewInt(d))
		product.Sub(product, big.NewInt(1))
		for n := int64(2); n < 4000; n++ {
			q, rest := new(big.Int).QuoRem(product, big.NewInt(n), new(big.Int))
			if rest.Sign() != 0 || q.BitLen() > 127 {
				continue
			}
			r, err := rateOf(UnitsOf(uint64(n)), UnitsOf(uint64(d)))
			if err != nil {
				t.Fatal(err)
			}
			a, _ := amountOfBig(q)
			if got, err := r.Charge(Quantity{a.int128}); !errors.Is(err, ErrOverflow) {
				t.Fatalf("%v × %v = %v, %v; want an overflow", a, r, got, err)
			}
			found++
		}
	}
	if found == 0 {
		t.Fatal("no such case was found")
	}
}

func TestInvalidPrices(t *testing.T) {
	for name, c := range map[string]struct {
		amount, per string
		want        error
	}{
		"negative":           {"-1", "1", ErrDomain},
		"per nothing":        {"1", "0", ErrDomain},
		"per less":           {"1", "-1", ErrDomain},
		"no number":          {"x", "1", ErrSyntax},
		"no quantity":        {"1", "", ErrSyntax},
		"more than 18 place": {"1e-19", "1", ErrPrecision},
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := ParsePrice(c.amount, c.per); !errors.Is(err, c.want) {
				t.Errorf("got %v, %v", p, err)
			}
		})
	}
	if _, err := (Rate{}).Charge(quantity(t, "1")); !errors.Is(err, ErrDomain) {
		t.Errorf("a rate that was never set charged: %v", err)
	}
	half, _ := ParsePrice("0.5", "1")
	same, _ := ParsePrice("50", "100")
	a, _ := half.Rate(One)
	b, _ := same.Rate(One)
	if a != b || a.String() != "1/2" {
		t.Errorf("equal prices have the rates %v and %v", a, b)
	}
}

// Fails when an exact multiple is billed as one multiple more.
func TestBillingGranularity(t *testing.T) {
	for name, c := range map[string]struct {
		q, g, want string
		err        error
	}{
		"61 s by the minute":       {"61", "60", "120", nil},
		"60 s by the minute":       {"60", "60", "60", nil},
		"nothing":                  {"0", "60", "0", nil},
		"an atto above":            {"60.000000000000000001", "60", "120", nil},
		"an atto below":            {"59.999999999999999999", "60", "60", nil},
		"tenths":                   {"0.11", "0.1", "0.2", nil},
		"a multiple out of range":  {largest, "100000000000000000000", "", ErrOverflow},
		"the largest granularity":  {"1", largest, largest, nil},
		"negative":                 {"-1", "60", "", ErrDomain},
		"a granularity of zero":    {"1", "0", "", ErrDomain},
		"a granularity below zero": {"1", "-1", "", ErrDomain},
		"below it":                 {"1", "60", "60", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := quantity(t, c.q).CeilTo(quantity(t, c.g))
			if !errors.Is(err, c.err) || err == nil && got.String() != c.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// Fails when a mantissa of 2¹²⁷ is read as a sign, and at a scale of 19.
func TestQuantityFromMantissa(t *testing.T) {
	for _, c := range []struct {
		hi, lo uint64
		scale  uint8
		want   error
	}{{1<<63 - 1, 1<<64 - 1, 18, nil}, {1 << 63, 0, 18, ErrOverflow}, {0, 1 << 63, 0, nil}, {9, 1 << 61, 0, nil}, {9, 1 << 62, 0, ErrOverflow}, {10, 0, 0, ErrOverflow}, {0, 1, 19, ErrPrecision}, {0, 0, 255, ErrPrecision}} {
		if q, err := QuantityFromMantissa(c.hi, c.lo, c.scale); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Fatalf("%d, %d at %d is %v, %v; want %v", c.hi, c.lo, c.scale, q, err, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		hi, lo := limbs(t)
		scale := rapid.Uint8Range(0, 20).Draw(t, "scale")
		q, err := QuantityFromMantissa(hi, lo, scale)
		if scale > 18 {
			if !errors.Is(err, ErrPrecision) {
				t.Fatalf("a scale of %d: %v", scale, err)
			}
			return
		}
		exact := bigOfUnits(Units{hi, lo})
		exact.Mul(exact, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(18-scale)), nil))
		want, fits := amountOfBig(exact)
		if fits && (err != nil || q.int128 != want.int128) || !fits && !errors.Is(err, ErrOverflow) {
			t.Fatalf("%d, %d at %d: %v, %v; want %v, %t", hi, lo, scale, q, err, want, fits)
		}
		if err != nil {
			return
		}
		h, l, s, err := q.Mantissa()
		again, err2 := QuantityFromMantissa(h, l, s)
		if err != nil || err2 != nil || again != q || s > scale {
			t.Fatalf("%v has the mantissa %d, %d at %d, %v, %v", q, h, l, s, err, err2)
		}
		if s > 0 && l%10 == 0 && h == 0 {
			t.Fatalf("%v has a mantissa with a zero too many at %d", q, s)
		}
	})
}

// Fails when the floor or the ceiling rounds towards or away from zero instead,
// and when Minor drops what is below a minor unit.
func TestMinorUnits(t *testing.T) {
	for name, c := range map[string]struct {
		amount string
		asset  Asset
		floor  [2]string
		ceil   [2]string
	}{
		"USDC has 6 places":        {"1.2345678", "USDC", [2]string{"1.234567", "0.0000008"}, [2]string{"1.234568", "-0.0000002"}},
		"whole already":            {"1.25", "EUR", [2]string{"1.25", "0"}, [2]string{"1.25", "0"}},
		"below zero":               {"-0.001", "USD", [2]string{"-0.01", "0.009"}, [2]string{"0", "-0.001"}},
		"yen have no places":       {"99.999999999999999999", "JPY", [2]string{"99", "0.999999999999999999"}, [2]string{"100", "-0.000000000000000001"}},
		"an asset counted in atto": {"0.000000000000000001", "UNI", [2]string{"0.000000000000000001", "0"}, [2]string{"0.000000000000000001", "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			whole, rest, err := amount(t, c.amount).FloorMinor(c.asset)
			if got := [2]string{whole.String(), rest.String()}; err != nil || got != c.floor {
				t.Errorf("floor is %v, %v; want %v", got, err, c.floor)
			}
			whole, rest, err = amount(t, c.amount).CeilMinor(c.asset)
			if got := [2]string{whole.String(), rest.String()}; err != nil || got != c.ceil {
				t.Errorf("ceiling is %v, %v; want %v", got, err, c.ceil)
			}
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		a := drawAmount(t)
		asset := rapid.SampledFrom([]Asset{"USDC", "USD", "JPY", "ETH"}).Draw(t, "asset")
		minor, _ := asset.minor()
		exact := new(big.Rat).SetFrac(bigOf(a), new(big.Int).SetUint64(minor))
		floor := floorOf(exact)
		ceil := new(big.Int).Neg(floorOf(exact.Neg(exact)))
		for _, c := range []struct {
			split func(Asset) (Amount, Amount, error)
			want  *big.Int
		}{{a.FloorMinor, floor}, {a.CeilMinor, ceil}} {
			whole, rest, err := c.split(asset)
			want, fits := amountOfBig(new(big.Int).Mul(c.want, new(big.Int).SetUint64(minor)))
			if !fits {
				if !errors.Is(err, ErrOverflow) {
					t.Fatalf("%v %s: %v, %v", a, asset, whole, err)
				}
				continue
			}
			if sum, _ := whole.Add(rest); err != nil || whole != want || sum != a {
				t.Fatalf("%v %s is split into %v and %v, %v", a, asset, whole, rest, err)
			}
			units, err := whole.Minor(asset)
			if whole.Sign() < 0 {
				if !errors.Is(err, ErrDomain) {
					t.Fatalf("%v: %v", whole, err)
				}
				continue
			}
			if back, err2 := amountFromMinor(units, asset); err != nil || err2 != nil || back != whole {
				t.Fatalf("%v is %v minor units and %v again: %v, %v", whole, units, back, err, err2)
			}
		}
	})
	if n, err := amount(t, "0.0000001").Minor("USDC"); !errors.Is(err, ErrPrecision) {
		t.Errorf("a tenth of a minor unit counted as %v, %v", n, err)
	}
	if _, _, err := One.FloorMinor("XYZ"); !errors.Is(err, ErrDomain) {
		t.Errorf("an unknown asset has a minor unit: %v", err)
	}
	if n, err := amountFromMinor(Units{Hi: 1 << 63}, "USDC"); !errors.Is(err, ErrOverflow) {
		t.Errorf("2¹²⁷ minor units are %v, %v", n, err)
	}
}

func TestAssetCodes(t *testing.T) {
	for code, valid := range map[Asset]bool{"USDC": true, "A": true, "ABCDEFGHIJ12": true, "": false, "ABCDEFGHIJ123": false, "usdc": false, "US C": false, "ÜSD": false, "U\x00": false} {
		if err := code.Valid(); (err == nil) != valid {
			t.Errorf("%q: %v", string(code), err)
		}
	}
	for asset, want := range map[Asset]uint8{"USDC": 6, "USDT": 6, "EURC": 6, "PYUSD": 6, "DAI": 18, "USD": 2, "EUR": 2, "GBP": 2, "CHF": 2, "JPY": 0, "ETH": 18, "RPL": 18, "UNI": 18} {
		if got, err := asset.Decimals(); err != nil || got != want {
			t.Errorf("%s has %d places, %v", asset, got, err)
		}
	}
}

var sink Amount

func TestHotPathAllocatesNothing(t *testing.T) {
	p, _ := ParsePrice("2.50", "1000000")
	par, _ := p.Rate(One)
	wide, _ := rateOf(Units{3, 5}, Units{7, 11})
	q := quantity(t, "12345.678")
	for name, run := range map[string]func(){
		"Charge":               func() { sink, _ = par.Charge(q) },
		"Charge of 128 bits":   func() { sink, _ = wide.Charge(q) },
		"QuantityFromMantissa": func() { a, _ := QuantityFromMantissa(0, 12345, 3); sink = Amount{a.int128} },
		"Add":                  func() { sink, _ = sink.Sub(sink) },
		"ParseAmount":          func() { sink, _ = ParseAmount("12345.678") },
		"CeilTo":               func() { a, _ := q.CeilTo(q); sink = Amount{a.int128} },
	} {
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkCharge(b *testing.B) {
	p, _ := ParsePrice("2.50", "1000000")
	par, _ := p.Rate(One)
	quoted, _ := p.Rate(Atto(999_912_340_000_000_000))
	wide, _ := rateOf(Units{3, 5}, Units{7, 11})
	for _, c := range []struct {
		name string
		rate Rate
		q    string
	}{{"64-bit quantity", par, "12.5"}, {"tokens at par", par, "123456"}, {"tokens at a quote", quoted, "123456"}, {"128-bit fraction", wide, "123456"}} {
		q := quantity(b, c.q)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a, err := c.rate.Charge(q)
				if err != nil {
					b.Fatal(err)
				}
				sink = a
			}
		})
	}
}

func BenchmarkParseAmount(b *testing.B) {
	for _, s := range []string{"12345.678", "0.000552777777777778", "624764262.3666666666755"} {
		b.Run(s, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sink, _ = ParseAmount(s)
			}
		})
	}
}
