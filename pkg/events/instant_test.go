package events

import (
	"math"
	"strings"
	"testing"
	"time"
)

func ns(t *testing.T, text string) int64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixNano()
}

// Fails when an interval is dated by its exclusive end, or an event without
// duration by the instant before it.
func TestUsageIsDatedByItsLastInstant(t *testing.T) {
	for _, c := range []struct{ why, start, end, instant, month, day string }{
		{"an hour that ends at midnight lies in the day before", "2026-10-31T23:00:00Z", "2026-11-01T00:00:00Z", "2026-10-31T23:59:59.999999999Z", "2026-10", "2026-10-31"},
		{"an event without duration at midnight begins the month", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-11", "2026-11-01"},
		{"an hour in the middle ends a nanosecond before its end", "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z", "2026-11-22T10:59:59.999999999Z", "2026-11", "2026-11-22"},
		{"one nanosecond is its own last instant", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00.000000001Z", "2026-11-01T00:00:00Z", "2026-11", "2026-11-01"},
		{"the last nanosecond of a year is in the year", "2026-12-31T23:59:59.999999999Z", "2027-01-01T00:00:00Z", "2026-12-31T23:59:59.999999999Z", "2026-12", "2026-12-31"},
		{"a month of usage belongs to that month", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z", "2028-02-29T23:59:59.999999999Z", "2028-02", "2028-02-29"},
		{"the first instant there is", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01", "1970-01-01"},
	} {
		u := Usage{Start: ns(t, c.start), End: ns(t, c.end)}
		at := LastInstant(u.Start, u.End)
		if want := ns(t, c.instant); at != want || u.LastInstant() != want {
			t.Errorf("%s: %d and %d, not %d", c.why, at, u.LastInstant(), want)
		}
		month, from, to := Calendar("month").Bounds(at)
		if string(month) != c.month || at < from || at >= to {
			t.Errorf("%s: month %s [%d, %d) of %d", c.why, month, from, to, at)
		}
		day, from, to := Calendar("day").Bounds(at)
		if string(day) != c.day || at < from || at >= to {
			t.Errorf("%s: day %s [%d, %d) of %d", c.why, day, from, to, at)
		}
	}
	if at := LastInstant(5, 3); at != 3 {
		t.Errorf("an interval that ends before it starts is counted at %d", at)
	}
}

// Fails when a bound of a period is computed beyond 63 bits: 2600-01 was the
// label of July 2015 that way.
func TestPeriodsBeyondTheRangeAreRefusedAndNotWrapped(t *testing.T) {
	for _, c := range []struct {
		calendar Calendar
		label    Period
		refused  string // part of the error; empty: it is a period
	}{
		{"month", "2026-11", ""},
		{"month", "1970-01", ""},
		{"month", "2262-03", ""},
		{"month", "2262-04", "ends after"},
		{"month", "2262-05", "is not between"},
		{"month", "2600-01", "is not between"},
		{"month", "9999-12", "is not between"},
		{"month", "1969-12", "is not between"},
		{"month", "0000-01", "is not between"},
		{"month", "0001-01", "is not between"},
		{"month", "1677-09", "is not between"},
		{"month", "2026-13", "is not of the form"},
		{"month", "2026-11-01", "is not of the form"},
		{"day", "1970-01-01", ""},
		{"day", "2262-04-10", ""},
		{"day", "2262-04-11", "ends after"},
		{"day", "2262-04-12", "is not between"},
		{"day", "2600-01-01", "is not between"},
		{"day", "1969-12-31", "is not between"},
		{"day", "2026-02-30", "is not of the form"},
	} {
		from, to, err := c.calendar.Parse(c.label)
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: %v", c.label, err)
			}
			continue
		}
		if err != nil || from < 0 || to <= from {
			t.Errorf("%s: [%d, %d): %v", c.label, from, to, err)
			continue
		}
		for _, at := range []int64{from, to - 1} {
			if label, _, _ := c.calendar.Bounds(at); label != c.label {
				t.Errorf("%s has %d, which is of %s", c.label, at, label)
			}
		}
		if label, _, _ := c.calendar.Bounds(to); label == c.label {
			t.Errorf("%s has its own end", c.label)
		}
	}
	for calendar, last := range map[Calendar]Period{"month": "2262-04", "day": "2262-04-11"} {
		if label, from, to := calendar.Bounds(math.MaxInt64); label != last || to != math.MaxInt64 || from >= to {
			t.Errorf("the last %s is %s, [%d, %d)", calendar, label, from, to)
		}
	}
}

// Fails when a sum wraps, or stops before the end of the range.
func TestLaterStopsAtTheEndsOfTime(t *testing.T) {
	for _, c := range []struct{ at, seconds, want int64 }{
		{0, 1, 1_000_000_000},
		{5, -1, -999_999_995},
		{math.MaxInt64, 0, math.MaxInt64},
		{math.MaxInt64, 1, math.MaxInt64},
		{math.MaxInt64 - 1_000_000_000, 1, math.MaxInt64},
		{math.MaxInt64 - 1_000_000_001, 1, math.MaxInt64 - 1},
		{0, math.MaxInt64, math.MaxInt64},
		{0, math.MinInt64, math.MinInt64},
		{-2, -9_223_372_036, -9_223_372_036_000_000_002},
		{math.MinInt64, -1, math.MinInt64},
		{math.MaxInt64, -9_223_372_037, math.MinInt64},
	} {
		if got := Later(c.at, c.seconds); got != c.want {
			t.Errorf("%d and %d s: %d, not %d", c.at, c.seconds, got, c.want)
		}
	}
}
