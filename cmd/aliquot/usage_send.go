package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/cmd/internal/mapping"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

// usageSend sends a file. After an interruption the same command resumes the
// sending. A complete file may be sent again: all its events are then
// duplicates.
type usageSend struct {
	File     string `arg:"" help:"CSV or JSON Lines file." type:"existingfile"`
	Map      string `required:"" help:"Map file that says what the columns are (docs/map-format.md)." type:"existingfile"`
	Book     string `help:"Book of the usage; by default the map's book." placeholder:"NAME"`
	Provider string `help:"Provider of the usage; by default the book's provider." placeholder:"NAME"`
	Shift    string `help:"Move all times so that the first event starts here (RFC 3339)." placeholder:"TIME"`
	Received string `help:"With event, the time of receipt of each event is its own last instant, in books that allow this; by default the map decides." enum:",event,now" default:"" placeholder:"event"`
	Batch    int    `help:"Events per request." default:"5000"`
	Resume   bool   `help:"Resume an interrupted sending of the same file." default:"true" negatable:""`
	Wait     bool   `help:"Wait until everything is settled, and print the outcomes."`
	Rejects  string `help:"Write every refused row to this file, with its line, the field and the reason, in the format of the input." placeholder:"FILE"`
	Tolerate bool   `help:"Exit 0 even if rows were refused."`
}

// shownRefusals is how many refused rows are listed individually.
const shownRefusals = 20

// Sent is the result of a sending.
type Sent struct {
	Rows     int                   `json:"rows"`
	Skipped  int                   `json:"skipped"` // rows that the map's filters removed
	Sent     int                   `json:"sent"`    // events, including those that an earlier run of this command had sent
	Resumed  int                   `json:"resumed"` // part of Sent: sent by an earlier run
	Accepted int                   `json:"accepted"`
	Refused  int                   `json:"refused"`            // events, and rows that could not be mapped
	Unmapped int                   `json:"unmapped"`           // part of Refused: rows that could not be mapped
	Reasons  map[events.Reason]int `json:"reasons"`            // of all refusals
	Refusals []refusedRow          `json:"refusals"`           // the first few
	Outcomes *tallied              `json:"outcomes,omitempty"` // with --wait, of what this run sent
	Seconds  json.Number           `json:"seconds"`

	rejects int64 // size of the file of refused rows, in bytes
}

// refusedRow is a refused row with its place in the file.
type refusedRow struct {
	Line   int           `json:"line"`
	ID     string        `json:"id,omitempty"`
	Field  string        `json:"field,omitempty"`
	Reason events.Reason `json:"reason"`
	Detail string        `json:"detail,omitempty"`

	row    int    // number of the data row, from 1
	raw    string // the row as it is in the file; empty if no file of refused rows is written
	broken bool   // it could not be read as a row at all
}

func (r refusedRow) String() string {
	return fmt.Sprintf("line %d: %s %s: %s", r.Line, r.Field, r.Reason, r.Detail)
}

// tallied counts the outcomes of events after settlement.
type tallied struct {
	Accepted  int `json:"accepted"`
	Late      int `json:"late"`
	Duplicate int `json:"duplicate"`
	Refused   int `json:"refused"`
}

func (c *usageSend) Run(ctx context.Context, r *root) (err error) {
	source, err := openSource(c.File, c.Map, c.Shift, c.Received)
	if err != nil {
		return err
	}
	s, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	s.watch = waiting{} // One progress line covers all requests.
	if c.Book == "" {
		c.Book = string(source.m.Book)
	}
	provider, err := s.provider(ctx, c.Provider, events.Book(c.Book))
	if err != nil {
		return err
	}
	if _, err := s.declareNames(ctx, source, events.Book(c.Book)); err != nil {
		return err
	}
	state, err := c.state(source, s, provider)
	if err != nil {
		return err
	}
	var rejected *rejects
	if c.Rejects != "" {
		if rejected, err = openRejects(c.Rejects, c.File, state.before.Rejected); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rejected.close()) }()
	}
	shown, began := newLiveProgress(r), time.Now()
	var size int64 // 0: unknown
	if info, err := os.Stat(c.File); err == nil {
		size = info.Size()
	}
	send := sending{server: s, provider: provider, source: source, batch: c.Batch, skip: state.before.Events, keepHandles: c.Wait, rejects: rejected}
	send.acknowledged = func(sent *Sent, bytes int64) {
		shown.update(func() string { return "sending: " + ofBytes(bytes, size, time.Since(began)) })
		state.acknowledge(sent)
	}
	sent, err := send.run(ctx)
	shown.clear()
	sent.resume(&state.before)
	if err != nil {
		state.keep()
		if state.Events > state.before.Events && !state.off {
			err = fmt.Errorf("stopped after %d events; the same command resumes from there: %w", state.Events, err)
		}
		return err
	}
	state.remove()
	if c.Wait {
		if err := send.settled(ctx, &sent); err != nil {
			return err
		}
	}
	sent.Seconds = json.Number(seconds(time.Since(began)))
	if err := r.print(sent, func(w io.Writer) { sent.write(w) }); err != nil {
		return err
	}
	if !c.Tolerate && (sent.Refused > 0 || sent.Outcomes != nil && sent.Outcomes.Refused > 0) {
		return errFalse
	}
	return nil
}

