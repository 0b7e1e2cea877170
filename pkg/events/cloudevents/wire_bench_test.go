package cloudevents

import (
	"fmt"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events/eventstest"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// The whole way of ingest: JSON to packed segments by book.
func BenchmarkParseBatch(b *testing.B) {
	for _, sequenced := range []bool{true, false} {
		for _, general := range []bool{false, true} {
			b.Run(fmt.Sprintf("sequenced=%v/general=%v", sequenced, general), func(b *testing.B) {
				body := batchOf(eventstest.Typical(sequenced))
				p := Parser{general: general}
				var c packed.Collector
				var packed []byte
				b.ReportAllocs()
				report := eventstest.PerEvent(b)
				for b.Loop() {
					c.Reset("acme", open{})
					if parsed, refusal := p.Batch(body, &c); refusal != nil || len(parsed.Refusals) > 0 {
						b.Fatal(refusal, parsed)
					}
					packed = packed[:0]
					for part := range c.Parts() {
						packed = part.Builder.AppendTo(packed)
					}
				}
				report(len(body))
			})
		}
	}
}

type drop struct{}

func (drop) Add(*packed.RawUsage) *packed.Fault { return nil }

func BenchmarkParseOnly(b *testing.B) {
	body := batchOf(eventstest.Typical(true))
	var p Parser
	b.ReportAllocs()
	report := eventstest.PerEvent(b)
	for b.Loop() {
		if _, refusal := p.Batch(body, drop{}); refusal != nil {
			b.Fatal(refusal)
		}
	}
	report(len(body))
}
