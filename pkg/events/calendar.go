package events

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Calendar cuts time into periods: "day" or "month", in UTC.
type Calendar string

// Bounds returns the label of the period that an instant lies in, and its
// half-open interval [from, to), both in nanoseconds since 1970 UTC. Usage is
// asked for at its [LastInstant]. Of the last period, which the range of 63
// bits cuts off, to is [math.MaxInt64].
func (c Calendar) Bounds(at int64) (label Period, from, to int64) {
	t := time.Unix(0, at).UTC()
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
	return label, a.UnixNano(), saturated(b)
}

// errPeriodRange is why a period of the right form is none.
var errPeriodRange = errors.New("is not between 1970 and 2262-04")

// saturated returns nanoseconds since 1970 UTC of a time after 1970, or
// [math.MaxInt64] where it is later than that.
func saturated(t time.Time) int64 {
	if t.After(time.Unix(0, math.MaxInt64)) {
		return math.MaxInt64
	}
	return t.UnixNano()
}

// Parse returns the half-open interval of a label, or why it is not a label of this
// calendar: another form, or a period that does not lie wholly between 1970 and
// 2262-04-11, the range of 63 bits.
func (c Calendar) Parse(label Period) (from, to int64, err error) {
	layout := "2006-01"
	if c == "day" {
		layout = "2006-01-02"
	}
	t, err := time.Parse(layout, string(label))
	if err != nil {
		return 0, 0, fmt.Errorf("period %q is not of the form %s", Clip(string(label)), layout)
	}
	if t.Before(time.Unix(0, 0)) || t.After(time.Unix(0, math.MaxInt64)) {
		return 0, 0, fmt.Errorf("period %q %w", label, errPeriodRange)
	}
	_, from, to = c.Bounds(t.UnixNano())
	if to == math.MaxInt64 {
		return 0, 0, fmt.Errorf("period %q %w: it ends after the last time there is, 2262-04-11T23:47:16Z", label, errPeriodRange)
	}
	return from, to, nil
}
