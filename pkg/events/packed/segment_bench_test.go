package packed

import (
	"fmt"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events/eventstest"
)

func BenchmarkColumnsDecode(b *testing.B) {
	for _, sequenced := range []bool{true, false} {
		b.Run(fmt.Sprintf("sequenced=%v", sequenced), func(b *testing.B) {
			packed := Pack(b, eventstest.Typical(sequenced))
			var c Columns
			b.ReportAllocs()
			report := eventstest.PerEvent(b)
			for b.Loop() {
				if err := c.Decode(packed); err != nil {
					b.Fatal(err)
				}
			}
			report(len(packed))
		})
	}
}

func BenchmarkBuilder(b *testing.B) {
	all := eventstest.Typical(true)
	raws := make([]*RawUsage, len(all))
	for i := range all {
		raws[i] = raw(all[i])
	}
	var builder Builder
	var packed []byte
	b.ReportAllocs()
	report := eventstest.PerEvent(b)
	for b.Loop() {
		builder.Reset("acme", true)
		for _, r := range raws {
			builder.Add(r)
		}
		packed = builder.AppendTo(packed[:0])
	}
	report(len(packed))
}

func BenchmarkFingerprint(b *testing.B) {
	packed := Pack(b, eventstest.Typical(false))
	var c Columns
	report := eventstest.PerEvent(b)
	for b.Loop() {
		_ = c.Decode(packed)
		for i := range c.N {
			c.Fingerprint(i)
		}
	}
	report(len(packed))
}

func BenchmarkIdentityKey(b *testing.B) {
	var c Columns
	if err := c.Decode(Pack(b, eventstest.Typical(false))); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	report := eventstest.PerEvent(b)
	for b.Loop() {
		for i := range c.N {
			c.IdentityKey(i)
		}
	}
	report(0)
}
