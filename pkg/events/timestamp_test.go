package events

import (
	"strings"
	"testing"
	"time"
)

// Fails when a spelling that RFC 3339 allows is refused, when one is read as
// another instant, or when the answer does not say what is wrong.
func TestSpellingsOfTime(t *testing.T) {
	for _, c := range []struct{ why, text, want, refused string }{
		{"the usual", "2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z", ""},
		{"a lower-case t and z", "2026-11-22t12:00:00z", "2026-11-22T12:00:00Z", ""},
		{"a lower-case t with an offset", "2026-11-22t12:00:00.5+02:00", "2026-11-22T10:00:00.5Z", ""},
		{"an offset of minutes, backwards over a year", "2026-12-31T23:30:00-01:30", "2027-01-01T01:00:00Z", ""},
		{"nine decimals", "2026-11-22T12:00:00.123456789Z", "2026-11-22T12:00:00.123456789Z", ""},
		{"zeros after nine decimals", "2026-11-22T12:00:00.123456789000Z", "2026-11-22T12:00:00.123456789Z", ""},
		{"thirty zeros", "2026-11-22T12:00:00.000000000000000000000000000000z", "2026-11-22T12:00:00Z", ""},
		{"an unknown local offset is UTC", "2026-11-22T12:00:00-00:00", "2026-11-22T12:00:00Z", ""},
		{"the first instant", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", ""},
		{"the last instant", "2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854775807Z", ""},
		{"an offset brings it into the range", "1969-12-31T23:00:00-01:00", "1970-01-01T00:00:00Z", ""},

		{"a part of a nanosecond", "2026-11-22T12:00:00.1234567891Z", "", "part of a nanosecond"},
		{"a part of a nanosecond after zeros", "2026-11-22T12:00:00.0000000000001z", "", "part of a nanosecond"},
		{"a leap second", "2016-12-31T23:59:60Z", "", "leap seconds"},
		{"the hour 24", "2026-11-22T24:00:00Z", "", "hour 24"},
		{"after the range", "2262-04-11T23:47:16.854775808Z", "", "is not between 1970"},
		{"a year of five hundred", "2600-01-01T00:00:00Z", "", "is not between 1970"},
		{"the year 9999", "9999-12-31T23:59:59Z", "", "is not between 1970"},
		{"before the range", "1969-12-31T23:59:59.999999999Z", "", "is not between 1970"},
		{"an offset takes it out of the range", "1970-01-01T00:00:00+00:01", "", "is not between 1970"},
		{"a space instead of T", "2026-11-22 12:00:00Z", "", "is not a time such as"},
		{"no zone", "2026-11-22T12:00:00", "", "is not a time such as"},
		{"a zone by name", "2026-11-22T12:00:00 UTC", "", "is not a time such as"},
		{"a point without decimals", "2026-11-22T12:00:00.Z", "", "is not a time such as"},
		{"a comma for the point", "2026-11-22T12:00:00,5Z", "", "is not a time such as"},
		{"another letter whose lower case is t", "2026-11-22\x5412:00:00\x1a", "", "is not a time such as"},
		{"a control character that differs from T by one bit", "2026-11-22\x1412:00:00Z", "", "is not a time such as"},
		{"30 February", "2026-02-30T12:00:00Z", "", "is not a time such as"},
		{"nothing", "", "", "is not a time such as"},
	} {
		got, err := ParseTime(c.text)
		var p Clock
		ns, ok := int64(0), false
		if c.text != "" {
			ns, ok = p.Parse([]byte(c.text))
		}
		if c.refused != "" {
			if err == nil || ok || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: %v, %v, %v", c.why, got, ok, err)
			}
			continue
		}
		want, _ := time.Parse(time.RFC3339Nano, c.want)
		if err != nil || !ok || !got.Equal(want) || got.Location() != time.UTC || ns != want.UnixNano() {
			t.Errorf("%s: %v, %d, %v", c.why, got, ns, err)
		}
	}
}
