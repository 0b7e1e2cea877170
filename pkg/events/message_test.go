package events

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// messages are one of each kind, the last with a body that is compressed.
func messages() []Message {
	small := pack(loose{}, samples(true, 3))
	large := pack(loose{}, samples(false, 200))
	return []Message{
		{Kind: Barrier, Control: 300, Rules: 1},
		{Kind: Marker},
		{Kind: Batch, Segments: []Segment{{Book: "eu", Received: 1_795_348_800_000_000_000, Key: "key-1", Packed: small}}},
		{Kind: Batch, Segments: []Segment{
			{Book: "eu", Received: 1_795_348_800_000_000_000, Key: "key-1", Packed: large},
			{Book: "us", Received: 0, ReceivedFromEvent: true, Key: "", Signature: bytes.Repeat([]byte{7}, 64), Packed: small},
		}},
		{Kind: Barrier, Control: 1 << 40, Rules: 2, Root: &Root{1, 2, 31: 3}},
	}
}

// loose lets helpers of tests be used outside of one.
type loose struct{ testing.TB }

func (loose) Helper() {}

func TestMessagesSurvive(t *testing.T) {
	var scratch []byte
	var got Message // Reused, so that nothing of one may show in the next.
	for range 2 {
		for i, m := range messages() {
			data := AppendMessage([]byte("before"), &m)
			if !bytes.HasPrefix(data, []byte("before")) {
				t.Fatal("what was there is gone")
			}
			var err error
			if scratch, err = got.Decode(data[len("before"):], scratch); err != nil {
				t.Fatal(i, err)
			}
			for j := range got.Segments {
				if len(got.Segments[j].Signature) == 0 {
					got.Segments[j].Signature = nil
				}
			}
			if got.Kind != m.Kind || got.Control != m.Control || got.Rules != m.Rules || !reflect.DeepEqual(got.Root, m.Root) || len(got.Segments) != len(m.Segments) ||
				len(m.Segments) > 0 && !reflect.DeepEqual(got.Segments, m.Segments) {
				t.Errorf("message %d:\n got %+v\nwant %+v", i, got, m)
			}
		}
	}
}

func TestMessagesAreRefused(t *testing.T) {
	all := messages()
	batch := AppendMessage(nil, &all[2])
	for name, data := range map[string][]byte{
		"nothing":                  {},
		"one byte":                 {1},
		"an unknown version":       {2, 3},
		"an unknown kind":          {1, 4},
		"a marker with more":       {1, 3, 0},
		"a barrier without rules":  {1, 2, 5},
		"a root cut short":         append([]byte{1, 2, 5, 1}, make([]byte, 31)...),
		"a root with more":         append([]byte{1, 2, 5, 1}, make([]byte, 33)...),
		"rules beyond 32 bits":     {1, 2, 5, 0x80, 0x80, 0x80, 0x80, 0x80, 1},
		"an unknown compression":   {1, 1, 2, 0},
		"a body that is no block":  {1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a bomb of 4 GB":           {1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0},
		"too many segments":        {1, 1, 0, 0xe9, 7},
		"a batch cut short":        batch[:len(batch)-1],
		"a batch with more":        append(bytes.Clone(batch), 0),
		"a signature of one byte":  {1, 1, 0, 1, 1, 'b', 0, 0, 1, 'k', 1, 9, 0},
		"a flag that is not known": {1, 1, 0, 1, 1, 'b', 0, 2, 1, 'k', 0, 0},
		"a text beyond the end":    {1, 1, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var m Message
			scratch, err := m.Decode(data, nil)
			if err == nil || !strings.HasPrefix(err.Error(), "decoding message: ") {
				t.Error(err)
			}
			if cap(scratch) > MaxBody {
				t.Error("allocated for a bomb")
			}
		})
	}
}

