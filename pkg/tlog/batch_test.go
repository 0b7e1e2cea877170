package tlog

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/leaf"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func quantity(t testing.TB, text string) money.Quantity {
	t.Helper()
	q, err := money.ParseQuantity(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// segment is a decoded segment of n events, as a provider's client makes them.
func segment(t testing.TB, n int) *packed.Columns {
	t.Helper()
	var b packed.Builder
	b.Reset("acme", true)
	for i := range n {
		end := int64(1_700_000_000_000_000_000) + int64(i)*1_000_000_000
		u := events.Usage{
			Source: "//acme/eu-1", Sequenced: true, Epoch: 1, Sequence: uint64(i),
			Node: events.Node(fmt.Sprintf("node-%03d", i%200)), Customer: events.Customer(fmt.Sprintf("customer-%d", i%50)),
			Meter: "gpu.seconds", Quantity: quantity(t, "60"), Start: end - 60_000_000_000, End: end,
			Attributes: []events.Attribute{{Name: "model", Value: "H100"}, {Name: "region", Value: "eu"}},
		}
		var r packed.RawUsage
		if err := r.Set(&u); err != nil || !b.Add(&r) {
			t.Fatalf("event %d does not fit: %v", i, err)
		}
	}
	c := &packed.Columns{}
	if err := c.Decode(b.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	return c
}

// naive is the root as RFC 6962, section 2.1, defines it.
func naive(leaves [][]byte) Hash {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	default:
		k := 1
		for 2*k < n {
			k *= 2
		}
		return NodeHash(naive(leaves[:k]), naive(leaves[k:]))
	}
}

// mixed returns a segment whose leaves take one block, two or more.
func mixed(t testing.TB, n int) *packed.Columns {
	t.Helper()
	var b packed.Builder
	b.Reset("acme", false)
	for i := range n {
		u := events.Usage{
			Source: "//acme/" + strings.Repeat("s", 1+i%3), ID: strings.Repeat("i", 1+i*37%250),
			Node: "n", Customer: "c", Meter: "gpu.seconds", Quantity: quantity(t, fmt.Sprint(i)), Start: int64(i), End: int64(2 * i),
		}
		var r packed.RawUsage
		if err := r.Set(&u); err != nil || !b.Add(&r) {
			t.Fatalf("event %d does not fit: %v", i, err)
		}
	}
	c := &packed.Columns{}
	if err := c.Decode(b.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	return c
}

// Fails when a leaf is put into another's place, when a context has another
// number, or when a level of nodes differs from hashing one by one.
func TestEachEventOfAMessageIsProvedToItsRoot(t *testing.T) {
	type part struct {
		book    events.Book
		columns *packed.Columns
	}
	for _, parts := range [][]part{
		{{"acme-eu", segment(t, 1)}},
		{{"acme-eu", segment(t, 37)}, {"acme-us", segment(t, 100)}},
		{{"acme-eu", mixed(t, 300)}, {"acme-eu", segment(t, 3)}, {"acme-eu", mixed(t, 131)}},
		{{"acme-eu", segment(t, 1000)}},
	} {
		var tree EventTree
		for range 2 { // A reused tree gives the same result.
			tree.Reset()
			if tree.Root() != EmptyRoot() {
				t.Fatal("a message without events has another root")
			}
			var own, contexts [][]byte
			for _, p := range parts {
				tree.Add(p.book, p.columns)
				known := map[string]uint64{} // Segments do not share contexts.
				for i := range p.columns.N {
					u := p.columns.Event(i)
					c := leaf.Context{Provider: "acme", Book: p.book, Source: u.Source, Epoch: u.Epoch, Meter: u.Meter, Attributes: u.Attributes}
					text := string(c.Append(nil))
					number, ok := known[text]
					if !ok {
						number = uint64(len(contexts))
						known[text], contexts = number, append(contexts, []byte(text))
					}
					if got := tree.Number(i); got != number {
						t.Fatalf("event %d has context %d, want %d", i, got, number)
					}
					alone, err := leaf.Append(nil, number, &u)
					if err != nil {
						t.Fatal(err)
					}
					own = append(own, alone)
				}
			}
			if tree.Events() != uint64(len(own)) || tree.Contexts() != uint64(len(contexts)) {
				t.Fatalf("%d events and %d contexts, want %d and %d", tree.Events(), tree.Contexts(), len(own), len(contexts))
			}
			all := slices.Concat(own, contexts)
			if tree.Root() != naive(all) {
				t.Fatalf("root of %d events is not that of RFC 6962", len(own))
			}
			size := uint64(len(all))
			for i, leaf := range own {
				proof, err := tree.Proof(uint64(i))
				if err != nil {
					t.Fatal(err)
				}
				if err := VerifyInclusion(LeafHash(leaf), uint64(i), size, proof, tree.Root()); err != nil {
					t.Fatalf("event %d: %v", i, err)
				}
				if size > 1 && VerifyInclusion(LeafHash(leaf), uint64(i)^1, size, proof, tree.Root()) == nil {
					t.Fatalf("event %d is proved elsewhere", i)
				}
			}
			for k, leaf := range contexts {
				proof, err := tree.ContextProof(uint64(k))
				if err != nil {
					t.Fatal(err)
				}
				if err := VerifyInclusion(LeafHash(leaf), uint64(len(own)+k), size, proof, tree.Root()); err != nil {
					t.Fatalf("context %d: %v", k, err)
				}
			}
			if _, err := tree.Proof(uint64(len(own))); err == nil {
				t.Error("an event beyond the message is proved")
			}
			if _, err := tree.ContextProof(uint64(len(contexts))); err == nil {
				t.Error("a context beyond the message is proved")
			}
		}
	}
}

func TestHashingABatchAllocatesNothing(t *testing.T) {
	c := segment(t, 1000)
	var tree EventTree
	if n := testing.AllocsPerRun(10, func() {
		tree.Reset()
		tree.Add("acme-eu", c)
		tree.Root()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkEventTree reports CPU time per event: the bytes of its leaf, the hash
// of its leaf and the nodes that an event adds on average.
func BenchmarkEventTree(b *testing.B) {
	c := segment(b, 1000)
	cpu := func() int64 {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return r.Utime.Nano() + r.Stime.Nano()
	}
	report := func(b *testing.B, run func()) {
		b.ReportAllocs()
		start := cpu()
		for b.Loop() {
			run()
		}
		b.ReportMetric(float64(cpu()-start)/float64(b.N)/1000, "cpu-ns/event")
		b.ReportMetric(0, "ns/op")
	}
	var leaves packed.Leaves
	var room [packed.LeafRoom]byte
	b.Run("bytes", func(b *testing.B) {
		length := 0
		report(b, func() {
			leaves.Begin(c, "acme-eu", 0)
			for i := range c.N {
				length = leaves.Put(&room, i)
			}
		})
		b.ReportMetric(float64(length), "B/leaf")
	})
	var tree EventTree
	b.Run("bytes+leaf", func(b *testing.B) {
		report(b, func() {
			tree.Reset()
			tree.Add("acme-eu", c)
		})
	})
	b.Run("bytes+leaf+node", func(b *testing.B) {
		report(b, func() {
			tree.Reset()
			tree.Add("acme-eu", c)
			tree.Root()
		})
	})
}

func BenchmarkVerifyInclusion(b *testing.B) {
	f := grow(66_000)
	proof, err := InclusionProof(66_000, 12_345, f.tile)
	if err != nil {
		b.Fatal(err)
	}
	root := f.root(66_000)
	for b.Loop() {
		if err := VerifyInclusion(f.levels[0][12_345], 12_345, 66_000, proof, root); err != nil {
			b.Fatal(err)
		}
	}
}
