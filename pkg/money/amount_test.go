package money

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

func amount(t testing.TB, s string) Amount {
	t.Helper()
	a, err := ParseAmount(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func quantity(t testing.TB, s string) Quantity {
	t.Helper()
	q, err := ParseQuantity(s)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

const (
	largest  = "170141183460469231731.687303715884105727"
	smallest = "-170141183460469231731.687303715884105728"
)

// limbs draws integers of every size, and the limits of each size, about equally
// often: uniform 128-bit integers would almost never be small.
func limbs(t *rapid.T) (hi, lo uint64) {
	n := rapid.IntRange(0, 128).Draw(t, "bits")
	u := uint128{rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
	if rapid.IntRange(0, 3).Draw(t, "end") == 0 {
		u = uint128{1<<64 - 1, 1<<64 - 1}
	}
	if n == 0 {
		return 0, 0
	}
	u = u.shiftRight(128 - n)
	return u.hi, u.lo
}

func drawAmount(t *rapid.T) Amount {
	hi, lo := limbs(t)
	return AmountFromLimbs(int64(hi), lo)
}

func drawUnits(t *rapid.T) Units {
	hi, lo := limbs(t)
	return Units{hi, lo}
}

func TestParseAmount(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		err        error
	}{
		"zero":                                 {"0", "0", nil},
		"minus zero is zero":                   {"-0.00", "0", nil},
		"zero at any exponent":                 {"0e999999999999999999999", "0", nil},
		"a price list's exponent":              {"2.5e-07", "0.00000025", nil},
		"capital exponent, plus signs":         {"+1.5E+2", "150", nil},
		"no digit before the point":            {".5", "0.5", nil},
		"no digit behind the point":            {"5.", "5", nil},
		"one atto":                             {"0.000000000000000001", "0.000000000000000001", nil},
		"zeros beyond 18 places":               {"0.1" + strings.Repeat("0", 5000), "0.1", nil},
		"zeros in front":                       {strings.Repeat("0", 5000) + "7", "7", nil},
		"an exponent that brings digits back":  {"1" + strings.Repeat("0", 200) + "e-200", "1", nil},
		"a fraction brought up":                {"0." + strings.Repeat("0", 200) + "1e201", "1", nil},
		"largest":                              {largest, largest, nil},
		"smallest":                             {smallest, smallest, nil},
		"half an atto":                         {"0.0000000000000000005", "", ErrPrecision},
		"a digit beyond 18 places":             {"1e-19", "", ErrPrecision},
		"a digit very far beyond":              {"1e-99999999999999999999", "", ErrPrecision},
		"many digits, the last beyond":         {"1." + strings.Repeat("3", 60), "", ErrPrecision},
		"one above the largest":                {"170141183460469231731.687303715884105728", "", ErrOverflow},
		"one below the smallest":               {"-170141183460469231731.687303715884105729", "", ErrOverflow},
		"2¹²⁸ attos do not wrap to zero":       {"340282366920938463463.374607431768211456", "", ErrOverflow},
		"a large exponent":                     {"1e21", "", ErrOverflow},
		"a hostile exponent":                   {"1e99999999999999999999", "", ErrOverflow},
		"many digits":                          {strings.Repeat("9", 300), "", ErrOverflow},
		"a multiple of 2¹²⁸ beyond the digits": {"3402823669209384634633746074317682114560000000000000000000000", "", ErrOverflow},
		"empty":                          {"", "", ErrSyntax},
		"a sign":                         {"-", "", ErrSyntax},
		"a point":                        {".", "", ErrSyntax},
		"only an exponent":               {"e5", "", ErrSyntax},
		"an empty exponent":              {"1e", "", ErrSyntax},
		"a signed empty exponent":        {"1e-", "", ErrSyntax},
		"a fractional exponent":          {"1e1.5", "", ErrSyntax},
		"space in front":                 {" 1", "", ErrSyntax},
		"space behind":                   {"1 ", "", ErrSyntax},
		"line end":                       {"1\n", "", ErrSyntax},
		"thousands separators":           {"1,000", "", ErrSyntax},
		"underscores":                    {"1_000", "", ErrSyntax},
		"two points":                     {"1.2.3", "", ErrSyntax},
		"two signs":                      {"--1", "", ErrSyntax},
		"hexadecimal":                    {"0x10", "", ErrSyntax},
		"not a number":                   {"NaN", "", ErrSyntax},
		"infinity":                       {"Infinity", "", ErrSyntax},
		"other digits":                   {"١", "", ErrSyntax},
		"NUL":                            {"1\x00", "", ErrSyntax},
		"many digits and then no number": {strings.Repeat("9", 300) + "x", "", ErrSyntax},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := ParseAmount(c.text)
			if !errors.Is(err, c.err) || (c.err == nil) != (err == nil) {
				t.Fatalf("got %v, %v; want error %v", a, err, c.err)
			}
			if err == nil && a.String() != c.want {
				t.Errorf("got %v, want %s", a, c.want)
			}
			if err != nil && len(err.Error()) > 250 {
				t.Errorf("the error quotes %d bytes of hostile text", len(err.Error()))
			}
		})
	}
}

// FuzzParseAmount compares the parser with shopspring/decimal. Fails when the
// parser drops zeros between digits.
func FuzzParseAmount(f *testing.F) {
	for _, s := range []string{"0", "-0.5", "1e-18", "10203.04050", "1e20", largest, smallest, "100000000000000000000000001e-9", ".", "1e+"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAmount(s)
		if len(s) > 200 {
			return
		}
		d, theirs := decimal.NewFromString(s)
		if err != nil {
			if theirs == nil && !strings.ContainsAny(s, "_") && d.Exponent() > -1000 && d.Exponent() < 1000 {
				if _, err2 := AmountFromDecimal(d); !errors.Is(err, ErrSyntax) && err2 == nil {
					t.Fatalf("%q refused with %v, but is %v", s, err, d)
				}
			}
			return
		}
		if theirs == nil && !a.Decimal().Equal(d) {
			t.Fatalf("%q read as %v, want %v", s, a, d)
		}
		b, err := ParseAmount(a.String())
		if err != nil || a != b {
			t.Fatalf("%q: %v written and read is %v, %v", s, a, b, err)
		}
		c, err := AmountFromDecimal(a.Decimal())
		if err != nil || a != c {
			t.Fatalf("%q: %v through a decimal is %v, %v", s, a, c, err)
		}
	})
}

