package quotefile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/internal/rowfile"
)

// zoned are the ways in which exports write a time with its zone, after the T
// and the zone have been brought to one form; unzoned those without.
var (
	zoned   = []string{"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02T15:04Z07:00"}
	unzoned = []string{"2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02"}
)

// parseTime reads a time: Unix seconds, milliseconds, microseconds or
// nanoseconds, told apart by their size; RFC 3339, also with a space for the T
// and UTC for the Z; and, where utc says so, the same without a zone.
func parseTime(text string, utc bool) (time.Time, error) {
	if text == "" {
		return time.Time{}, fmt.Errorf("is empty")
	}
	if whole, rest, _ := strings.Cut(text, "."); strings.Trim(whole, "0123456789") == "" && strings.Trim(rest, "0123456789") == "" {
		return unix(whole, rest, text)
	}
	plain := strings.ToUpper(strings.Replace(text, " ", "T", 1))
	for _, zone := range []string{" UTC", "UTC", "+00"} { // the last as PostgreSQL writes it
		if local, ok := strings.CutSuffix(plain, zone); ok {
			plain = local + "Z"
			break
		}
	}
	for _, layout := range zoned {
		if t, err := time.Parse(layout, plain); err == nil {
			return within(t, text)
		}
	}
	for _, layout := range unzoned {
		t, err := time.Parse(layout, plain)
		if err != nil {
			continue
		}
		if !utc {
			return time.Time{}, fmt.Errorf("%q has no zone: say that it is UTC, if it is", rowfile.Clip(text))
		}
		return within(t, text)
	}
	return time.Time{}, fmt.Errorf("%q is neither a time as 2006-01-02T15:04:05Z or 2006-01-02 15:04:05 UTC, nor Unix seconds, milliseconds, microseconds or nanoseconds", rowfile.Clip(text))
}

// unix reads a number of seconds, or of a smaller unit where it is so large that
// it cannot be seconds: below 10¹¹ seconds, 10¹⁴ milliseconds, 10¹⁷ microseconds.
func unix(whole, rest, text string) (time.Time, error) {
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(rest) > 9 {
		return time.Time{}, outside(text)
	}
	unit := int64(time.Nanosecond)
	switch {
	case n < 100_000_000_000:
		unit = int64(time.Second)
	case n < 100_000_000_000_000:
		unit = int64(time.Millisecond)
	case n < 100_000_000_000_000_000:
		unit = int64(time.Microsecond)
	}
	if n > math.MaxInt64/unit-1 {
		return time.Time{}, outside(text)
	}
	fraction := int64(0)
	if strings.Trim(rest, "0") != "" {
		if unit != int64(time.Second) {
			return time.Time{}, fmt.Errorf("%q has a fraction, but is too large for seconds", rowfile.Clip(text))
		}
		fraction, _ = strconv.ParseInt((rest + "000000000")[:9], 10, 64) // nine digits
	}
	return time.Unix(0, n*unit+fraction).UTC(), nil
}

func within(t time.Time, text string) (time.Time, error) {
	if t.Before(time.Unix(0, 0)) || t.After(time.Unix(0, math.MaxInt64)) {
		return time.Time{}, outside(text)
	}
	return t.UTC(), nil
}

func outside(text string) error {
	return fmt.Errorf("%q is not between 1970 and 2262", rowfile.Clip(text))
}
