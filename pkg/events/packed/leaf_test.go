package packed

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/eventstest"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/golden"
	"github.com/aliquot-engine/aliquot/pkg/events/leaf"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// leaves returns the columns of samples, and the leaves of their contexts and events.
func leaves(t testing.TB, all []events.Usage) (c *Columns, contexts, own [][]byte) {
	t.Helper()
	c = new(Columns)
	if err := c.Decode(Pack(t, all)); err != nil {
		t.Fatal(err)
	}
	var l Leaves
	var room [LeafRoom]byte
	l.Begin(c, "acme-eu", 0)
	for i := range c.N {
		n := l.Put(&room, i)
		own = append(own, bytes.Clone(room[:n]))
	}
	for k := range l.Contexts() {
		contexts = append(contexts, l.AppendContext(nil, k))
	}
	return c, contexts, own
}

func TestLeavesKeepTheirBytes(t *testing.T) {
	var text []byte
	for _, sequenced := range []bool{true, false} {
		_, contexts, own := leaves(t, eventstest.Samples(sequenced, 16)) // Two of which amend others.
		for _, leaf := range append(contexts, own...) {
			text = append(hex.AppendEncode(text, leaf), '\n')
		}
	}
	golden.Compare(t, "leaves-v1.hex", text)
}

// varied returns samples of every unit of time and form of quantity.
func varied(sequenced bool, n int) []events.Usage {
	all := eventstest.Samples(sequenced, n)
	quantities := []string{"0", "10", "0.100", "7.5", "12345678901234567890", "20000000000000000000.5", "99999999999999", "0.000000000000000001"}
	units := []int64{1, 1_000, 1_000_000, 1_000_000_000, 60_000_000_000}
	for i := range all {
		u := &all[i]
		u.Quantity = eventstest.Quantity(quantities[i%len(quantities)])
		unit := units[i/7%len(units)]
		u.End -= u.End % unit
		u.Start = u.End - int64(i%3)*unit
		switch i % 11 {
		case 3:
			u.Customer = events.Customer(strings.Repeat("c", 20+i%40)) // Beside what a word of a leaf holds.
		case 5:
			u.Start, u.End = 0, 0
		case 7:
			u.Epoch, u.Sequence = 0, 1<<(i%64)
		}
		if !sequenced {
			u.Epoch, u.Sequence = 0, 0
		}
	}
	return all
}

// What the columns give is what a verifier makes of one event alone.
// Fails when a segment's unit or scale shows in a leaf, or a context has another
// event's source, meter or attributes.
func TestEachLeafIsThatOfItsEvent(t *testing.T) {
	for _, sequenced := range []bool{true, false} {
		for _, all := range [][]events.Usage{eventstest.Samples(sequenced, 200), varied(sequenced, 400)} {
			c, contexts, own := leaves(t, all)
			seen := uint64(0)
			for i := range all {
				u := c.Event(i)
				if !reflect.DeepEqual(u, all[i]) {
					t.Fatalf("event %d is packed as %+v, want %+v", i, u, all[i])
				}
				number, event, err := decodeLeaf(own[i])
				if err != nil {
					t.Fatalf("event %d, %x: %v", i, own[i], err)
				}
				if number > seen {
					t.Fatalf("event %d has context %d, after %d", i, number, seen)
				}
				seen = max(seen, number+1)
				alone, err := leaf.Append(nil, number, &u)
				if err != nil || !bytes.Equal(alone, own[i]) {
					t.Fatalf("event %d, %+v: leaf %x, alone %x: %v", i, u, own[i], alone, err)
				}
				context, err := decodeContext(contexts[number])
				if err != nil {
					t.Fatal(err)
				}
				whole := leaf.Context{Provider: "acme", Book: "acme-eu", Source: u.Source, Epoch: u.Epoch, Meter: u.Meter, Attributes: u.Attributes}
				if !reflect.DeepEqual(context, whole) || !bytes.Equal(whole.Append(nil), contexts[number]) {
					t.Fatalf("context %d of event %d is %+v, want %+v", number, i, context, whole)
				}
				event.Source, event.Epoch, event.Meter, event.Attributes = context.Source, context.Epoch, context.Meter, context.Attributes
				if !reflect.DeepEqual(event, u) {
					t.Fatalf("event %d is read as %+v, want %+v", i, event, u)
				}
			}
			if seen != uint64(len(contexts)) {
				t.Fatalf("%d contexts, of which %d are used", len(contexts), seen)
			}
		}
	}
}

