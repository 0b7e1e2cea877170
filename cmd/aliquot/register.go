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

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

type registerCommand struct {
	Import registerImport `cmd:"" help:"Issue a token's units to the holders of a CSV file."`
}

type registerImport struct {
	File           string `arg:"" help:"CSV file with a holder (or account, address) and a units (or amount) column." type:"existingfile"`
	Token          string `required:"" help:"Token whose holders the file has."`
	Add            bool   `help:"Issue these units in addition to those issued before; without it a second, different file is refused."`
	Holder         string `help:"Column with the holders; by default holder, account, address, wallet or HolderAddress." placeholder:"COLUMN"`
	Units          string `help:"Column with the units; by default units, amount_wei, amount or balance." placeholder:"COLUMN"`
	Decimals       int    `help:"Decimal places of the token, if the file counts whole tokens."`
	ExpectedSupply string `help:"Required sum of the units; another sum is refused." placeholder:"UNITS"`
	LeaveOutZero   bool   `help:"Skip the line of the zero address, which cannot own units, instead of refusing it."`

	rowfile.Flags `embed:""`
}

func (c *registerImport) Run(ctx context.Context, r *root) error {
	query := url.Values{"add": {strconv.FormatBool(c.Add)}, "leave_out_zero": {strconv.FormatBool(c.LeaveOutZero)}}
	if len(c.Columns) > 0 {
		return misused("--columns: a register needs a header line")
	}
	for name, value := range map[string]string{
		"expected_supply": c.ExpectedSupply, "holder": c.Holder, "units": c.Units, "decimals": strconv.Itoa(c.Decimals),
		"format": c.Format, "separator": c.Separator, "comment": c.Comment, "skip": strconv.Itoa(c.Skip),
		"decimal": c.Decimal, "thousands": c.Thousands,
	} {
		query.Set(name, value)
	}
	var done api.Imported
	if err := r.upload(ctx, "/v1/registers/"+url.PathEscape(c.Token)+"/import", query, c.File, "text/csv", &done); err != nil {
		return err
	}
	return r.print(done, func(w io.Writer) {
		plain.Fprintf(w, "%d holders, %s units, recorded up to %s position %d\n", done.Holders, done.Units, done.Stream, done.Position)
		if done.LeftOut != "" {
			plain.Fprintf(w, "not imported: %s units of the zero address\n", done.LeftOut)
		}
	})
}

type holdsCommand struct {
	Import holdsImport `cmd:"" help:"Replace a screening list, and print how many of its entries are holders here."`
}

type holdsImport struct {
	File   string `arg:"" help:"Text file with one holder per line, or CSV file with a column of holders." type:"existingfile"`
	List   string `required:"" help:"Name of the list, such as ofac-sdn."`
	Column string `help:"Column of a CSV file that has the holders; by default holder, account, address or wallet." placeholder:"NAME"`
	Empty  bool   `help:"Allow an empty list, which removes every holder from it."`
}

func (c *holdsImport) Run(ctx context.Context, r *root) error {
	query := url.Values{"column": {c.Column}, "empty": {strconv.FormatBool(c.Empty)}}
	var done api.Screened
	if err := r.upload(ctx, "/v1/holds/"+url.PathEscape(c.List), query, c.File, "text/plain", &done); err != nil {
		return err
	}
	return r.print(done, func(w io.Writer) { printScreened(w, c.List, done) })
}

func printScreened(w io.Writer, list string, done api.Screened) {
	match := "match"
	if done.Matches == 1 {
		match = "matches"
	}
	plain.Fprintf(w, "%s: %d entries, %d %s a holder", list, done.Entries, done.Matches, match)
	if done.Effect == "unchanged" {
		fmt.Fprintln(w, "; nothing has changed")
		return
	}
	plain.Fprintf(w, ", recorded up to %s position %d\n", done.Stream, done.Position)
}

// upload sends a file and decodes the answer.
func (r *root) upload(ctx context.Context, path string, query url.Values, name, kind string, out any) (err error) {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	s, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	query.Set("file", filepath.Base(name))
	return s.send(ctx, http.MethodPost, path+"?"+query.Encode(), kind, file, out)
}
