// Package mapping turns the rows of a CSV or JSON file into usage events as a map
// file says: docs/map-format.md is its manual.
//
// The method: [Parse] compiles map.yaml once, with every problem found at its
// line and field; [Map.Open] resolves the columns it names against one file that
// package rowfile reads; [Reader.Next] then maps row by row in constant memory.
// Where times are shifted or names are declared, [Map.Survey] reads the file once
// before.
//
// # Invariants
//
//   - Exact: quantities, durations and times are decimal text that is kept or
//     refused, never a float and never rounded; a calculation keeps fractions
//     until its end. The exceptions make no money: a time is rounded where the
//     map says to what, a start that is a duration before an end goes down to
//     the whole nanosecond, and an end that is a duration after a start up to
//     it, so that the interval is never shorter than the usage.
//   - Deterministic: one file and one map give the same events with the same
//     identities each time, so that sending again changes nothing.
//   - Every row is accounted for: mapped, skipped by a filter, or refused with
//     its line and field. None stops the rows after it.
//   - No silence about columns: a column that the map names and no row of the
//     file has is an error before the first event, and an empty cell is never
//     put into the middle of a name or a hash unless the map allows it.
package mapping

import (
	"time"

	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Limits of a map and of a file; what is beyond them is refused.
const (
	MaxMap   = 1 << 20        // bytes of a map file
	MaxRow   = rowfile.MaxRow // bytes of one row
	MaxNames = 1_000_000      // distinct nodes, and as many customers, that a survey collects
)

// Map is a compiled map file. It is immutable and safe for concurrent use.
type Map struct {
	Book              events.Book // that declarations go to; may be empty where nothing is declared
	DeclareNodes      bool        // nodes found in the file are to be declared before sending
	DeclareCustomers  bool
	ReceivedFromEvent bool      // `received` is each event's last instant: an import whose book allows it
	Begin             time.Time // where set, all times move so that the earliest start is here

	file     rowfile.Options // how its files are written
	columns  []column        // that the map reads
	emptyOK  bool            // empty cells may be part of a text or a hash
	source   text
	where    []condition
	identity identity
	events   []template
}

// column is one column that a map names, and where it first does.
type column struct {
	name     string
	line     int
	optional bool // a file may lack it, and every row then has it empty
}

// template makes one event of a row.
type template struct {
	where                 []condition // or the event is not made
	node, customer, meter text
	quantity              quantity
	start, end            moment
	attributes            []attribute // ascending by name
}

type attribute struct {
	name  string
	value text
}

// identity says how an event is told from others.
type identity struct {
	kind    identityKind
	columns []int // of content; nil: all
	emptyOK bool  // of content: columns of it may be empty
	text    text
}

type identityKind uint8

const (
	byRow     identityKind = iota // (source, sequence)
	byContent                     // (source, hash of columns)
	byText                        // (source, what a column says)
)
