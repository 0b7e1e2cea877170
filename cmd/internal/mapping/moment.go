package mapping

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/cmd/internal/document"
	"github.com/aliquot-engine/aliquot/internal/rowfile"
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
	round  uint64         // nanoseconds to whose nearest multiple it goes; 0: exact
	span   int64          // of a constant duration, nanoseconds; -1: the column says it

	zoned       bool      // times of the layout say their offset themselves
	abbreviated bool      // they name their zone by an abbreviation
	changes     bool      // the offset of the zone changes in the year
	twice       ambiguous // a local time that came twice
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
// the other one, {before: end, column: NAME, unit: ms} and {after: start, …}, in
// which {constant: 5m} can stand for the column.
func (c *compiler) moment(n *yaml.Node, field, other string, alone bool) moment {
	direction := map[string]string{"end": "before", "start": "after"}[other]
	f := c.Members(n, field, "column", "constant", "layout", "zone", "ambiguous", direction, "unit", "round")
	m := moment{kind: byLayout, zone: time.UTC, layout: time.RFC3339Nano, zoned: true, span: -1}
	if v := f["round"]; v != nil {
		s, _ := c.Scalar(v, document.Join(field, "round"))
		if n, ok := span(s, ""); ok && n > 0 && uint64(n) <= units["h"] {
			m.round = uint64(n)
		} else {
			c.Problem(v, document.Join(field, "round"), "should be a span from 1ns to 1h, such as 1ms")
		}
	}
	if f[direction] != nil {
		c.duration(n, f, field, direction, other, alone, &m)
		return m
	}
	for _, name := range []string{"constant", "unit"} {
		if v := f[name]; v != nil {
			c.Problem(v, document.Join(field, name), "is for a duration: a time has a column and a layout, such as unix_ms")
		}
	}
	if !c.momentColumn(n, f, field, &m) {
		return m
	}
	if v := f["layout"]; v != nil {
		c.layout(v, document.Join(field, "layout"), &m)
	}
	if v := f["zone"]; v != nil {
		m.zone = c.zone(v, document.Join(field, "zone"))
		m.changes = strings.Contains(m.zone.String(), "/")
	}
	if v := f["ambiguous"]; v != nil {
		switch s, _ := c.Scalar(v, document.Join(field, "ambiguous")); s {
		case "first":
			m.twice = takeFirst
		case "second":
			m.twice = takeSecond
		case "refused":
		default:
			c.Problem(v, document.Join(field, "ambiguous"), "should be first, second or refused")
		}
		if !m.changes {
			c.Problem(v, document.Join(field, "ambiguous"), "is for a zone that puts its clocks back, such as Europe/Berlin")
		}
	}
	return m
}

func (c *compiler) momentColumn(n *yaml.Node, f map[string]*yaml.Node, field string, m *moment) bool {
	if f["column"] == nil {
		c.Problem(n, document.Join(field, "column"), "is missing")
		return false
	}
	name, _ := c.Scalar(f["column"], document.Join(field, "column"))
	m.column = c.column(n, name)
	return true
}

// duration compiles a moment that is a duration before or after the other one.
func (c *compiler) duration(n *yaml.Node, f map[string]*yaml.Node, field, direction, other string, alone bool, m *moment) {
	m.kind = relative
	v := f[direction]
	if s, _ := c.Scalar(v, document.Join(field, direction)); s != other || alone {
		c.Problem(v, document.Join(field, direction), "should be %s, and %s be given", other, other)
	}
	unit := ""
	if v := f["unit"]; v != nil {
		unit, _ = c.Scalar(v, document.Join(field, "unit"))
		if units[unit] == 0 {
			c.Problem(v, document.Join(field, "unit"), "should be one of ns, us, ms, s, m, h")
		}
	}
	for _, wrong := range []string{"layout", "zone", "ambiguous"} {
		if v := f[wrong]; v != nil {
			c.Problem(v, document.Join(field, wrong), "says nothing about a duration")
		}
	}
	if v := f["constant"]; v != nil {
		s, _ := c.Scalar(v, document.Join(field, "constant"))
		var ok bool
		if m.span, ok = span(s, unit); !ok {
			c.Problem(v, document.Join(field, "constant"), "should be a span of whole nanoseconds such as 5m or 1.5s, or a number with a unit")
		}
		if f["column"] != nil {
			c.Problem(v, document.Join(field, "constant"), "is given together with column")
		}
		return
	}
	if unit == "" {
		unit = "s"
	}
	m.unit = units[unit]
	c.momentColumn(n, f, field, m)
}

