package register

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// BenchmarkImport issues units to a million new holders in random order and
// reports how much memory one holder keeps in use.
func BenchmarkImport(b *testing.B) {
	const n = 1_000_003 // a prime, so that the stride reaches every holder
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		r := &Register{}
		for i := range uint64(n) {
			if err := r.Issue(events.Holder(fmt.Sprintf("0x%040x", i*7919%n)), units(i+1)); err != nil {
				b.Fatal(err)
			}
		}
		r.table.merge()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/holder")
		runtime.KeepAlive(r)
	}
}
