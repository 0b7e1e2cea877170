package events

import (
	"strings"
	"testing"
	"time"
)

const listed = Holder("0xdcbeffbecce100cce9e4b153c4e15cb885643193")

func TestSpellingsOfOneHolder(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       Holder
	}{
		{"an address with its checksum", "0xdcbEfFBECcE100cCE9E4b153C4e15cB885643193", listed},
		{"an address in lower case", string(listed), listed},
		{"an address in upper case", "0xDCBEFFBECCE100CCE9E4B153C4E15CB885643193", listed},
		{"an address in upper case with its prefix", "0XDCBEFFBECCE100CCE9E4B153C4E15CB885643193", listed},
		{"an account of the main chain", "eip155:1:0xdcbEfFBECcE100cCE9E4b153C4e15cB885643193", listed},
		{"an account of another chain", "eip155:137:0xdcbeffbecce100cce9e4b153c4e15cb885643193", listed},
		// The four of EIP-55.
		{"EIP-55, the first", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"},
		{"EIP-55, the second", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359", "0xfb6916095ca1df60bb79ce92ce3ea74c37c5d359"},
		{"EIP-55, the third", "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB", "0xdbf03b407c01e7cd3cbea99509d93f8dddc8c6fb"},
		{"EIP-55, the fourth", "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb", "0xd1220a0cf47c7b9be7a2e6ba89f429762e7b9adb"},
		{"a name", "alice", "alice"},
		{"a name in its own case", "Alice", "Alice"},
		{"a name composed", "Zo\u00eb", "Zo\u00eb"},
		{"a name decomposed", "Zoe\u0308", "Zo\u00eb"},
		{"a Hangul name in its letters", "\u1112\u1161\u11ab", "\ud55c"},
		{"a name with colons", "fund:main:1", "fund:main:1"},
		{"an address of another chain", "149w62rY42aZBox8fGcmqNsXUzSStKeq8C", "149w62rY42aZBox8fGcmqNsXUzSStKeq8C"},
		{"a hash", strings.Repeat("ab", 32), Holder(strings.Repeat("ab", 32))},
		{"a UUID", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "3f2504e0-4f89-11d3-9a0c-0305e82c3301"},
		{"a sign of a formula, later", "a=b+c-d@e", "a=b+c-d@e"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseHolder(c.text)
			if err != nil || got != c.want {
				t.Fatalf("got %q, %v; want %q", got, err, c.want)
			}
			if CanonicalHolder(c.text) != got {
				t.Errorf("its canonical form is %q", CanonicalHolder(c.text))
			}
			if err := CheckHolder(got); err != nil {
				t.Errorf("its normal form is refused: %v", err)
			}
			if err := CheckHolder(Holder(c.text)); (err == nil) != (Holder(c.text) == got) {
				t.Errorf("as it is written: %v", err)
			}
		})
	}
}

