package events_test

import (
	"reflect"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

func FuzzMessageDecode(f *testing.F) {
	for _, m := range messages() {
		f.Add(events.AppendMessage(nil, &m))
	}
	var scratch []byte
	f.Fuzz(func(t *testing.T, data []byte) {
		var m, again events.Message
		var err error
		if scratch, err = m.Decode(data, scratch); err != nil {
			return
		}
		if _, err := again.Decode(events.AppendMessage(nil, &m), nil); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(m, again) {
			t.Fatalf("\n got %+v\nwant %+v", again, m)
		}
	})
}
