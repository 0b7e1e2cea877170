package events

import (
	"math"
	"math/bits"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Objections is the set of reasons for which an event is not admitted to the
// usage of its book. Ingest refuses an event that has one before it is in the
// stream, and settlement refuses it where it stands in the stream; both give the
// first one, [Objections.First].
//
// Admission stands between two other rules: what cannot be read or is of another
// provider, and what repeats an earlier event, is decided before it; whether an
// event has a price and whether its charge fits, after it. Whether an admitted
// event is late depends on the closings of its book, see directory.Book.Posting.
type Objections uint16

// The objections, in the order in which they count: first what no event can have,
// then what it asks for, then its names, then its quantity, then its time. The
// first two cannot be written in the packed format, so settlement never meets them.
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

// First returns the reason that counts, or "" where there is no objection.
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

// Window returns which last instants the book admits of usage that was received at
// an instant, in nanoseconds since 1970 UTC. fromEvent says that each event counts
// as received at its own last instant, where the book allows it: then all of them.
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
// names. largest is that of its meter; where the meter is unknown, any value will
// do, because the meter counts first. It is called once for each event, and
// allocates nothing.
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
