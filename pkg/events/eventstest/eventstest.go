// Package eventstest has usage events for the tests of the code that reads and
// writes them.
package eventstest

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Quantity reads a quantity, or panics.
func Quantity(s string) money.Quantity {
	q, err := money.ParseQuantity(s)
	if err != nil {
		panic(err)
	}
	return q
}

// Samples returns events that together use everything in the format.
func Samples(sequenced bool, n int) []events.Usage {
	quantities := []string{"1", "3600", "0.5", "12345.678901234567890123"[:23], "0", "99999999999999999999.999999999999999999"}
	all := make([]events.Usage, n)
	for i := range all {
		end := int64(1_700_000_000_000_000_000) + int64(i)*1_000_000_007
		u := events.Usage{
			Source:   fmt.Sprintf("//meter/%d", i%3),
			Node:     events.Node(fmt.Sprintf("node-%03d", i*7%300)),
			Customer: events.Customer(fmt.Sprintf("customer-%d", i*i%50)),
			Meter:    events.Meter([]string{"gpu.seconds", "llm.tokens.input"}[i%2]),
			Quantity: Quantity(quantities[i%len(quantities)]),
			Start:    end - int64(i%4)*60_000_000_000,
			End:      end,
		}
		if sequenced {
			u.Sequenced, u.Epoch, u.Sequence = true, uint64(i%2), uint64(i)
		} else {
			u.ID = fmt.Sprintf("ereignis-é-%d", i)
		}
		if i%5 > 0 {
			u.Attributes = []events.Attribute{{Name: "model", Value: []string{"H100", "A100 80 GB", "größer"}[i%3]}, {Name: "region", Value: "eu"}}
		}
		if i%97 == 13 {
			u.Replaces = "earlier"
		} else if i%97 == 14 {
			u.Retracts = "wrong"
		}
		all[i] = u
	}
	return all
}

// Typical returns events like those of the load generator: 1,000 events of 300
// nodes in two books, 50 customers, two meters, two attributes, sequenced or
// with UUIDs.
func Typical(sequenced bool) []events.Usage {
	all := make([]events.Usage, 1000)
	for i := range all {
		end := int64(1_795_348_800_123_000_000) + int64(i)*1_000_000
		all[i] = events.Usage{
			Source: "//acme.example/meter/eu-1", Sequenced: sequenced, Epoch: 1,
			Node: events.Node(fmt.Sprintf("gpu-node-%03d", i*7%300)), Customer: events.Customer(fmt.Sprintf("customer-%02d", i*i%50)),
			Meter: events.Meter([]string{"gpu.seconds", "llm.tokens.input"}[i&1]), Quantity: Quantity(fmt.Sprintf("%d.%03d", i%977, i%1000)),
			Start: end - 60_000_000_000, End: end,
			Attributes: []events.Attribute{{Name: "model", Value: []string{"H100", "A100"}[i/500]}, {Name: "region", Value: "eu-central-1"}},
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

// PerEvent starts a measurement; the returned function reports the process's
// CPU time per event, which other work on the machine disturbs less than
// wall-clock time.
func PerEvent(b *testing.B) func(bytes int) {
	cpu := func() int64 {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return r.Utime.Nano() + r.Stime.Nano()
	}
	start := cpu()
	return func(bytes int) {
		b.ReportMetric(float64(cpu()-start)/float64(b.N)/1000, "cpu-ns/event") //nolint:forbidigo // a metric of a benchmark
		b.ReportMetric(float64(bytes)/1000, "B/event")                         //nolint:forbidigo // as above
		b.ReportMetric(0, "ns/op")
	}
}
