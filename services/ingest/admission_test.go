package ingest

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/admissiontest"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// The verifier passes what has no objection and nothing else, and a submission is
// refused for the reason that counts, packed and as JSON.
func TestTheVerifierAdmits(t *testing.T) {
	s := reading(t)
	s.folded = directory.New()
	for i, body := range admissiontest.Declared() {
		if err := s.folded.Apply(uint64(i+1), events.Decision{ID: fmt.Sprint(i), Actor: "operator:test", At: noon, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range admissiontest.Cases() {
		segment, err := admissiontest.Segment(&c.Usage)
		if err != nil {
			t.Fatal(err)
		}
		var columns packed.Columns
		if err := columns.Decode(segment); err != nil {
			t.Fatal(err)
		}
		var v verifier
		if _, ok := v.verify(&columns, &gate{service: s, provider: admissiontest.Provider, received: admissiontest.Received}); ok != (c.Want == "") {
			t.Errorf("%s: verified: %v", c.Name, ok)
		}
		for name, b := range map[string]Submission{
			"packed":  {Form: Packed, Body: append(binary.AppendUvarint(nil, uint64(len(segment))), segment...)},
			"as JSON": {Form: Batch, Body: jsonOf([]events.Usage{c.Usage})},
		} {
			b.Provider = admissiontest.Provider
			got := events.Reason("")
			if answer := s.read(new(work), &b, admissiontest.Received); len(answer.Refusals) > 0 {
				got = answer.Refusals[0].Reason
			}
			if got != c.Want {
				t.Errorf("%s, %s: %q counts, want %q", c.Name, name, got, c.Want)
			}
		}
	}
}
