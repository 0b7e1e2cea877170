package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/aliquot-engine/aliquot/pkg/plain"
)

// table prints aligned columns. A cell is one line, whatever its text.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, headings ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	fmt.Fprintln(t.w, strings.Join(headings, "\t"))
	return t
}

func (t table) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = plain.Text(fmt.Sprint(c))
	}
	fmt.Fprintln(t.w, strings.Join(texts, "\t"))
}

func (t table) end() { _ = t.w.Flush() }
