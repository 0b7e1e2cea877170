package ingest

import (
	"errors"
	"net/http"
	"os"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Unread makes a problem of an error of [Service.ReadBody]. A body that cannot be
// read, such as one whose chunks are not framed as RFC 9112 requires, is the
// sender's fault: sending the same again does not help.
func Unread(err error) *Problem {
	switch {
	case errors.Is(err, ErrOverloaded), errors.Is(err, ErrFull):
		return Interrupted(err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return NewProblem(http.StatusRequestTimeout, "", "body", "nothing was stored, because the body did not arrive in time")
	}
	return NewProblem(http.StatusBadRequest, events.Malformed, "body", "nothing was stored: "+err.Error())
}