func (c *compiler) layout(v *yaml.Node, field string, m *moment) {
	s, _ := c.Scalar(v, field)
	switch s {
	case "rfc3339":
	case "unix":
		m.kind, m.unit = decimals, units["s"]
	case "unix_ms", "unix_us", "unix_ns":
		m.kind, m.unit = decimals, units[strings.TrimPrefix(s, "unix_")]
	default:
		m.layout = s
		if problem := checkLayout(s); problem != "" {
			c.Problem(v, field, "%s", problem)
		}
		m.zoned, m.abbreviated = namesZone(s)
	}
}

// span reads "5m" and "1.5s", or with a unit a number alone, in whole nanoseconds
// up to 292 years. It is never below zero.
func span(s, unit string) (int64, bool) {
	number := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyz")
	if suffix := s[len(number):]; suffix != "" {
		if unit != "" {
			return 0, false
		}
		unit = suffix
	}
	m := moment{unit: units[unit]}
	if m.unit == 0 {
		return 0, false
	}
	low, high, wrong := m.count(number)
	return low, wrong == nil && low == high
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
		case m.round > 0:
			return m.nearest(s)
		case low != high:
			return 0, &fault{events.TooPrecise, fmt.Sprintf("%q has a part of a nanosecond", rowfile.Clip(s))}
		}
		return low, nil
	}
	beyond, part := beyondNine(s) // The package time would cut them off.
	if part && m.round == 0 {
		return 0, &fault{events.TooPrecise, fmt.Sprintf("%q has a part of a nanosecond", rowfile.Clip(s))}
	}
	spelt := s
	if m.layout == time.RFC3339Nano { // As usage events spell it: t and z may be lower-case.
		spelt = strings.ToUpper(s)
	}
	t, err := time.ParseInLocation(m.layout, spelt, m.zone)
	if err != nil {
		return 0, &fault{events.BadTime, fmt.Sprintf("%q is not of the form %s", rowfile.Clip(s), m.layout)}
	}
	t, wrong := m.resolve(t, s)
	if wrong != nil {
		return 0, wrong
	}
	if second := t.Unix(); second < 0 || second >= math.MaxInt64/int64(time.Second) {
		return 0, &fault{events.BadTime, fmt.Sprintf("%q is not between 1970 and 2262", rowfile.Clip(s))}
	}
	if m.round == 0 {
		return t.UnixNano(), nil
	}
	return m.rounded(t.UnixNano(), beyond, part, s)
}

// duration returns the length of a relative moment in nanoseconds: rounded as the
// map says, and otherwise up, so that the interval is not shorter than the usage.
func (m *moment) duration(r *row) (int64, *fault) {
	if m.span >= 0 {
		return m.span, nil
	}
	text, wrong := r.number(m.column)
	if wrong != nil {
		return 0, wrong
	}
	_, up, wrong := m.count(text)
	if wrong == nil && m.round > 0 {
		return m.nearest(text)
	}
	return up, wrong
}

