package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Options override what a map says.
type Options struct {
	Begin time.Time // as [Map.Begin], where it is not zero
	Raw   bool      // items have the text of their rows
}

// Item is one event of a row, or why there is none.
type Item struct {
	Row     int             // of the data rows, from 1
	Line    int             // of the file, from 1, where the row begins
	Usage   events.Usage    // valid by the limits of ingest; its texts may share the row's memory
	Refusal *events.Refusal // where not nil, Usage is not set
	Broken  bool            // of a refusal: the row could not be read at all
	Raw     string          // the row as it is in the file, where [Options] ask for it
}

// Counts are what became of the rows read so far.
type Counts struct {
	Rows    int // data rows: neither the header nor comments
	Skipped int // rows that a filter left out
	Events  int // events made
	Refused int // rows, or events of rows, that could not be mapped
}

// Reader reads the events of one file. It is not safe for concurrent use.
type Reader struct {
	m        *Map
	rows     *rowfile.Reader
	file     io.Closer // nil: the caller's
	row      row
	source   string
	shift    int64
	raw      bool // items have it
	counts   Counts
	faulty   int    // rows that could not be read
	sequence uint64 // of the events before this row
	event    int    // of this row, the next to make; len(m.events) when the row is done
	made     bool   // the row has made an event or a refusal
}

// Open opens a file for its events. With a shift it reads the file once before,
// to find its earliest start; a JSON file it reads up to where every column that
// the map names was seen, which is mostly its first row. It fails where the file
// cannot be read, has no row with a column that the map names, or has no row that
// could be shifted.
func (m *Map) Open(path string, o Options) (*Reader, error) {
	var shift int64
	begin := m.Begin
	if !o.Begin.IsZero() {
		begin = o.Begin
	}
	if !begin.IsZero() {
		s, err := m.Survey(path)
		if err != nil {
			return nil, err
		}
		if s.Counts.Events > 0 {
			shift = begin.UnixNano() - s.Start // Both are in 0 to MaxInt64: no overflow.
		}
	}
	r, err := m.open(path, shift, !begin.IsZero())
	if err != nil {
		return nil, err
	}
	r.raw = o.Raw
	return r, nil
}

// open opens a file. Unless all of it is or was read, it looks for the columns
// that no row has.
func (m *Map) open(path string, shift int64, surveyed bool) (*Reader, error) {
	if !surveyed {
		if err := m.preview(path); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading usage: %w", err)
	}
	r, err := m.Read(f, filepath.Base(path))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.file, r.shift = f, shift
	return r, nil
}

// preview reads a JSON file until every column was seen, so that nothing of it is
// sent where one is not there.
func (m *Map) preview(path string) error {
	r, err := m.open(path, 0, true)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	if r.rows.Format() != rowfile.JSON {
		return nil // Its header was compared.
	}
	for {
		switch _, err := r.rows.Next(); {
		case rowfile.OfRow(err):
		case errors.Is(err, io.EOF):
			return r.unseen()
		case err != nil:
			return r.broken(err)
		}
		if len(r.rows.Unseen()) == 0 {
			return nil
		}
	}
}

// Read reads the events of a stream, which has a name as a file would; times
// are as they stand in it, since a shift needs a file that can be read twice.
// What a JSON stream lacks is found at its end.
func (m *Map) Read(from io.Reader, name string) (*Reader, error) {
	o := m.file
	o.Name = name
	rows, err := rowfile.New(from, o)
	if err != nil {
		return nil, fmt.Errorf("reading usage: %w", err)
	}
	r := &Reader{m: m, rows: rows, event: len(m.events)}
	r.row = row{file: name, json: rows.Format() == rowfile.JSON, numbers: &m.file, columns: make([]rowfile.Column, len(m.columns)), names: make([]string, len(m.columns))}
	for i, c := range m.columns {
		r.row.names[i] = c.name
		if r.row.columns[i], err = rows.Column(c.name); err != nil {
			if c.optional && !slices.Contains(rows.Columns(), c.name) {
				continue // Its handle is None.
			}
			return nil, fmt.Errorf("reading usage: line %d of the map names a column: %w", c.line, err)
		}
	}
	source, _ := m.source.make(&r.row)
	if f := badText(source, 512); f != nil {
		return nil, fmt.Errorf("reading usage of %s: source %q %s", name, rowfile.Clip(source), f.detail)
	}
	r.source = source
	return r, nil
}

