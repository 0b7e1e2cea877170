package mapping

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // zones for machines that have none, 450 KB

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// ambiguous says which of two instants a local time is that a clock showed twice.
type ambiguous uint8

const (
	refuseBoth ambiguous = iota
	takeFirst
	takeSecond
)

// far is further than any change of a zone's offset reaches.
const far = 48 * time.Hour

// zone compiles a time zone: UTC, an offset, or a name of the IANA database.
func (c *compiler) zone(n *yaml.Node, field string) *time.Location {
	s, _ := c.Scalar(n, field)
	if s == "UTC" {
		return time.UTC
	}
	if t, err := time.Parse("-07:00", s); err == nil {
		_, offset := t.Zone()
		return time.FixedZone(s, offset)
	}
	if strings.Contains(s, "/") {
		if zone, err := time.LoadLocation(s); err == nil {
			return zone
		}
	}
	// Neither "Local", which differs from machine to machine, nor "EST", which
	// knows no daylight saving.
	c.Problem(n, field, "should be UTC, an offset such as +02:00, or a name of the IANA database such as Europe/Berlin")
	return time.UTC
}

// namesZone reports whether times of a layout name their zone themselves, and
// whether they do so by an abbreviation.
func namesZone(layout string) (offset, abbreviation bool) {
	probe := time.Date(2021, 11, 23, 17, 48, 59, 0, time.FixedZone("XQZ", 4980))
	text := probe.Format(layout)
	abbreviation = strings.Contains(text, "XQZ")
	back, err := time.Parse(layout, text)
	return err == nil && back.Equal(probe), abbreviation
}

// resolve returns the instant of a local time that was read in a zone: none where
// clocks were put forward over it, and the first or the second where they were
// put back.
func (m *moment) resolve(t time.Time, text string) (time.Time, *fault) {
	if m.abbreviated && !m.zoned { // A name that the zone does not know is read as UTC by package time.
		name, offset := t.Zone()
		if t.Location() != m.zone && t.Location() != time.UTC && offset == 0 && name != "GMT" {
			return t, &fault{events.BadTime, fmt.Sprintf("%q: %s is not an abbreviation of the zone %s", rowfile.Clip(text), rowfile.Clip(name), m.zone)}
		}
		return t, nil
	}
	if m.zoned || !m.changes {
		return t, nil
	}
	from, to := t.ZoneBounds()
	if (from.IsZero() || t.Sub(from) > far) && (to.IsZero() || to.Sub(t) > far) {
		return t, nil
	}
	// The same clock in UTC, less the offset of each stretch near it, is an
	// instant if it lies in that stretch.
	clock, err := time.Parse(m.layout, text) // Package time moves a time that was skipped, so t does not show it.
	if err != nil {
		return t, &fault{events.BadTime, fmt.Sprintf("%q is not of the form %s", rowfile.Clip(text), m.layout)}
	}
	var found []time.Time
	for at := clock.Add(-far).In(m.zone); at.Before(clock.Add(far)); {
		_, offset := at.Zone()
		from, to := at.ZoneBounds()
		one := clock.Add(-time.Duration(offset) * time.Second)
		if (from.IsZero() || !one.Before(from)) && (to.IsZero() || one.Before(to)) {
			found = append(found, one.In(m.zone))
		}
		if to.IsZero() {
			break
		}
		at = to
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return t, &fault{events.BadTime, fmt.Sprintf("%q is a time that %s skipped, when clocks were put forward", rowfile.Clip(text), m.zone)}
	case m.twice == takeFirst:
		return found[0], nil
	case m.twice == takeSecond:
		return found[len(found)-1], nil
	}
	return t, &fault{events.BadTime, fmt.Sprintf("%q came twice in %s, when clocks were put back: the map can say `ambiguous: first` or `second`", rowfile.Clip(text), m.zone)}
}
