package plain

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Table prints aligned columns with two spaces between them. A cell is one line,
// whatever its text.
type Table struct{ w *tabwriter.Writer }

// NewTable begins a table with its headings. Nothing is written before [Table.End].
func NewTable(w io.Writer, headings ...string) *Table {
	t := &Table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.Strings(headings)
	return t
}

// Row adds a row. Each cell is printed by [fmt.Sprint] and made safe by [Text].
func (t *Table) Row(cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = fmt.Sprint(c)
	}
	t.Strings(texts)
}

// Strings is [Table.Row] with cells that are texts already.
func (t *Table) Strings(cells []string) {
	safe := make([]string, len(cells))
	for i, c := range cells {
		safe[i] = Text(c)
	}
	_, _ = fmt.Fprintln(t.w, strings.Join(safe, "\t"))
}

// End writes the table, as [Fprintf] does to a writer that keeps its error.
func (t *Table) End() { _ = t.w.Flush() }
