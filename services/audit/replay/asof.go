package replay

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// AsOf is a point in the order of everything. At most one of its kinds is set.
type AsOf struct {
	// Usage is a position of a partition's usage. It stands for the state after
	// the last cut at or before it.
	Usage     uint64
	Partition int
	// Control is a decision. It stands for the state just after the decision took
	// effect, at the first barrier that covers it.
	Control uint64
	// Time stands for the last decision such that it and all decisions before it
	// were recorded at or before this time.
	Time time.Time
}

func (a AsOf) zero() bool { return a == AsOf{} }

// String returns the text that [ParseAsOf] reads; "" if nothing is set.
func (a AsOf) String() string {
	switch {
	case a.Usage > 0:
		return fmt.Sprintf("usage=%d/%d", a.Partition, a.Usage)
	case a.Control > 0:
		return fmt.Sprintf("control=%d", a.Control)
	case !a.Time.IsZero():
		return a.Time.UTC().Format(time.RFC3339Nano)
	}
	return ""
}

// ParseAsOf reads usage=POSITION, usage=PARTITION/POSITION, control=POSITION, or
// a time in RFC 3339.
func ParseAsOf(text string) (a AsOf, err error) {
	bad := fmt.Errorf("%.60q is not a position: it must be usage=POSITION, usage=PARTITION/POSITION, control=POSITION or a time such as 2026-11-20T12:00:00Z", text)
	if at, ok := strings.CutPrefix(text, "control="); ok {
		if a.Control, err = position(at); err != nil {
			return AsOf{}, bad
		}
		return a, nil
	}
	if at, ok := strings.CutPrefix(text, "usage="); ok {
		if number, rest, both := strings.Cut(at, "/"); both {
			p, err := strconv.ParseUint(number, 10, 16)
			if err != nil {
				return AsOf{}, bad
			}
			a.Partition, at = int(p), rest
		}
		if a.Usage, err = position(at); err != nil {
			return AsOf{}, bad
		}
		return a, nil
	}
	if a.Time, err = time.Parse(time.RFC3339, text); err != nil || a.Time.IsZero() {
		return AsOf{}, bad
	}
	a.Time = a.Time.UTC()
	return a, nil
}

func position(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err == nil && n == 0 {
		err = strconv.ErrRange
	}
	return n, err
}
