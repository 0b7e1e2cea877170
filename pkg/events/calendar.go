package events

import (
	"fmt"
	"time"
)

// Calendar cuts time into periods: "day" or "month", in UTC.
type Calendar string

// Bounds returns the label of the period that an instant belongs to and its
// half-open interval, both in nanoseconds since 1970 UTC. An interval that ends
// exactly on a boundary belongs to the period that ends there, because usage
// [start, end) was all before it: pass the event's end.
func (c Calendar) Bounds(end int64) (label Period, from, to int64) {
	t := time.Unix(0, end-1).UTC()
	var a, b time.Time
	if c == "day" {
		a = time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
		b = a.AddDate(0, 0, 1)
		label = Period(a.Format("2006-01-02"))
	} else {
		a = time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
		b = a.AddDate(0, 1, 0)
		label = Period(a.Format("2006-01"))
	}
	// An event belongs to (from, to] by its end.
	return label, a.UnixNano(), b.UnixNano()
}

// Parse returns the bounds of a label, or why it is none of this calendar.
func (c Calendar) Parse(label Period) (from, to int64, err error) {
	layout := "2006-01"
	if c == "day" {
		layout = "2006-01-02"
	}
	t, err := time.Parse(layout, string(label))
	if err != nil {
		return 0, 0, fmt.Errorf("period %q is not of the form %s", label, layout)
	}
	_, from, to = c.Bounds(t.UnixNano() + 1)
	return from, to, nil
}
