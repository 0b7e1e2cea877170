package events

import (
	"math"
	"time"
)

// LastInstant returns the instant that usage of the half-open interval
// [start, end) is dated by: end - 1 ns where end is after start, and start where
// both are equal. Times are in nanoseconds since 1970 UTC.
//
// Everything that asks when usage was asks this function: the period, the card
// version, the quote, the horizon and the tolerance for the future. So an hour
// that ends at midnight belongs to the day that it lies in, and an event without
// duration at midnight belongs to the day that begins.
//
// An interval that ends before it starts has no instant; such an event is
// refused, and where it is counted it is counted at its end.
func LastInstant(start, end int64) int64 {
	if end > start {
		return end - 1
	}
	return end
}

// LastInstant returns the instant that the event is dated by, see [LastInstant].
func (u *Usage) LastInstant() int64 { return LastInstant(u.Start, u.End) }

// Later returns the instant that is seconds after t, or before it where seconds
// is below zero. It stops at the ends of the range: beyond them it returns
// [math.MaxInt64] or [math.MinInt64].
func Later(t, seconds int64) int64 {
	const most = math.MaxInt64 / int64(time.Second)
	if seconds > most {
		return math.MaxInt64
	}
	if seconds < -most {
		return math.MinInt64
	}
	d := seconds * int64(time.Second)
	sum := t + d
	if (t^sum)&(d^sum) < 0 { // Both summands have the sign that the sum lacks.
		if d < 0 {
			return math.MinInt64
		}
		return math.MaxInt64
	}
	return sum
}
