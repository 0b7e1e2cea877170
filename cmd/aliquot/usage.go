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

	"github.com/aliquot-engine/aliquot/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

type usageCommand struct {
	Send    usageSend    `cmd:"" help:"Send the usage of a CSV or JSON Lines file, mapped by a map file."`
	Outcome usageOutcome `cmd:"" help:"Say what became of a usage event."`
}

// usageOutcome asks for one event: by handle, by sequence, or by id.
type usageOutcome struct {
	ID       string `arg:"" help:"SOURCE#ID, SOURCE#EPOCH/SEQUENCE, or the handle PARTITION/POSITION/ORDINAL."`
	Provider string `help:"Whose event it is; the only provider by default." placeholder:"NAME"`
	Wait     int    `help:"Seconds to wait until it is settled." default:"0"`
}

// outcome is what became of one event.
type outcome struct {
	Handle   events.Handle `json:"handle"`
	Outcome  string        `json:"outcome"` // "accepted", "late", "duplicate", "refused", "not settled yet"
	Reason   events.Reason `json:"reason,omitempty"`
	Source   string        `json:"source,omitempty"`
	Identity string        `json:"id,omitempty"`
}

func (c *usageOutcome) Run(ctx context.Context, r *root) (err error) {
	s, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	query, err := c.query(ctx, s)
	if err != nil {
		return err
	}
	var said struct {
		Handle events.Handle `json:"handle"`
		events.Outcomes
	}
	if err := s.call(ctx, http.MethodGet, "/v1/usage/outcomes?"+query.Encode(), nil, &said); err != nil {
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
		plain.Fprintf(w, "\nat %d/%d/%d of the usage stream (partition, position, ordinal)\n", o.Handle.Partition, o.Handle.Position, o.Handle.First)
	})
}

// query spells the id out as the API wants it.
func (c *usageOutcome) query(ctx context.Context, s *server) (url.Values, error) {
	query := url.Values{}
	if c.Wait > 0 {
		query.Set("wait", strconv.Itoa(c.Wait))
	}
	source, id, named := cutLast(c.ID, "#")
	if !named {
		parts := strings.Split(c.ID, "/")
		if len(parts) != 3 {
			return nil, misused("%q is neither SOURCE#ID, SOURCE#EPOCH/SEQUENCE nor PARTITION/POSITION/ORDINAL", c.ID)
		}
		for i, name := range []string{"partition", "position", "first"} {
			if _, err := strconv.ParseUint(parts[i], 10, 64); err != nil {
				return nil, misused("%q: %s %q is not a whole number", c.ID, name, parts[i])
			}
			query.Set(name, parts[i])
		}
		query.Set("count", "1")
		return query, nil
	}
	provider, err := s.provider(ctx, c.Provider, "")
	if err != nil {
		return nil, err
	}
	query.Set("provider", string(provider))
	query.Set("source", source)
	if epoch, sequence, both := strings.Cut(id, "/"); both && isNumber(epoch) && isNumber(sequence) {
		query.Set("epoch", epoch)
		query.Set("sequence", sequence)
		return query, nil
	}
	query.Set("id", id)
	return query, nil
}

func cutLast(s, separator string) (before, after string, found bool) {
	at := strings.LastIndex(s, separator)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+len(separator):], true
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}

// provider is the one that was named, or the book's, or the only one there is.
func (s *server) provider(ctx context.Context, named string, book events.Book) (events.Provider, error) {
	if named != "" {
		return events.Provider(named), nil
	}
	var books []api.Book
	if err := s.call(ctx, http.MethodGet, "/v1/books", nil, &books); err != nil {
		return "", fmt.Errorf("asking whose usage it is (--provider says so as well): %w", err)
	}
	return providerOf(books, book)
}

// providerOf is the provider of the book that is named, or the only one there is.
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
