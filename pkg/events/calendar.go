package events

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Calendar divides time into periods: "day" or "month", in UTC.
type Calendar string

// Bounds returns the label of the period that contains an instant, and its
// half-open interval [from, to), both in nanoseconds since 1970 UTC. For usage,
// pass its [LastInstant]. The last period is cut off by the range of 63 bits:
// its to is [math.MaxInt64].
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

// errPeriodRange is the error of a well-formed label outside the range.
var errPeriodRange = errors.New("is not between 1970 and 2262-04")

// saturated returns nanoseconds since 1970 UTC of a time after 1970, or
// [math.MaxInt64] if it does not fit.
func saturated(t time.Time) int64 {
	if t.After(time.Unix(0, math.MaxInt64)) {
		return math.MaxInt64
	}
	return t.UnixNano()
}

// Parse returns the half-open interval of a label. It fails if the label does
// not have the form of this calendar, or if its period is not wholly between
// 1970 and 2262-04-11, the range of 63 bits.
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
