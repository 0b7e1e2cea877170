// Package settlement declares what a settler stores beside the ledger: settle
// makes these values, a store keeps them, and explain and check read them.
//
// Everything here is a function of USAGE and CONTROL up to a position. It comes
// in a [Cut], which is the complete effect of one position that cuts.
//
// # Invariants
//
//   - A cut is committed whole or not at all, together with its cursor.
//   - Values in a cut that are marked "as they are now" replace the stored ones;
//     tallies are added to them.
//   - Lists are ascending by their key, so that equal cuts are equal bytes.
package settlement

import (
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

// Cut is the effect of one position that cuts (a barrier, a marker or every
// hundredth batch), together with the positions since the cut before it.
type Cut struct {
	Position uint64   // in USAGE, of the cut
	Hash     [32]byte // SHA-256 of the message there
	Control  uint64   // CONTROL is in effect up to and including this position
	Batches  uint64   // batch messages since the cut before
	Events   uint64   // events in them

	Records     []ledger.Record // ascending by book, then part
	Outcomes    []Outcome       // one for each batch message
	Tallies     []Tally
	Sources     []Progress
	Originals   []Original
	Suspense    []Suspense    // as they are now; removed if Events is 0
	Outstanding []Outstanding // as they are now; removed if Amount is 0
	Collected   []Collected   // as they are now; removed if Amount is 0
	Voids       []Void
}

// Cursor says how far a settler has come, and in which stream.
type Cursor struct {
	Partition int
	Stream    string
	Created   int64 // of the stream, nanoseconds since 1970 UTC
	Position  uint64
	Hash      [32]byte // SHA-256 of the message at Position; zeros before the first
	Control   uint64
	Batches   uint64
	Epoch     uint64 // grows by one with each settler that takes over
	Nonce     string // of that settler
}

// Outcome is what became of the events of one batch message, in their order
// through all its segments.
type Outcome struct {
	Position uint64
	Events   int
	Runs     []Run
}

// Run is a series of consecutive events with the same outcome.
type Run struct {
	Events  int
	Outcome events.Outcome
	Reason  events.Reason // if refused
}

// Words says what became of the events, for people. The reason of a refusal is made
// safe by [plain.Word].
func (r Run) Words() string {
	switch r.Outcome {
	case events.Accepted:
		return "accepted"
	case events.Late:
		return "accepted late, after its period had closed"
	case events.Duplicate:
		return "a duplicate, which changes nothing"
	}
	return plain.Sentence("refused: %s", r.Reason)
}

// Tally counts events of one node and period by outcome.
type Tally struct {
	Book    events.Book
	Node    events.Node   // empty if the event names no node of the book
	Period  events.Period // the events' own, by their end
	Outcome events.Outcome
	Reason  events.Reason // if refused
	Events  uint64
}

// Source identifies who numbers events.
type Source struct {
	Provider events.Provider
	Source   string
	Epoch    uint64
}

// Span is the sequences from First to Last, both included.
type Span struct{ First, Last uint64 }

// Progress is how the accepted sequences of a source changed: each span in Put
// replaces the stored span that begins at the same sequence.
type Progress struct {
	Source Source
	Put    []Span
	Remove []uint64 // spans that began here were merged into others
}

// Original says where accepted sequences are: in this segment of the message at
// this position. The first sequence is the segment's event Ordinal; each of the
// others is the first event with its sequence after the one before it. A refused
// event may have the same sequence; it does not count.
type Original struct {
	Source   Source
	Span     Span
	Position uint64
	Segment  int
	Ordinal  int // in the segment, from 0
}

// Suspense is quantities that wait for a price, of one node, customer, meter,
// rule, pair and period.
type Suspense struct {
	Book     events.Book
	Node     events.Node
	Customer events.Customer
	Meter    events.Meter
	Card     string // "card@version"
	Rule     int    // index in it
	Pair     events.Pair
	Period   events.Period // the events' own
	Quantity money.Quantity
	Events   uint64
}

// Outstanding is what a customer owes for one node's usage of one period.
type Outstanding struct {
	Book     events.Book
	Customer events.Customer
	Asset    money.Asset
	Period   events.Period // of the charges: the events' own
	Node     events.Node
	Amount   money.Amount
}

// Collected is what was paid for one node's usage of one period and has not been
// handed over yet.
type Collected struct {
	Book   events.Book
	Period events.Period // of the charges: the events' own
	Node   events.Node
	Asset  money.Asset
	Amount money.Amount
}

// Void is a decision that had no effect, with the reason.
type Void struct {
	Control uint64
	Reason  string
}
