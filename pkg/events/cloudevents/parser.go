// Package cloudevents reads usage events from CloudEvents 1.0 in JSON, and
// writes them.
//
// The method: a scanner walks over the bytes without building anything, and
// passes each event, as slices of the submission, to a [Sink]. A parser
// remembers the layout of accepted events; further events of that layout are
// only compared with it, which costs a fraction of parsing them.
//
// # Invariants
//
//   - Learned layouts and the general parser accept and refuse the same events,
//     with the same values.
//   - A number is read from its text, exactly; no float is involved.
//   - Events that are accepted allocate nothing.
package cloudevents

import (
	"bytes"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// Sink takes events from a [Parser].
type Sink interface {
	// Add takes an event or returns why it is refused. u and everything it
	// points to belong to the parser and are overwritten by the next event; the
	// fault belongs to the sink and may be overwritten by its next fault.
	Add(u *packed.RawUsage) *packed.Fault
}

// Parsed is the result for a submission that could be read.
type Parsed struct {
	Events   int              // number of events, including refused ones
	Refusals []events.Refusal // ascending by Index; overwritten by the parser's next submission
}

// Parser reads CloudEvents 1.0 whose data is usage. An event is a JSON object:
//
//	specversion  "1.0"
//	type         "aliquot.usage" or "aliquot.usage.v1"
//	id, source   texts
//	sequence     optional: a decimal integer as text or number; the event's
//	             identity is then (source, epoch, sequence), and id only a label
//	epoch        optional, the same; 0 where absent
//	subject      the customer where data has none
//	time         the end where data has none; RFC 3339, at most 9 decimals
//	data         {node, customer, meter, quantity, start, end,
//	             attributes {name: text}, replaces, retracts}
//	data_base64  instead of data: its JSON in base64 (CloudEvents JSON format
//	             1.0.2, section 3.1)
//
// A byte order mark before the first event is ignored (RFC 8259, section 8.1).
//
// A quantity is a decimal as text or as number, read exactly from its text. An
// absent start equals end. null counts as absent. Any other member must be an
// extension, whose name has lower-case letters and digits and whose value is a
// scalar; it is ignored. Inside data an unknown member is refused, because a
// misspelt quantity must not cost money, and so is a member that occurs twice,
// at any level.
//
// A parser learns the layouts of events and then reads further events of these
// layouts at several times the speed, with the same results. It is reused from
// submission to submission and allocates nothing for events that are not
// refused. It is not safe for concurrent use.
type Parser struct {
	scanner
	event    packed.RawUsage
	clock    events.Clock
	sink     Sink
	index    int // of the event being read
	refusals []events.Refusal
	line     int // line of lineAt
	lineAt   int

	fault      packed.Fault
	faultAt    int
	isFaulty   bool
	unescaped  []byte   // texts of this event that had escapes
	members    [][]byte // names of the unknown members seen in this event
	seen       uint32   // known members seen
	seenData   uint32
	start, end int64 // of data, if seen
	time       int64
	subject    []byte
	spec       []byte
	eventType  []byte
	decoded    []byte // data of this event that was in base64

	traced      bool // whether an event of this submission had a traceparent
	traceparent [traceparentBytes]byte

	layouts layouts
	general bool // tests only: never use a learned layout
}

// Batch reads application/cloudevents-batch+json: an array of events. A
// submission that is not JSON, or has more than [MaxEvents] events, is refused
// as a whole, and everything that the sink has taken must be dropped.
func (p *Parser) Batch(body []byte, sink Sink) (Parsed, *events.Refusal) {
	p.begin(body, sink)
	p.space()
	if p.kind() != jsonArray {
		return p.refuseAll(events.WrongType, "a batch is a JSON array of events")
	}
	p.at++
	p.depth++
	p.space()
	if p.peek() == ']' {
		p.at++
	} else if r := p.elements(); r != nil {
		return Parsed{}, r
	}
	return p.finish()
}

func (p *Parser) elements() *events.Refusal {
	for {
		if p.index == packed.MaxEvents {
			_, r := p.refuseAll(events.TooLarge, fmt.Sprintf("more than %d events", packed.MaxEvents))
			return r
		}
		if !p.one() {
			_, r := p.refuseAll(events.Malformed, p.scanner.fault)
			return r
		}
		if p.at+1 < len(p.data) && p.data[p.at] == ',' && p.data[p.at+1] == '{' {
			p.at++
			continue
		}
		p.space()
		switch p.peek() {
		case ',':
			p.at++
			p.space()
		case ']':
			p.at++
			return nil
		default:
			_, r := p.refuseAll(events.Malformed, "expected ',' or ']'")
			return r
		}
	}
}

// Single reads application/cloudevents+json: one event.
func (p *Parser) Single(body []byte, sink Sink) (Parsed, *events.Refusal) {
	p.begin(body, sink)
	p.space()
	if !p.one() {
		return p.refuseAll(events.Malformed, p.scanner.fault)
	}
	return p.finish()
}

// Lines reads JSON Lines: one event on each line; empty lines are ignored. A
// line that is not JSON is refused alone.
func (p *Parser) Lines(body []byte, sink Sink) (Parsed, *events.Refusal) {
	p.begin(body, sink)
	for from := p.at; from < len(body); p.line++ {
		to := len(body)
		if n := bytes.IndexByte(body[from:], '\n'); n >= 0 {
			to = from + n
		}
		p.data = body[:to]
		p.at, p.depth, p.scanner.fault = from, 0, ""
		p.lineAt = from
		from = to + 1
		p.space()
		if p.at == to {
			continue
		}
		if p.index == packed.MaxEvents {
			return p.refuseAll(events.TooLarge, fmt.Sprintf("more than %d events", packed.MaxEvents))
		}
		p.readLine(to)
	}
	return Parsed{p.index, p.refusals}, nil
}

// readLine reads the event of one line, which must contain nothing else.
func (p *Parser) readLine(to int) {
	start := p.at
	if p.matches() {
		if p.space(); p.at == to {
			p.hand(start)
			return
		}
	}
	p.at = start
	valid := p.read()
	if valid {
		if p.space(); p.at == to {
			p.deliver(start)
			return
		}
		p.fail("something follows the event")
	}
	p.fault, p.faultAt = packed.Fault{Field: "", Reason: events.Malformed, Detail: p.scanner.fault}, min(p.at, to)
	p.refuse(&p.fault)
	p.index++
}

func (p *Parser) begin(body []byte, sink Sink) {
	p.scanner = scanner{data: body, at: len(body) - len(withoutMark(body))}
	p.sink, p.index, p.refusals, p.traced = sink, 0, p.refusals[:0], false
	p.line, p.lineAt = 1, 0
}

// withoutMark cuts a byte order mark, which some programs write before JSON.
func withoutMark(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\uFEFF")) }

// traceparentBytes is the length of a traceparent of version 00 (W3C Trace
// Context, section 3.2.2).
const traceparentBytes = 55

// Traceparent returns the extension "traceparent" (CloudEvents' distributed
// tracing extension) of the first event of the last submission that has it; it
// is empty if none does. It is for tracing requests and is not part of the
// event.
func (p *Parser) Traceparent() string {
	if !p.traced {
		return ""
	}
	return string(p.traceparent[:])
}

// trace keeps the first value that is as long as a traceparent.
func (p *Parser) trace(value []byte) {
	if !p.traced && len(value) == traceparentBytes {
		p.traced = true
		copy(p.traceparent[:], value)
	}
}

func (p *Parser) finish() (Parsed, *events.Refusal) {
	p.space()
	if p.at != len(p.data) {
		return p.refuseAll(events.Malformed, "something follows the end")
	}
	return Parsed{p.index, p.refusals}, nil
}

func (p *Parser) refuseAll(reason events.Reason, detail string) (Parsed, *events.Refusal) {
	return Parsed{}, &events.Refusal{Index: -1, Line: p.lineOf(p.at), Reason: reason, Detail: detail}
}

// lineOf returns the line of a byte, which must not be before the byte of the
// previous call.
func (p *Parser) lineOf(at int) int {
	at = min(max(at, p.lineAt), len(p.data))
	p.line += bytes.Count(p.data[p.lineAt:at], []byte{'\n'})
	p.lineAt = at
	return p.line
}

// one reads one event, by a learned layout or with the general parser, and
// delivers it. It returns false only for text that is not JSON.
func (p *Parser) one() bool {
	start := p.at
	if p.matches() {
		p.hand(start)
		return true
	}
	p.at = start
	if !p.read() {
		return false
	}
	p.deliver(start)
	return true
}

func (p *Parser) matches() bool { return !p.general && p.layouts.match(p) }

// deliver refuses, or passes to the sink, an event that the general parser has
// read from start on.
func (p *Parser) deliver(start int) {
	if p.isFaulty {
		p.refuse(&p.fault)
		p.index++
		return
	}
	if !p.general {
		p.layouts.learn(p, start)
	}
	p.hand(start)
}

// hand passes the event that begins at start to the sink.
func (p *Parser) hand(start int) {
	if fault := p.sink.Add(&p.event); fault != nil {
		p.faultAt = start
		p.refuse(fault)
	}
	p.index++
}

func (p *Parser) refuse(f *packed.Fault) {
	id := p.event.ID
	if len(id) > packed.MaxID {
		id = id[:packed.MaxID]
	}
	p.refusals = append(p.refusals, events.Refusal{
		Index: p.index, Line: p.lineOf(p.faultAt), ID: string(bytes.ToValidUTF8(id, []byte("\ufffd"))),
		Field: f.Field, Reason: f.Reason, Detail: f.Detail,
	})
}

// blame records the first fault of an event; the rest of the event is still
// read, to find its end.
func (p *Parser) blame(at int, field string, reason events.Reason, format string, args ...any) {
	if p.isFaulty {
		return
	}
	p.isFaulty, p.faultAt = true, at
	detail := format
	if len(args) > 0 {
		detail = fmt.Sprintf(format, args...)
	}
	p.fault = packed.Fault{Field: field, Reason: reason, Detail: detail}
}
