package posting

import (
	"fmt"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// Fails when a batch cuts by its position only: where every event has a
// customer and a node of its own, a cut would then hold a million postings.
func TestManyEventsCutBeforeTheHundredthPosition(t *testing.T) {
	const perBatch = packed.MaxEvents
	m := newMemory()
	s := New(0, m, m)
	var b packed.Builder
	for position := 1; ; position++ {
		b.Reset("acme", true)
		for i := range perBatch {
			b.Add(&packed.RawUsage{Source: []byte("s"), Sequenced: true, Sequence: uint64(position*perBatch + i),
				Node: []byte("n"), Customer: []byte("c"), Meter: []byte("m"), Start: 1, End: 1})
		}
		m.usage = append(m.usage, events.AppendMessage(nil, &events.Message{Kind: events.Batch, Segments: []events.Segment{{Book: "b", Packed: b.AppendTo(nil)}}}))
		cut, err := m.take(s, uint64(position))
		if err != nil {
			t.Fatal(err)
		}
		if want := position*perBatch >= CutEvents; (cut != nil) != want {
			t.Fatalf("position %d, after %d events, cuts: %v", position, position*perBatch, cut != nil)
		}
		if cut != nil {
			if text := fmt.Sprint(cut.Position, cut.Events, cut.Batches, len(cut.Outcomes)); text != fmt.Sprint(position, position*perBatch, position, position) {
				t.Errorf("cut %s", text)
			}
			return
		}
	}
}