// resume adds the refusals of an earlier run of the same sending.
func (s *Sent) resume(before *sendProgress) {
	s.Resumed = before.Events
	s.Accepted += before.Accepted
	s.Refused += before.Refused
	s.Unmapped += before.Unmapped
	for reason, n := range before.Reasons {
		s.Reasons[reason] += n
	}
}

// settled waits until everything is settled, and finds the rows that were
// refused at settlement.
func (s *sending) settled(ctx context.Context, sent *Sent) error {
	outcomes, refused, err := s.outcomes(ctx)
	if err != nil {
		return err
	}
	sent.Outcomes = outcomes
	rows, err := s.settledRefusals(refused)
	if err != nil {
		return err
	}
	for _, row := range rows {
		sent.Reasons[row.Reason]++
		if len(sent.Refusals) < shownRefusals {
			sent.Refusals = append(sent.Refusals, row)
		}
	}
	if s.rejects != nil {
		s.rejects.last = 0 // The rows start from the beginning again.
		s.rejects.add(rows)
	}
	return nil
}

func (s *Sent) write(w io.Writer) {
	plain.Fprintf(w, "%d events sent in %s s: %d accepted for settlement, %d refused; %d rows, %d skipped by the map's filters\n",
		s.Sent-s.Resumed, s.Seconds, s.Accepted, s.Refused, s.Rows, s.Skipped)
	if s.Resumed > 0 {
		plain.Fprintf(w, "%d events had been sent by an earlier run\n", s.Resumed)
	}
	if o := s.Outcomes; o != nil {
		plain.Fprintf(w, "settled: %d accepted, %d late, %d duplicates, %d refused\n", o.Accepted, o.Late, o.Duplicate, o.Refused)
	}
	for _, reason := range sortedKeys(s.Reasons) {
		plain.Fprintf(w, "refused as %s: %d\n", reason, s.Reasons[reason])
	}
	for _, one := range s.Refusals {
		plain.Fprintf(w, "  %s\n", one)
	}
	if more := s.refusals() - len(s.Refusals); more > 0 {
		plain.Fprintf(w, "  and %d more; --rejects FILE writes all of them\n", more)
	}
}

// refusals returns the number of refusals, including those at settlement.
func (s *Sent) refusals() int {
	n := 0
	for _, times := range s.Reasons {
		n += times
	}
	return n
}

// seconds formats a duration in seconds, with milliseconds.
func seconds(d time.Duration) string {
	return fmt.Sprintf("%d.%03d", d/time.Second, d%time.Second/time.Millisecond)
}

// source is a file with its map, and the flags about both.
type source struct {
	file, mapFile string
	m             *mapping.Map
	document      []byte
	options       mapping.Options
	received      bool // each event counts as received at its last instant
	survey        *mapping.Survey
}

func openSource(file, mapFile, shift, received string) (*source, error) {
	document, err := os.ReadFile(mapFile)
	if err != nil {
		return nil, err
	}
	m, err := mapping.Parse(mapFile, document)
	if err != nil {
		return nil, err
	}
	s := &source{file: file, mapFile: mapFile, m: m, document: document, received: m.ReceivedFromEvent}
	if received != "" {
		s.received = received == "event"
	}
	if shift != "" {
		if s.options.Begin, err = mapping.ParseBegin(shift); err != nil {
			return nil, misused("--shift: %v", err)
		}
	}
	return s, nil
}

// surveyed reads the file at most once.
func (s *source) surveyed() (*mapping.Survey, error) {
	if s.survey == nil {
		survey, err := s.m.Survey(s.file)
		if err != nil {
			return nil, err
		}
		s.survey = &survey
	}
	return s.survey, nil
}

// declareNames declares the nodes and customers of the file, as the map asks.
func (s *server) declareNames(ctx context.Context, from *source, book events.Book) (done api.Applied, err error) {
	if !from.m.DeclareNodes && !from.m.DeclareCustomers {
		return done, nil
	}
	if book == "" {
		return done, fmt.Errorf("%s: book: is needed to declare nodes and customers, or the flag --book", from.mapFile)
	}
	survey, err := from.surveyed()
	if err != nil {
		return done, err
	}
	in := struct {
		Book      events.Book       `json:"book"`
		Nodes     []events.Node     `json:"nodes,omitempty"`
		Customers []events.Customer `json:"customers,omitempty"`
	}{book, survey.Nodes, survey.Customers}
	if err := s.call(ctx, http.MethodPost, "/v1/names", in, &done); err != nil {
		return done, fmt.Errorf("declaring the file's nodes and customers: %w", err)
	}
	for _, v := range done.Void {
		return done, fmt.Errorf("declaring the file's nodes and customers: %s", v.WhyVoid())
	}
	return done, nil
}
