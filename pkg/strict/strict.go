// Package strict decodes JSON that is signed, or that decides something, so that
// every reader of the same bytes sees the same value.
//
// The method: encoding/json decodes the value, and then a second pass compares
// the bytes with the type that they were decoded into. It refuses what
// encoding/json accepts: a member that occurs twice, of which encoding/json takes
// the last and other readers the first; a member whose name differs in case,
// which encoding/json takes for the known one and other readers do not; and an
// unknown member.
//
// A type that decodes itself (such as json.RawMessage) and an interface have no
// known members: the objects in them are only checked for members that occur
// twice.
//
// # Invariants
//
//   - One reading: each member of each object occurs once, by its decoded name.
//   - Exact: each member of an object that becomes a struct has a name of that
//     struct, byte for byte.
//   - Whole: nothing but white space follows the value.
package strict

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

var (
	errNone     = errors.New("no JSON value")
	errTrailing = errors.New("bytes after the JSON value")
)

// Decode decodes the single JSON value in data into what v points to. After an
// error the content of v is undefined.
func Decode(data []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: %w", errNone, err)
		}
		return err
	}
	end := decoder.InputOffset()
	if len(bytes.TrimLeft(data[end:], " \t\r\n")) > 0 {
		return errTrailing
	}
	w := walker{data: data[:end], known: map[reflect.Type]*members{}}
	return w.value(reflect.TypeOf(v))
}

// members are the members of a struct.
type members struct {
	index map[string]int
	names []string // by index
	types []reflect.Type
}

// walker walks through a valid JSON value.
type walker struct {
	data  []byte
	at    int
	known map[reflect.Type]*members
	path  []string
}

func (w *walker) space() {
	for w.at < len(w.data) {
		switch w.data[w.at] {
		case ' ', '\t', '\r', '\n':
			w.at++
		default:
			return
		}
	}
}

// value walks over one value that is decoded as a t; nil if the type is not
// known.
func (w *walker) value(t reflect.Type) error {
	w.space()
	switch w.data[w.at] {
	case '{':
		return w.object(bare(t))
	case '[':
		if t = bare(t); t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
			t = t.Elem()
		} else {
			t = nil
		}
		return w.array(t)
	case '"':
		w.text()
	default:
		for w.at < len(w.data) && !strings.ContainsRune(",]} \t\r\n", rune(w.data[w.at])) {
			w.at++
		}
	}
	return nil
}

// text walks over a string and returns it as it is written, without its quotes.
func (w *walker) text() []byte {
	w.at++
	from := w.at
	for w.data[w.at] != '"' {
		if w.data[w.at] == '\\' {
			w.at++
		}
		w.at++
	}
	w.at++
	return w.data[from : w.at-1]
}

func (w *walker) array(t reflect.Type) error {
	w.at++
	for w.space(); w.data[w.at] != ']'; w.space() {
		if w.data[w.at] == ',' {
			w.at++
		}
		if err := w.value(t); err != nil {
			return err
		}
	}
	w.at++
	return nil
}

func (w *walker) object(t reflect.Type) error {
	var of *members
	var element reflect.Type
	switch {
	case t == nil:
	case t.Kind() == reflect.Struct:
		of = w.membersOf(t)
	case t.Kind() == reflect.Map:
		element = t.Elem()
	}
	var few uint64 // a bit for each member of a struct that was seen, by its index
	var seen map[string]struct{}
	w.at++
	for w.space(); w.data[w.at] != '}'; w.space() {
		if w.data[w.at] == ',' {
			w.at++
			w.space()
		}
		name := w.name()
		var twice bool
		next := element
		if of != nil {
			i, ok := of.index[string(name)]
			if !ok {
				return w.unknown(string(name), of)
			}
			next = of.types[i]
			if i < 64 {
				twice = few&(1<<i) != 0
				few |= 1 << i
			}
		}
		if of == nil || len(of.types) > 64 {
			if seen == nil {
				seen = map[string]struct{}{}
			}
			_, twice = seen[string(name)]
			seen[string(name)] = struct{}{}
		}
		if twice {
			return fmt.Errorf("%s occurs twice", w.shown(string(name)))
		}
		w.space()
		w.at++ // the colon
		w.path = append(w.path, string(name))
		if err := w.value(next); err != nil {
			return err
		}
		w.path = w.path[:len(w.path)-1]
	}
	w.at++
	return nil
}

// name walks over a member's name and returns it decoded.
func (w *walker) name() []byte {
	from := w.at
	raw := w.text()
	for _, c := range raw {
		if c == '\\' || c >= 0x80 {
			var name string
			_ = json.Unmarshal(w.data[from:w.at], &name) // It was decoded successfully before.
			return []byte(name)
		}
	}
	return raw
}

func (w *walker) unknown(name string, of *members) error {
	for _, known := range of.names {
		if strings.EqualFold(known, name) {
			return fmt.Errorf("unknown field %s: it is written %q", w.shown(name), known)
		}
	}
	return fmt.Errorf("unknown field %s", w.shown(name))
}

// shown returns a member's name after the names of the objects around it.
func (w *walker) shown(name string) string {
	path := strings.Join(append(w.path, name), ".")
	if len(path) > 200 {
		path = path[:200]
	}
	return fmt.Sprintf("%q", path)
}

var (
	decodesItself = reflect.TypeFor[json.Unmarshaler]()
	decodesText   = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// bare removes pointers from a type; it returns nil if the members are not known.
func bare(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() == reflect.Interface {
		return nil
	}
	if p := reflect.PointerTo(t); p.Implements(decodesItself) || p.Implements(decodesText) {
		return nil
	}
	return t
}

func (w *walker) membersOf(t reflect.Type) *members {
	if of := w.known[t]; of != nil {
		return of
	}
	of := &members{index: map[string]int{}}
	of.add(t)
	w.known[t] = of
	return of
}

// add adds the fields of a struct, then those of the structs that it embeds.
func (of *members) add(t reflect.Type) {
	var embedded []reflect.Type
	for i := range t.NumField() {
		field := t.Field(i)
		tag := field.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		if inner := bare(field.Type); field.Anonymous && name == "" && inner != nil && inner.Kind() == reflect.Struct {
			embedded = append(embedded, inner)
			continue
		}
		if tag == "-" || !field.IsExported() {
			continue
		}
		if name == "" {
			name = field.Name
		}
		if _, ok := of.index[name]; !ok {
			of.index[name] = len(of.types)
			of.names, of.types = append(of.names, name), append(of.types, field.Type)
		}
	}
	for _, inner := range embedded {
		of.add(inner)
	}
}