// Everything here was accepted once, and most of it was paid.
func TestWhatIsNoHolder(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"two digits", "0x12", "it has 2 digits after 0x instead of 40"},
		{"39 digits", "0xdcbeffbecce100cce9e4b153c4e15cb88564319", "39 digits"},
		{"41 digits", "0xdcbeffbecce100cce9e4b153c4e15cb8856431933", "41 digits"},
		{"the prefix alone", "0x", "0 digits"},
		{"a wrong checksum", "0xdcbEfFBECcE100cCE9E4b153C4e15cB885643194", "checksum"},
		{"one letter in the wrong case", "0xDcbEfFBECcE100cCE9E4b153C4e15cB885643193", "checksum"},
		{"a digit that is none", "0xdcbeffbecce100cce9e4b153c4e15cb88564319g", `'g' is not a hexadecimal digit`},
		{"no prefix", "dcbeffbecce100cce9e4b153c4e15cb885643193", "looks like an address"},
		{"no prefix, and a digit lost", "dcbeffbecce100cce9e4b153c4e15cb88564319", "looks like an address"},
		{"no prefix, and two digits lost", "dcbeffbecce100cce9e4b153c4e15cb8856431", "looks like an address"},
		{"an O for the zero", "Oxdcbeffbecce100cce9e4b153c4e15cb885643193", "looks like an address"},
		{"a Cyrillic ha for the x", "0\u0445dcbeffbecce100cce9e4b153c4e15cb885643193", "looks like an address"},
		{"a Cyrillic a among the digits, without prefix", "dcbeffbecce100cce9e\u0430b153c4e15cb885643193", "looks like an address"},
		{"a Cyrillic ha and few digits", "0\u044512", "looks like an address"},
		{"wide digits", "\uff10\uff58dcbeffbecce100cce9e4b153c4e15cb885643193", "looks like an address"},
		{"the zero address", "0x0000000000000000000000000000000000000000", "zero address"},
		{"the zero address of a chain", "eip155:1:0x0000000000000000000000000000000000000000", "zero address"},
		{"a chain and no address", "eip155:1:alice", "begins with 0x"},
		{"a chain and a short address", "eip155:1:0x12", "2 digits"},
		{"a chain without number", "eip155::0xdcbeffbecce100cce9e4b153c4e15cb885643193", "looks like an address"},
		{"a scheme before an address", "ethereum:0xdcbeffbecce100cce9e4b153c4e15cb885643193", "looks like an address"},
		{"a line of a CSV", "0xdcbEfFBECcE100cCE9E4b153C4e15cB885643193,SDN", "not a hexadecimal digit"},
		{"a line of a CSV with a name", "mallory,SDN", "separates the cells"},
		{"a semicolon", "mallory;SDN", "separates the cells"},
		{"a bar", "mallory|SDN", "separates the cells"},
		{"a quote", `"mallory"`, "separates the cells"},
		{"a tab", "mallory\tSDN", "U+0009"},
		{"a formula", "=HYPERLINK(1)", "formula"},
		{"a plus", "+49", "formula"},
		{"a minus", "-1", "formula"},
		{"an at", "@SUM", "formula"},
		{"a wide equals sign", "＝1", "formula"},
		{"a tab first", "\t=1", "U+0009"},
		{"a carriage return first", "\r=1", "U+000D"},
		{"nothing", "", "empty"},
		{"a space", "a b", "U+0020"},
		{"a space that does not break", "a\u00a0b", "U+00A0"},
		{"an escape", "a\x1b[1m", "U+001B"},
		{"a space of no width", "mall\u200bory", "U+200B"},
		{"an override of direction", "\u202eyrollam", "U+202E"},
		{"a mark of byte order", "\ufeffmallory", "U+FEFF"},
		{"no UTF-8", "a\xff", "not UTF-8"},
		{"129 bytes", strings.Repeat("a", 129), "129 bytes"},
		{"128 bytes that normalise to more", strings.Repeat("\U0001d15e", 32), "bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := ParseHolder(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %q, %v; want an error with %q", got, err, c.want)
			}
			if CheckHolder(Holder(c.text)) == nil {
				t.Error("the codec takes it")
			}
			m := Movements{ID: "m", Token: "T", Actor: "operator:ada", At: time.Unix(1, 0), Movements: []Movement{
				{Kind: Transferred, From: "alice", To: Holder(c.text), Units: units("1"), Effective: time.Unix(1, 0)}}}
			if err := m.Validate(); err == nil || !strings.Contains(err.Error(), "movements[0].to") {
				t.Errorf("a movement to it: %v", err)
			}
			if err := (HoldersListed{List: "l", Parts: 1, Holders: []Holder{"ann", Holder(c.text)}}).Validate(); err == nil || !strings.Contains(err.Error(), "holders[1]") {
				t.Errorf("a list with it: %v", err)
			}
		})
	}
}

func TestAnAddressIsCheckedWithoutAllocation(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _ = CheckHolder(listed) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What is parsed is in normal form, and parsing it again changes nothing.
func FuzzParseHolder(f *testing.F) {
	for _, s := range []string{"alice", string(listed), "eip155:1:0xdcbEfFBECcE100cCE9E4b153C4e15cB885643193", "Zoe\u0308", "=1", "0x12"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHolder(s)
		if err != nil {
			return
		}
		if again, err := ParseHolder(string(h)); err != nil || again != h {
			t.Errorf("%q becomes %q, and that %q, %v", s, h, again, err)
		}
		if CheckHolder(h) != nil || CanonicalHolder(s) != h || CanonicalHolder(string(h)) != h {
			t.Errorf("%q: %v, canonical %q", h, CheckHolder(h), CanonicalHolder(s))
		}
	})
}
