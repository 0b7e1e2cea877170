package events

import (
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
)

var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9}0*)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func FuzzClock(f *testing.F) {
	for _, s := range []string{
		"2026-11-22T12:00:00Z", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999999999Z", "1969-12-31T23:30:00-00:30",
		"2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854775808Z", "2024-02-29T00:00:00.5+23:59", "2100-02-29T00:00:00Z",
		"2000-02-29T24:00:00Z", "2026-11-22t12:00:00z", "2026-11-22T12:00:00.12345678900z", "2026-11-22T12:00:00.12345678901Z", "2026-11-22T12:00:00,5Z", "2026-11-22T12:00:00.Z", "0000-01-01T00:00:00Z", strings.Repeat("\x00", 10) + "T00:00:00Z",
	} {
		f.Add(s)
	}
	var c Clock
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := c.Parse([]byte(s))
		var fresh Clock
		if again, same := fresh.Parse([]byte(s)); again != got || same != ok {
			t.Fatalf("%q is %d %v, and %d %v to a clock that remembers a date", s, again, same, got, ok)
		}
		var want time.Time
		// Package time is more lenient: commas, hours of one digit, any offset.
		wanted := rfc3339.MatchString(s) && want.UnmarshalText([]byte(strings.ToUpper(s))) == nil &&
			want.Unix() >= 0 && (want.Unix() < math.MaxInt64/1_000_000_000 || want.Unix() == math.MaxInt64/1_000_000_000 && want.Nanosecond() <= math.MaxInt64%1_000_000_000)
		if ok != wanted || ok && got != want.UnixNano() {
			t.Fatalf("%q is %d %v, want %v %v", s, got, ok, want, wanted)
		}
		if !ok {
			return
		}
		if text := string(AppendTime(nil, got)); text != want.UTC().Format(time.RFC3339Nano) {
			t.Fatalf("%d is written as %s", got, text)
		}
	})
}
