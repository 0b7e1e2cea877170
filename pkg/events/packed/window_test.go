package packed

import (
	"math"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// window is a gate of one book, whose events may have last instants from one to
// another.
type window struct{ earliest, latest int64 }

func (w window) Node([]byte) (Route, bool) {
	return Route{Book: "b", Window: events.Window{Earliest: w.earliest, Latest: w.latest}}, true
}
func (window) Customer(events.Book, []byte) bool                { return true }
func (window) Meter(events.Book, []byte) (money.Quantity, bool) { return events.LargestQuantity, true }

// Both bounds of the window are in it. Fails when the horizon or the tolerance for
// the future is compared with the exclusive end, or loses its own instant.
func TestAnEventIsTakenWithinItsWindowBoundsIncluded(t *testing.T) {
	const earliest, latest = 1_000, 2_000
	for _, c := range []struct {
		name       string
		window     window
		start, end int64
		want       events.Reason // empty: it is taken
	}{
		{"no duration, as old as may be", window{earliest, latest}, earliest, earliest, ""},
		{"no duration, a nanosecond older", window{earliest, latest}, earliest - 1, earliest - 1, events.BeyondHorizon},
		{"it ends as the window begins", window{earliest, latest}, 0, earliest, events.BeyondHorizon},
		{"its last instant is the window's first", window{earliest, latest}, 0, earliest + 1, ""},
		{"no duration, as new as may be", window{earliest, latest}, latest, latest, ""},
		{"no duration, a nanosecond newer", window{earliest, latest}, latest + 1, latest + 1, events.FromFuture},
		{"its last instant is the window's last", window{earliest, latest}, 0, latest + 1, ""},
		{"it ends a nanosecond later", window{earliest, latest}, 0, latest + 2, events.FromFuture},
		{"a window of one instant", window{latest, latest}, latest, latest, ""},
		{"no bounds, the first instant there is", window{math.MinInt64, math.MaxInt64}, 0, 0, ""},
		{"no bounds, the last instant there is", window{math.MinInt64, math.MaxInt64}, math.MaxInt64, math.MaxInt64, ""},
	} {
		var into Collector
		into.Reset("acme", c.window)
		fault := into.Add(&RawUsage{Source: []byte("s"), Sequenced: true, Sequence: 1, Node: []byte("n"), Customer: []byte("c"), Meter: []byte("m"), Start: c.start, End: c.end})
		var got events.Reason
		if fault != nil {
			got = fault.Reason
		}
		if got != c.want || (into.Len() == 1) != (c.want == "") {
			t.Errorf("%s: refused as %q, %d events taken, want %q", c.name, got, into.Len(), c.want)
		}
	}
}

// Fails when columns date an event otherwise than the event does.
func TestColumnsDateAnEventAsTheEventDoes(t *testing.T) {
	for _, span := range [][2]int64{{0, 0}, {5, 5}, {5, 6}, {0, math.MaxInt64}, {math.MaxInt64, math.MaxInt64}} {
		u := events.Usage{Start: span[0], End: span[1]}
		c := Columns{N: 1, Start: []int64{u.Start}, End: []int64{u.End}}
		if got, want := c.LastInstant(0), u.LastInstant(); got != want {
			t.Errorf("[%d, %d): %d, not %d", u.Start, u.End, got, want)
		}
	}
}
