package api

import (
	"context"
	"errors"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/services/audit/explain"
)

// EventIdentity names a usage event by the parts of its identity, which leaves no doubt
// where a text may: sources and ids may have a # in them.
type EventIdentity struct {
	Source   string `query:"source" doc:"Source of a usage event: id or sequence is then the one that it gave it."`
	Sequence string `query:"sequence" doc:"With source: its sequence, or epoch/sequence."`
}

// explained are the sources of explanations.
func (s *Server) explained() explain.Sources {
	return explain.Sources{Usage: s.Usage, Control: s.Control, Ledger: s.Ledger, Store: s.Store, IDs: s.IDs}
}

// named is the id that is asked for: the text, or the handle of the event.
func (s *Server) named(ctx context.Context, id string, by EventIdentity) (string, error) {
	identity := explain.Identity{Source: by.Source, ID: id}
	switch {
	case by.Source == "" && by.Sequence != "":
		return "", huma.Error422UnprocessableEntity("a sequence is one of a source: source is missing")
	case by.Source == "" && id == "":
		return "", huma.Error422UnprocessableEntity("id is missing")
	case by.Source == "":
		return id, nil
	case (id == "") == (by.Sequence == ""):
		return "", huma.Error422UnprocessableEntity("with source goes either id or sequence")
	case by.Sequence != "":
		var err error
		if identity, err = explain.ParseSequence(by.Source, by.Sequence); err != nil {
			return "", huma.Error422UnprocessableEntity("sequence: " + err.Error())
		}
	}
	handle, err := explain.Find(ctx, s.explained(), identity)
	return handle, unnamed(err)
}

// unnamed is what an id answers that names nothing, or too much.
func unnamed(err error) error {
	switch {
	case errors.Is(err, explain.ErrUnknown):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, explain.ErrAmbiguous):
		return huma.Error422UnprocessableEntity(err.Error())
	}
	return err
}
