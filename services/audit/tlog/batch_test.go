package tlog

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// segment is a decoded segment of n events, as a provider's client makes them.
func segment(t testing.TB, n int) *events.Columns {
	t.Helper()
	quantity, err := money.ParseQuantity("60")
	if err != nil {
		t.Fatal(err)
	}
	var b events.Builder
	b.Reset("acme", true)
	for i := range n {
		end := int64(1_700_000_000_000_000_000) + int64(i)*1_000_000_000
		u := events.Usage{
			Source: "//acme/eu-1", Sequenced: true, Epoch: 1, Sequence: uint64(i),
			Node: events.Node(fmt.Sprintf("node-%03d", i%200)), Customer: events.Customer(fmt.Sprintf("customer-%d", i%50)),
			Meter: "gpu.seconds", Quantity: quantity, Start: end - 60_000_000_000, End: end,
			Attributes: []events.Attribute{{Name: "model", Value: "H100"}, {Name: "region", Value: "eu"}},
		}
		var r events.RawUsage
		if err := r.Set(&u); err != nil || !b.Add(&r) {
			t.Fatalf("event %d does not fit: %v", i, err)
		}
	}
	c := &events.Columns{}
	if err := c.Decode(b.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEachEventOfAMessageIsProvedToItsRoot(t *testing.T) {
	first, second := segment(t, 37), segment(t, 100)
	var tree EventTree
	for range 2 { // Reused, it is the same.
		tree.Reset()
		if tree.Root() != EmptyRoot() {
			t.Fatal("a message without events has another root")
		}
		tree.Add("acme-eu", first)
		tree.Add("acme-us", second)
		for i := range uint64(137) {
			proof, err := tree.Proof(i)
			if err != nil {
				t.Fatal(err)
			}
			c, book, at := first, events.Book("acme-eu"), int(i)
			if i >= 37 {
				c, book, at = second, "acme-us", int(i-37)
			}
			leaf := LeafHash(c.AppendLeaf(nil, book, at))
			if err := VerifyInclusion(leaf, i, tree.Events(), proof, tree.Root()); err != nil {
				t.Fatal(err)
			}
			if VerifyInclusion(LeafHash(c.AppendLeaf(nil, "another", at)), i, tree.Events(), proof, tree.Root()) == nil {
				t.Fatalf("event %d is proved in another book", i)
			}
		}
	}
	if _, err := tree.Proof(137); err == nil {
		t.Error("an event beyond the message is proved")
	}
	var alone EventTree
	alone.Add("acme-eu", first)
	if EventRoot("acme-eu", first) != alone.Root() {
		t.Error("the root of a segment is not that of its tree")
	}
	proof, err := EventProof("acme-eu", first, 5)
	if err != nil || VerifyInclusion(LeafHash(first.AppendLeaf(nil, "acme-eu", 5)), 5, 37, proof, alone.Root()) != nil {
		t.Errorf("event 5 is not proved: %v", err)
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

// BenchmarkEventTree reports process CPU time an event: leaf bytes, leaf hash and
// the node that each event brings on average.
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
	var leaf []byte
	b.Run("bytes", func(b *testing.B) {
		report(b, func() {
			for i := range c.N {
				leaf = c.AppendLeaf(leaf[:0], "acme-eu", i)
			}
		})
		b.ReportMetric(float64(len(leaf)), "B/leaf")
	})
	b.Run("bytes+leaf", func(b *testing.B) {
		report(b, func() {
			for i := range c.N {
				leaf = c.AppendLeaf(leaf[:0], "acme-eu", i)
				LeafHash(leaf)
			}
		})
	})
	b.Run("bytes+leaf+node", func(b *testing.B) {
		var tree EventTree
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
