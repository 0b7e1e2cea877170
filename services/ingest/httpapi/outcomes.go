package httpapi

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/ingest"
)

// outcomes answers
//
//	?partition=0&position=12&first=0&count=1000   by handle
//	?source=S&id=I                                by identity
//	?source=S&epoch=0&sequence=17                 by sequence
//
// each with &wait=SECONDS, and with &provider=P if an operator or auditor asks by
// identity.
func (h *handler) outcomes(w http.ResponseWriter, r *http.Request) {
	actor, p := h.authenticate(r)
	if p != nil {
		refuse(w, p)
		return
	}
	wait, p := waitOf(r)
	if p != nil {
		refuse(w, p)
		return
	}
	query := r.URL.Query()
	provider := actor.Provider
	if named := events.Provider(query.Get("provider")); named != "" {
		if provider != "" && named != provider {
			refuse(w, ingest.NewProblem(http.StatusForbidden, events.Unauthorized, "provider", "is not the key's"))
			return
		}
		provider = named
	}
	handle, p := h.handleOf(r, query, provider)
	if p != nil {
		refuse(w, p)
		return
	}
	outcomes, err := h.service.Await(r.Context(), wait, provider, []events.Handle{handle})
	switch {
	case errors.Is(err, ingest.ErrNotFound):
		refuse(w, ingest.NewProblem(http.StatusNotFound, "", "", "there is no usage of this provider at this position"))
	case err != nil:
		refuse(w, ingest.Interrupted(err))
	default:
		write(w, asJSON(struct {
			Handle events.Handle `json:"handle"`
			events.Outcomes
		}{handle, outcomes}))
	}
}

func (h *handler) handleOf(r *http.Request, query url.Values, provider events.Provider) (events.Handle, *ingest.Problem) {
	var failed *ingest.Problem
	number := func(name string, absent uint64) uint64 {
		said := query.Get(name)
		if said == "" {
			return absent
		}
		n, err := strconv.ParseUint(said, 10, 64)
		if err != nil {
			failed = ingest.NewProblem(http.StatusBadRequest, events.BadNumber, name, "is not a whole number")
		}
		return n
	}
	if query.Has("position") {
		handle := events.Handle{
			Partition: int(number("partition", 0)), Position: number("position", 0),
			First: int(min(number("first", 0), events.MaxBody)), Count: int(min(number("count", 1), events.MaxBody)),
		}
		return handle, failed
	}
	identity := ingest.Identity{
		Source: query.Get("source"), ID: query.Get("id"), Sequenced: query.Has("sequence"),
		Epoch: number("epoch", 0), Sequence: number("sequence", 0),
	}
	switch {
	case failed != nil:
		return events.Handle{}, failed
	case identity.Source == "" || identity.ID == "" && !identity.Sequenced:
		return events.Handle{}, ingest.NewProblem(http.StatusBadRequest, events.Missing, "position", "ask by position, by source and id, or by source, epoch and sequence")
	case provider == "":
		return events.Handle{}, ingest.NewProblem(http.StatusBadRequest, events.Missing, "provider", "name the provider whose event it is")
	}
	handle, err := h.service.Find(r.Context(), provider, identity)
	if errors.Is(err, ingest.ErrNotFound) {
		return handle, ingest.NewProblem(http.StatusNotFound, "", "", "no accepted event with this identity is settled")
	}
	if err != nil {
		return handle, ingest.Interrupted(err)
	}
	return handle, nil
}
