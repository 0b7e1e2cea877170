package rowfile

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxContinued limits the length of the lines of a quoted field after its first,
// in bytes, so that a quote that is never closed is found without reading the
// whole file.
const maxContinued = 1 << 16

// errQuote is the error of a quoted field that does not end where it should.
const errQuote = malformed("a quote is not closed, or text follows it")

// beginCSV finds the separator and reads the header line.
func (r *Reader) beginCSV() error {
	line, err := r.firstLine()
	if err != nil {
		return err
	}
	if mark, ok := strings.CutPrefix(strings.ToLower(line), "sep="); ok && len(mark) == 1 { // Excel's own first line.
		if r.o.Separator == 0 {
			r.o.Separator = mark[0]
		}
		if line, err = r.firstLine(); err != nil {
			return err
		}
	}
	if strings.IndexByte(line, '\r') >= 0 && strings.IndexByte(line, '"') < 0 {
		return r.fatal(r.lines.n, errors.New("its lines end with a carriage return only: save it with line feeds"))
	}
	if r.o.Separator == 0 {
		r.o.Separator = r.separator(line)
	}
	r.lines.n--
	r.lines.again = append(r.lines.again, line)
	if r.o.Columns != nil {
		r.columns = r.o.Columns
		return nil
	}
	err = r.readFields()
	r.lines.head = r.row.line
	if err != nil {
		return r.fatal(r.row.line, fmt.Errorf("the header line: %w", err))
	}
	r.head = r.row.Raw()
	r.columns = make([]string, len(r.row.fields))
	for i, name := range r.row.fields {
		r.columns[i] = strings.TrimSpace(name)
	}
	r.row = Row{reader: r}
	return nil
}

// firstLine returns the first line that is neither empty nor a comment.
func (r *Reader) firstLine() (string, error) {
	for {
		line, err := r.lines.next()
		switch {
		case errors.Is(err, io.EOF) && r.o.Columns != nil:
			return "", r.fatal(0, errors.New("the file is empty"))
		case errors.Is(err, io.EOF):
			return "", r.fatal(0, errors.New("the file is empty: a header line was expected"))
		case errors.Is(err, ErrLong):
			return "", r.fatal(r.lines.n, err)
		case err != nil:
			return "", r.fatal(r.lines.n, err)
		case !r.isBlank(line):
			return line, nil
		}
	}
}

func (r *Reader) isBlank(line string) bool {
	return line == "" || r.o.Comment != 0 && line[0] == r.o.Comment
}

// separator returns the separator of the fields of a line: the candidate that
// occurs most often outside quotes, and among equals the first of tab, semicolon,
// bar and comma, because names contain commas more often than the others. If the
// number of columns is known, a candidate that gives this number of fields is
// preferred.
func (r *Reader) separator(line string) byte {
	var count [4]int
	const candidates = "\t;|,"
	quoted := false
	line = strings.TrimRight(line, " \t")
	for i := range len(line) {
		if line[i] == '"' {
			quoted = !quoted
		}
		if k := strings.IndexByte(candidates, line[i]); k >= 0 && !quoted {
			count[k]++
		}
	}
	if r.o.Columns != nil {
		for k, n := range count {
			if n > 0 && n == len(r.o.Columns)-1 {
				return candidates[k]
			}
		}
	}
	best := 3
	if r.o.Decimal == ',' && r.o.Columns != nil {
		count[3] = 0 // The commas in a row belong to its numbers.
	}
	for k, n := range count {
		if n > count[best] || n == count[best] && n > 0 && k < best {
			best = k
		}
	}
	return candidates[best]
}

// readCSV reads a row with as many fields as the header.
func (r *Reader) readCSV() error {
	if err := r.readFields(); err != nil {
		return err
	}
	if n := len(r.row.fields); n != len(r.columns) {
		return malformed(fmt.Sprintf("the row has %d fields and the header %d", n, len(r.columns)))
	}
	return nil
}

// readFields reads the fields of one row (RFC 4180: quoted fields may contain
// separators, doubled quotes and line ends). A faulty row ends with its first
// line: the lines that an open quote seemed to continue are rows of their own.
func (r *Reader) readFields() (err error) {
	l, w := &r.lines, &r.row
	var s string
	for {
		s, err = l.next()
		w.line = l.n
		if err != nil {
			return err
		}
		if !r.isBlank(s) {
			break
		}
	}
	w.raw = s
	separator := r.o.Separator
	fields := w.fields[:0]
	if strings.IndexByte(s, '"') < 0 {
		for {
			i := strings.IndexByte(s, separator)
			if i < 0 {
				fields = append(fields, trim(s, separator))
				w.fields = fields
				return nil
			}
			fields, s = append(fields, trim(s[:i], separator)), s[i+1:]
		}
	}
	defer func() {
		if errors.Is(err, errQuote) && len(w.more) > 0 {
			l.again = append(w.more, l.again...)
			l.n -= len(w.more)
			w.more = nil
		}
	}()
	for {
		s = trimLeft(s, separator)
		if s == "" || s[0] != '"' {
			i := strings.IndexByte(s, separator)
			field := s
			if i >= 0 {
				field = s[:i]
			}
			if strings.IndexByte(field, '"') >= 0 {
				return errQuote
			}
			if fields = append(fields, trim(field, separator)); i < 0 {
				w.fields = fields
				return nil
			}
			s = s[i+1:]
			continue
		}
		var field string
		if field, s, err = r.quoted(s[1:]); err != nil {
			return err
		}
		fields = append(fields, field)
		if s = trimLeft(s, separator); s == "" {
			w.fields = fields
			return nil
		}
		if s[0] != separator {
			return errQuote
		}
		s = s[1:]
	}
}

// quoted reads a quoted field that begins after its first quote. It returns the
// field, and the rest after its last quote.
func (r *Reader) quoted(s string) (field, rest string, err error) {
	if i := strings.IndexByte(s, '"'); i >= 0 && (i+1 == len(s) || s[i+1] != '"') {
		return s[:i], s[i+1:], nil
	}
	var b strings.Builder
	size := 0
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 { // The field continues on the next line.
			b.WriteString(s)
			b.WriteByte('\n')
			if s, err = r.lines.next(); err != nil {
				if errors.Is(err, io.EOF) || errors.Is(err, ErrLong) {
					err = errQuote
				}
				return "", "", err
			}
			r.row.more = append(r.row.more, s)
			if size += len(s) + 1; size > maxContinued {
				return "", "", errQuote
			}
			continue
		}
		b.WriteString(s[:i])
		s = s[i+1:]
		if s == "" || s[0] != '"' {
			return b.String(), s, nil
		}
		b.WriteByte('"')
		s = s[1:]
	}
}

// trim removes spaces around a field, and also tabs if they are not the
// separator.
func trim(s string, separator byte) string {
	s = trimLeft(s, separator)
	for s != "" && isSpace(s[len(s)-1], separator) {
		s = s[:len(s)-1]
	}
	return s
}

func trimLeft(s string, separator byte) string {
	for s != "" && isSpace(s[0], separator) {
		s = s[1:]
	}
	return s
}

func isSpace(c, separator byte) bool { return (c == ' ' || c == '\t') && c != separator }
