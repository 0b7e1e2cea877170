// Package export makes the reports that accountants, FinOps teams and auditors
// take away as files: trial balance, journal, refused and late events, what is
// accounted for, holders, payouts, decisions and duties, FOCUS, and the trail of
// every original record.
//
// The method is one pass over the streams up to what their logs have signed.
// Every record that is read is first compared with its signed leaf, so a report
// says nothing that the logs do not. Each row that comes from one record names
// its stream and position, and the log, size and root that prove it. Rows that a
// report has to sort are sorted on disk, so that memory does not grow with rows.
//
// # Invariants
//
//   - Read only: a report writes nothing except its own file.
//   - Proved: a record that does not hash to its leaf, or a gap, ends the report
//     with an error that names it. Half a file is never called a report: writers
//     end the connection, or leave no file.
//   - Deterministic: equal streams and checkpoints give equal bytes.
//   - Exact: no value passes through a float; amounts are decimals with 18
//     places.
//   - Bounded: memory does not grow with the number of rows. It grows with what
//     is declared, with nodes times periods, with sources and their gaps, and,
//     for the register only, with holders.
//
// # CSV
//
// RFC 4180 with line feeds, in UTF-8, after a header. Null is an empty field and
// an empty text is "". A text that begins with one of = + - @ ' or with white
// space to which a spreadsheet would react gets a ' before it. Bytes that are not
// printable (control characters including NUL, marks that change the direction of
// writing, invisible characters) or not UTF-8 become \x and two hexadecimal
// digits, and a backslash becomes two. Line feeds, carriage returns and tabs are
// kept, in quotes. [ReadText] reverses this. Bytes are standard base64, instants
// RFC 3339 in UTC.
//
// # JSON and Parquet
//
// JSON is one array of objects, with decimals as strings. Parquet has
// DECIMAL(38,18) in 16 bytes, TIMESTAMP in nanoseconds UTC, 64-bit integers, and
// text for units of tokens, which have up to 39 digits; bytes are not encoded.
package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// Format is how a file is written.
type Format string

// The formats.
const (
	CSV     Format = "csv"
	Parquet Format = "parquet"
	JSON    Format = "json"
)

// Formats lists them.
func Formats() []Format { return []Format{CSV, Parquet, JSON} }

// MediaType is what HTTP calls a format.
func (f Format) MediaType() string {
	switch f {
	case Parquet:
		return "application/vnd.apache.parquet"
	case JSON:
		return "application/json"
	default:
		return "text/csv; charset=utf-8"
	}
}

// Log is the signed log of a stream, as package tiles reads it.
type Log interface {
	Checkpoint() (tlog.Checkpoint, []byte, error)
	Leaf(i uint64) ([]byte, error)
}

// Sources are the streams and logs from which reports are made.
type Sources struct {
	Usage                             []*eventlog.Stream // by partition
	Control, Register, Ledger, Payout *eventlog.Stream
	Refused                           *eventlog.Stream
	// Log finds the log of a stream by its name in lower case. If it is nil, no
	// logs are kept, and the columns that name them are null.
	Log func(name string) (Log, error)
	// Outcomes calls each, in ascending order, for every batch between two
	// positions. It is used for leaves that contain only the hash of their
	// outcomes, and if no logs are kept.
	Outcomes func(ctx context.Context, partition int, from, to uint64, each func(settlement.Outcome) error) error
	// Void returns why a decision had no effect, or "" if it had one. It may be
	// nil.
	Void func(ctx context.Context, position uint64) (string, error)
}

// Options narrow a report. Each report accepts only some of them: see [Report].
type Options struct {
	Book   events.Book
	Period events.Period
	Token  events.Token
	// At is the point up to which the report is made; empty means everything. It
	// is a position (ledger:12, payout:3, control:40), a journal row
	// (settle-0-12, distribute-3), or a time in RFC 3339. For the register it is
	// a position (register:7) or a record date.
	At string
}

// ErrQuestion means that the question itself is wrong, so that asking again would
// not help.
var ErrQuestion = errors.New("wrong question")

// question describes in one line what is wrong, and is an [ErrQuestion].
type question string

func (q question) Error() string { return string(q) }

// Is makes [errors.Is] recognise it as an [ErrQuestion].
func (question) Is(target error) bool { return target == ErrQuestion }

func wrong(format string, args ...any) error { return question(fmt.Sprintf(format, args...)) }

// Report is one report that can be made.
type Report struct {
	Name  string
	Title string
	Takes []string // names of the options it accepts: book, period, token, at

	columns []Column
	unkept  bool // its rows come from a stream without a log
	make    func(*run) error
}

