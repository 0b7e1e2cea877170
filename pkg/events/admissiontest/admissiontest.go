// Package admissiontest is the conformance suite of admission: every reason for
// which an event is not admitted, and every pair of such reasons, each with the
// reason that must be reported. All code that admits events must pass it: the
// collector and the verifier of ingest, and settlement.
//
// The method is to spoil one good event in one or two ways.
package admissiontest

import (
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Provider and Book belong to all events; Received is when they are received.
const (
	Provider = events.Provider("acme")
	Book     = events.Book("acme-eu")
	Received = int64(1_795_348_800_000_000_000) // 2026-11-22T12:00:00Z
)

const (
	horizon = 3600 // seconds
	future  = 60   // seconds
)

// Declared returns the decisions under which the good event is accepted.
func Declared() []events.Body {
	return []events.Body{
		events.ProviderDeclared{Provider: Provider},
		events.BookDeclared{Book: Book, Provider: Provider, Calendar: "day", TimeZone: "UTC", Asset: "USDC", HorizonSeconds: horizon, FutureSeconds: future},
		events.NodeDeclared{Node: "gpu", Book: Book},
		events.CustomerDeclared{Customer: "lab", Book: Book},
		events.MeterDeclared{Meter: "s", Book: Book, Unit: "s", Max: whole(100)},
		events.CardDeclared{Card: "list", Version: 1, Book: Book, Currency: "USDC", Effective: time.Unix(0, 0).UTC(), Rules: []events.CardRule{{Meter: "s", Price: money.Atto(1), Per: whole(1)}}},
	}
}

// Case is one event and the reason that must be reported; "" if the event is
// admitted.
type Case struct {
	Name  string
	Usage events.Usage
	Want  events.Reason
}

// spoiling are the ways to spoil an event that can be in the stream, in the
// order of precedence of their reasons.
var spoiling = []struct {
	reason events.Reason
	spoil  func(*events.Usage)
}{
	{events.Unsupported, func(u *events.Usage) { u.Retracts = "earlier" }},
	{events.UnknownNode, func(u *events.Usage) { u.Node = "nowhere" }},
	{events.UnknownCustomer, func(u *events.Usage) { u.Customer = "nobody" }},
	{events.UnknownMeter, func(u *events.Usage) { u.Meter = "nothing" }},
	{events.Absurd, func(u *events.Usage) { u.Quantity = whole(101) }},
	{events.FromFuture, func(u *events.Usage) { u.Start, u.End = at(future+1), at(future+1) }},
	{events.BeyondHorizon, func(u *events.Usage) { u.Start, u.End = at(-horizon-1), at(-horizon-1) }},
}

// Cases returns the good event, the event with each fault alone, and with every
// pair of faults that one event can have.
func Cases() []Case {
	good := events.Usage{Source: "m", ID: "e", Node: "gpu", Customer: "lab", Meter: "s", Quantity: whole(100), Start: at(0), End: at(0)}
	list := []Case{{Name: "good", Usage: good}}
	for i, first := range spoiling {
		u := good
		first.spoil(&u)
		list = append(list, Case{string(first.reason), u, first.reason})
		for _, second := range spoiling[i+1:] {
			if first.reason == events.FromFuture { // An event from the future cannot be beyond the horizon too.
				continue
			}
			both := u
			second.spoil(&both)
			list = append(list, Case{string(first.reason) + " and " + string(second.reason), both, first.reason})
		}
	}
	return list
}

// Segment packs an event by itself.
func Segment(u *events.Usage) ([]byte, error) {
	var raw packed.RawUsage
	if err := raw.Set(u); err != nil {
		return nil, err
	}
	var b packed.Builder
	b.Reset(Provider, false)
	b.Add(&raw)
	return b.AppendTo(nil), nil
}

func at(seconds int64) int64 { return Received + seconds*int64(time.Second) }

func whole(n int64) money.Quantity {
	q, err := money.QuantityFromMantissa(0, uint64(n), 0)
	if err != nil {
		panic(err) // Small numbers fit.
	}
	return q
}
