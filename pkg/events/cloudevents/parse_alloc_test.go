package cloudevents

import (
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events/eventstest"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/golden"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

func TestParsingAllocatesNothingPerEvent(t *testing.T) {
	for _, sequenced := range []bool{true, false} {
		body := batchOf(eventstest.Typical(sequenced))
		for _, general := range []bool{true, false} {
			p := Parser{general: general}
			var collector packed.Collector
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
}

// Golden text, as above.
func TestCloudEventsKeepTheirText(t *testing.T) {
	var lines []byte
	for _, u := range append(eventstest.Samples(true, 20), eventstest.Samples(false, 20)...) {
		lines = append(Append(lines, &u), '\n')
	}
	golden.Compare(t, "cloudevents.jsonl", lines)
}