// Fails when add forgets the carry, when sub forgets the borrow, or when either
// forgets its check of signs.
func TestArithmeticIsThatOfIntegers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawAmount(t), drawAmount(t)
		check := func(name string, got Amount, err error, exact *big.Int) {
			want, fits := amountOfBig(exact)
			if fits && (err != nil || got != want) {
				t.Fatalf("%v %s %v = %v, %v; want %v", a, name, b, got, err, want)
			}
			if !fits && !errors.Is(err, ErrOverflow) {
				t.Fatalf("%v %s %v = %v, %v; want an overflow", a, name, b, got, err)
			}
		}
		x, y := bigOf(a), bigOf(b)
		sum, err := a.Add(b)
		check("+", sum, err, new(big.Int).Add(x, y))
		difference, err := a.Sub(b)
		check("-", difference, err, new(big.Int).Sub(x, y))
		opposite, err := a.Neg()
		check("negated", opposite, err, new(big.Int).Neg(x))
		size, err := a.Abs()
		check("absolute", size, err, new(big.Int).Abs(x))
		if a.Cmp(b) != x.Cmp(y) || a.Sign() != x.Sign() || a.IsZero() != (x.Sign() == 0) {
			t.Fatalf("%v against %v: order %d, sign %d, zero %t", a, b, a.Cmp(b), a.Sign(), a.IsZero())
		}
		ab, bb := a.Bytes(), b.Bytes()
		if bytes.Compare(ab[:], bb[:]) != x.Cmp(y) {
			t.Fatalf("bytes of %v and %v are not in their order", a, b)
		}
		if AmountFromBytes(ab) != a || AmountFromLimbs(a.Limbs()) != a {
			t.Fatalf("%v is not what it was after bytes or limbs", a)
		}
		if s := new(big.Rat).SetFrac(x, big.NewInt(one)); canonical(s) != a.String() {
			t.Fatalf("%v is written as %s, want %s", x, a, canonical(s))
		}
	})
}

// canonical writes with 18 places and cuts the zeros off.
func canonical(r *big.Rat) string {
	return strings.TrimSuffix(strings.TrimRight(r.FloatString(places), "0"), ".")
}

