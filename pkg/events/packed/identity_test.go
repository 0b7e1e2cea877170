package packed

import (
	"fmt"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/eventstest"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/golden"
)

// Fingerprints and keys are in indices that outlive releases, so they are golden as well.
func TestFingerprintsAndKeysAreForever(t *testing.T) {
	var c Columns
	if err := c.Decode(Pack(t, eventstest.Samples(false, 20))); err != nil {
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
	golden.Compare(t, "fingerprints-v1.txt", text)
}

// Fails when any field is left out of the fingerprint, or identity is in it.
func TestFingerprintIsOfTheContentAlone(t *testing.T) {
	base := eventstest.Samples(false, 2)[1]
	base.Start = base.End - 5
	changes := map[string]func(*events.Usage){
		"node":     func(u *events.Usage) { u.Node = "other" },
		"customer": func(u *events.Usage) { u.Customer = "other" },
		"meter":    func(u *events.Usage) { u.Meter = "other" },
		"quantity": func(u *events.Usage) { u.Quantity = eventstest.Quantity("3600.000000000000000001") },
		"start":    func(u *events.Usage) { u.Start++ },
		"end":      func(u *events.Usage) { u.End++ },
		"attribute value": func(u *events.Usage) {
			u.Attributes = []events.Attribute{{Name: "model", Value: "A100 80 GB"}, {Name: "region", Value: "us"}}
		},
		"attribute name": func(u *events.Usage) {
			u.Attributes = []events.Attribute{{Name: "model", Value: "A100 80 GB"}, {Name: "zone", Value: "eu"}}
		},
		"no attributes":     func(u *events.Usage) { u.Attributes = nil },
		"replaces":          func(u *events.Usage) { u.Replaces = "x" },
		"retracts":          func(u *events.Usage) { u.Retracts = "x" },
		"retracts another":  func(u *events.Usage) { u.Retracts = "y" },
		"node and customer": func(u *events.Usage) { u.Node, u.Customer = events.Node(u.Customer), events.Customer(u.Node) },
		"names swapped over": func(u *events.Usage) {
			u.Attributes = []events.Attribute{{Name: "eu", Value: "region"}, {Name: "model", Value: "A100 80 GB"}}
		},
	}
	fingerprint := func(u events.Usage) uint64 {
		var c Columns
		if err := c.Decode(Pack(t, []events.Usage{u})); err != nil {
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
		all := eventstest.Typical(sequenced)
		packed := Pack(t, all)
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
	}
}

// Golden bytes: what version 1 wrote must be read forever, and be written the
// same.
func TestSegmentsKeepTheirBytes(t *testing.T) {
	golden.Compare(t, "packed-v1-sequenced", Pack(t, eventstest.Samples(true, 20)))
	golden.Compare(t, "packed-v1-foreign", Pack(t, eventstest.Samples(false, 20)))
}