func TestALeafHasOneForm(t *testing.T) {
	for _, sequenced := range []bool{true, false} {
		_, contexts, own := leaves(t, varied(sequenced, 150))
		for _, leaf := range append(contexts, own...) {
			n := len(leaf)
			for _, other := range [][]byte{leaf[:n-1], leaf[:n/2], leaf[1:], append(leaf[:n:n], 0)} {
				if decodes(other) {
					t.Fatalf("%x is read, cut or grown from %x", other, leaf)
				}
			}
		}
	}
	// The sound one: sequence 7, 1 µs up to 1 µs, a quantity of 1, node a, customer b.
	const sound = "4501111100" + "00" + "07" + "01" + "01" + "01" + "0161" + "0162"
	if data, _ := hex.DecodeString(sound); !decodes(data) {
		t.Error("a sound leaf is not read")
	}
	for what, leaf := range map[string]string{
		"a coarser unit":             "4501122100" + "00" + "07" + "e803" + "e803" + "01" + "0161" + "0162",
		"a smaller scale":            "4501111101" + "00" + "07" + "01" + "01" + "0a" + "0161" + "0162",
		"zero with a scale":          "4501111001" + "00" + "07" + "01" + "01" + "0161" + "0162",
		"a larger scale":             "4501111113" + "00" + "07" + "01" + "01" + "01" + "0161" + "0162",
		"a longer number":            "4501211100" + "00" + "0700" + "01" + "01" + "01" + "0161" + "0162",
		"a longer context":           "4501111100" + "8000" + "07" + "01" + "01" + "01" + "0161" + "0162",
		"a wide mantissa":            "4501111f00" + "00" + "07" + "01" + "01" + "01000000000000000000000000000000" + "0161" + "0162",
		"a width between":            "4501111900" + "00" + "07" + "01" + "01" + "010000000000000001" + "0161" + "0162",
		"a sequence and a name":      "4505111100" + "00" + "0169" + "01" + "01" + "01" + "0161" + "0162",
		"an unknown flag":            "4521111100" + "00" + "07" + "01" + "01" + "01" + "0161" + "0162",
		"both amendments":            "4519111100" + "00" + "07" + "01" + "01" + "01" + "0161" + "0162" + "0161",
		"an amendment of nothing":    "4509111100" + "00" + "07" + "01" + "01" + "01" + "0161" + "0162" + "00",
		"an interval beyond its end": "4501111100" + "00" + "07" + "01" + "02" + "01" + "0161" + "0162",
	} {
		data, err := hex.DecodeString(leaf)
		if err != nil {
			t.Fatal(err)
		}
		if decodes(data) {
			t.Errorf("%s is read", what)
		}
	}
}

func decodes(data []byte) bool {
	_, _, err := decodeLeaf(data)
	_, failed := decodeContext(data)
	return err == nil || failed == nil
}

// Fails when a field is left out of the leaves, or two fields can change places:
// "ab"+"c" and "a"+"bc" must not be one leaf.
func TestEachFieldChangesALeaf(t *testing.T) {
	seen := map[string]string{}
	add := func(what string, change func(c *leaf.Context, u *events.Usage)) {
		u := eventstest.Samples(false, 1)[0]
		c := leaf.Context{Provider: "acme", Book: "b", Source: u.Source, Meter: u.Meter, Attributes: []events.Attribute{{Name: "model", Value: "H100"}, {Name: "region", Value: "eu"}}}
		change(&c, &u)
		leaf, err := leaf.Append(c.Append(nil), 0, &u)
		if err != nil {
			t.Fatal(err)
		}
		if other := seen[string(leaf)]; other != "" {
			t.Errorf("%s and %s give one leaf", what, other)
		}
		seen[string(leaf)] = what
	}
	add("nothing", func(*leaf.Context, *events.Usage) {})
	add("provider", func(c *leaf.Context, _ *events.Usage) { c.Provider += "x" })
	add("book", func(c *leaf.Context, _ *events.Usage) { c.Book = "c" })
	add("source", func(c *leaf.Context, _ *events.Usage) { c.Source += "x" })
	add("epoch", func(c *leaf.Context, _ *events.Usage) { c.Epoch = 7 })
	add("meter", func(c *leaf.Context, _ *events.Usage) { c.Meter += "x" })
	add("provider and book shifted", func(c *leaf.Context, _ *events.Usage) { c.Provider, c.Book = "acm", "eb" })
	add("attribute name", func(c *leaf.Context, _ *events.Usage) { c.Attributes[0].Name = "models" })
	add("attribute value", func(c *leaf.Context, _ *events.Usage) { c.Attributes[1].Value = "us" })
	add("attributes", func(c *leaf.Context, _ *events.Usage) { c.Attributes = nil })
	add("id", func(_ *leaf.Context, u *events.Usage) { u.ID += "x" })
	add("sequence", func(_ *leaf.Context, u *events.Usage) { u.ID, u.Sequenced, u.Sequence = "", true, 7 })
	add("node", func(_ *leaf.Context, u *events.Usage) { u.Node += "x" })
	add("customer", func(_ *leaf.Context, u *events.Usage) { u.Customer += "x" })
	add("node and customer shifted", func(_ *leaf.Context, u *events.Usage) {
		u.Node, u.Customer = u.Node+events.Node(u.Customer[:1]), u.Customer[1:]
	})
	add("quantity", func(_ *leaf.Context, u *events.Usage) { u.Quantity = eventstest.Quantity("1.000000000000000001") })
	add("scale", func(_ *leaf.Context, u *events.Usage) { u.Quantity = eventstest.Quantity("0.1") })
	add("start", func(_ *leaf.Context, u *events.Usage) { u.Start-- })
	add("end", func(_ *leaf.Context, u *events.Usage) { u.End++ })
	add("unit", func(_ *leaf.Context, u *events.Usage) { u.Start, u.End = 2_000, 2_000 })
	add("coarser unit", func(_ *leaf.Context, u *events.Usage) { u.Start, u.End = 2_000_000, 2_000_000 })
	add("replaces", func(_ *leaf.Context, u *events.Usage) { u.Replaces = "x" })
	add("retracts", func(_ *leaf.Context, u *events.Usage) { u.Retracts = "x" })
}

