package bench

import (
	"fmt"
	"strings"
	"time"
)

// Headings are the headings of [Figures.Cells].
var Headings = []string{
	"variant", "events", "events/s", "CPU ns/event", "least to most", "signed after", "B/event: usage", "ledger", "SQL", "ids", "kept",
	"memory after 1/4", "2/4", "3/4", "4/4", "peak",
}

// Cells formats the throughput of a variant. A figure that was not measured is a
// dash.
func (f *Figures) Cells() []string {
	per := func(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/float64(f.Events)) }
	return []string{
		f.Name, thousands(int64(f.Events)), thousands(int64(f.PerSecond)), thousands(f.CPU), thousands(f.Least) + " to " + thousands(f.Most), fmt.Sprintf("%.1f s of %.1f", f.Kept, f.Seconds),
		per(f.Bytes.Usage), per(f.Bytes.Ledger), per(f.Bytes.SQL), per(f.Bytes.IDs), per(f.Bytes.Kept),
		mega(f.Resident[0]), mega(f.Resident[1]), mega(f.Resident[2]), mega(f.Resident[3]), mega(f.Peak),
	}
}

// LatencyHeadings are the headings of [Figures.LatencyCells].
var LatencyHeadings = []string{"variant", "load, events/s", "answer p50", "p99", "answer to settled p50", "p99", "alone, to settled p50", "p99"}

// LatencyCells formats the latencies of a variant; nil if they were not measured.
func (f *Figures) LatencyCells() []string {
	if f.Answer == nil || f.Settled == nil || f.Alone == nil {
		return nil
	}
	return []string{
		f.Name, thousands(int64(f.PerSecond / load)), milli(f.Answer.P50), milli(f.Answer.P99),
		milli(f.Settled.P50), milli(f.Settled.P99), milli(f.Alone.P50), milli(f.Alone.P99),
	}
}

func milli(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

func mega(bytes int64) string {
	if bytes == 0 {
		return "–"
	}
	return fmt.Sprintf("%d MB", bytes>>20)
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int64) string {
	text := fmt.Sprint(n)
	var b strings.Builder
	for i, c := range text {
		if i > 0 && c != '-' && (len(text)-i)%3 == 0 && text[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}