// unseen is the error of the columns that the file had in no row, or nil.
func (r *Reader) unseen() error {
	var all []error
	for _, name := range r.rows.Unseen() {
		for _, c := range r.m.columns {
			if c.name == name && !c.optional {
				all = append(all, fmt.Errorf("reading usage of %s: no row has a member %q, which line %d of the map names; its first row has %s",
					r.row.file, rowfile.Clip(name), c.line, clip256(strings.Join(r.rows.Columns(), ", "))))
			}
		}
	}
	return errors.Join(all...)
}

// Close closes the file.
func (r *Reader) Close() error {
	err := r.rows.Close()
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
	}
	return err
}

// Written says how the file is written: its header line, which is empty where it
// has none, and the separator of its fields, which is 0 of JSON.
func (r *Reader) Written() (head string, separator byte, columns int) {
	return r.rows.Head(), r.rows.Separator(), len(r.rows.Columns())
}

// Counts returns what became of the rows so far.
func (r *Reader) Counts() Counts { return r.counts }

// Bytes returns how much of the file was read, for a progress bar.
func (r *Reader) Bytes() int64 { return r.rows.Bytes() }

// Shift returns by how many nanoseconds all times move.
func (r *Reader) Shift() int64 { return r.shift }

// Next returns the next event or refusal, and [io.EOF] after the last. Any
// other error is of the file: reading can be tried again from its beginning,
// and gives the same events with the same identities.
func (r *Reader) Next() (Item, error) {
	for {
		if r.event < len(r.m.events) {
			i := r.event
			r.event++
			if made, wrong := all(r.m.events[i].where, &r.row); wrong != nil {
				r.made = true
				return r.refuse("where", wrong, ""), nil
			} else if !made {
				if r.event == len(r.m.events) && !r.made {
					r.counts.Skipped++
				}
				continue
			}
			r.made = true
			item := Item{Row: r.counts.Rows, Line: r.row.Line()}
			if r.raw {
				item.Raw = r.row.Raw()
			}
			field, wrong := r.fill(&item.Usage, i)
			if wrong != nil {
				return r.refuse(field, wrong, item.Usage.ID), nil
			}
			r.counts.Events++
			return item, nil
		}
		wrong, err := r.read()
		if err != nil {
			return Item{}, err
		}
		r.counts.Rows++
		if wrong != nil {
			r.faulty++
			// Its numbers are kept free: mended, the row takes its place.
			r.sequence += uint64(len(r.m.events))
			item := r.refuse("", wrong, "")
			item.Broken = true
			return item, nil
		}
		wanted, wrong := all(r.m.where, &r.row)
		if !wanted && wrong == nil {
			r.counts.Skipped++
			continue
		}
		r.sequence += uint64(len(r.m.events))
		if wrong != nil {
			return r.refuse("where", wrong, ""), nil
		}
		r.event, r.made = 0, false
	}
}

// read reads the next row; wrong is what is wrong with it.
func (r *Reader) read() (wrong *fault, err error) {
	r.row.Row, err = r.rows.Next()
	switch {
	case err == nil:
		return nil, nil
	case rowfile.OfRow(err):
		return faultOf(err), nil
	case errors.Is(err, io.EOF) && r.counts.Rows > r.faulty:
		if err := r.unseen(); err != nil {
			return nil, err
		}
	}
	return nil, r.broken(err)
}

func (r *Reader) broken(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("reading usage: %w", err)
}

func (r *Reader) refuse(field string, wrong *fault, id string) Item {
	r.counts.Refused++
	item := Item{Row: r.counts.Rows, Line: r.row.Line(), Refusal: &events.Refusal{
		Index: r.counts.Rows - 1, Line: r.row.Line(), ID: id, Field: field, Reason: wrong.reason, Detail: wrong.detail,
	}}
	if r.raw {
		item.Raw = r.row.Raw()
	}
	return item
}

