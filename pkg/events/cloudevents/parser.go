// Package cloudevents reads usage events from CloudEvents 1.0 in JSON, and
// writes them.
//
// The method: a scanner walks over the bytes without building anything, and hands
// each event, as it lies in the submission, to a [Sink]. A parser remembers the
// layout of events that it accepted; further events of that layout are only
// compared with it, which costs a fraction of parsing them.
//
// # Invariants
//
//   - Both ways, by a learned layout and in general, accept and refuse the same
//     events, with the same values.
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
	// Add takes an event or says why not. u and what it points to are the
	// parser's and are overwritten by the next event; the fault is the sink's
	// and may be overwritten by its next.
	Add(u *packed.RawUsage) *packed.Fault
}

// Parsed is what became of a submission that could be read.
type Parsed struct {
	Events   int              // how many there were, refused ones included
	Refusals []events.Refusal // ascending by Index; the parser's, overwritten by its next submission
}

// Parser reads CloudEvents 1.0 whose data are usage. An event is a JSON object:
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
// A byte order mark before the first event is no part of it (RFC 8259, section
// 8.1).
//
// A quantity is a decimal as text or as number, read exactly from its text.
// start is end where it is absent. null counts as absent. Any other member must
// be an extension: lower-case letters and digits, and a scalar; it is ignored.
// Inside data an unknown member is refused, because a misspelt quantity must not
// cost money, and so is a member that occurs twice, anywhere.
//
// A parser learns the layout of the events it sees and then reads further ones of
// that layout at several times the speed; both ways accept and refuse the same.
// It is reused from submission to submission and allocates nothing for events
// that are not refused. It is not safe for concurrent use.
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
	members    [][]byte // names of members seen in this event's unknown ones
	seen       uint32   // known members seen
	seenData   uint32
	start, end int64 // of data, where seen
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
// submission that is not JSON, or has more than [MaxEvents], is refused as a
// whole: forget what the sink has taken.
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

// Lines reads JSON Lines: one event a line, empty lines ignored. A line that is
// not JSON is refused alone.
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

// readLine reads the event of one line, which must hold nothing else.
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

// Traceparent returns what the first event of the last submission that has the
// extension "traceparent" says there (CloudEvents' distributed tracing
// extension); empty where none does. It is for tracing requests, and
// has no part in the event.
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

// lineOf returns the line of a byte that is not before the last one asked for.
func (p *Parser) lineOf(at int) int {
	at = min(max(at, p.lineAt), len(p.data))
	p.line += bytes.Count(p.data[p.lineAt:at], []byte{'\n'})
	p.lineAt = at
	return p.line
}

// one reads one event, by a learned layout or in general, and hands it on. It
// reports false only for what is not JSON.
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

// deliver refuses or hands on an event that was read in general from start on.
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

// hand gives the event that begins at start to the sink.
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

// blame notes the first fault of an event; the rest of it is still read, to
// find its end.
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
