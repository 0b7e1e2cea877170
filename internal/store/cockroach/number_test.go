package cockroach

import (
	"encoding/hex"
	"testing"
)

func TestNumbersThatCannotBeAreRefused(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"zero", "0000000000000012", "0"},
		{"one", "00010000000000120001", "1"},
		{"one atto", "0001fffb00000012" + "0064", "0.000000000000000001"},
		{"minus one atto", "0001fffb40000012" + "0064", "-0.000000000000000001"},
		{"ten thousand and a half", "000300010000000100010000" + "1388", "10000.5"},
		{"the least", "000a0004400000120000", ""},
		{"nineteen decimals", "0001fffb00000013" + "000a", ""},
		{"far too small", "0001fff000000013" + "0001", ""},
		{"far too large", "0001000a00000000" + "0001", ""},
		{"not a number", "00000000c0000000", ""},
		{"cut short", "000200000000", ""},
		{"shorter than it says", "00020000000000000001", ""},
		{"nothing", "", ""},
	} {
		data, err := hex.DecodeString(c.data)
		if err != nil {
			t.Fatal(err)
		}
		a, err := amountOf(data)
		if (err == nil) != (c.want != "") || err == nil && a.String() != c.want {
			t.Errorf("%s: %s, %v; want %q", c.name, a, err, c.want)
		}
	}
	if u, err := unitsOf([]byte{0, 1, 0, 0, 0x40, 0, 0, 0, 0, 1}); err == nil {
		t.Errorf("units below zero: %s", u)
	}
}