// fill makes event i of the row; field is the one at fault where something is wrong.
func (r *Reader) fill(u *events.Usage, i int) (field string, wrong *fault) {
	t := &r.m.events[i]
	u.Source = r.source
	switch r.m.identity.kind {
	case byRow:
		u.Sequenced = true
		u.Sequence = r.sequence - uint64(len(r.m.events)) + uint64(i) + 1
	case byContent:
		for _, i := range r.m.identity.columns {
			if !r.m.identity.emptyOK && r.row.get(i) == "" {
				return "id", r.row.empty(i, ", and the id is a hash of it")
			}
		}
		r.row.scratch = r.row.content(r.row.scratch[:0], r.m.identity.columns)
		sum := sha256.Sum256(r.row.scratch)
		u.ID = hex.EncodeToString(sum[:16])
	case byText:
		if u.ID, wrong = r.m.identity.text.make(&r.row); wrong == nil {
			wrong = badText(u.ID, 240)
		}
		if wrong != nil {
			u.ID = ""
			return "id", wrong
		}
	}
	if len(r.m.events) > 1 && !u.Sequenced {
		u.ID += "/" + strconv.Itoa(i+1)
	}
	for _, name := range [...]struct {
		field string
		text  *text
		into  *string
	}{{"node", &t.node, (*string)(&u.Node)}, {"customer", &t.customer, (*string)(&u.Customer)}, {"meter", &t.meter, (*string)(&u.Meter)}} {
		value, wrong := name.text.make(&r.row)
		if wrong == nil {
			wrong = badName(value)
		}
		if wrong != nil {
			return name.field, wrong
		}
		*name.into = value
	}
	timed := t.quantity.number != nil && t.quantity.number.times
	if timed {
		if field, wrong := r.interval(u, t); wrong != nil {
			return field, wrong
		}
	}
	if u.Quantity, wrong = t.quantity.make(&r.row, u); wrong != nil {
		return "quantity", wrong
	}
	if !timed {
		if field, wrong := r.interval(u, t); wrong != nil {
			return field, wrong
		}
	}
	for i := range t.attributes {
		a := &t.attributes[i]
		value, wrong := a.value.make(&r.row)
		if wrong != nil {
			return "attributes." + a.name, wrong
		}
		if value == "" { // An empty column says nothing.
			continue
		}
		if wrong := badText(value, 256); wrong != nil {
			return "attributes." + a.name, wrong
		}
		u.Attributes = append(u.Attributes, events.Attribute{Name: a.name, Value: value})
	}
	return "", nil
}

// interval makes start and end.
func (r *Reader) interval(u *events.Usage, t *template) (field string, wrong *fault) {
	order := [2]struct {
		field string
		m     *moment
		into  *int64
		other *int64
	}{{"start", &t.start, &u.Start, &u.End}, {"end", &t.end, &u.End, &u.Start}}
	if k := order[0].m.kind; k == relative || k == same { // The other one is made first.
		order[0], order[1] = order[1], order[0]
	}
	for _, o := range order {
		switch o.m.kind {
		case same:
			*o.into = *o.other
		case relative:
			up, wrong := o.m.duration(&r.row)
			if wrong != nil {
				return o.field, wrong
			}
			if o.field == "start" {
				*o.into = *o.other - up
			} else if *o.into = *o.other + up; up > math.MaxInt64-*o.other {
				return o.field, &fault{events.BadTime, "is beyond 2262"}
			}
		default:
			at, wrong := o.m.at(&r.row)
			if wrong != nil {
				return o.field, wrong
			}
			*o.into = at
		}
	}
	switch {
	case u.Start < 0:
		return "start", &fault{events.BadTime, "is before 1970"}
	case u.End < u.Start:
		return "end", &fault{events.BadInterval, "is before start"}
	case r.shift > 0 && u.End > math.MaxInt64-r.shift:
		return "end", &fault{events.BadTime, "is shifted beyond 2262"}
	}
	u.Start += r.shift
	u.End += r.shift
	if u.Start < 0 {
		return "start", &fault{events.BadTime, "is shifted before 1970"}
	}
	return "", nil
}

func badName(s string) *fault {
	err := events.CheckName(s)
	switch {
	case err == nil:
		return nil
	case s == "":
		return &fault{events.Missing, "is empty"}
	case len(s) > events.MaxName:
		return &fault{events.TooLong, err.Error()}
	}
	return &fault{events.BadText, err.Error()}
}

// badText refuses what is empty, longer than most bytes, not UTF-8, or has control characters.
func badText(s string, most int) *fault {
	switch {
	case s == "":
		return &fault{events.Missing, "is empty"}
	case len(s) > most:
		return &fault{events.TooLong, fmt.Sprintf("has %d bytes, more than %d", len(s), most)}
	case !utf8.ValidString(s):
		return &fault{events.BadText, "is not UTF-8"}
	}
	for _, c := range s {
		if unicode.IsControl(c) {
			return &fault{events.BadText, fmt.Sprintf("has the character %U", c)}
		}
	}
	return nil
}

func clip256(s string) string {
	if len(s) > 256 {
		s = s[:256] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
