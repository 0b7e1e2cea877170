package mapping

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// moment makes a start or an end of a row.
type moment struct {
	kind   momentKind
	column int
	layout string         // of absolute ones
	zone   *time.Location // of layouts without one
	unit   uint64         // nanoseconds, of decimal and relative ones
}

type momentKind uint8

const (
	same     momentKind = iota // as the other one
	byLayout                   // by a layout of package time
	decimals                   // a decimal count of units since 1970
	relative                   // a decimal count of units before the end, or after the start
)

var units = map[string]uint64{"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9}

// moment compiles {column: NAME, layout: LAYOUT, zone: "+02:00"} or, relative to
// the other one, {before: end, column: NAME, unit: ms} and {after: start, …}.
func (c *compiler) moment(n *yaml.Node, field, other string, alone bool) moment {
	direction := map[string]string{"end": "before", "start": "after"}[other]
	f := c.members(n, field, "column", "layout", "zone", direction, "unit")
	m := moment{kind: byLayout, zone: time.UTC, layout: time.RFC3339Nano}
	if f["column"] == nil {
		c.problem(n, join(field, "column"), "is missing")
		return m
	}
	name, _ := c.scalar(f["column"], join(field, "column"))
	m.column = c.column(n, name)
	if v := f[direction]; v != nil {
		m.kind = relative
		if s, _ := c.scalar(v, join(field, direction)); s != other || alone {
			c.problem(v, join(field, direction), "should be %s, and %s be given", other, other)
		}
		unit := "s"
		if v := f["unit"]; v != nil {
			unit, _ = c.scalar(v, join(field, "unit"))
			if units[unit] == 0 {
				c.problem(v, join(field, "unit"), "should be one of ns, us, ms, s, m, h")
			}
		}
		m.unit = units[unit]
		for _, wrong := range []string{"layout", "zone"} {
			if v := f[wrong]; v != nil {
				c.problem(v, join(field, wrong), "says nothing about a duration")
			}
		}
		return m
	}
	if v := f["unit"]; v != nil {
		c.problem(v, join(field, "unit"), "is for a duration: a time has a layout, such as unix_ms")
	}
	if v := f["layout"]; v != nil {
		s, _ := c.scalar(v, join(field, "layout"))
		switch s {
		case "rfc3339":
		case "unix":
			m.kind, m.unit = decimals, units["s"]
		case "unix_ms", "unix_us", "unix_ns":
			m.kind, m.unit = decimals, units[strings.TrimPrefix(s, "unix_")]
		default:
			m.layout = s
			if problem := checkLayout(s); problem != "" {
				c.problem(v, join(field, "layout"), "%s", problem)
			}
		}
	}
	if v := f["zone"]; v != nil {
		s, _ := c.scalar(v, join(field, "zone"))
		if s != "UTC" {
			t, err := time.Parse("-07:00", s)
			if err != nil {
				c.problem(v, join(field, "zone"), "should be UTC or an offset such as +02:00")
			} else {
				_, offset := t.Zone()
				m.zone = time.FixedZone(s, offset)
			}
		}
	}
	return m
}

// checkLayout finds layouts that would lose a part of the date.
func checkLayout(layout string) string {
	probe := time.Date(2021, 11, 23, 17, 48, 59, 0, time.UTC)
	back, err := time.Parse(layout, probe.Format(layout))
	if err != nil || back.Year() != 2021 || back.YearDay() != probe.YearDay() {
		return fmt.Sprintf("%q is not rfc3339, unix, unix_ms, unix_us, unix_ns or a layout of Go, such as 2006-01-02 15:04:05", layout)
	}
	return ""
}

// at returns the instant of an absolute moment, in nanoseconds since 1970 UTC.
func (m *moment) at(r *row) (int64, *fault) {
	s := r.get(m.column)
	if s == "" {
		return 0, r.empty(m.column, "")
	}
	if m.kind == decimals {
		s, wrong := r.number(m.column)
		if wrong != nil {
			return 0, wrong
		}
		low, high, wrong := m.count(s)
		switch {
		case wrong != nil:
			return 0, wrong
		case low != high:
			return 0, &fault{events.TooPrecise, fmt.Sprintf("%q has a part of a nanosecond", clip(s))}
		}
		return low, nil
	}
	if moreThanNine(s) { // The package time would cut them off.
		return 0, &fault{events.TooPrecise, fmt.Sprintf("%q has a part of a nanosecond", clip(s))}
	}
	t, err := time.ParseInLocation(m.layout, s, m.zone)
	if err != nil {
		return 0, &fault{events.BadTime, fmt.Sprintf("%q is not of the form %s", clip(s), m.layout)}
	}
	if second := t.Unix(); second < 0 || second >= math.MaxInt64/int64(time.Second) {
		return 0, &fault{events.BadTime, fmt.Sprintf("%q is not between 1970 and 2262", clip(s))}
	}
	return t.UnixNano(), nil
}

// moreThanNine reports digits after a point or comma beyond the ninth, other than zeros.
func moreThanNine(s string) bool {
	places := -1
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.' || c == ',':
			places = 0
		case c < '0' || c > '9':
			places = -1
		case places >= 0:
			if places++; places > 9 && c != '0' {
				return true
			}
		}
	}
	return false
}

// count returns a decimal count of units in whole nanoseconds, rounded down and up.
func (m *moment) count(s string) (low, high int64, wrong *fault) {
	q, err := money.ParseQuantity(s)
	if err != nil {
		return 0, 0, numberFault(s, err)
	}
	if q.Sign() < 0 {
		return 0, 0, &fault{events.Negative, fmt.Sprintf("%q is below zero", clip(s))}
	}
	attos := money.AmountFromLimbs(q.Limbs())
	low, lowOK := m.floor(attos)
	// The ceiling of x is minus the floor of minus x.
	minus, err := attos.Neg()
	high, highOK := m.floor(minus)
	if err != nil || !lowOK || !highOK {
		return 0, 0, &fault{events.BadTime, fmt.Sprintf("%q is beyond 2262", clip(s))}
	}
	return low, -high, nil
}

// floor returns attos of a unit in whole nanoseconds, rounded down.
func (m *moment) floor(attos money.Amount) (int64, bool) {
	_, whole := money.One.Limbs()
	down, err := money.MulDivFloor(attos, money.Units{Lo: m.unit}, money.Units{Lo: whole})
	hi, lo := down.Limbs()
	n := int64(lo)
	return n, err == nil && hi == n>>63 && n != math.MaxInt64 && n != math.MinInt64
}

// numberFault says why a decimal was refused.
func numberFault(s string, err error) *fault {
	switch {
	case errors.Is(err, money.ErrPrecision):
		return &fault{events.TooPrecise, fmt.Sprintf("%q has more than 18 decimal places", clip(s))}
	case errors.Is(err, money.ErrOverflow):
		return &fault{events.Absurd, fmt.Sprintf("%q does not fit 128 bits", clip(s))}
	}
	return &fault{events.BadNumber, fmt.Sprintf("%q is not a decimal number", clip(s))}
}

// clip keeps hostile text out of answers and logs.
func clip(s string) string {
	if len(s) > 48 {
		s = s[:48] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
