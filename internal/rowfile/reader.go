package rowfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Reader reads the rows of one file, each once, in order. It is not safe for
// concurrent use.
type Reader struct {
	o        Options
	format   Format
	from     *input
	lines    lines
	array    bool // JSON: rows are elements of an array, not lines
	elements int  // number of elements of the array that were begun
	columns  []string
	head     string // header line as in the file
	row      Row
	first    bool  // row has been read but not returned
	firstIs  error // the error of reading it
	asked    []asked
	unseen   int // number of asked that no row has had
	ended    error
}

// asked is a column that the caller wants.
type asked struct {
	name string
	at   int // CSV: index in the fields
	seen bool
}

// Column is the handle of a column in one reader.
type Column int

// None is the handle of no column: its cell is absent in every row.
const None Column = -1

// Row is one row. It is valid until the next call of [Reader.Next]; the texts of
// its cells may be kept, and share the memory of the row.
type Row struct {
	reader  *Reader
	line    int
	raw     string
	more    []string // further lines of a row that has more than one
	fields  []string // of CSV
	members []member // of JSON, in the order of the file
	index   map[string]int
}

// member is one member of a JSON row: its path and text.
type member struct{ path, text string }

// Open opens a file. Close releases it.
func Open(path string, o Options) (*Reader, error) {
	if o.Name == "" {
		o.Name = filepath.Base(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := New(f, o)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.from.file = f
	return r, nil
}

// New reads rows from a stream. It fails if the stream is not UTF-8 text (and
// says what it seems to be instead), if it is empty, or if its header line is
// faulty. Close is only needed to release the decompressor.
func New(from io.Reader, o Options) (*Reader, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &Reader{o: o, format: o.Format}
	r.row.reader = r
	in, err := open(from)
	if err != nil {
		return nil, r.fatal(0, err)
	}
	r.from = in
	r.lines = lines{r: in.text}
	if err := r.begin(); err != nil {
		r.from.release()
		return nil, err
	}
	return r, nil
}

// begin reads up to the first row.
func (r *Reader) begin() error {
	for range r.o.Skip {
		if _, err := r.lines.next(); err != nil && !errors.Is(err, ErrLong) {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("the file has %d lines, and %d were to be skipped", r.lines.n, r.o.Skip)
			}
			return r.fatal(0, err)
		}
	}
	if r.format == Detect {
		r.format = byName(r.o.Name)
	}
	if r.format == Detect {
		r.format = CSV
		if c := r.from.character(); c == '{' || c == '[' {
			r.format = JSON
		}
	}
	if r.format == JSON {
		return r.beginJSON()
	}
	return r.beginCSV()
}

// byName returns the format that a file's name ends with; the ending of a
// compression is ignored.
func byName(name string) Format {
	name = strings.ToLower(name)
	for _, packed := range []string{".gz", ".gzip", ".zst", ".zstd"} {
		name = strings.TrimSuffix(name, packed)
	}
	switch filepath.Ext(name) {
	case ".csv", ".tsv", ".tab":
		return CSV
	case ".json", ".jsonl", ".ndjson":
		return JSON
	}
	return Detect
}

func (r *Reader) fatal(line int, err error) error {
	r.ended = &Error{File: r.o.Name, Line: line, Err: err}
	return r.ended
}

// Format returns the format of the rows: CSV or JSON.
func (r *Reader) Format() Format { return r.format }

// Separator returns the separator of the fields of a CSV file; 0 for JSON.
func (r *Reader) Separator() byte {
	if r.format == JSON {
		return 0
	}
	return r.o.Separator
}

// Name returns the name that the options gave the file.
func (r *Reader) Name() string { return r.o.Name }

// Columns returns the names of the columns in the order of the file: those of the
// header line, or those of the first row of a JSON file, whose later rows may
// have others.
func (r *Reader) Columns() []string { return slices.Clone(r.columns) }

// Head returns what is before the first row and belongs to it, as in the file but
// without its line end: the header line of a CSV file, and nothing for other
// files.
func (r *Reader) Head() string { return r.head }

// Bytes returns how many bytes of the file were read, compressed if it is
// compressed, for a progress bar. It is up to 64 KiB ahead of the rows that were
// returned.
func (r *Reader) Bytes() int64 { return r.from.count }

// Close releases the file.
func (r *Reader) Close() error {
	r.from.release()
	if r.from.file == nil {
		return nil
	}
	return r.from.file.Close()
}

// Column returns the handle of a column by its exact name. A CSV file must have
// the column exactly once. In a JSON file any row may have it: [Reader.Unseen]
// reports whether one did.
func (r *Reader) Column(name string) (Column, error) {
	if i := slices.IndexFunc(r.asked, func(a asked) bool { return a.name == name }); i >= 0 {
		return Column(i), nil
	}
	a := asked{name: name, at: -1}
	if r.format == CSV {
		for i, column := range r.columns {
			if column != name {
				continue
			}
			if a.at >= 0 {
				return None, &Error{File: r.o.Name, Line: r.headLine(), Err: fmt.Errorf("it has two columns %q", name)}
			}
			a.at = i
		}
		if a.at < 0 {
			return None, &Error{File: r.o.Name, Line: r.headLine(), Err: fmt.Errorf("it has no column %q: its columns are %s", Clip(name), r.list())}
		}
	}
	return r.ask(a), nil
}

func (r *Reader) ask(a asked) Column {
	if !a.seen {
		r.unseen++
	}
	r.asked = append(r.asked, a)
	return Column(len(r.asked) - 1)
}

// Find returns the handle of the one column that has any of the names, in upper
// or lower case; what says in errors what the column is needed for. If the file
// has no such column it returns [None] and an error that lists the columns. If
// the file has two, it returns an error that names both. For a JSON file it uses
// the columns of the first row.
func (r *Reader) Find(what string, names ...string) (Column, error) {
	if r.first && OfRow(r.firstIs) {
		return None, r.firstIs
	}
	found := -1
	for i, column := range r.columns {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, column) }) {
			continue
		}
		if found >= 0 {
			return None, &Error{File: r.o.Name, Line: r.headLine(),
				Err: fmt.Errorf("the columns %q and %q could both be the %s: say which", Clip(r.columns[found]), Clip(column), what)}
		}
		found = i
	}
	if found < 0 {
		return None, &Error{File: r.o.Name, Line: r.headLine(), Err: fmt.Errorf("no column is called %s, as the %s would be: its columns are %s",
			strings.Join(names, " or "), what, r.list())}
	}
	return r.Column(r.columns[found])
}

