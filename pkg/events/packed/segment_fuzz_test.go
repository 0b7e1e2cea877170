package packed

import (
	"errors"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/aliquot-engine/aliquot/pkg/events/eventstest"
)

// Whatever decodes is within its limits, and packing its events again gives the
// same events; a protobuf library reads the same bytes.
func FuzzColumnsDecode(f *testing.F) {
	for _, sequenced := range []bool{true, false} {
		for _, n := range []int{1, 3, 40} {
			f.Add(Pack(f, eventstest.Samples(sequenced, n)))
		}
	}
	descriptor := segmentType(f)
	var c, again Columns
	f.Fuzz(func(t *testing.T, packed []byte) {
		err := c.Decode(packed)
		var column *ColumnError
		if err != nil {
			if !errors.As(err, &column) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if err := proto.Unmarshal(packed, dynamicpb.NewMessage(descriptor)); err != nil {
			t.Fatalf("protobuf refuses what is accepted here: %v", err)
		}
		var b Builder
		b.Reset(c.Provider, c.Sequenced)
		for i := range c.N {
			u := c.Event(i)
			r := raw(u)
			if fault := r.Check(); fault != nil {
				t.Fatalf("event %d is faulty: %+v", i, fault)
			}
			if !b.Add(r) {
				t.Skip("sources or sets that no event shares")
			}
		}
		if err := again.Decode(b.AppendTo(nil)); err != nil {
			t.Fatal(err)
		}
		for i := range c.N {
			if !reflect.DeepEqual(c.Event(i), again.Event(i)) || c.Fingerprint(i) != again.Fingerprint(i) {
				t.Fatalf("event %d:\n got %+v\nwant %+v", i, again.Event(i), c.Event(i))
			}
		}
	})
}
