package main

import (
	"net/url"

	"github.com/aliquot-engine/aliquot/services/audit/explain"
)

// eventFlags name a usage event by the parts of its identity. A single text may
// be ambiguous: sources and ids may contain a #, and an id may consist of
// digits.
type eventFlags struct {
	Source   string `help:"Source of a usage event, with --id or --sequence, if its name as one text would be ambiguous." placeholder:"SOURCE"`
	EventID  string `name:"id" help:"With --source: the id that the source gave the event." placeholder:"ID"`
	Sequence string `help:"With --source: the sequence of the event." placeholder:"[EPOCH/]SEQUENCE"`
}

// identity returns the event that the flags name. If they name none, ok is
// false and the text names it.
func (f *eventFlags) identity(text string) (identity explain.Identity, ok bool, err error) {
	given := f.Source != "" || f.EventID != "" || f.Sequence != ""
	switch {
	case !given && text == "":
		return identity, false, misused("name what you ask for, or name an event with --source and --id or --sequence")
	case !given:
		return identity, false, nil
	case text != "":
		return identity, false, misused("%q and --source, --id or --sequence both name something: use only one of them", text)
	case f.Source == "":
		return identity, false, misused("--id and --sequence need --source")
	case (f.EventID == "") == (f.Sequence == ""):
		return identity, false, misused("--source needs either --id or --sequence, not both")
	case f.EventID != "":
		return explain.Identity{Source: f.Source, ID: f.EventID}, true, nil
	}
	if identity, err = explain.ParseSequence(f.Source, f.Sequence); err != nil {
		return identity, false, misused("--sequence: %v", err)
	}
	return identity, true, nil
}

// query asks the API for the thing that the text or the flags name.
func (f *eventFlags) query(text string) (url.Values, error) {
	_, named, err := f.identity(text)
	switch {
	case err != nil:
		return nil, err
	case !named:
		return url.Values{"id": {text}}, nil
	case f.EventID != "":
		return url.Values{"source": {f.Source}, "id": {f.EventID}}, nil
	}
	return url.Values{"source": {f.Source}, "sequence": {f.Sequence}}, nil
}
