package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/aliquot-engine/aliquot/cmd/internal/mapping"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// refusedMember is the member of a refused JSON row that has the reason, and
// the prefix of the columns that have it in CSV.
const refusedMember = "aliquot_refused"

// rejects is the file of refused rows, in the format of the input: each row of
// CSV unchanged with four more columns, each object of JSON with one more
// member. A row that could not be read at all is put into one field. Each row
// is written once, with the first mistake in it.
type rejects struct {
	file *os.File
	w    *bufio.Writer
	size int64 // bytes written
	last int   // number of the last row that was written

	json      bool
	separator byte
	columns   int
}

// openRejects creates the file, or opens it to append to the part that an
// earlier run has written. It refuses the input file.
func openRejects(path, input string, kept int64) (*rejects, error) {
	if a, err := os.Stat(path); err == nil {
		if b, err := os.Stat(input); err == nil && os.SameFile(a, b) {
			return nil, fmt.Errorf("--rejects: %s is the file to send", path)
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--rejects: %w", err)
	}
	if err := file.Truncate(kept); err != nil {
		return nil, errors.Join(fmt.Errorf("--rejects: %w", err), file.Close())
	}
	if _, err := file.Seek(kept, io.SeekStart); err != nil {
		return nil, errors.Join(fmt.Errorf("--rejects: %w", err), file.Close())
	}
	return &rejects{file: file, w: bufio.NewWriter(file), size: kept}, nil
}

// begin writes the header line.
func (f *rejects) begin(r *mapping.Reader) {
	var head string
	head, f.separator, f.columns = r.Written()
	f.json = f.separator == 0
	if f.json || head == "" || f.size > 0 {
		return
	}
	f.line(head + f.fields(refusedMember+"_line", refusedMember+"_field", refusedMember+"_reason", refusedMember+"_detail"))
}

// line counts what is written; the writer keeps an error until close.
func (f *rejects) line(s string) {
	n, _ := f.w.WriteString(s + "\n")
	f.size += int64(n)
}

// fields returns fields as CSV, to be appended to other fields.
func (f *rejects) fields(all ...string) string {
	var b strings.Builder
	for _, s := range all {
		b.WriteByte(f.separator)
		b.WriteString(f.quoted(s))
	}
	return b.String()
}

func (f *rejects) quoted(s string) string {
	if strings.IndexByte(s, f.separator) < 0 && !strings.ContainsAny(s, "\"\r\n") && s == strings.TrimSpace(s) {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// add writes refused rows, in the order of the file.
func (f *rejects) add(rows []refusedRow) {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b refusedRow) int { return a.row - b.row })
	for _, row := range rows {
		if row.row == f.last {
			continue
		}
		f.last = row.row
		if f.json {
			f.line(row.inJSON())
			continue
		}
		text := row.raw
		if row.broken {
			text = f.quoted(text) + strings.Repeat(string(f.separator), max(f.columns-1, 0))
		}
		f.line(text + f.fields(strconv.Itoa(row.Line), row.Field, string(row.Reason), row.Detail))
	}
}

// inJSON returns the row with the reason of its refusal.
func (r *refusedRow) inJSON() string {
	why := struct {
		Line   int           `json:"line"`
		Field  string        `json:"field,omitempty"`
		Reason events.Reason `json:"reason"`
		Detail string        `json:"detail,omitempty"`
		Text   string        `json:"text,omitempty"`
	}{r.Line, r.Field, r.Reason, r.Detail, ""}
	var object bytes.Buffer
	if r.broken || json.Compact(&object, []byte(r.raw)) != nil || object.Len() < 2 {
		why.Text = r.raw
		object.Reset()
		object.WriteString("{}")
	}
	object.Truncate(object.Len() - 1)
	if object.Len() > 1 {
		object.WriteByte(',')
	}
	member, err := json.Marshal(why)
	if err != nil { // Impossible: the value has only texts and a number.
		member = []byte(strconv.Quote(err.Error()))
	}
	return object.String() + `"` + refusedMember + `":` + string(member) + "}"
}

// sync writes everything to disk, and returns the size of the file.
func (f *rejects) sync() (int64, error) {
	if err := f.w.Flush(); err != nil {
		return 0, fmt.Errorf("--rejects: %w", err)
	}
	return f.size, nil
}

func (f *rejects) close() error {
	if f == nil {
		return nil
	}
	_, err := f.sync()
	if cause := f.file.Close(); err == nil && cause != nil {
		err = fmt.Errorf("--rejects: %w", cause)
	}
	return err
}

// settledRefusals finds the rows of events that were accepted by ingest and
// refused at settlement. It reads the file again, because an answer names them
// only by identity. If several rows have one identity, the last ones are those
// that were refused.
func (s *sending) settledRefusals(refused []events.Exception) (rows []refusedRow, err error) {
	if len(refused) == 0 {
		return nil, nil
	}
	reasons := make(map[string][]events.Reason, len(refused))
	for _, e := range refused {
		reasons[e.ID] = append(reasons[e.ID], e.Reason)
	}
	options := s.source.options
	options.Raw = s.rejects != nil
	r, err := s.source.m.Open(s.source.file, options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	found := make(map[string][]refusedRow, len(reasons))
	for {
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if item.Refusal != nil {
			continue
		}
		id := item.Usage.ID
		if item.Usage.Sequenced {
			id = fmt.Sprintf("%d/%d", item.Usage.Epoch, item.Usage.Sequence)
		}
		of := reasons[id]
		if of == nil {
			continue
		}
		list := found[id]
		list = append(list, refusedRow{row: item.Row, Line: item.Line, ID: strings.Clone(id), raw: item.Raw})
		if len(list) > len(of) {
			list = list[1:]
		}
		found[id] = list
	}
	for id, list := range found { // Sorted below.
		for i := range list {
			list[i].Reason, list[i].Detail = reasons[id][i], "found at settlement"
		}
		rows = append(rows, list...)
	}
	slices.SortFunc(rows, func(a, b refusedRow) int { return a.row - b.row })
	return rows, nil
}
