package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

type distributionCommand struct {
	Declare distributionDeclare `cmd:"" help:"Distribute the revenue in a token's inbox to its holders."`
	List    distributionList    `cmd:"" help:"List distributions."`
}

type distributionDeclare struct {
	Token      string `required:"" help:"Token."`
	Period     string `required:"" help:"Settled period that is distributed."`
	RecordDate string `help:"Instant whose holdings count (RFC 3339); now by default." placeholder:"TIME"`
}

func (c *distributionDeclare) Run(ctx context.Context, r *root) error {
	in := api.Declare{Token: c.Token, Period: c.Period, RecordDate: c.RecordDate}
	var made api.Distribution
	if err := r.ask(ctx, http.MethodPost, "/v1/distributions", in, &made); err != nil {
		return err
	}
	return r.print(made, func(w io.Writer) { printDistributions(w, []api.Distribution{made}) })
}

type distributionList struct{}

func (distributionList) Run(ctx context.Context, r *root) error {
	var all []api.Distribution
	if err := r.ask(ctx, http.MethodGet, "/v1/distributions", nil, &all); err != nil {
		return err
	}
	return r.print(all, func(w io.Writer) { printDistributions(w, all) })
}

func printDistributions(w io.Writer, all []api.Distribution) {
	t := plain.NewTable(w, "DISTRIBUTION", "TOKEN", "PERIOD", "ASSET", "REVENUE", "FEE", "POOL", "HOLDERS", "PLANNED", "HELD")
	for _, d := range all {
		t.Row(d.Distribution, d.Token, d.Period, d.Asset, d.Revenue, d.Fee, d.Pool, d.Holders, d.Planned, d.Held)
	}
	t.End()
}

type payoutCommand struct {
	Run     payoutRun     `cmd:"" help:"Plan payouts of amounts that a token already owes, without new revenue: after a return, a lifted hold or a lower minimum."`
	Export  payoutExport  `cmd:"" help:"Submit the planned payouts of a distribution, or of a payout run, to a rail as one file."`
	Confirm payoutConfirm `cmd:"" help:"Record the rail's answer to a file of payouts."`
	Correct payoutCorrect `cmd:"" help:"Decide what became of a payout, against the answer of its rail."`
}

type payoutExport struct {
	Distribution string `required:"" help:"Distribution or payout run."`
	Output       string `short:"o" default:"-" help:"File to write; - is standard output."`
}

func (c *payoutExport) Run(ctx context.Context, r *root) (err error) {
	s, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	var made api.Batch
	if err := s.call(ctx, http.MethodPost, "/v1/payouts/export", map[string]string{"distribution": c.Distribution}, &made); err != nil {
		return err
	}
	out := io.Writer(os.Stdout)
	if c.Output != "-" {
		file, err := os.Create(c.Output)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		out = file
	} else if r.JSON {
		return r.print(made, nil)
	}
	if err := s.send(ctx, http.MethodGet, "/v1/payouts/batches/"+url.PathEscape(made.Batch), "", nil, out); err != nil {
		return err
	}
	if c.Output == "-" {
		return nil
	}
	return r.print(made, func(w io.Writer) {
		sums := make([]string, len(made.Amounts))
		for i, sum := range made.Amounts {
			sums[i] = fmt.Sprintf("%s %s", sum.Amount, sum.Asset)
		}
		plain.Fprintf(w, "%s: %d payouts, %s, in %s\n", made.Batch, made.Payouts, strings.Join(sums, " and "), c.Output)
	})
}

type payoutConfirm struct {
	rowfile.Flags `embed:""`

	Column map[string]string `help:"Name of a column in the file; COLUMN is payout_id, state, reference, holder, asset or amount." placeholder:"COLUMN=NAME"`
	File   string            `arg:"" help:"CSV or JSON file with payout_id, state (confirmed, failed, returned), and reference, holder, asset and amount if the rail gives them." type:"existingfile"`
	Batch  string            `required:"" help:"Batch that the rail has answered."`
}

// query describes the layout of the file to the server.
func (c *payoutConfirm) query() url.Values {
	q := url.Values{"file": {filepath.Base(c.File)}}
	for name, value := range map[string]string{
		"format": c.Format, "separator": c.Separator, "comment": c.Comment, "decimal": c.Decimal, "thousands": c.Thousands, "columns": strings.Join(c.Columns, ","),
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if c.Skip != 0 {
		q.Set("skip", strconv.Itoa(c.Skip))
	}
	for ours, theirs := range c.Column {
		q.Add("column", ours+"="+theirs)
	}
	return q
}

func (c *payoutConfirm) Run(ctx context.Context, r *root) (err error) {
	s, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	file, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	var done api.Applied
	path := "/v1/payouts/batches/" + url.PathEscape(c.Batch) + "/confirm?" + c.query().Encode()
	if err := s.send(ctx, http.MethodPost, path, "text/csv", file, &done); err != nil {
		return err
	}
	return r.applied(done)
}
