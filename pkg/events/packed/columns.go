// Package packed defines the bytes of usage: segments of events in columns, as
// packed.proto describes them, and the leaves of their events.
//
// A [Builder] packs events of one book; [Columns.Decode] reads a segment into
// one slice for each field, without work for each event. A [Collector] checks
// what a provider submits against a [Gate] and packs it by book. [Leaves]
// writes the bytes of each event that are hashed, directly from the columns.
//
// # Invariants
//
//   - Equal events in equal order give equal bytes; golden bytes are in testdata.
//   - Decoding checks every limit, never panics, and never allocates more than
//     its input justifies. A decoded segment can be used without further
//     checks.
//   - Nothing is allocated per event, once a builder or columns have had as
//     many events.
package packed

import (
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Columns is one decoded segment: the events of one book from one submission,
// with one slice for each field and one index for each event. It is reused from
// segment to segment, and its byte slices alias the message.
//
// All events of a segment are sequenced, or none is.
type Columns struct {
	Provider  events.Provider
	Sequenced bool
	N         int // events

	Strings [][]byte    // the string table; every uint32 below that says so indexes it
	Sources []SourceRef // distinct (source, epoch)
	Sets    [][]SetAttr // distinct attribute sets, each ascending by name; set 0 is empty

	Source   []uint32 // into Sources
	Sequence []uint64 // if Sequenced
	IDEnd    []uint32 // if not Sequenced: IDBytes[IDEnd[i-1]:IDEnd[i]] is the id of event i
	IDBytes  []byte
	Node     []uint32 // into Strings
	Customer []uint32 // into Strings
	Meter    []uint32 // into Strings
	Set      []uint32 // into Sets
	Quantity []money.Quantity
	Start    []int64
	End      []int64

	Amends []Amendment // ascending by Ordinal; almost always empty

	work scratch // memory that Decode reuses
}

// SourceRef is a source and its epoch.
type SourceRef struct {
	Name  uint32 // into Strings
	Epoch uint64
}

// SetAttr is one attribute of a set.
type SetAttr struct{ Name, Value uint32 } // into Strings

// Amendment says that an event takes back or replaces another.
type Amendment struct {
	Ordinal  uint32
	Retracts bool   // false: replaces
	ID       uint32 // into Strings: the other event's id
}

// LastInstant returns the last instant of event i, see [events.LastInstant].
func (c *Columns) LastInstant(i int) int64 { return events.LastInstant(c.Start[i], c.End[i]) }
