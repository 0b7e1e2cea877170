package events

import (
	"math"
	"math/bits"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Objections is the set of reasons for which an event is not admitted to the
// usage of its book. Ingest refuses such an event before it is in the stream,
// and settlement refuses it in the stream; both report the first objection,
// [Objections.First].
//
// Admission comes between other rules. Whether an event can be read, belongs to
// the provider and is new is decided before it; whether it has a price and its
// charge fits is decided after it. Whether an admitted event is late depends on
// the closings of its book, see directory.Book.Posting.
type Objections uint16

// The objections, in their order of precedence: first what no event can have,
// then amendments, then names, the quantity, and the time. The first two cannot
// be written in the packed format, so settlement never meets them.
const (
	AgainstSign      Objections = 1 << iota // Negative
	AgainstInterval                         // BadInterval
	AgainstAmendment                        // Unsupported: it takes back or replaces another event
	AgainstNode                             // UnknownNode
	AgainstCustomer                         // UnknownCustomer
	AgainstMeter                            // UnknownMeter
	AgainstQuantity                         // Absurd
	AgainstFuture                           // FromFuture
	AgainstAge                              // BeyondHorizon
)

// admission has the reason of each objection, by the number of its bit.
var admission = [...]Reason{
	Negative, BadInterval, Unsupported, UnknownNode, UnknownCustomer, UnknownMeter, Absurd, FromFuture, BeyondHorizon,
}

// First returns the reason of the first objection, or "" if there is none.
func (o Objections) First() Reason {
	if o == 0 {
		return ""
	}
	return admission[bits.TrailingZeros16(uint16(o))]
}

// Window bounds the last instants of events, in nanoseconds since 1970 UTC, both
// included.
type Window struct {
	Earliest, Latest int64
}

// Window returns the last instants that the book admits for usage received at
// this time, in nanoseconds since 1970 UTC. With fromEvent each event counts as
// received at its own last instant; if the book allows that, all instants are
// admitted.
func (b *BookDeclared) Window(received int64, fromEvent bool) Window {
	w := Window{math.MinInt64, math.MaxInt64}
	if fromEvent && b.ReceivedFromEvent {
		return w
	}
	w.Latest = Later(received, b.FutureSeconds)
	if b.HorizonSeconds > 0 {
		w.Earliest = Later(received, -b.HorizonSeconds)
	}
	return w
}

// Admit adds the objections to an event's quantity and interval to those to its
// names. largest is the limit of its meter; if the meter is unknown, any value
// will do, because that objection precedes. It is called once for each event,
// and allocates nothing.
func (w Window) Admit(names Objections, quantity, largest money.Quantity, start, end int64) Objections {
	o := names
	if quantity.Sign() < 0 {
		o |= AgainstSign
	}
	if end < start {
		o |= AgainstInterval
	}
	if quantity.Cmp(largest) > 0 {
		o |= AgainstQuantity
	}
	switch instant := LastInstant(start, end); {
	case instant > w.Latest:
		o |= AgainstFuture
	case instant < w.Earliest:
		o |= AgainstAge
	}
	return o
}
