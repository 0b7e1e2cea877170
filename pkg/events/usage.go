package events

import "github.com/aliquot-engine/aliquot/pkg/money"

// Usage is one usage event, spelled out: what edges speak. The hot path never
// makes one; it works on [Columns].
type Usage struct {
	Source     string // CloudEvents source: who numbers or names the event
	ID         string // unique within Source; empty where Sequenced
	Epoch      uint64 // a client that lost its place begins a new epoch
	Sequence   uint64 // from 0 or 1, without gaps, within (Source, Epoch)
	Sequenced  bool   // identity is (Source, Epoch, Sequence) rather than (Source, ID)
	Node       Node
	Customer   Customer
	Meter      Meter
	Quantity   money.Quantity // of the meter's unit, not negative
	Start, End int64          // half-open interval, nanoseconds since 1970 UTC
	Attributes []Attribute    // ascending by name, no name twice
	Replaces   string         // id of the event this one replaces
	Retracts   string         // id of the event this one takes back
}

// LargestQuantity is 10¹⁴: what a meter may take in one event at most, and the
// coarsest granularity. The events between two cuts are fewer than 2²⁰, so that
// what they are billed together, at most twice this each, always fits 128 bits:
// otherwise where a cut falls could decide what is refused.
var LargestQuantity, _ = money.QuantityFromMantissa(0, 100_000_000_000_000, 0)

// Attribute is one name and value that rate cards can match.
type Attribute struct{ Name, Value string }

// Message is one message of USAGE-p: a batch, a barrier or a marker.
type Message struct {
	Kind     MessageKind
	Segments []Segment // of a batch
	Control  uint64    // of a barrier: CONTROL is in effect up to and including this position
	Rules    uint32    // of a barrier: version of the settlement rules
	Root     *Root     // of a barrier: of the log of CONTROL up to Control; nil: it carries none
}

// MessageKind tells the three apart.
type MessageKind uint8

const (
	Batch   MessageKind = 1
	Barrier MessageKind = 2 // CONTROL takes effect here, and entries are cut here
	Marker  MessageKind = 3 // entries are cut here
)

// Segment is one book's part of a batch.
type Segment struct {
	// Stamped by ingest, outside the provider's signature.
	Book              Book
	Received          int64  // nanoseconds since 1970 UTC
	ReceivedFromEvent bool   // an import whose book allows it: received is each event's last instant
	Key               string // name of the key that authenticated it
	Signature         []byte // Ed25519 over Packed, where the provider signs

	// Packed is the provider's own bytes, verbatim: see packed.proto.
	Packed []byte
}
