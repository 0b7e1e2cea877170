package posting

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/admissiontest"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

func TestSettlementAdmits(t *testing.T) {
	for _, c := range admissiontest.Cases() {
		s := New(0, newMemory(), newMemory())
		for i, body := range admissiontest.Declared() {
			d := events.Decision{ID: fmt.Sprint(i), Actor: "operator:test", At: time.Unix(0, admissiontest.Received).UTC(), Body: body}
			if err := s.Redo(Decided{Position: uint64(i + 1), Decision: d}); err != nil {
				t.Fatal(err)
			}
		}
		segment, err := admissiontest.Segment(&c.Usage)
		if err != nil {
			t.Fatal(err)
		}
		d := settlement.Decoded{Segment: events.Segment{Book: admissiontest.Book, Received: admissiontest.Received, Packed: segment}, Columns: new(packed.Columns)}
		if err := d.Columns.Decode(segment); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Batch(1, []settlement.Decoded{d}); err != nil {
			t.Fatal(err)
		}
		want := settlement.Run{Events: 1, Outcome: events.Refused, Reason: c.Want}
		if c.Want == "" {
			want.Outcome = events.Accepted
		}
		if got := s.open.runs.list; !slices.Equal(got, []settlement.Run{want}) {
			t.Errorf("%s: %+v, want %+v", c.Name, got, want)
		}
	}
}
