package events

import (
	"fmt"
	"syscall"
	"testing"
)

// typical is what the load generator sends: 1,000 events of 300 nodes in two
// books, 50 customers, two meters, two attributes, sequenced or with UUIDs.
func typical(sequenced bool) []Usage {
	all := make([]Usage, 1000)
	for i := range all {
		end := int64(1_795_348_800_123_000_000) + int64(i)*1_000_000
		all[i] = Usage{
			Source: "//acme.example/meter/eu-1", Sequenced: sequenced, Epoch: 1,
			Node: Node(fmt.Sprintf("gpu-node-%03d", i*7%300)), Customer: Customer(fmt.Sprintf("customer-%02d", i*i%50)),
			Meter: Meter([]string{"gpu.seconds", "llm.tokens.input"}[i&1]), Quantity: mustQuantity(fmt.Sprintf("%d.%03d", i%977, i%1000)),
			Start: end - 60_000_000_000, End: end,
			Attributes: []Attribute{{"model", []string{"H100", "A100"}[i/500]}, {"region", "eu-central-1"}},
		}
		if sequenced {
			all[i].Sequence = uint64(1_000_000 + i)
		} else {
			all[i].ID = fmt.Sprintf("%08x-52ab-4c1e-9d3a-%012x", i*2654435761, i*40503)
			all[i].Epoch = 0
		}
	}
	return all
}

// perEvent begins to measure; what it returns reports process CPU time an event,
// which other work on the machine disturbs less than the wall clock does.
func perEvent(b *testing.B) func(bytes int) {
	cpu := func() int64 {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return r.Utime.Nano() + r.Stime.Nano()
	}
	start := cpu()
	return func(bytes int) {
		b.ReportMetric(float64(cpu()-start)/float64(b.N)/1000, "cpu-ns/event")
		b.ReportMetric(float64(bytes)/1000, "B/event")
		b.ReportMetric(0, "ns/op")
	}
}

func BenchmarkColumnsDecode(b *testing.B) {
	for _, sequenced := range []bool{true, false} {
		b.Run(fmt.Sprintf("sequenced=%v", sequenced), func(b *testing.B) {
			packed := pack(b, typical(sequenced))
			var c Columns
			b.ReportAllocs()
			report := perEvent(b)
			for b.Loop() {
				if err := c.Decode(packed); err != nil {
					b.Fatal(err)
				}
			}
			report(len(packed))
		})
	}
}

// The whole way of ingest: JSON to packed segments by book.
func BenchmarkParseBatch(b *testing.B) {
	for _, sequenced := range []bool{true, false} {
		for _, general := range []bool{false, true} {
			b.Run(fmt.Sprintf("sequenced=%v/general=%v", sequenced, general), func(b *testing.B) {
				body := batchOf(typical(sequenced))
				p := Parser{general: general}
				var c Collector
				var packed []byte
				b.ReportAllocs()
				report := perEvent(b)
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

func (drop) Add(*RawUsage) *Fault { return nil }

func BenchmarkParseOnly(b *testing.B) {
	body := batchOf(typical(true))
	var p Parser
	b.ReportAllocs()
	report := perEvent(b)
	for b.Loop() {
		if _, refusal := p.Batch(body, drop{}); refusal != nil {
			b.Fatal(refusal)
		}
	}
	report(len(body))
}

func BenchmarkBuilder(b *testing.B) {
	all := typical(true)
	raws := make([]*RawUsage, len(all))
	for i := range all {
		raws[i] = raw(all[i])
	}
	var builder Builder
	var packed []byte
	b.ReportAllocs()
	report := perEvent(b)
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
	packed := pack(b, typical(false))
	var c Columns
	report := perEvent(b)
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
	if err := c.Decode(pack(b, typical(false))); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	report := perEvent(b)
	for b.Loop() {
		for i := range c.N {
			c.IdentityKey(i)
		}
	}
	report(0)
}

func BenchmarkMessage(b *testing.B) {
	m := Message{Kind: Batch}
	for i := range 10 {
		m.Segments = append(m.Segments, Segment{Book: Book(fmt.Sprintf("book-%d", i)), Key: "key", Packed: pack(b, typical(true))})
	}
	b.Run("append", func(b *testing.B) {
		var data []byte
		b.ReportAllocs()
		report := perEvent(b)
		for b.Loop() {
			data = AppendMessage(data[:0], &m)
		}
		report(len(data))
	})
	b.Run("decode", func(b *testing.B) {
		data := AppendMessage(nil, &m)
		var scratch []byte
		var out Message
		b.ReportAllocs()
		report := perEvent(b)
		for b.Loop() {
			var err error
			if scratch, err = out.Decode(data, scratch); err != nil {
				b.Fatal(err)
			}
		}
		report(len(data))
	})
}
