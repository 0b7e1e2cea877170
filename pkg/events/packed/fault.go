package packed

import (
	"strconv"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/chars"
)

// Fault says why one event is refused.
type Fault struct {
	Field  string // as in [Refusal]
	Reason events.Reason
	Detail string
}

// Shown returns the name of an unknown member in a form that is safe to show.
func Shown(prefix string, name []byte) string {
	s := events.Clip(string(name))
	if chars.Problem(name) != "" || len(name) == 0 {
		s = strconv.QuoteToASCII(s)
	}
	return prefix + s
}