// Golden bytes: what version 1 wrote must be read forever, and be written the
// same. The compressed body depends on the compressor, so it is only read.
func TestUsageGoldenBytes(t *testing.T) {
	golden(t, "packed-v1-sequenced", pack(t, samples(true, 20)))
	golden(t, "packed-v1-foreign", pack(t, samples(false, 20)))
	names := []string{"message-v1-barrier", "message-v1-marker", "message-v1-batch", "message-v1-batch-s2", "message-v1-barrier-root"}
	for i, m := range messages() {
		if i != 3 {
			golden(t, names[i], AppendMessage(nil, &m))
			continue
		}
		path := filepath.Join("testdata", names[i])
		if *update {
			golden(t, names[i], AppendMessage(nil, &m))
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var got Message
		if _, err := got.Decode(data, nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Segments[0].Packed, m.Segments[0].Packed) || !bytes.Equal(got.Segments[1].Signature, m.Segments[1].Signature) {
			t.Error("the compressed batch is read as something else")
		}
	}
	var lines []byte
	for _, u := range append(samples(true, 20), samples(false, 20)...) {
		lines = append(AppendCloudEvent(lines, &u), '\n')
	}
	golden(t, "cloudevents.jsonl", lines)
}

// Fingerprints and keys are in indices that outlive releases, so they are golden as well.
func TestFingerprintsAndKeysAreForever(t *testing.T) {
	var c Columns
	if err := c.Decode(pack(t, samples(false, 20))); err != nil {
		t.Fatal(err)
	}
	var text []byte
	for i := range c.N {
		text = fmt.Appendf(text, "%x %x\n", c.IdentityKey(i), c.Fingerprint(i))
		u := c.Event(i)
		if c.IdentityKey(i) != IdentityKey(c.Provider, u.Source, u.ID) {
			t.Errorf("event %d: the two ways to a key differ", i)
		}
	}
	golden(t, "fingerprints-v1.txt", text)
}

// Fails when any field is left out of the fingerprint, or identity is in it.
func TestFingerprintIsOfTheContentAlone(t *testing.T) {
	base := samples(false, 2)[1]
	base.Start = base.End - 5
	changes := map[string]func(*Usage){
		"node":               func(u *Usage) { u.Node = "other" },
		"customer":           func(u *Usage) { u.Customer = "other" },
		"meter":              func(u *Usage) { u.Meter = "other" },
		"quantity":           func(u *Usage) { u.Quantity = mustQuantity("3600.000000000000000001") },
		"start":              func(u *Usage) { u.Start++ },
		"end":                func(u *Usage) { u.End++ },
		"attribute value":    func(u *Usage) { u.Attributes = []Attribute{{"model", "A100 80 GB"}, {"region", "us"}} },
		"attribute name":     func(u *Usage) { u.Attributes = []Attribute{{"model", "A100 80 GB"}, {"zone", "eu"}} },
		"no attributes":      func(u *Usage) { u.Attributes = nil },
		"replaces":           func(u *Usage) { u.Replaces = "x" },
		"retracts":           func(u *Usage) { u.Retracts = "x" },
		"retracts another":   func(u *Usage) { u.Retracts = "y" },
		"node and customer":  func(u *Usage) { u.Node, u.Customer = Node(u.Customer), Customer(u.Node) },
		"names swapped over": func(u *Usage) { u.Attributes = []Attribute{{"eu", "region"}, {"model", "A100 80 GB"}} },
	}
	fingerprint := func(u Usage) uint64 {
		var c Columns
		if err := c.Decode(pack(t, []Usage{u})); err != nil {
			t.Fatal(err)
		}
		return c.Fingerprint(0)
	}
	seen := map[uint64]string{fingerprint(base): "the base"}
	for name, change := range changes {
		u := base
		change(&u)
		if other, ok := seen[fingerprint(u)]; ok {
			t.Errorf("%s has the fingerprint of %s", name, other)
		}
		seen[fingerprint(u)] = name
	}
	other := base
	other.Source, other.ID = "elsewhere", "other"
	if fingerprint(other) != fingerprint(base) {
		t.Error("the fingerprint depends on the identity")
	}
	for _, pair := range [][2]string{{"a", "bc"}, {"ab", "c"}} {
		if IdentityKey("p", pair[0], pair[1]) == IdentityKey("p", "a"+pair[0], pair[1]) ||
			IdentityKey("p", "a", "bc") == IdentityKey("p", "ab", "c") || IdentityKey("p", "a", "b") == IdentityKey("pa", "", "b") {
			t.Error("identities of different parts share a key")
		}
	}
}

func TestNothingIsAllocatedPerEvent(t *testing.T) {
	for _, sequenced := range []bool{true, false} {
		all := typical(sequenced)
		body, packed := batchOf(all), pack(t, all)
		var c Columns
		if n := testing.AllocsPerRun(20, func() { _ = c.Decode(packed) }); n > 0 {
			t.Errorf("decoding a segment: %v allocations", n)
		}
		if n := testing.AllocsPerRun(20, func() {
			for i := range c.N {
				c.Fingerprint(i)
			}
		}); n > 0 {
			t.Errorf("fingerprints of a segment: %v allocations", n)
		}
		if !sequenced {
			if n := testing.AllocsPerRun(20, func() { c.IdentityKey(7) }); n > 0 {
				t.Errorf("a key: %v allocations", n)
			}
		}
		for _, general := range []bool{true, false} {
			p := Parser{general: general}
			var collector Collector
			var out []byte
			run := func() {
				collector.Reset("acme", open{})
				_, _ = p.Batch(body, &collector)
				out = out[:0]
				for part := range collector.Parts() {
					out = part.Builder.AppendTo(out)
				}
			}
			run()
			if n := testing.AllocsPerRun(20, run); n > 4 {
				t.Errorf("1,000 events from JSON to segments, general=%v: %v allocations", general, n)
			}
		}
	}
	m := messages()[3]
	data := AppendMessage(nil, &m)
	var got Message
	scratch, _ := got.Decode(data, nil)
	if n := testing.AllocsPerRun(20, func() { scratch, _ = got.Decode(data, scratch) }); n > 0 {
		t.Errorf("decoding a message: %v allocations", n)
	}
}
