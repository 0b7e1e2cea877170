package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/services/audit/explain"
)

type usageCommand struct {
	Send    usageSend    `cmd:"" help:"Send the usage of a CSV or JSON Lines file, mapped by a map file."`
	Outcome usageOutcome `cmd:"" help:"Show the outcome of a usage event."`
}

// usageOutcome asks about one event: by handle, by sequence, or by id.
type usageOutcome struct {
	ID       string `arg:"" optional:"" help:"SOURCE#ID, SOURCE#SEQUENCE, SOURCE#EPOCH/SEQUENCE, or the handle PARTITION/POSITION/ORDINAL."`
	Provider string `help:"Provider of the event; the only provider by default." placeholder:"NAME"`
	Wait     int    `help:"Seconds to wait until it is settled." default:"0"`

	eventFlags `embed:""`
}

// outcome is the outcome of one event.
type outcome struct {
	Handle   events.Handle `json:"handle"`
	Outcome  string        `json:"outcome"` // "accepted", "late", "duplicate", "refused", "not settled yet"
	Reason   events.Reason `json:"reason,omitempty"`
	Source   string        `json:"source,omitempty"`
	Identity string        `json:"id,omitempty"`
}

// outcomeSaid is the API's answer about one event.
type outcomeSaid struct {
	Handle events.Handle `json:"handle"`
	events.Outcomes
}

func (c *usageOutcome) Run(ctx context.Context, r *root) (err error) {
	queries, err := c.queries()
	if err != nil {
		return err
	}
	s, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	said, err := c.ask(ctx, s, queries)
	if err != nil {
		return err
	}
	o := outcome{Handle: said.Handle}
	switch {
	case !said.Settled:
		o.Outcome = "not settled yet"
	case len(said.Exceptions) > 0:
		e := said.Exceptions[0]
		o.Outcome, o.Reason, o.Source, o.Identity = e.Outcome, e.Reason, e.Source, e.ID
	case said.Accepted > 0:
		o.Outcome = "accepted"
	default:
		return fmt.Errorf("no usage event is at %s", c.ID)
	}
	return r.print(o, func(w io.Writer) {
		plain.Fprintf(w, "%s", o.Outcome)
		if o.Reason != "" {
			plain.Fprintf(w, ": %s", o.Reason)
		}
		plain.Fprintf(w, "\nat %d/%d/%d in the usage stream (partition, position, ordinal)\n", o.Handle.Partition, o.Handle.Position, o.Handle.First)
	})
}

// asked is one question to the API, with the identity that it is about.
type asked struct {
	query    url.Values
	identity string // empty: the question is about a handle
}

// ask asks about every event that the text may name; exactly one must exist.
func (c *usageOutcome) ask(ctx context.Context, s *server, queries []asked) (said outcomeSaid, err error) {
	var found []string
	var none error
	for _, q := range queries {
		if q.identity != "" {
			provider, err := s.provider(ctx, c.Provider, "")
			if err != nil {
				return said, err
			}
			q.query.Set("provider", string(provider))
		}
		var one outcomeSaid
		err := s.call(ctx, http.MethodGet, "/v1/usage/outcomes?"+q.query.Encode(), nil, &one)
		if no := (*refusedError)(nil); errors.As(err, &no) && no.status == http.StatusNotFound {
			none = err
			continue
		}
		if err != nil {
			return said, err
		}
		if len(found) == 0 || one.Handle != said.Handle {
			said = one
			found = append(found, fmt.Sprintf("%s at %d/%d/%d", q.identity, one.Handle.Partition, one.Handle.Position, one.Handle.First))
		}
	}
	switch len(found) {
	case 0:
		return said, none
	case 1:
		return said, nil
	}
	return said, fmt.Errorf("%q names more than one event: %s", c.ID, strings.Join(found, "; "))
}

// queries returns the API queries for every meaning of the text, or for what
// the flags name.
func (c *usageOutcome) queries() (list []asked, err error) {
	identity, named, err := c.identity(c.ID)
	if err != nil {
		return nil, err
	}
	readings := []explain.Identity{identity}
	if !named {
		if readings = explain.Readings(c.ID); len(readings) == 0 {
			query, err := c.handle()
			return []asked{{query: query}}, err
		}
	}
	for _, i := range readings {
		query := url.Values{"source": {i.Source}}
		if i.Sequenced {
			query.Set("epoch", strconv.FormatUint(i.Epoch, 10))
			query.Set("sequence", strconv.FormatUint(i.Sequence, 10))
		} else {
			query.Set("id", i.ID)
		}
		if c.Wait > 0 {
			query.Set("wait", strconv.Itoa(c.Wait))
		}
		list = append(list, asked{query, i.String()})
	}
	return list, nil
}

// handle returns the query for a handle.
func (c *usageOutcome) handle() (url.Values, error) {
	parts := strings.Split(c.ID, "/")
	if len(parts) != 3 {
		return nil, misused("%q is neither SOURCE#ID, SOURCE#SEQUENCE, SOURCE#EPOCH/SEQUENCE nor PARTITION/POSITION/ORDINAL", c.ID)
	}
	query := url.Values{"count": {"1"}}
	for i, name := range []string{"partition", "position", "first"} {
		if _, err := strconv.ParseUint(parts[i], 10, 64); err != nil {
			return nil, misused("%q: %s %q is not a whole number", c.ID, name, parts[i])
		}
		query.Set(name, parts[i])
	}
	if c.Wait > 0 {
		query.Set("wait", strconv.Itoa(c.Wait))
	}
	return query, nil
}

// provider returns the provider that was named, or that of the book, or the
// only one.
func (s *server) provider(ctx context.Context, named string, book events.Book) (events.Provider, error) {
	if named != "" {
		return events.Provider(named), nil
	}
	var books []api.Book
	if err := s.call(ctx, http.MethodGet, "/v1/books", nil, &books); err != nil {
		return "", fmt.Errorf("asking for the provider of the usage (or name it with --provider): %w", err)
	}
	return providerOf(books, book)
}

// providerOf returns the provider of the book that is named, or the only one.
func providerOf(books []api.Book, book events.Book) (events.Provider, error) {
	var names []events.Provider
	for _, b := range books {
		if book != "" && b.Book == book {
			return b.Provider, nil
		}
		if !slices.Contains(names, b.Provider) {
			names = append(names, b.Provider)
		}
	}
	switch {
	case book != "":
		return "", fmt.Errorf("book %q is not declared", book)
	case len(names) == 0:
		return "", errors.New("no book is declared: declare one with aliquot apply")
	case len(names) > 1:
		slices.Sort(names)
		return "", misused("--provider NAME is needed: there are %d providers, such as %q and %q", len(names), names[0], names[1])
	}
	return names[0], nil
}
