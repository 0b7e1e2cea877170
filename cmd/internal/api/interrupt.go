package api

import (
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// soon is how long a caller waits before the same request again, in seconds: a
// node of a database is replaced within a few.
const soon = "2"

// busy is what is said of a database that could not answer now. Its own words are
// for the log.
const busy = "the database could not answer now: send the same request again"

// interrupted reports that the store may answer the same question later.
func interrupted(err error) bool {
	return errors.Is(err, settlement.ErrInterrupted) || errors.Is(err, distribution.ErrInterrupted)
}

// later makes an interruption of the database an answer, 503 with Retry-After, and
// leaves every other error as it is.
func (s *Server) later(err error) error {
	var answered huma.StatusError
	if err == nil || errors.As(err, &answered) || !interrupted(err) {
		return err
	}
	s.Logger.Warn("the database could not answer", "cause", err)
	return huma.ErrorWithHeaders(huma.Error503ServiceUnavailable(busy), http.Header{"Retry-After": {soon}})
}
