package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/alecthomas/kong"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/services/audit/check"
	"github.com/aliquot-engine/aliquot/services/audit/explain"
	"github.com/aliquot-engine/aliquot/services/audit/statement"
)

type checkCommand struct {
	Deep bool `help:"Read the usage stream as well, and count every event in it."`
}

func (c *checkCommand) Run(ctx context.Context, r *root) error {
	var done api.Checked
	if err := r.ask(ctx, http.MethodGet, fmt.Sprintf("/v1/check?deep=%t", c.Deep), nil, &done); err != nil {
		return err
	}
	if err := r.print(done, func(w io.Writer) { printChecks(w, done.Checks) }); err != nil {
		return err
	}
	if !done.OK {
		return errFalse
	}
	return nil
}

// printChecks prints each invariant and, for a false one, the first difference.
func printChecks(w io.Writer, list []check.Check) {
	for _, c := range list {
		plain.Fprintf(w, "%s %s", mark(c.OK), c.Name)
		if c.Detail != "" {
			plain.Fprintf(w, ": %s", c.Detail)
		}
		fmt.Fprintln(w)
	}
}

type explainCommand struct {
	ID   string `arg:"" optional:"" help:"A payout, a distribution, a journal row, or a usage event: source#id, source#sequence, source#epoch/sequence or partition/position/ordinal."`
	Full bool   `help:"Show everything, down to single events; by default as much as fits one screen. With --json it is always everything."`

	eventFlags `embed:""`
}

// screen is the largest number of lines of a summary.
const screen = 22

func (c *explainCommand) Run(ctx context.Context, r *root) error {
	query, err := c.query(c.ID)
	if err != nil {
		return err
	}
	var node explain.Node
	if err := r.ask(ctx, http.MethodGet, "/v1/explain?"+query.Encode(), nil, &node); err != nil {
		return err
	}
	var failed error
	err = r.print(node, func(w io.Writer) {
		if c.Full {
			failed = explain.Write(w, &node)
			return
		}
		var cut bool
		if cut, failed = explain.Summarize(w, &node, screen); cut {
			fmt.Fprintln(w, "… there is more: --full shows it")
		}
	})
	return errors.Join(err, failed)
}

type statementCommand struct {
	Provider statementOf[statement.OfProvider, *statement.OfProvider] `cmd:"" help:"Usage, charges and hand-overs by node and meter."`
	Customer statementOf[statement.OfCustomer, *statement.OfCustomer] `cmd:"" help:"Charges, deposits, and what is owed."`
	Holder   statementOf[statement.OfHolder, *statement.OfHolder]     `cmd:"" help:"Holdings, shares and payouts."`
}

// statementOf prints one kind of statement.
type statementOf[T any, P interface {
	*T
	Write(w io.Writer)
}] struct {
	ID     string `arg:"" help:"Id of the provider, customer or holder."`
	Period string `placeholder:"PERIOD" help:"Only usage, deposits and distributions of this period, such as 2026-10; all periods by default."`
}

func (c *statementOf[T, P]) Run(ctx context.Context, r *root, parsed *kong.Context) error {
	kind := parsed.Selected().Name
	var made T
	path := "/v1/statements/" + kind + "/" + url.PathEscape(c.ID)
	if c.Period != "" {
		path += "?" + url.Values{"period": {c.Period}}.Encode()
	}
	if err := r.ask(ctx, http.MethodGet, path, nil, &made); err != nil {
		return err
	}
	return r.print(made, func(w io.Writer) { P(&made).Write(w) })
}