func TestSignAtTheEnds(t *testing.T) {
	for text, want := range map[string]int{"0": 0, "0.000000000000000001": 1, "-0.000000000000000001": -1, largest: 1, smallest: -1, "18.446744073709551616": 1} {
		if got := amount(t, text).Sign(); got != want {
			t.Errorf("sign of %s is %d", text, got)
		}
	}
	if _, err := amount(t, smallest).Neg(); !errors.Is(err, ErrOverflow) {
		t.Errorf("the smallest amount has an opposite: %v", err)
	}
	if got := amount(t, "-1").Bytes(); got != [16]byte{0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf2, 0x1f, 0x49, 0x4c, 0x58, 0x9c, 0, 0} {
		t.Errorf("golden bytes of -1 are %x", got)
	}
	if Atto(-1).String() != "-0.000000000000000001" || Atto(-1<<63).String() != "-9.223372036854775808" {
		t.Errorf("Atto loses the sign: %v, %v", Atto(-1), Atto(-1<<63))
	}
}

// Fails when halfEven rounds ties up, or MulDivFloor towards zero.
func TestMulDivIsTheRoundedFraction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, num, den := drawAmount(t), drawUnits(t), drawUnits(t)
		if rapid.Bool().Draw(t, "tie") { // Ties are rare unless made.
			den.Lo &^= 1
			num = Units{den.Hi >> 1, den.Lo>>1 | den.Hi<<63}
		}
		if den.IsZero() {
			if _, err := MulDiv(a, num, den); !errors.Is(err, ErrDomain) {
				t.Fatalf("divided by zero: %v", err)
			}
			if _, err := MulDivFloor(a, num, den); !errors.Is(err, ErrDomain) {
				t.Fatalf("divided by zero: %v", err)
			}
			return
		}
		exact := new(big.Rat).SetFrac(new(big.Int).Mul(bigOf(a), bigOfUnits(num)), bigOfUnits(den))
		for _, c := range []struct {
			name   string
			divide func(Amount, Units, Units) (Amount, error)
			want   *big.Int
		}{{"half even", MulDiv, halfEvenOf(exact)}, {"floor", MulDivFloor, floorOf(exact)}} {
			got, err := c.divide(a, num, den)
			want, fits := amountOfBig(c.want)
			if fits && (err != nil || got != want) {
				t.Fatalf("%s of %v × %v ÷ %v = %v, %v; want %v", c.name, a, num, den, got, err, want)
			}
			if !fits && !errors.Is(err, ErrOverflow) {
				t.Fatalf("%s of %v × %v ÷ %v = %v, %v; want an overflow", c.name, a, num, den, got, err)
			}
		}
	})
}

func TestJSON(t *testing.T) {
	type book struct {
		A Amount   `json:"a"`
		Q Quantity `json:"q"`
		U Units    `json:"u"`
		P Price    `json:"p"`
	}
	for name, c := range map[string]struct {
		in, out string
		err     error
	}{
		"strings":               {`{"a":"-0.50","q":"1e3","u":"340282366920938463463374607431768211455","p":{"amount":"2.50","per":"1000000"}}`, `{"a":"-0.5","q":"1000","u":"340282366920938463463374607431768211455","p":{"amount":"2.5","per":"1000000"}}`, nil},
		"numbers, from text":    {`{"a":2.5e-07,"q":0.1,"u":18446744073709551617,"p":{"amount":0,"per":1}}`, `{"a":"0.00000025","q":"0.1","u":"18446744073709551617","p":{"amount":"0","per":"1"}}`, nil},
		"19 places":             {`{"a":0.1234567890123456789}`, "", ErrPrecision},
		"null":                  {`{"a":null}`, "", ErrSyntax},
		"null units":            {`{"u":null}`, "", ErrSyntax},
		"true":                  {`{"a":true}`, "", ErrSyntax},
		"an escape":             {`{"a":"\u0031"}`, "", ErrSyntax},
		"fractional units":      {`{"u":1.5}`, "", ErrSyntax},
		"exponent of units":     {`{"u":1e3}`, "", ErrSyntax},
		"negative units":        {`{"u":-1}`, "", ErrSyntax},
		"units beyond 128 bits": {`{"u":340282366920938463463374607431768211456}`, "", ErrOverflow},
		"an array":              {`{"a":[1]}`, "", ErrSyntax},
		"empty":                 {`{"a":""}`, "", ErrSyntax},
	} {
		t.Run(name, func(t *testing.T) {
			var b book
			err := json.Unmarshal([]byte(c.in), &b)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			if err != nil {
				return
			}
			if out, err := json.Marshal(b); err != nil || string(out) != c.out {
				t.Errorf("got %s, %v; want %s", out, err, c.out)
			}
		})
	}
	m := map[Amount]string{Atto(1): "x"}
	if out, err := json.Marshal(m); err != nil || string(out) != `{"0.000000000000000001":"x"}` {
		t.Errorf("as a key: %s, %v", out, err)
	}
}