// Reports lists every report, in the order in which they are easiest to explain.
func Reports() []Report {
	return []Report{
		{Name: "trial-balance", Title: "Every account's debits and credits", Takes: []string{"book", "at"}, columns: balanceColumns(), make: (*run).balances},
		{Name: "journal", Title: "Every posting with what caused it", Takes: []string{"book", "period", "at"}, columns: journalColumns(), make: (*run).journal},
		{Name: "exceptions", Title: "Refused and late events", Takes: []string{"book", "period"}, columns: exceptionColumns(), make: (*run).exceptions},
		{Name: "accounted", Title: "What became of everything received, by node and period", Takes: []string{"book", "period"}, columns: accountedColumns(), make: (*run).accounted},
		{Name: "gaps", Title: "Sequences that never came", Takes: []string{"book", "period"}, columns: gapColumns(), make: (*run).gaps},
		{Name: "holders", Title: "The register of a token", Takes: []string{"token", "at"}, columns: holderColumns(), make: (*run).holders},
		{Name: "payouts", Title: "What became of every payout", Takes: []string{"book", "period", "token"}, columns: payoutColumns(), make: (*run).payouts},
		{Name: "reconciliation", Title: "Payouts against the ledger and the rails' answers", Takes: []string{"book", "period", "token"}, columns: reconciliationColumns(), make: (*run).reconciliation},
		{Name: "decisions", Title: "Who decided what, and when", Takes: []string{"book"}, columns: decisionColumns(), make: (*run).decisions},
		{Name: "duties", Title: "Who held duties that should be apart", Takes: []string{"book"}, columns: dutyColumns(), make: (*run).duties},
		{Name: "refused", Title: "Refused submissions", columns: refusedColumns(), unkept: true, make: (*run).refused},
		{Name: "focus", Title: "Cost and usage, FOCUS 1.2", Takes: []string{"book", "period"}, columns: focusColumns(), make: (*run).focus},
		{Name: "trail", Title: "Every original record, to be recreated and verified", columns: trailColumns(), make: (*run).trail},
	}
}

// Find returns the report with a name.
func Find(name string) (Report, error) {
	all := Reports()
	for _, r := range all {
		if r.Name == name {
			return r, nil
		}
	}
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].Name
	}
	return Report{}, wrong("report %q is unknown: %s", name, strings.Join(names, ", "))
}

// Columns lists a report's columns; those that name the log are last.
func (r Report) Columns() []Column {
	if r.Name == "focus" {
		return append(slices.Clone(r.columns), focusLogColumns()...)
	}
	return append(slices.Clone(r.columns), logColumns()...)
}

// Export is a report that can be written.
type Export struct {
	report Report
	format Format
	run    *run
}

// Prepare checks everything that may be wrong with a question, which is an
// [ErrQuestion], and takes the checkpoints for the report. It writes nothing.
func Prepare(ctx context.Context, from Sources, name string, format Format, options Options) (*Export, error) {
	report, err := Find(name)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(Formats(), format) {
		return nil, wrong("format %q is unknown: csv, parquet, json", format)
	}
	for option, value := range map[string]string{
		"book": string(options.Book), "period": string(options.Period), "token": string(options.Token), "at": options.At,
	} {
		if value != "" && !slices.Contains(report.Takes, option) {
			return nil, wrong("report %s does not accept %s", name, option)
		}
	}
	r := &run{name: name, Sources: from, Options: options, ctx: ctx, directory: directory.New()}
	if err := r.prepare(); err != nil {
		return nil, fmt.Errorf("preparing report %s: %w", name, err)
	}
	return &Export{report, format, r}, nil
}

// FileName is a suitable name for the file.
func (e *Export) FileName() string { return e.report.Name + "." + string(e.format) }

// Write writes the file. After an error what was written is not a report.
func (e *Export) Write(w io.Writer) error {
	err := e.write(w)
	if err != nil {
		return fmt.Errorf("making report %s: %w", e.report.Name, err)
	}
	return nil
}

func (e *Export) write(w io.Writer) (err error) {
	if e.run.table, err = newTable(w, e.report.Name, e.report.Columns(), e.format); err != nil {
		return err
	}
	if err := e.report.make(e.run); err != nil {
		return err
	}
	return e.run.table.sink.close()
}

// run makes one report.
type run struct {
	name string
	Sources
	Options
	ctx   context.Context // of this call; never kept longer
	table *table
	cells []cell // the row that is being made

	usage                             []*source
	control, register, ledger, payout *source
	directory                         *directory.Directory // at the end of CONTROL
	cut                               cut
}

// prepare takes the checkpoints, folds what is declared, and checks the options.
func (r *run) prepare() (err error) {
	open := func(s *eventlog.Stream) (opened *source) {
		if err == nil {
			opened, err = r.open(s)
		}
		return opened
	}
	// Effects before their causes: a checkpoint that is taken later covers more,
	// and so covers everything on which an effect rests.
	r.payout, r.ledger = open(r.Sources.Payout), open(r.Sources.Ledger)
	for _, s := range r.Sources.Usage {
		r.usage = append(r.usage, open(s))
	}
	r.register, r.control = open(r.Sources.Register), open(r.Sources.Control)
	if err != nil {
		return err
	}
	err = r.decided(func(d decided) error { return nil })
	if err != nil {
		return err
	}
	if r.Book != "" {
		if _, ok := r.directory.Book(r.Book); !ok {
			return wrong("book %q is not declared", r.Book)
		}
	}
	if r.Token != "" {
		if _, ok := r.directory.Token(r.Token); !ok {
			return wrong("token %q is not declared", r.Token)
		}
	}
	if err := r.checkPeriod(); err != nil {
		return err
	}
	return r.parseAt()
}

// checkPeriod checks that the book, or any book, can have the period.
func (r *run) checkPeriod() error {
	if r.Period == "" {
		return nil
	}
	if book, ok := r.directory.Book(r.Book); ok {
		if _, _, err := events.Calendar(book.Calendar).Parse(r.Period); err != nil {
			return wrong("book %s: %v", r.Book, err)
		}
		return nil
	}
	for _, calendar := range []events.Calendar{"day", "month"} {
		if _, _, err := calendar.Parse(r.Period); err == nil {
			return nil
		}
	}
	return wrong("period %q is not a day (2006-01-02) or a month (2006-01)", r.Period)
}

// wanted reports whether an entry of a book and a period is asked for.
func (r *run) wanted(book events.Book, period events.Period) bool {
	return (r.Book == "" || r.Book == book) && (r.Period == "" || r.Period == period)
}
