package mapping

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// A file whose times are days belongs to the days that it names. Fails when a
// day at midnight is counted with the period before, or when the latest end is
// taken for the latest instant.
func TestASurveyFindsTheLastPeriod(t *testing.T) {
	const days = "{column: at, layout: \"2006-01-02\"}"
	for _, c := range []struct {
		name, document, file string
		month                events.Period
	}{
		{"days alone", with("end: " + days), "node,seconds,at\na,1,2026-10-31\na,1,2026-11-01\n", "2026-11"},
		{"days as starts, with an hour each", with("start: "+days, "end: {after: start, column: seconds, unit: s}"), "node,seconds,at\na,3600,2026-11-01\n", "2026-11"},
		{"a day whole ends with its month", with("start: "+days, "end: {after: start, column: seconds, unit: s}"), "node,seconds,at\na,86400,2026-10-31\n", "2026-10"},
		{"an event without duration after one that ends there", with("start: {column: from, layout: \"2006-01-02\"}", "end: "+days), "node,seconds,from,at\na,1,2026-10-31,2026-11-01\na,1,2026-11-01,2026-11-01\n", "2026-11"},
		{"an hour that ends at midnight", with("start: {column: from}", "end: {column: at}"), "node,seconds,from,at\na,1,2026-10-31T23:00:00Z,2026-11-01T00:00:00Z\n", "2026-10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Parse("map.yaml", []byte(c.document))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "usage.csv")
			if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := m.Survey(path)
			if err != nil || s.Counts.Refused > 0 {
				t.Fatal(s, err)
			}
			if month, _, _ := events.Calendar("month").Bounds(s.Last); month != c.month {
				t.Errorf("the last period is %s, at %v", month, time.Unix(0, s.Last).UTC())
			}
		})
	}
}
