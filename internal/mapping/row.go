package mapping

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// row is one row of a file, as texts.
type row struct {
	file   string // base name
	line   int    // where it begins, from 1
	fields []string
	where  []int // column of the map to index in fields, of CSV; -1 is not used
	// Of JSON Lines: member paths and their texts, in the order of the line.
	members map[string]string
	names   []string // columns of the map
	scratch []byte   // for hashing
}

// get returns a column of the map, by its index there; empty where a JSON line lacks it.
func (r *row) get(column int) string {
	if r.members != nil {
		return r.members[r.names[column]]
	}
	return r.fields[r.where[column]]
}

// content appends columns of the map, or with nil all that the file has. A CSV
// row is its fields in order; a JSON line its members and their names, by name.
func (r *row) content(b []byte, columns []int) []byte {
	switch {
	case columns != nil:
		for _, i := range columns {
			b = appendField(b, r.get(i))
		}
	case r.members != nil:
		paths := make([]string, 0, len(r.members))
		for path := range r.members { // Sorted below.
			paths = append(paths, path)
		}
		slices.Sort(paths)
		for _, path := range paths {
			b = appendField(b, path)
			b = appendField(b, r.members[path])
		}
	default:
		for _, field := range r.fields {
			b = appendField(b, field)
		}
	}
	return b
}

// lines reads a file line by line, never holding more than MaxRow of it.
type lines struct {
	r     *bufio.Reader
	n     int      // lines read
	bytes int64    // bytes read
	again []string // lines that were read too far and come again, in order
}

// maxContinued bounds the lines of a quoted field after its first, in bytes: a
// quote that is never closed is found without reading the whole file.
const maxContinued = 1 << 16

var errLong = errors.New("line is too long")

// next returns a line without its end. A line that is too long is read to its
// end and reported as errLong.
func (l *lines) next() (string, error) {
	if len(l.again) > 0 {
		s := l.again[0]
		l.again = l.again[1:]
		l.n++
		return s, nil
	}
	var line []byte
	long := false
	for {
		chunk, err := l.r.ReadSlice('\n')
		l.bytes += int64(len(chunk))
		if len(line)+len(chunk) > MaxRow {
			long = true
		} else {
			line = append(line, chunk...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0 && !long) {
			return "", err
		}
		break
	}
	l.n++
	if l.n == 1 {
		line = bytes.TrimPrefix(line, []byte("\uFEFF"))
	}
	if long {
		return "", errLong
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	return string(bytes.TrimSuffix(line, []byte("\r"))), nil
}

// errQuote is a quoted field that does not end where it should.
var errQuote = errors.New("a quote is not closed, or text follows it")

// csvRow reads the fields of one row into fields (RFC 4180: quoted fields may
// hold separators, doubled quotes and line ends). It returns the line on which
// the row begins. A faulty row ends with its first line: those that a quote had
// seemed to continue are rows of their own.
func (l *lines) csvRow(fields []string, separator, comment byte) (all []string, line int, err error) {
	var s string
	for {
		if s, err = l.next(); err != nil {
			return nil, l.n, err
		}
		if s != "" && (comment == 0 || s[0] != comment) {
			break
		}
	}
	line = l.n
	var continued []string
	size := 0
	defer func() {
		if errors.Is(err, errQuote) && len(continued) > 0 {
			l.again = append(continued, l.again...)
			l.n -= len(continued)
		}
	}()
	fields = fields[:0]
	if strings.IndexByte(s, '"') < 0 {
		for {
			i := strings.IndexByte(s, separator)
			if i < 0 {
				return append(fields, s), line, nil
			}
			fields, s = append(fields, s[:i]), s[i+1:]
		}
	}
	for {
		if s == "" || s[0] != '"' {
			i := strings.IndexByte(s, separator)
			field := s
			if i >= 0 {
				field = s[:i]
			}
			if strings.IndexByte(field, '"') >= 0 {
				return nil, line, errQuote
			}
			if fields = append(fields, field); i < 0 {
				return fields, line, nil
			}
			s = s[i+1:]
			continue
		}
		var field strings.Builder
		s = s[1:]
		for {
			i := strings.IndexByte(s, '"')
			if i < 0 { // It goes on in the next line.
				field.WriteString(s)
				field.WriteByte('\n')
				if s, err = l.next(); err != nil {
					if errors.Is(err, io.EOF) || errors.Is(err, errLong) {
						err = errQuote
					}
					return nil, line, err
				}
				continued = append(continued, s)
				if size += len(s) + 1; size > maxContinued {
					return nil, line, errQuote
				}
				continue
			}
			field.WriteString(s[:i])
			s = s[i+1:]
			if s != "" && s[0] == '"' {
				field.WriteByte('"')
				s = s[1:]
				continue
			}
			break
		}
		fields = append(fields, field.String())
		if s == "" {
			return fields, line, nil
		}
		if s[0] != separator {
			return nil, line, errQuote
		}
		s = s[1:]
	}
}

// jsonRow reads one object a line into members: nested ones under their path
// ("usage.tokens"), numbers as they are written, true and false as those words,
// null as nothing, an array
// as its tokens: it tells rows apart, and is no use as a name or number.
func jsonRow(line string, members map[string]string) error {
	clear(members)
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("should be one JSON object")
	}
	if err := object(d, "", members, 1); err != nil {
		var syntax *json.SyntaxError
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("not JSON: the line ends too early")
		case errors.As(err, &syntax):
			return fmt.Errorf("not JSON: %w", err)
		}
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("something follows the JSON object")
	}
	return nil
}