// headLine returns the line that names the columns.
func (r *Reader) headLine() int {
	if r.row.line > 0 && r.format == JSON {
		return r.row.line
	}
	return r.lines.head
}

// list lists the columns for an error.
func (r *Reader) list() string {
	var b strings.Builder
	for i, column := range r.columns {
		if i > 0 {
			b.WriteString(", ")
		}
		if b.Len() > 400 {
			fmt.Fprintf(&b, "and %d more", len(r.columns)-i)
			break
		}
		b.WriteString(Clip(column))
	}
	return b.String()
}

// ColumnName returns the name of a column by its handle; it is empty for [None].
func (r *Reader) ColumnName(c Column) string {
	if c < 0 || int(c) >= len(r.asked) {
		return ""
	}
	return r.asked[c].name
}

// Unseen returns the names of the columns that were asked for and that no row has
// had so far, in the order in which they were asked for. For a CSV file there are
// none as soon as it has a row.
func (r *Reader) Unseen() []string {
	var names []string
	for _, a := range r.asked {
		if !a.seen {
			names = append(names, a.name)
		}
	}
	return names
}

// Next returns the next row, and [io.EOF] after the last. If one row is faulty
// (see [OfRow]) it returns an [Error] and the row, of which only Line and Raw are
// valid, and may be called again. Any other error ends the reading, and every
// later call returns it too.
func (r *Reader) Next() (*Row, error) {
	if r.ended != nil {
		return nil, r.ended
	}
	err := r.firstIs
	if r.first {
		r.first, r.firstIs = false, nil
	} else {
		err = r.read()
	}
	switch {
	case err == nil:
		if r.unseen > 0 {
			r.see()
		}
		return &r.row, nil
	case OfRow(err):
		return &r.row, err
	}
	return nil, err
}

