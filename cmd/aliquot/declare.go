package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/cmd/internal/apply"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

type applyCommand struct {
	File []string `short:"f" required:"" help:"YAML file; - is standard input. May be given several times." placeholder:"FILE"`
}

func (c *applyCommand) Run(ctx context.Context, r *root) (err error) {
	s, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	total := api.Applied{Void: []api.Decided{}}
	for _, name := range c.File {
		done, err := s.applyFile(ctx, name)
		if err != nil {
			return err
		}
		total.Applied += done.Applied
		total.Unchanged += done.Unchanged
		total.Void = append(total.Void, done.Void...)
		total.Warnings = append(total.Warnings, done.Warnings...)
	}
	return r.applied(total)
}

// applyFile declares the content of a file and of the files that it names. They
// are read here, because the server does not open files of its clients.
func (s *server) applyFile(ctx context.Context, name string) (api.Applied, error) {
	if name == "-" {
		data, err := io.ReadAll(os.Stdin)
		if err != nil {
			return api.Applied{}, err
		}
		return s.apply(ctx, "standard input", data)
	}
	all, err := apply.ReadFile(name)
	if err != nil {
		return api.Applied{}, err
	}
	bodies := make([]events.Body, len(all))
	places := make(map[string]string, len(all))
	for i, d := range all {
		bodies[i] = d.Body
		places[d.Identity()] = d.Place()
	}
	data, err := apply.Format(bodies)
	if err != nil {
		return api.Applied{}, err
	}
	done, err := s.apply(ctx, name, data)
	return done, placed(err, places)
}

// placed gives each mistake its place in the files on this machine. The server
// received these files as one text.
func placed(err error, places map[string]string) error {
	var no *refusedError
	if !errors.As(err, &no) {
		return err
	}
	for i, e := range no.problem.Errors {
		if place, ok := places[string(e.Value)]; ok {
			no.problem.Errors[i].Location = place
		}
	}
	return err
}

// apply declares the content of one YAML text.
func (s *server) apply(ctx context.Context, name string, data []byte) (api.Applied, error) {
	var done api.Applied
	err := s.send(ctx, http.MethodPost, "/v1/apply?file="+url.QueryEscape(filepath.Base(name)), "application/yaml", bytes.NewReader(data), &done)
	return done, err
}

// applied prints the result of declarations; a void one makes the command fail.
func (r *root) applied(done api.Applied) error {
	err := r.print(done, func(w io.Writer) { writeApplied(w, done) })
	if err == nil && len(done.Void) > 0 {
		return errFalse
	}
	return err
}

func writeApplied(w io.Writer, done api.Applied) {
	plain.Fprintf(w, "%d applied, %d unchanged, %d void\n", done.Applied, done.Unchanged, len(done.Void))
	for _, v := range done.Void {
		plain.Fprintf(w, "  %s\n", v.WhyVoid())
	}
	for _, warning := range done.Warnings {
		plain.Fprintf(w, "warning: %s\n", warning)
	}
}

// decided prints the result of one decision.
func (r *root) decided(done api.Decided) error {
	return r.print(done, func(w io.Writer) { writeDecided(w, done) })
}

func writeDecided(w io.Writer, done api.Decided) {
	if done.Effect == "unchanged" {
		plain.Fprintf(w, "%s was recorded before and changes nothing\n", events.PhraseOf(done.Kind))
		return
	}
	plain.Fprintf(w, "%s is in effect (control record %d)\n", events.PhraseOf(done.Kind), done.Position)
}

type depositCommand struct {
	Record  depositRecord  `cmd:"" default:"withargs" help:"Record a deposit, and collect what it covers."`
	Reverse depositReverse `cmd:"" help:"Take back a deposit that has covered nothing."`
}

type depositReverse struct {
	Book      string `required:"" help:"Book of the customer."`
	Customer  string `required:"" help:"Customer who made the deposit."`
	Asset     string `help:"Asset, such as USDC." default:"USDC"`
	Amount    string `required:"" help:"Amount of the deposit."`
	Reference string `required:"" help:"Reference of the deposit."`
	Reason    string `required:"" help:"Reason for taking it back."`
}

func (c *depositReverse) Run(ctx context.Context, r *root) error {
	var done api.Decided
	in := map[string]string{"book": c.Book, "customer": c.Customer, "asset": c.Asset, "amount": c.Amount, "reference": c.Reference, "reason": c.Reason}
	if err := r.ask(ctx, http.MethodPost, "/v1/deposits/reverse", in, &done); err != nil {
		return err
	}
	return r.decided(done)
}

type depositRecord struct {
	Book        string `required:"" help:"Book of the customer."`
	Customer    string `help:"Customer who paid." xor:"who" required:""`
	Outstanding bool   `help:"Record that every customer paid what it owes, rounded up to the next minor unit." xor:"who" required:""`
	Asset       string `help:"Asset, such as USDC." default:"USDC"`
	Amount      string `help:"Amount in whole minor units, such as 250.00."`
	Reference   string `required:"" help:"The payer's or the bank's reference; a second deposit with the same reference is the same deposit."`
}

