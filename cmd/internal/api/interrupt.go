package api

import (
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// soon is how many seconds a caller waits before it sends the same request
// again: a node of a database is replaced within a few seconds.
const soon = "2"

// busy is the answer when the database could not answer. The database's own
// words go to the log.
const busy = "the database could not answer now: send the same request again"

// interrupted reports that the store may answer the same request later.
func interrupted(err error) bool {
	return errors.Is(err, settlement.ErrInterrupted) || errors.Is(err, distribution.ErrInterrupted)
}

// later turns an interruption of the database into the answer 503 with
// Retry-After, and returns every other error as it is.
func (s *Server) later(err error) error {
	var answered huma.StatusError
	if err == nil || errors.As(err, &answered) || !interrupted(err) {
		return err
	}
	s.Logger.Warn("the database could not answer", "cause", err)
	return huma.ErrorWithHeaders(huma.Error503ServiceUnavailable(busy), http.Header{"Retry-After": {soon}})
}