// nearest returns a decimal count of units, rounded to the nearest multiple of
// what the map says, the even one of two.
func (m *moment) nearest(s string) (int64, *fault) {
	q, err := money.ParseQuantity(s)
	if err != nil {
		return 0, numberFault(s, err)
	}
	hi, lo := bits.Mul64(money.Whole.Lo, m.round)
	times, err := money.MulDiv(q.Attos(), money.Units{Lo: m.unit}, money.Units{Hi: hi, Lo: lo})
	hiTimes, n := times.Limbs()
	over, ns := bits.Mul64(n, m.round)
	if err != nil || hiTimes != 0 || over != 0 || ns >= math.MaxInt64 {
		return 0, &fault{events.BadTime, fmt.Sprintf("%q is beyond 2262", rowfile.Clip(s))}
	}
	return int64(ns), nil
}

// rounded rounds whole nanoseconds; part says whether something lies beyond
// them, and beyond how that compares with half a nanosecond.
func (m *moment) rounded(ns int64, beyond int, part bool, s string) (int64, *fault) {
	step := int64(m.round) //nolint:gosec // at most an hour
	times, rest := ns/step, ns%step
	up := 2*rest > step || 2*rest == step && (part || times%2 == 1)
	if step == 1 {
		up = beyond > 0 || part && beyond == 0 && ns%2 == 1
	} else if 2*rest+1 == step && part { // An odd step, and the half is within this nanosecond.
		up = beyond > 0 || beyond == 0 && times%2 == 1
	}
	if up {
		if times > math.MaxInt64/step-2 {
			return 0, &fault{events.BadTime, fmt.Sprintf("%q is beyond 2262", rowfile.Clip(s))}
		}
		times++
	}
	return times * step, nil
}

// beyondNine reports whether there are digits after a point or comma beyond the
// ninth, other than zeros, and how what they are compares with half of the ninth.
func beyondNine(s string) (half int, part bool) {
	places, half := -1, -1
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.' || c == ',':
			places = 0
		case c < '0' || c > '9':
			places = -1
		case places >= 0:
			if places++; places <= 9 {
				continue
			}
			part = part || c != '0'
			switch {
			case places == 10 && c > '5', places > 10 && half == 0 && c != '0':
				half = 1
			case places == 10 && c == '5':
				half = 0
			}
		}
	}
	return half, part
}

// count returns a decimal count of units in whole nanoseconds, rounded down and up.
func (m *moment) count(s string) (low, high int64, wrong *fault) {
	q, err := money.ParseQuantity(s)
	if err != nil {
		return 0, 0, numberFault(s, err)
	}
	if q.Sign() < 0 {
		return 0, 0, &fault{events.Negative, fmt.Sprintf("%q is below zero", rowfile.Clip(s))}
	}
	attos := q.Attos()
	low, lowOK := m.floor(attos)
	// The ceiling of x is minus the floor of minus x.
	minus, err := attos.Neg()
	high, highOK := m.floor(minus)
	if err != nil || !lowOK || !highOK {
		return 0, 0, &fault{events.BadTime, fmt.Sprintf("%q is beyond 2262", rowfile.Clip(s))}
	}
	return low, -high, nil
}

// floor returns attos of a unit in whole nanoseconds, rounded down.
func (m *moment) floor(attos money.Amount) (int64, bool) {
	down, err := money.MulDivFloor(attos, money.Units{Lo: m.unit}, money.Whole)
	hi, lo := down.Limbs()
	n := int64(lo)
	return n, err == nil && hi == n>>63 && n != math.MaxInt64 && n != math.MinInt64
}

// numberFault says why a decimal was refused.
func numberFault(s string, err error) *fault {
	switch {
	case errors.Is(err, money.ErrPrecision):
		return &fault{events.TooPrecise, fmt.Sprintf("%q has more than 18 decimal places", rowfile.Clip(s))}
	case errors.Is(err, money.ErrOverflow):
		return &fault{events.Absurd, fmt.Sprintf("%q does not fit 128 bits", rowfile.Clip(s))}
	}
	return &fault{events.BadNumber, fmt.Sprintf("%q is not a decimal number", rowfile.Clip(s))}
}
