package events

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"
)

// leaves returns the event leaves of samples, one after the other.
func leaves(t testing.TB, sequenced bool, n int) (*Columns, [][]byte) {
	t.Helper()
	var c Columns
	if err := c.Decode(pack(t, samples(sequenced, n))); err != nil {
		t.Fatal(err)
	}
	all := make([][]byte, n)
	for i := range all {
		all[i] = c.AppendLeaf(nil, "acme-eu", i)
	}
	return &c, all
}

func TestEventLeavesKeepTheirBytes(t *testing.T) {
	var text []byte
	for _, sequenced := range []bool{true, false} {
		_, all := leaves(t, sequenced, 16) // Two of which amend others.
		for _, leaf := range all {
			text = append(hex.AppendEncode(text, leaf), '\n')
		}
	}
	golden(t, "leaves-v1.hex", text)
}

func TestAnEventIsReadFromItsLeaf(t *testing.T) {
	for _, sequenced := range []bool{true, false} {
		c, all := leaves(t, sequenced, 120)
		for i, leaf := range all {
			got, err := DecodeLeaf(leaf)
			if err != nil {
				t.Fatal(err)
			}
			if want := (Leaf{"acme", "acme-eu", c.Event(i)}); !reflect.DeepEqual(got, want) {
				t.Fatalf("event %d is %+v, want %+v", i, got, want)
			}
			if n := len(leaf); n > 1 {
				for _, cut := range [][]byte{leaf[:n-1], leaf[:n/2], leaf[1:], append(leaf[:n:n], 0)} {
					if _, err := DecodeLeaf(cut); err == nil {
						t.Fatalf("event %d is read from %x", i, cut)
					}
				}
			}
		}
	}
}

// Fails when a field is left out of the leaf, or two fields can change places:
// "ab"+"c" and "a"+"bc" must not be one leaf.
func TestEachFieldChangesTheLeaf(t *testing.T) {
	seen := map[string]string{}
	add := func(what string, book Book, change func(u *Usage)) {
		u := samples(false, 1)[0]
		u.Attributes = []Attribute{{"model", "H100"}, {"region", "eu"}}
		change(&u)
		var c Columns
		if err := c.Decode(pack(t, []Usage{u})); err != nil {
			t.Fatal(err)
		}
		leaf := string(c.AppendLeaf(nil, book, 0))
		if other := seen[leaf]; other != "" {
			t.Errorf("%s and %s give one leaf", what, other)
		}
		seen[leaf] = what
	}
	add("nothing", "b", func(*Usage) {})
	add("book", "c", func(*Usage) {})
	add("source", "b", func(u *Usage) { u.Source += "x" })
	add("id", "b", func(u *Usage) { u.ID += "x" })
	add("sequence", "b", func(u *Usage) { u.ID, u.Sequenced, u.Sequence = "", true, 7 })
	add("epoch", "b", func(u *Usage) { u.ID, u.Sequenced, u.Epoch = "", true, 7 })
	add("node", "b", func(u *Usage) { u.Node += "x" })
	add("customer", "b", func(u *Usage) { u.Customer += "x" })
	add("node and customer shifted", "b", func(u *Usage) {
		u.Node, u.Customer = u.Node+Node(u.Customer[:1]), u.Customer[1:]
	})
	add("meter", "b", func(u *Usage) { u.Meter += "x" })
	add("quantity", "b", func(u *Usage) { u.Quantity = mustQuantity("1.000000000000000001") })
	add("start", "b", func(u *Usage) { u.Start-- })
	add("end", "b", func(u *Usage) { u.End++ })
	add("attribute name", "b", func(u *Usage) { u.Attributes[0].Name = "models" })
	add("attribute value", "b", func(u *Usage) { u.Attributes[1].Value = "us" })
	add("attributes", "b", func(u *Usage) { u.Attributes = nil })
	add("replaces", "b", func(u *Usage) { u.Replaces = "x" })
	add("retracts", "b", func(u *Usage) { u.Retracts = "x" })
}

func TestMakingALeafAllocatesNothing(t *testing.T) {
	c, _ := leaves(t, true, 200)
	room := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(20, func() {
		for i := range c.N {
			room = c.AppendLeaf(room[:0], "acme-eu", i)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecodeLeaf(f *testing.F) {
	for _, sequenced := range []bool{true, false} {
		_, all := leaves(f, sequenced, 15)
		for _, leaf := range all {
			f.Add(leaf)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := DecodeLeaf(data)
		if err != nil {
			return
		}
		// Written again by hand: the decoder takes one form only.
		u := l.Usage
		c := Columns{Provider: l.Provider, Sequenced: u.Sequenced, N: 1,
			Strings:  [][]byte{[]byte(u.Source), []byte(u.Node), []byte(u.Customer), []byte(u.Meter)},
			Sources:  []SourceRef{{0, u.Epoch}},
			Source:   []uint32{0},
			Sequence: []uint64{u.Sequence}, IDEnd: []uint32{uint32(len(u.ID))}, IDBytes: []byte(u.ID),
			Node: []uint32{1}, Customer: []uint32{2}, Meter: []uint32{3}, Set: []uint32{0}, Sets: [][]SetAttr{nil},
			Start: []int64{u.Start}, End: []int64{u.End}}
		c.Quantity = append(c.Quantity, u.Quantity)
		for _, a := range u.Attributes {
			n := uint32(len(c.Strings))
			c.Strings = append(c.Strings, []byte(a.Name), []byte(a.Value))
			c.Sets[0] = append(c.Sets[0], SetAttr{n, n + 1})
		}
		if id := u.Replaces + u.Retracts; id != "" {
			c.Amends = []Amendment{{0, u.Retracts != "", uint32(len(c.Strings))}}
			c.Strings = append(c.Strings, []byte(id))
		}
		if again := c.AppendLeaf(nil, l.Book, 0); !bytes.Equal(again, data) {
			t.Errorf("%x is read as %+v, which is %x", data, l, again)
		}
	})
}
