package events

import (
	"math"
	"time"
)

// LastInstant returns the instant that decides when usage of the half-open
// interval [start, end) took place: end - 1 ns if end is after start, and start
// if both are equal. Times are in nanoseconds since 1970 UTC.
//
// Every rule about the time of usage uses this function: the period, the card
// version, the quote, the horizon and the tolerance for the future. So an hour
// that ends at midnight belongs to the day before midnight, and an event
// without duration at midnight belongs to the day after it.
//
// An interval that ends before it starts has no instant; such an event is
// refused, and counted at its end.
func LastInstant(start, end int64) int64 {
	if end > start {
		return end - 1
	}
	return end
}

// LastInstant returns the last instant of the event, see [LastInstant].
func (u *Usage) LastInstant() int64 { return LastInstant(u.Start, u.End) }

// Later returns the instant that is seconds after t, or before it if seconds is
// below zero. It saturates: beyond the range it returns [math.MaxInt64] or
// [math.MinInt64].
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
	if (t^sum)&(d^sum) < 0 { // Both summands have the sign that the sum does not have.
		if d < 0 {
			return math.MinInt64
		}
		return math.MaxInt64
	}
	return sum
}
