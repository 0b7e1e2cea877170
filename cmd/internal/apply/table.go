package apply

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/cmd/internal/document"
	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// maxTable is how much the rows of a file that a document names may come to, in
// bytes, unpacked.
const maxTable = 256 << 20

// source reports whether a document names a file; then it must not hold the
// list itself.
func (f *fields) source(list string) bool {
	from := f.value["from"]
	switch {
	case from == nil && f.value[list] == nil:
		f.p.Problem(f.node, list, "is missing, and so is from")
	case from == nil && f.value["columns"] != nil:
		f.p.Problem(f.value["columns"], "columns", "has no meaning without from")
	case from != nil && f.value[list] != nil:
		f.p.Problem(from, "from", "is given together with %s", list)
		return false
	}
	return from != nil
}

// openFrom opens the file that from names, or reports why it cannot.
func (p *parser) openFrom(f *fields) io.ReadCloser {
	name := f.text("from")
	if name == "" {
		return nil
	}
	n := f.value["from"]
	if p.open == nil {
		p.Problem(n, "from", "names a file, and none can be read here")
		return nil
	}
	content, err := p.open(name)
	if err != nil {
		p.Problem(n, "from", "%v", err)
		return nil
	}
	return content
}

// columns says which column of a table holds what.
type columns struct {
	of         map[string]string // field to column, of those without attributes
	attributes []pair            // ascending by name
	all        bool              // every other column is an attribute of its own name
	at         *yaml.Node        // where it is said; nil: nowhere
}

type pair struct{ name, column string }

// columns reads the columns of a document. The first field is required in the
// table; each is in the column of its own name where nothing else is said.
func (p *parser) columns(f *fields, names ...string) *columns {
	c := &columns{of: map[string]string{}, at: f.value["columns"], all: names[0] == "node"}
	for _, name := range names {
		c.of[name] = name
	}
	if c.at == nil {
		return c
	}
	known := names
	if c.all {
		known = append(slices.Clone(names), "attributes")
	}
	given := p.mapping(c.at, "columns.", known...)
	for _, name := range names {
		if column := given.text(name); column != "" {
			c.of[name] = column
		}
	}
	if given.value["attributes"] != nil {
		c.all = false
		for name, column := range given.attributes("attributes") {
			c.attributes = append(c.attributes, pair{name, column})
		}
		c.sort()
	}
	return c
}

func (c *columns) sort() {
	slices.SortFunc(c.attributes, func(a, b pair) int { return strings.Compare(a.name, b.name) })
}

// row is one row of a table.
type row struct {
	file  string
	cells *rowfile.Row
	index map[string]rowfile.Column
	table *columns
}

// cell returns the text of a column, without the space around it.
func (r *row) cell(column string) string {
	c, ok := r.index[column]
	if !ok {
		return ""
	}
	return strings.TrimSpace(strings.Clone(r.cells.Text(c)))
}

// table reads the rows of the file that a document names, one after the other:
// whatever package rowfile reads.
func (p *parser) table(f *fields, c *columns, each func(row)) {
	content := p.openFrom(f)
	if content == nil {
		return
	}
	defer func() { _ = content.Close() }() // Only read.
	name := f.text("from")
	file, err := rowfile.New(content, rowfile.Options{Name: name})
	if err != nil {
		p.reportTable(name, err)
		return
	}
	defer func() { _ = file.Close() }() // Likewise.
	index := map[string]rowfile.Column{}
	for _, column := range file.Columns() {
		if _, again := index[column]; again {
			continue // Reported with the first.
		}
		if index[column], err = file.Column(column); err != nil {
			p.reportTable(name, err)
		}
	}
	if !p.hasColumns(f, c, index) {
		return
	}
	for size := 0; !p.Full(); {
		cells, err := file.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			p.reportTable(name, err)
			if !rowfile.OfRow(err) {
				return // What follows cannot be trusted.
			}
			continue
		}
		if size += len(cells.Raw()); size > maxTable {
			p.Report(name, cells.Line(), 1, "", fmt.Sprintf("the file has more than %d bytes", maxTable))
			return
		}
		// Of JSON, the first row has the names: another one's would be lost in silence.
		cells.All(func(column, _ string) {
			if _, known := index[column]; !known {
				p.Report(name, cells.Line(), 1, document.Clip(column), "is not a member of the first row")
			}
		})
		each(row{file: name, cells: cells, index: index, table: c})
	}
}

// hasColumns checks that the table has the columns asked for, and makes
// attributes of the others where none were.
func (p *parser) hasColumns(f *fields, c *columns, index map[string]rowfile.Column) bool {
	ok := true
	missing := func(field, column string) {
		at := c.at
		if at == nil {
			at = f.value["from"]
		}
		p.Problem(at, field, "%s has no column %q", document.Clip(f.text("from")), document.Clip(column))
		ok = false
	}
	used := map[string]bool{}
	for _, field := range []string{"node", "customer", "name", "plan"} {
		column, wanted := c.of[field]
		used[column] = true
		if _, there := index[column]; wanted && !there && (column != field || field == "node" || field == "customer") {
			missing("columns."+field, column)
		}
	}
	for _, a := range c.attributes {
		if _, there := index[a.column]; !there {
			missing("columns.attributes."+document.Clip(a.name), a.column)
		}
	}
	if c.all {
		for column := range index {
			if !used[column] {
				c.attributes = append(c.attributes, pair{column, column})
			}
		}
		c.sort()
	}
	return ok
}

// declareRow adds the body of a row, unless it is not valid or was there before.
func (p *parser) declareRow(r row, body events.Body) {
	for _, one := range problemsOf(body) {
		field := one.Field
		if column, ok := r.table.of[field]; ok {
			field = column
		}
		p.Report(r.file, r.cells.Line(), 1, field, one.Detail)
	}
	p.once(place{r.file, r.cells.Line()}, "", body)
}

func (p *parser) reportTable(name string, err error) {
	var at *rowfile.Error
	if errors.As(err, &at) {
		p.Report(name, max(at.Line, 1), 1, at.Column, at.Err.Error())
		return
	}
	p.Report(name, 1, 1, "", err.Error())
}

// lineFirst takes "line 7: " from the beginning of a message.
func lineFirst(text string) (line int, detail string) {
	line = 1
	if number, rest, ok := strings.Cut(strings.TrimPrefix(text, "line "), ": "); ok && strings.HasPrefix(text, "line ") {
		if _, err := fmt.Sscanf(number, "%d", &line); err == nil {
			return line, rest
		}
	}
	return line, text
}