func (c *depositRecord) Run(ctx context.Context, r *root) error {
	if c.Outstanding {
		var done api.Outstanding
		in := map[string]string{"book": c.Book, "reference": c.Reference}
		if err := r.ask(ctx, http.MethodPost, "/v1/deposits/outstanding", in, &done); err != nil {
			return err
		}
		return r.outstanding(done)
	}
	var done api.Covered
	in := map[string]string{"book": c.Book, "customer": c.Customer, "asset": c.Asset, "amount": c.Amount, "reference": c.Reference}
	if err := r.ask(ctx, http.MethodPost, "/v1/deposits", in, &done); err != nil {
		return err
	}
	return r.covered(done)
}

// outstanding prints the result of the deposits of all customers who owed
// something.
func (r *root) outstanding(done api.Outstanding) error {
	err := r.print(done, func(w io.Writer) {
		writeApplied(w, done.Applied)
		if done.Unchanged > 0 {
			fmt.Fprintln(w, "  unchanged: paid under this reference before")
		}
		writeIncluded(w, done.Usage)
	})
	if err == nil && len(done.Void) > 0 {
		return errFalse
	}
	return err
}

// covered prints the result of one decision about money that covers usage.
func (r *root) covered(done api.Covered) error {
	return r.print(done, func(w io.Writer) {
		writeDecided(w, done.Decided)
		writeIncluded(w, done.Usage)
	})
}

// writeIncluded says which usage a decision includes, and which usage waits for
// a price.
func writeIncluded(w io.Writer, u api.UsageIncluded) {
	for _, t := range u.Through {
		plain.Fprintf(w, "  included: all usage accepted before, in partition %d up to position %d\n", t.Partition, t.Position)
	}
	for _, one := range u.Waiting {
		plain.Fprintf(w, "  not included: %v %s of book %s (%d events) wait for a price of %s\n", one.Quantity, one.Meter, one.Book, one.Events, one.Pair)
	}
}

type collectCommand struct {
	Book     string `required:"" help:"Book whose customers' prepaid money is collected."`
	Customer string `help:"Only this customer."`
}

func (c *collectCommand) Run(ctx context.Context, r *root) error {
	var done api.Covered
	in := events.CollectionRequested{Book: events.Book(c.Book), Customer: events.Customer(c.Customer)}
	if err := r.ask(ctx, http.MethodPost, "/v1/collections", in, &done); err != nil {
		return err
	}
	return r.covered(done)
}

type periodCommand struct {
	Close  periodClose  `cmd:"" help:"Close a book's periods up to and including one, collect, and hand over the collected revenue."`
	Reopen periodReopen `cmd:"" help:"Reopen a closed period and every later one, if no distribution rests on them."`
}

type periodReopen struct {
	Book   string `arg:"" help:"Book."`
	Period string `arg:"" help:"First period to reopen, such as 2026-11 or 2026-11-22."`
	Reason string `required:"" help:"Reason for reopening it."`
}

func (c *periodReopen) Run(ctx context.Context, r *root) error {
	var done api.Decided
	in := events.PeriodReopened{Book: events.Book(c.Book), Period: events.Period(c.Period), Reason: c.Reason}
	if err := r.ask(ctx, http.MethodPost, "/v1/periods/reopen", in, &done); err != nil {
		return err
	}
	return r.decided(done)
}

type periodClose struct {
	Book   string `arg:"" help:"Book."`
	Period string `arg:"" help:"Last period to close, such as 2026-11 or 2026-11-22."`
	Early  bool   `help:"Close the period before it has ended; needs a reason."`
	Reason string `help:"Reason for closing it early."`
}

func (c *periodClose) Run(ctx context.Context, r *root) error {
	var done api.Closed
	in := events.PeriodClosed{Book: events.Book(c.Book), Period: events.Period(c.Period), Early: c.Early, Reason: c.Reason}
	if err := r.ask(ctx, http.MethodPost, "/v1/periods/close", in, &done); err != nil {
		return err
	}
	return r.print(done, func(w io.Writer) {
		plain.Fprintf(w, "%s closed up to %s: CONTROL position %d, LEDGER position %d\n", c.Book, c.Period, done.Position, done.LedgerPosition)
		writeIncluded(w, done.Usage)
		if n := len(done.Waiting); n > 0 {
			total := uint64(0)
			for _, l := range done.Waiting {
				total += l.Events
			}
			plain.Fprintf(w, "warning: %d events of closed periods wait for a price of %s and are not charged yet: see aliquot suspense list\n", total, done.Waiting[0].Pair)
		}
	})
}

type versionCommand struct{}

func (versionCommand) Run(r *root) error {
	return r.print(map[string]string{"version": api.Version}, func(w io.Writer) { fmt.Fprintln(w, "aliquot", api.Version) })
}

type statusCommand struct{}

func (statusCommand) Run(ctx context.Context, r *root) error {
	var status api.Status
	if err := r.ask(ctx, http.MethodGet, "/v1/status", nil, &status); err != nil {
		return err
	}
	return r.print(status, func(w io.Writer) {
		health := "healthy"
		if !status.Healthy {
			health = "not healthy: " + status.Reason
		}
		plain.Fprintf(w, "%s\nCONTROL   %d, in effect up to %d\n", health, status.Control, status.Effective)
		for _, p := range status.Partition {
			plain.Fprintf(w, "USAGE-%d   %d, settled up to %d\n", p.Partition, p.Last, p.Settled)
		}
		plain.Fprintf(w, "free      %d MiB\n", status.FreeBytes>>20)
	})
}
