package api

import (
	"context"
	"errors"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/services/audit/explain"
)

// EventIdentity names a usage event by the parts of its identity. A text can be
// ambiguous, because sources and ids may contain a #; the parts cannot.
type EventIdentity struct {
	Source   string `query:"source" doc:"Source of a usage event; id or sequence is then the one that the source gave it."`
	Sequence string `query:"sequence" doc:"With source: the event's sequence, or epoch/sequence."`
}

// explained returns the sources of explanations.
func (s *Server) explained() explain.Sources {
	return explain.Sources{Usage: s.Usage, Control: s.Control, Ledger: s.Ledger, Store: s.Store, IDs: s.IDs}
}

// named returns the id that a request asks for: the text as it is, or the
// handle of the event.
func (s *Server) named(ctx context.Context, id string, by EventIdentity) (string, error) {
	identity := explain.Identity{Source: by.Source, ID: id}
	switch {
	case by.Source == "" && by.Sequence != "":
		return "", huma.Error422UnprocessableEntity("sequence needs source")
	case by.Source == "" && id == "":
		return "", huma.Error422UnprocessableEntity("id is missing")
	case by.Source == "":
		return id, nil
	case (id == "") == (by.Sequence == ""):
		return "", huma.Error422UnprocessableEntity("source needs either id or sequence, not both")
	case by.Sequence != "":
		var err error
		if identity, err = explain.ParseSequence(by.Source, by.Sequence); err != nil {
			return "", huma.Error422UnprocessableEntity("sequence: " + err.Error())
		}
	}
	handle, err := explain.Find(ctx, s.explained(), identity)
	return handle, unnamed(err)
}

// unnamed maps the error for an id that names nothing, or several things, to an
// answer.
func unnamed(err error) error {
	switch {
	case errors.Is(err, explain.ErrUnknown):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, explain.ErrAmbiguous):
		return huma.Error422UnprocessableEntity(err.Error())
	}
	return err
}
