package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/services/audit/export"
)

type exportCommand struct {
	Report string `arg:"" optional:"" help:"Report to export; without one, the reports are listed."`
	Format string `help:"csv, parquet or json; by default the ending of the file's name, or csv." placeholder:"FORMAT"`
	Book   string `help:"Only this book." placeholder:"NAME"`
	Period string `help:"Only this period." placeholder:"PERIOD"`
	Token  string `help:"Only this token." placeholder:"NAME"`
	At     string `help:"Point up to which the report covers the data; by default everything. ledger:12, payout:3, control:40, register:7, a journal row such as settle-0-12, or a time (RFC 3339)." placeholder:"WHEN"`
	Output string `short:"o" default:"-" help:"File to write; - is standard output."`
}

func (c *exportCommand) Run(ctx context.Context, r *root) error {
	if c.Report == "" {
		return c.list(ctx, r)
	}
	format, err := c.format(r.JSON)
	if err != nil {
		return err
	}
	query := url.Values{"format": {string(format)}}
	for name, value := range map[string]string{"book": c.Book, "period": c.Period, "token": c.Token, "at": c.At} {
		if value != "" {
			query.Set(name, value)
		}
	}
	path := "/v1/export/" + url.PathEscape(c.Report) + "?" + query.Encode()
	if c.Output == "-" {
		return early(r.ask(ctx, http.MethodGet, path, nil, os.Stdout))
	}
	return whole(c.Output, func(w io.Writer) error { return early(r.ask(ctx, http.MethodGet, path, nil, w)) })
}

func (c *exportCommand) list(ctx context.Context, r *root) error {
	var all []api.ExportReport
	if err := r.ask(ctx, http.MethodGet, "/v1/export", nil, &all); err != nil {
		return err
	}
	return r.print(all, func(w io.Writer) {
		t := plain.NewTable(w, "REPORT", "TAKES", "WHAT")
		for _, report := range all {
			t.Row(report.Report, strings.Join(report.Takes, " "), report.Title)
		}
		t.End()
	})
}

// format returns the format that was asked for, or the one that the file's name
// ends in. A name that ends like another kind of file is refused, because it
// would not match the content.
func (c *exportCommand) format(json bool) (export.Format, error) {
	ending := strings.ToLower(strings.TrimPrefix(filepath.Ext(c.Output), "."))
	asked := export.Format(c.Format)
	if json {
		if asked != "" && asked != export.JSON {
			return "", misused("--json and --format %s: omit one of them", asked)
		}
		asked = export.JSON
	}
	known := slices.Contains(export.Formats(), export.Format(ending))
	names := make([]string, len(export.Formats()))
	for i, f := range export.Formats() {
		names[i] = string(f)
	}
	switch {
	case c.Output == "-" || ending == "" || ending == "txt":
		return cmp.Or(asked, export.CSV), nil
	case !known && asked == "":
		return "", misused("-o %s: reports are written as %s, not as .%s; use such an ending, or add --format", filepath.Base(c.Output), strings.Join(names, ", "), ending)
	case !known && slices.Contains(workbooks, ending):
		return "", misused("-o %s: a %s file under this name would not open; end the name with .%s", filepath.Base(c.Output), asked, asked)
	case known && asked != "" && asked != export.Format(ending):
		return "", misused("-o %s is not %s: omit --format or end the name with .%s", filepath.Base(c.Output), asked, asked)
	case known:
		return export.Format(ending), nil
	}
	return asked, nil
}

// workbooks are the endings of spreadsheets, which programs open by their
// names.
var workbooks = []string{"xlsx", "xls", "xlsm", "xlsb", "ods", "numbers"}

// early explains an answer that ended early.
func early(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the report ended early and is incomplete; the server's log says why: %w", err)
	}
	return err
}

// whole writes a file completely or not at all.
func whole(name string, write func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	err = write(file)
	if err == nil {
		err = file.Chmod(0o644)
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}
