package events

import "fmt"

// Reason says why an event or a submission was refused. The set is closed and
// its values are stable: they are in streams, answers and exports.
type Reason string

const (
	Malformed       Reason = "malformed"        // not JSON, not CloudEvents, not a segment, …
	Missing         Reason = "missing"          // a required field is absent or empty
	WrongType       Reason = "wrong_type"       // a field has another type than the schema's
	TooLong         Reason = "too_long"         // a text is longer than its limit
	TooLarge        Reason = "too_large"        // a body or batch is larger than its limit
	BadText         Reason = "bad_text"         // invalid UTF-8, NUL or control characters
	BadNumber       Reason = "bad_number"       // not a decimal number
	Negative        Reason = "negative"         // a quantity below zero
	Absurd          Reason = "absurd"           // a quantity above the meter's largest
	TooPrecise      Reason = "too_precise"      // more than 18 decimal places
	BadTime         Reason = "bad_time"         // not RFC 3339, or outside 1970 to 2262
	BadInterval     Reason = "bad_interval"     // end before start
	FromFuture      Reason = "from_future"      // its last instant is later than received + the book's tolerance
	BeyondHorizon   Reason = "beyond_horizon"   // its last instant is before received - the book's horizon
	UnknownNode     Reason = "unknown_node"     // not declared in the provider's books
	UnknownCustomer Reason = "unknown_customer" // not declared in the node's book
	UnknownMeter    Reason = "unknown_meter"    // not declared in the node's book
	Conflict        Reason = "conflict"         // the identity is known with other content
	NoRate          Reason = "no_rate"          // no rule of a rate card in force matches
	Overflow        Reason = "overflow"         // the charge does not fit 128 bits
	Unsupported     Reason = "unsupported"      // valid, but not supported by this version
	Unauthorized    Reason = "unauthorized"     // the actor may not submit this
)

// Reasons returns the whole set, in the order above.
func Reasons() []Reason {
	return []Reason{
		Malformed, Missing, WrongType, TooLong, TooLarge, BadText, BadNumber, Negative, Absurd, TooPrecise, BadTime, BadInterval,
		FromFuture, BeyondHorizon, UnknownNode, UnknownCustomer, UnknownMeter, Conflict, NoRate, Overflow, Unsupported, Unauthorized,
	}
}

// Refusal is one refused event or submission. It is a value and never an error
// that stops anything.
type Refusal struct {
	Index  int    `json:"index"`           // ordinal in the submission, from 0; -1 for the submission as a whole
	Line   int    `json:"line,omitempty"`  // line of the submitted text, from 1, if it has lines
	ID     string `json:"id,omitempty"`    // the event's id if it could be read, at most 256 bytes of it
	Field  string `json:"field,omitempty"` // the field at fault, such as "data.quantity"
	Reason Reason `json:"reason"`
	Detail string `json:"detail,omitempty"` // for people
}

func (r Refusal) String() string {
	return fmt.Sprintf("event %d: %s %s: %s", r.Index, r.Field, r.Reason, r.Detail)
}

// Outcome is the outcome of one event in the stream. Every event has exactly
// one.
type Outcome uint8

const (
	Accepted  Outcome = 1 // charged, or waiting in suspense for a price
	Late      Outcome = 2 // accepted after its period had closed, and charged in the open period
	Duplicate Outcome = 3 // same identity and content as an accepted event: changes nothing
	Refused   Outcome = 4 // with a reason
)
