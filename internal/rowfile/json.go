package rowfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

const maxDepth = 16 // of objects in an object

// beginJSON finds out whether rows are lines or the elements of an array, and
// reads the first one, so that the columns are known.
func (r *Reader) beginJSON() error {
	r.row.index = make(map[string]int)
	c, err := r.lines.peek()
	switch {
	case errors.Is(err, io.EOF):
		return r.fatal(0, errors.New("the file is empty"))
	case err != nil:
		return r.fatal(r.lines.n, err)
	case c == '[':
		r.array = true
		if _, err := r.lines.r.Discard(1); err != nil {
			return r.fatal(r.lines.n, err)
		}
	}
	r.firstIs, r.first = r.read(), true
	switch {
	case r.firstIs == nil:
		for _, m := range r.row.members {
			r.columns = append(r.columns, m.path)
		}
	case !OfRow(r.firstIs) && !errors.Is(r.firstIs, io.EOF):
		return r.firstIs
	}
	return nil
}

func (r *Reader) readJSON() error {
	text, err := r.object()
	if err != nil {
		return err
	}
	r.row.raw = text
	if !utf8.ValidString(text) {
		return ErrText
	}
	return r.row.parse(text)
}

// object returns the text of the next object.
func (r *Reader) object() (string, error) {
	w, l := &r.row, &r.lines
	if r.array {
		return r.element()
	}
	for {
		line, err := l.next()
		w.line = l.n
		if err != nil {
			return "", err
		}
		if strings.TrimSpace(line) == "" || r.isBlank(line) {
			continue
		}
		return line, nil
	}
}

// element returns the next element of the array. An element that is too long is
// read to its end. An element that is not closed ends the file, because the
// beginning of the next one is unknown.
func (r *Reader) element() (string, error) {
	w, l := &r.row, &r.lines
	c, err := l.peek()
	w.line = l.n + 1
	if c == ',' && r.elements > 0 {
		if _, err = l.r.Discard(1); err == nil {
			c, err = l.peek()
			w.line = l.n + 1
		}
		if c == ']' {
			err = errors.New("there is a comma before the end of the array")
		}
	} else if c != ']' && r.elements > 0 && err == nil {
		err = errors.New("a comma is missing between two elements of the array")
	}
	if err == nil && c == ']' {
		if _, err = l.r.Discard(1); err == nil {
			if _, err = l.peek(); err == nil {
				return "", errors.New("something follows the array")
			}
		}
		return "", err
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the array is not closed: the file ends too early")
	}
	if err != nil {
		return "", err
	}
	r.elements++
	text, depth, inString, long := l.long[:0], 0, false, false
	for escaped := false; ; {
		c, err := l.r.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the array is not closed: the file ends too early")
			}
			return "", err
		}
		if depth == 0 && !inString && (c == ',' || c == ']') {
			if err := l.r.UnreadByte(); err != nil {
				return "", err
			}
			break
		}
		if c == '\n' {
			l.n++
		}
		if long = long || len(text) >= MaxRow; !long {
			text = append(text, c)
		}
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped, inString = c == '\\', c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
	}
	l.long = text
	if long {
		return "", ErrLong
	}
	return strings.TrimSpace(string(text)), nil
}

// parse reads one object into members. A nested member has its path as a name
// ("usage.tokens"), a number is kept as it is written, true and false become
// those words, and null becomes the empty text. An array becomes its JSON tokens:
// they distinguish rows, but cannot serve as a name or number.
func (w *Row) parse(text string) error {
	clear(w.index)
	w.members = w.members[:0]
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return malformed("should be one JSON object")
	}
	if err := w.object(d, "", 1); err != nil {
		var syntax *json.SyntaxError
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return malformed("not JSON: the line ends too early")
		case errors.As(err, &syntax):
			return malformed("not JSON: " + err.Error())
		}
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return malformed("something follows the JSON object")
	}
	return nil
}

// object reads members up to the closing brace.
func (w *Row) object(d *json.Decoder, prefix string, depth int) error {
	if depth > maxDepth {
		return malformed(fmt.Sprintf("objects are nested deeper than %d", maxDepth))
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
			return malformed(fmt.Sprintf("member %q is given twice", Clip(path)))
		}
		seen[name] = struct{}{}
		if t, err = d.Token(); err != nil {
			return err
		}
		if v, ok := t.(json.Delim); ok {
			if v == '{' {
				if err := w.object(d, path+".", depth+1); err != nil {
					return err
				}
				continue
			}
			if t, err = array(d); err != nil {
				return err
			}
		}
		if _, twice := w.index[path]; twice { // {"a": {"b": 1}, "a.b": 2}
			return malformed(fmt.Sprintf("member %q is given twice", Clip(path)))
		}
		m := member{path: path}
		switch v := t.(type) {
		case string:
			m.text = v
		case json.Number:
			m.text = v.String()
		case bool:
			m.text = strconv.FormatBool(v)
		}
		w.index[path] = len(w.members)
		w.members = append(w.members, m)
	}
}

// array reads to the end of an open array and returns its tokens.
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
