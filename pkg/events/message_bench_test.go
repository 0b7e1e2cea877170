package events_test

import (
	"fmt"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/eventstest"
)

func BenchmarkMessage(b *testing.B) {
	m := events.Message{Kind: events.Batch}
	for i := range 10 {
		m.Segments = append(m.Segments, events.Segment{Book: events.Book(fmt.Sprintf("book-%d", i)), Key: "key", Packed: pack(b, eventstest.Typical(true))})
	}
	b.Run("append", func(b *testing.B) {
		var data []byte
		b.ReportAllocs()
		report := eventstest.PerEvent(b)
		for b.Loop() {
			data = events.AppendMessage(data[:0], &m)
		}
		report(len(data))
	})
	b.Run("decode", func(b *testing.B) {
		data := events.AppendMessage(nil, &m)
		var scratch []byte
		var out events.Message
		b.ReportAllocs()
		report := eventstest.PerEvent(b)
		for b.Loop() {
			var err error
			if scratch, err = out.Decode(data, scratch); err != nil {
				b.Fatal(err)
			}
		}
		report(len(data))
	})
}