func TestWhatNoEventCanBeHasNoLeaf(t *testing.T) {
	for what, change := range map[string]func(u *events.Usage){
		"a quantity below zero":      func(u *events.Usage) { u.Quantity, _ = u.Quantity.Neg() },
		"an end before its start":    func(u *events.Usage) { u.Start = u.End + 1 },
		"a start before 1970":        func(u *events.Usage) { u.Start, u.End = -1, 0 },
		"times whose length is long": func(u *events.Usage) { u.Start, u.End = -1<<63, 1<<63-1 },
	} {
		u := eventstest.Samples(true, 1)[0]
		u.Quantity = eventstest.Quantity("1")
		change(&u)
		if leaf, err := leaf.Append(nil, 0, &u); err == nil || len(leaf) > 0 {
			t.Errorf("%s: leaf %x", what, leaf)
		}
	}
}

// A segment in which every event has a context of its own, and one as long as can be.
func TestLeavesOfExtremeSegments(t *testing.T) {
	all := eventstest.Samples(true, 3000)
	for i := range all {
		all[i].Attributes = []events.Attribute{{Name: "job", Value: strings.Repeat("j", i%9) + string(rune('a'+i%26)) + strings.Repeat("k", i/700)}}
	}
	if _, contexts, _ := leaves(t, all); len(contexts) < 500 {
		t.Errorf("%d contexts", len(contexts))
	}
	u := eventstest.Samples(false, 1)[0]
	u.ID, u.Replaces = strings.Repeat("i", MaxID), strings.Repeat("r", MaxID)
	u.Node, u.Customer = events.Node(strings.Repeat("n", events.MaxName)), events.Customer(strings.Repeat("c", events.MaxName))
	u.Quantity = money.QuantityFromLimbs(1<<62, 1)
	_, _, own := leaves(t, []events.Usage{u})
	alone, err := leaf.Append(nil, 0, &u)
	if err != nil || !bytes.Equal(own[0], alone) || len(alone) > LeafRoom-64 {
		t.Errorf("%d bytes, %v", len(alone), err)
	}
}

func TestMakingALeafAllocatesNothing(t *testing.T) {
	c, _, _ := leaves(t, eventstest.Samples(true, 200))
	var l Leaves
	var room [LeafRoom]byte
	l.Begin(c, "acme-eu", 0)
	run := func() {
		l.Begin(c, "acme-eu", 0)
		for i := range c.N {
			l.Put(&room, i)
		}
	}
	run()
	if n := testing.AllocsPerRun(20, run); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecodeLeaf(f *testing.F) {
	for _, sequenced := range []bool{true, false} {
		_, contexts, own := leaves(f, varied(sequenced, 40))
		for _, leaf := range append(contexts, own...) {
			f.Add(leaf)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if context, u, err := decodeLeaf(data); err == nil {
			again, err := leaf.Append(nil, context, &u)
			if err != nil || !bytes.Equal(again, data) {
				t.Errorf("%x is read as %d %+v, which is %x: %v", data, context, u, again, err)
			}
		}
		if c, err := decodeContext(data); err == nil {
			if again := c.Append(nil); !bytes.Equal(again, data) {
				t.Errorf("%x is read as %+v, which is %x", data, c, again)
			}
		}
	})
}

// BenchmarkLeaves reports process CPU time an event.
func BenchmarkLeaves(b *testing.B) {
	all := eventstest.Samples(true, 1000)
	for i := range all {
		all[i].Quantity = eventstest.Quantity([]string{"1234", "34.567"}[i%2])
		all[i].End = 1_700_000_000_000_000_000 + int64(i)*17_000_000
		all[i].Start = all[i].End - 60_000_000_000
		all[i].Replaces, all[i].Retracts = "", ""
	}
	c, _, own := leaves(b, all)
	var l Leaves
	var room [LeafRoom]byte
	cpu := func() int64 {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return r.Utime.Nano() + r.Stime.Nano()
	}
	start := cpu()
	for b.Loop() {
		l.Begin(c, "acme-eu", 0)
		for i := range c.N {
			l.Put(&room, i)
		}
	}
	b.ReportMetric(float64(cpu()-start)/float64(b.N)/float64(c.N), "cpu-ns/event")
	b.ReportMetric(float64(len(own[7])), "B/leaf")
	b.ReportMetric(0, "ns/op")
}
