package ingest

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Problem is an RFC 9457 problem: the answer to a submission that failed as a
// whole.
type Problem struct {
	Title    string           `json:"title"`
	Status   int              `json:"status"`
	Detail   string           `json:"detail,omitempty"`
	Field    string           `json:"field,omitempty"`
	Reason   events.Reason    `json:"reason,omitempty"`
	Refusals []events.Refusal `json:"refusals,omitempty"`
}

// NewProblem makes a problem with an HTTP status.
func NewProblem(status int, reason events.Reason, field, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail, Field: field, Reason: reason}
}

// Interrupted makes a problem of an error that is not the sender's fault: the
// same submission may be sent again.
func Interrupted(err error) *Problem {
	if errors.Is(err, ErrFull) {
		return NewProblem(http.StatusInsufficientStorage, "", "", "nothing was stored, because no space is left for usage: send the same again later")
	}
	if errors.Is(err, ErrOverloaded) {
		return NewProblem(http.StatusServiceUnavailable, "", "", "nothing was stored: send the same again later")
	}
	return NewProblem(http.StatusServiceUnavailable, "", "", "it is unknown whether the usage was stored: send the same again, duplicates are found")
}

// Media types of answers.
const (
	answerMedia  = "application/json"
	problemMedia = "application/problem+json"
)

// Encode returns a problem as JSON.
func (p *Problem) Encode() (status int, media string, body []byte) {
	body, err := json.Marshal(p)
	if err != nil {
		return http.StatusInternalServerError, problemMedia, nil // Cannot happen: it only has texts and numbers.
	}
	return p.Status, problemMedia, body
}

// Encode returns an answer as JSON with its HTTP status: 202 if something was
// stored, 200 once that is settled or if there was nothing to store, 422 if every
// event was refused, and a [Problem] if the whole submission was refused.
func Encode(a *events.Answer) (status int, media string, body []byte) {
	if len(a.Refusals) == 1 && a.Refusals[0].Index < 0 {
		refusal := a.Refusals[0]
		p := NewProblem(statusOf(refusal), refusal.Reason, refusal.Field, refusal.Detail)
		p.Refusals = a.Refusals
		return p.Encode()
	}
	status = http.StatusAccepted
	switch {
	case a.Accepted == 0 && a.Refused > 0:
		status = http.StatusUnprocessableEntity
	case a.Accepted == 0, a.Outcomes != nil && a.Outcomes.Settled:
		status = http.StatusOK
	}
	body, err := json.Marshal(a)
	if err != nil {
		return http.StatusInternalServerError, answerMedia, nil // As above.
	}
	return status, answerMedia, body
}

func statusOf(r events.Refusal) int {
	switch r.Reason {
	case events.TooLarge:
		return http.StatusRequestEntityTooLarge
	case events.Unauthorized:
		return http.StatusForbidden
	case events.Unsupported:
		return http.StatusUnsupportedMediaType
	}
	return http.StatusBadRequest
}
