package mapping

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Options override what a map says.
type Options struct {
	Begin time.Time // as [Map.Begin], where it is not zero
}

// Item is one event of a row, or why there is none.
type Item struct {
	Line    int             // of the file, from 1, where the row begins
	Usage   events.Usage    // valid by the limits of ingest; its texts may share the row's memory
	Refusal *events.Refusal // where not nil, Usage is not set
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
	closer   io.Closer
	lines    lines
	format   format
	row      row
	width    int // fields of every CSV row
	source   string
	shift    int64
	counts   Counts
	sequence uint64 // of the events before this row
	event    int    // of this row, the next to make; len(m.events) when the row is done
}

// Open opens a file for its events. With a shift it reads the file once before,
// to find its earliest start. It fails where the file cannot be read, lacks a
// column that the map names, or has no row that could be shifted.
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
	return m.open(path, shift)
}

func (m *Map) open(path string, shift int64) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading usage: %w", err)
	}
	r, err := m.Read(f, filepath.Base(path))
	if err != nil {
		f.Close()
		return nil, err
	}
	r.closer, r.shift = f, shift
	return r, nil
}

// Read reads the events of a stream, which has a name as a file would; times
// are as they stand in it, since a shift needs a file that can be read twice.
func (m *Map) Read(from io.Reader, name string) (*Reader, error) {
	r := &Reader{m: m, lines: lines{r: bufio.NewReaderSize(from, 1<<16)}, format: m.format, event: len(m.events)}
	r.row = row{file: name, names: make([]string, len(m.columns))}
	for i, c := range m.columns {
		r.row.names[i] = c.name
	}
	if r.format == byName {
		r.format = csvRows
		if ext := strings.ToLower(filepath.Ext(name)); ext == ".jsonl" || ext == ".ndjson" || ext == ".json" {
			r.format = jsonRows
		}
	}
	r.source = m.source.make(&r.row)
	if f := badText(r.source, 512); f != nil {
		return nil, fmt.Errorf("reading usage of %s: source %q %s", name, clip(r.source), f.detail)
	}
	if r.format == jsonRows {
		r.row.members = make(map[string]string)
		return r, nil
	}
	header := m.named
	if header == nil {
		fields, _, err := r.lines.csvRow(nil, m.separator, m.comment)
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("reading usage of %s: the file is empty: a header line was expected", name)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the header of %s, line %d: %w", name, r.lines.n, err)
		}
		header = fields
	}
	at := make(map[string]int, len(header))
	for i, column := range header {
		if _, twice := at[column]; twice {
			at[column] = -1
			continue
		}
		at[column] = i
	}
	for _, c := range m.columns {
		i, ok := at[c.name]
		if !ok {
			return nil, fmt.Errorf("reading usage of %s: it has no column %q, which line %d of the map names; its columns are %s",
				name, c.name, c.line, clip256(strings.Join(header, ", ")))
		}
		if i < 0 {
			return nil, fmt.Errorf("reading usage of %s: it has two columns %q, and line %d of the map names one", name, c.name, c.line)
		}
		r.row.where = append(r.row.where, i)
	}
	r.width = len(header)
	return r, nil
}

// Close closes the file.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

// Counts returns what became of the rows so far.
func (r *Reader) Counts() Counts { return r.counts }

// Bytes returns how much of the file was read, for a progress bar.
func (r *Reader) Bytes() int64 { return r.lines.bytes }

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
			item := Item{Line: r.row.line}
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
			// Its numbers are kept free: mended, the row takes its place.
			r.sequence += uint64(len(r.m.events))
			return r.refuse("", wrong, ""), nil
		}
		if !r.wanted() {
			r.counts.Skipped++
			continue
		}
		r.sequence += uint64(len(r.m.events))
		r.event = 0
	}
}

// read reads the next row; wrong is what is wrong with it.
func (r *Reader) read() (wrong *fault, err error) {
	if r.format == jsonRows {
		for {
			line, err := r.lines.next()
			r.row.line = r.lines.n
			switch {
			case errors.Is(err, errLong):
				return faultOf(err), nil
			case err != nil:
				return nil, r.broken(err)
			case strings.TrimSpace(line) == "" || r.m.comment != 0 && line[0] == r.m.comment:
				continue
			}
			if !utf8.ValidString(line) {
				return &fault{events.BadText, "is not UTF-8"}, nil
			}
			if err := jsonRow(line, r.row.members); err != nil {
				return faultOf(err), nil
			}
			return nil, nil
		}
	}
	fields, line, err := r.lines.csvRow(r.row.fields, r.m.separator, r.m.comment)
	r.row.line = line
	switch {
	case errors.Is(err, errLong) || errors.Is(err, errQuote):
		return faultOf(err), nil
	case err != nil:
		return nil, r.broken(err)
	}
	r.row.fields = fields
	if len(fields) != r.width {
		return &fault{events.Malformed, fmt.Sprintf("the row has %d fields and the header %d", len(fields), r.width)}, nil
	}
	return nil, nil
}

func (r *Reader) broken(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("reading usage of %s after line %d: %w", r.row.file, r.lines.n, err)
}

func (r *Reader) wanted() bool {
	for i := range r.m.where {
		if !r.m.where[i].holds(&r.row) {
			return false
		}
	}
	return true
}

func (r *Reader) refuse(field string, wrong *fault, id string) Item {
	r.counts.Refused++
	return Item{Line: r.row.line, Refusal: &events.Refusal{
		Index: r.counts.Rows - 1, Line: r.row.line, ID: id, Field: field, Reason: wrong.reason, Detail: wrong.detail,
	}}
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
		r.row.scratch = r.row.content(r.row.scratch[:0], r.m.identity.columns)
		sum := sha256.Sum256(r.row.scratch)
		u.ID = hex.EncodeToString(sum[:16])
	case byText:
		u.ID = r.m.identity.text.make(&r.row)
		if wrong := badText(u.ID, 240); wrong != nil {
			u.ID = ""
			return "id", wrong
		}
	}
	if len(r.m.events) > 1 && !u.Sequenced {
		u.ID += "/" + strconv.Itoa(i+1)
	}
	node, customer, meter := t.node.make(&r.row), t.customer.make(&r.row), t.meter.make(&r.row)
	for _, name := range [...]struct{ field, value string }{{"node", node}, {"customer", customer}, {"meter", meter}} {
		if wrong := badName(name.value); wrong != nil {
			return name.field, wrong
		}
	}
	u.Node, u.Customer, u.Meter = events.Node(node), events.Customer(customer), events.Meter(meter)
	text := t.quantity.make(&r.row)
	if text == "" {
		return "quantity", &fault{events.Missing, "is empty"}
	}
	q, err := money.ParseQuantity(text)
	if err != nil {
		return "quantity", numberFault(text, err)
	}
	if q.Sign() < 0 {
		return "quantity", &fault{events.Negative, fmt.Sprintf("%q is below zero", clip(text))}
	}
	u.Quantity = q
	if field, wrong := r.interval(u, t); wrong != nil {
		return field, wrong
	}
	for i := range t.attributes {
		a := &t.attributes[i]
		value := a.value.make(&r.row)
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
			text := r.row.get(o.m.column)
			if text == "" {
				return o.field, &fault{events.Missing, "its duration is empty"}
			}
			_, up, wrong := o.m.count(text)
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