func TestDecimalsAtTheEdges(t *testing.T) {
	end := decimal.RequireFromString(largest)
	for name, c := range map[string]struct {
		d    decimal.Decimal
		want error
	}{
		"zero at a hostile exponent":  {decimal.New(0, 1_000_000_000), nil},
		"a hostile exponent":          {decimal.New(1, 1_000_000_000), ErrOverflow},
		"a hostile negative exponent": {decimal.New(1, -1_000_000_000), ErrPrecision},
		"19 places":                   {decimal.New(1, -19), ErrPrecision},
		"zeros at 21 places":          {decimal.New(-1000, -21), nil},
		"21 digits":                   {decimal.New(1, 20), nil},
		"22 digits":                   {decimal.New(1, 21), ErrOverflow},
		"the largest":                 {end, nil},
		"one above the largest":       {end.Add(decimal.New(1, -18)), ErrOverflow},
		"the smallest":                {end.Neg().Sub(decimal.New(1, -18)), nil},
		"one below the smallest":      {end.Neg().Sub(decimal.New(2, -18)), ErrOverflow},
	} {
		d, text, want := c.d, name, c.want
		a, err := AmountFromDecimal(d)
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s became %v, %v; want %v", text, a, err, want)
		}
		if err == nil && !a.Decimal().Equal(d) {
			t.Errorf("%s became %v", text, a)
		}
		q, err2 := QuantityFromDecimal(d)
		if q.int128 != a.int128 || (err == nil) != (err2 == nil) {
			t.Errorf("%s became the quantity %v, %v", text, q, err2)
		}
	}
}

func FuzzParseUnits(f *testing.F) {
	for _, s := range []string{"0", "007", "340282366920938463463374607431768211455", "340282366920938463463374607431768211456", "-1", "1.0", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseUnits(s)
		digits := s != "" && strings.Trim(s, "0123456789") == ""
		if !digits {
			if !errors.Is(err, ErrSyntax) {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		n, _ := new(big.Int).SetString(s, 10)
		if n.BitLen() > 128 {
			if !errors.Is(err, ErrOverflow) {
				t.Fatalf("%q: %v, %v", s, u, err)
			}
			return
		}
		if err != nil || bigOfUnits(u).Cmp(n) != 0 || u.String() != n.String() || UnitsFromBytes(u.Bytes()) != u {
			t.Fatalf("%q: %v, %v", s, u, err)
		}
	})
}

func TestUnitsArithmeticIsThatOfIntegers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawUnits(t), drawUnits(t)
		x, y := bigOfUnits(a), bigOfUnits(b)
		sum, err := a.Add(b)
		if exact := new(big.Int).Add(x, y); exact.BitLen() > 128 != errors.Is(err, ErrOverflow) || err == nil && bigOfUnits(sum).Cmp(exact) != 0 {
			t.Fatalf("%v + %v = %v, %v", a, b, sum, err)
		}
		difference, err := a.Sub(b)
		if exact := new(big.Int).Sub(x, y); exact.Sign() < 0 != errors.Is(err, ErrOverflow) || err == nil && bigOfUnits(difference).Cmp(exact) != 0 {
			t.Fatalf("%v - %v = %v, %v", a, b, difference, err)
		}
		if a.Cmp(b) != x.Cmp(y) || a.String() != x.String() {
			t.Fatalf("%v against %v", a, b)
		}
	})
}

func TestAttosOfAnAmount(t *testing.T) {
	for _, a := range []Amount{{}, Atto(1), One, AmountFromLimbs(math.MaxInt64, math.MaxUint64)} {
		if u, err := a.Units(); err != nil || AmountFromLimbs(int64(u.Hi), u.Lo) != a {
			t.Errorf("%v has %v attos, %v", a, u, err)
		}
	}
	for _, a := range []Amount{Atto(-1), AmountFromLimbs(math.MinInt64, 0)} {
		if u, err := a.Units(); !errors.Is(err, ErrDomain) {
			t.Errorf("%v has %v attos, %v", a, u, err)
		}
	}
	if u, err := One.Units(); err != nil || u != Whole || (Quantity{int128{1, 2}}).Attos() != AmountFromLimbs(1, 2) {
		t.Errorf("a whole has %v attos, %v", u, err)
	}
}
