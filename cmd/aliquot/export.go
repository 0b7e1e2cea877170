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
	Report string `arg:"" optional:"" help:"What to export; without it, the list of what there is."`
	Format string `help:"csv, parquet or json; by default what the file's name ends in, or csv." placeholder:"FORMAT"`
	Book   string `help:"Only this book." placeholder:"NAME"`
	Period string `help:"Only this period." placeholder:"PERIOD"`
	Token  string `help:"Only this token." placeholder:"NAME"`
	At     string `help:"The moment that it is of, everything by default: ledger:12, payout:3, control:40, register:7, a journal row such as settle-0-12, or a time (RFC 3339)." placeholder:"WHEN"`
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

// format is what was asked for, or what the name of the file says. An ending
// that is the name of another kind of file is refused: what were in it would not
// be what it says.
func (c *exportCommand) format(json bool) (export.Format, error) {
	ending := strings.ToLower(strings.TrimPrefix(filepath.Ext(c.Output), "."))
	asked := export.Format(c.Format)
	if json {
		if asked != "" && asked != export.JSON {
			return "", misused("--json and --format %s: leave one of them out", asked)
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
		return "", misused("-o %s: reports are written as %s, not as .%s; end the name so, or say --format", filepath.Base(c.Output), strings.Join(names, ", "), ending)
	case !known && slices.Contains(workbooks, ending):
		return "", misused("-o %s: a %s file would not open as what its name says; end the name with .%s", filepath.Base(c.Output), asked, asked)
	case known && asked != "" && asked != export.Format(ending):
		return "", misused("-o %s is not %s: leave out --format or end the name with .%s", filepath.Base(c.Output), asked, asked)
	case known:
		return export.Format(ending), nil
	}
	return asked, nil
}

// workbooks are endings of spreadsheets, which are opened by their names.
var workbooks = []string{"xlsx", "xls", "xlsm", "xlsb", "ods", "numbers"}

// early says what an answer that ended early means.
func early(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the report ended early and is none; the server's log says why: %w", err)
	}
	return err
}

// whole writes a file that is there as a whole or not at all.
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
