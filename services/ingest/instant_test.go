package ingest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/ingest"
)

// The horizon and the tolerance for the future apply to the last instant, with
// both bounds included, in every format. Fails when ingest uses the exclusive
// end, or refuses at a bound what settle accepts there.
func TestTheHorizonAsksForTheLastInstant(t *testing.T) {
	const horizon, future = 35 * 24 * time.Hour, 300 * time.Second
	for i, test := range []struct {
		name       string
		start, end time.Duration // from the time of receipt
		want       events.Reason
	}{
		{"usage whose last instant is as old as the horizon", -horizon - time.Hour, -horizon + 1, ""},
		{"usage that ends as the horizon begins", -horizon - time.Hour, -horizon, events.BeyondHorizon},
		{"an event without duration, as old as the horizon", -horizon, -horizon, ""},
		{"an event without duration, a nanosecond older", -horizon - 1, -horizon - 1, events.BeyondHorizon},
		{"usage whose last instant is the latest", future - time.Hour, future + 1, ""},
		{"usage that lasts a nanosecond longer", future - time.Hour, future + 2, events.FromFuture},
		{"an event without duration, the latest", future, future, ""},
		{"an event without duration, a nanosecond later", future + 1, future + 1, events.FromFuture},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := open(t, eventlog.Config{}, nil)
			for n, format := range []string{batchMedia, ingest.PackedMedia} {
				received := noon.Add(time.Duration(n)) // Every stamp differs.
				u := used(fmt.Sprint(format, i), func(u *events.Usage) {
					u.Start, u.End = received.Add(test.start).UnixNano(), received.Add(test.end).UnixNano()
				})
				body := batch(u)
				if format == ingest.PackedMedia {
					body = packedBody(t, "acme", u)
				}
				a := b.post(format, body)
				switch {
				case test.want == "" && (a.status != 202 || a.Accepted != 1):
					t.Errorf("%s: %+v", format, a)
				case test.want != "" && (len(a.Refusals) != 1 || a.Refusals[0].Reason != test.want):
					t.Errorf("%s: %+v", format, a)
				}
			}
			for _, m := range b.messages() {
				for _, s := range m.Segments {
					if off := s.Received - noon.UnixNano(); off < 0 || off > 1 {
						t.Errorf("received %d ns after noon: the bounds above are not the bounds", off)
					}
				}
			}
		})
	}
}