// object reads members up to the closing brace.
func object(d *json.Decoder, prefix string, members map[string]string, depth int) error {
	if depth > 16 {
		return fmt.Errorf("objects are nested deeper than 16")
	}
	seen := make(map[string]struct{}, 8)
	for {
		t, err := d.Token()
		if err != nil {
			return err
		}
		if t == json.Delim('}') {
			return nil
		}
		name, _ := t.(string)
		path := prefix + name
		if _, twice := seen[name]; twice {
			return fmt.Errorf("member %q is given twice", clip(path))
		}
		seen[name] = struct{}{}
		if t, err = d.Token(); err != nil {
			return err
		}
		switch v := t.(type) {
		case json.Delim:
			if v == '{' {
				if err := object(d, path+".", members, depth+1); err != nil {
					return err
				}
				continue
			}
			if t, err = array(d); err != nil {
				return err
			}
		}
		if _, twice := members[path]; twice { // {"a": {"b": 1}, "a.b": 2}
			return fmt.Errorf("member %q is given twice", clip(path))
		}
		switch v := t.(type) {
		case string:
			members[path] = v
		case json.Number:
			members[path] = v.String()
		case bool:
			members[path] = strconv.FormatBool(v)
		case nil:
			members[path] = ""
		}
	}
}

// array reads to the end of an array that was opened, and returns its tokens.
func array(d *json.Decoder) (string, error) {
	text := []byte("[")
	for depth := 1; depth > 0; {
		t, err := d.Token()
		if err != nil {
			return "", err
		}
		switch v := t.(type) {
		case json.Delim:
			if v == '[' || v == '{' {
				depth++
			} else {
				depth--
			}
			text = append(text, byte(v))
		case string:
			text = strconv.AppendQuote(text, v)
		default:
			text = fmt.Append(text, v)
		}
		text = append(text, ' ')
	}
	return string(text), nil
}

// faultOf says what is wrong with a row that could not be read.
func faultOf(err error) *fault {
	if errors.Is(err, errLong) {
		return &fault{events.TooLarge, fmt.Sprintf("a row has at most %d bytes", MaxRow)}
	}
	return &fault{events.Malformed, err.Error()}
}