// read reads a row into r.row. Its error concerns one row, or has ended the
// reading.
func (r *Reader) read() error {
	r.row.raw, r.row.more = "", nil
	var err error
	if r.format == JSON {
		err = r.readJSON()
	} else {
		err = r.readCSV()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrLong), errors.Is(err, ErrMalformed), errors.Is(err, ErrText):
		return &Error{File: r.o.Name, Line: r.row.line, Row: true, Err: err}
	case errors.Is(err, io.EOF):
		r.ended = io.EOF
		return io.EOF
	}
	line := r.lines.n
	if r.array {
		line++ // It is in the middle of a line.
	}
	return r.fatal(line, err)
}

// see records which columns the row has.
func (r *Reader) see() {
	for i := range r.asked {
		a := &r.asked[i]
		if a.seen {
			continue
		}
		if _, there := r.row.Cell(Column(i)); there {
			a.seen = true
			r.unseen--
		}
	}
}

// Line returns the line of the file on which the row begins, from 1.
func (w *Row) Line() int { return w.line }

// Cell returns the text of a column, and whether the row has it. A JSON null is
// there and empty. Spaces around a CSV field without quotes are not part of it.
func (w *Row) Cell(c Column) (text string, there bool) {
	if c < 0 {
		return "", false
	}
	a := &w.reader.asked[c]
	if a.at >= 0 {
		return w.fields[a.at], true
	}
	i, there := w.index[a.name]
	if !there {
		return "", false
	}
	return w.members[i].text, true
}

// Text returns the text of a column; it is empty if the row does not have the
// column.
func (w *Row) Text(c Column) string {
	text, _ := w.Cell(c)
	return text
}

// Named does the same as [Row.Cell] for a column's name.
func (w *Row) Named(name string) (text string, there bool) {
	if w.reader.format == CSV {
		i := slices.Index(w.reader.columns, name)
		if i < 0 {
			return "", false
		}
		return w.fields[i], true
	}
	i, there := w.index[name]
	if !there {
		return "", false
	}
	return w.members[i].text, true
}

// All calls each with the name and the text of every cell, in the order of the
// file.
func (w *Row) All(each func(column, text string)) {
	if w.reader.format == CSV {
		for i, text := range w.fields {
			each(w.reader.columns[i], text)
		}
		return
	}
	for _, m := range w.members {
		each(m.path, m.text)
	}
}

// Raw returns the row as it is in the file, without its line end. It is empty for
// a row that is too long.
func (w *Row) Raw() string {
	if len(w.more) == 0 {
		return w.raw
	}
	return w.raw + "\n" + strings.Join(w.more, "\n")
}

// Error returns an error of a cell: of its file, line and column.
func (w *Row) Error(c Column, err error) *Error {
	return &Error{File: w.reader.o.Name, Line: w.line, Column: w.reader.ColumnName(c), Row: true, Err: err}
}

// Errorf returns an error of a cell, as [Row.Error] does.
func (w *Row) Errorf(c Column, format string, values ...any) *Error {
	return w.Error(c, fmt.Errorf(format, values...))
}

// Number returns the number in a cell as plain decimal text, using the decimal
// mark and the thousands separator of the options: "1.234,5" becomes "1234.5". It
// fails with an [Error] if the cell is not a number in this form, is absent or is
// empty.
func (w *Row) Number(c Column) (string, error) {
	text := w.Text(c)
	if text == "" {
		return "", w.Errorf(c, "is empty")
	}
	plain, err := w.reader.o.Plain(text)
	if err != nil {
		return "", w.Error(c, err)
	}
	return plain, nil
}
