package events

import "github.com/aliquot-engine/aliquot/pkg/money"

// Usage is one usage event with all its fields, for use outside the hot path,
// which works on packed columns instead.
type Usage struct {
	Source     string // CloudEvents source, which numbers or names its events
	ID         string // unique within Source; empty if Sequenced
	Epoch      uint64 // a client that lost count begins a new epoch
	Sequence   uint64 // from 0 or 1, without gaps, within (Source, Epoch)
	Sequenced  bool   // identity is (Source, Epoch, Sequence) rather than (Source, ID)
	Node       Node
	Customer   Customer
	Meter      Meter
	Quantity   money.Quantity // of the meter's unit, not negative
	Start, End int64          // half-open interval, nanoseconds since 1970 UTC
	Attributes []Attribute    // ascending by name, no name twice
	Replaces   string         // id of the event that this one replaces
	Retracts   string         // id of the event that this one takes back
}

// LargestQuantity is 10¹⁴: the upper limit of a meter's quantity in one event,
// and of a granularity. There are fewer than 2²⁰ events between two cuts, and
// each is billed at most twice this quantity, so their sum always fits 128
// bits. Otherwise the place of a cut could decide which events are refused.
var LargestQuantity, _ = money.QuantityFromMantissa(0, 100_000_000_000_000, 0)

// Attribute is one name and value that rate cards can match.
type Attribute struct{ Name, Value string }

// Message is one message of USAGE-p: a batch, a barrier or a marker.
type Message struct {
	Kind     MessageKind
	Segments []Segment // of a batch
	Control  uint64    // of a barrier: CONTROL is in effect up to and including this position
	Rules    uint32    // of a barrier: version of the settlement rules
	Root     *Root     // of a barrier: root of the log of CONTROL up to Control; nil if the barrier has none
}

// MessageKind is the kind of a message.
type MessageKind uint8

const (
	Batch   MessageKind = 1
	Barrier MessageKind = 2 // CONTROL takes effect here, and entries are cut here
	Marker  MessageKind = 3 // entries are cut here
)

// Segment is one book's part of a batch.
type Segment struct {
	// Set by ingest, outside the provider's signature.
	Book              Book
	Received          int64  // nanoseconds since 1970 UTC
	ReceivedFromEvent bool   // for an import, if the book allows it: each event counts as received at its last instant
	Key               string // name of the key that authenticated it
	Signature         []byte // Ed25519 over Packed, if the provider signs

	// Packed is the provider's bytes, unchanged: see packed.proto.
	Packed []byte
}
