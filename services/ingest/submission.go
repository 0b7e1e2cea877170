package ingest

import (
	"context"
	"encoding/binary"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/cloudevents"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// Form is the form in which a body is written.
type Form uint8

// The forms, with their media types.
const (
	Batch  Form = 1 + iota // application/cloudevents-batch+json, application/json
	Single                 // application/cloudevents+json
	Binary                 // JSON, with the attributes in headers named ce-…
	Lines                  // application/x-ndjson
	Packed                 // application/vnd.aliquot.packed
)

// Submission is one request: events of one provider.
type Submission struct {
	Actor    Actor
	Provider events.Provider
	Form     Form
	Media    string              // as the sender wrote it, for display
	Header   map[string][]string // only for Binary
	// Body is decompressed. In the form Packed it consists of segments of
	// packed.proto, each after its length as an unsigned varint. It may be reused
	// once Submit returns.
	Body []byte
	// ReceivedFromEvent uses each event's last instant as the time at which it
	// was received. The book must allow it.
	ReceivedFromEvent bool
	// Wait is how long the answer may wait for the outcomes; 0 does not wait.
	Wait time.Duration
}

// work is the memory for reading one submission; it is reused.
type work struct {
	parser    cloudevents.Parser
	collector packed.Collector
	columns   packed.Columns
	raw       packed.RawUsage
	verifier  verifier
	gate      gate
	packed    []byte
	parts     []part
	refusals  []events.Refusal
}

// maxKeptPacked is the largest buffer that is kept for the next submission.
const maxKeptPacked = 4 << 20

// Submit reads a submission, stores its good events and answers after they are on
// disk. Faults of the submission are in the answer. An error means that it is not
// known that everything is stored: [ErrOverloaded], [ErrFull], [ErrUnknown]. ctx
// only limits the wait for outcomes: what is queued is stored even if nobody
// waits for the answer any more.
func (s *Service) Submit(ctx context.Context, b Submission) (events.Answer, error) {
	w := s.works.Get().(*work)
	defer func() {
		clear(w.parts)
		w.parts = w.parts[:0]
		if cap(w.packed) <= maxKeptPacked {
			s.works.Put(w)
		}
	}()
	received := s.stamp()
	answer, err := s.take(ctx, w, &b, received)
	if err != nil {
		return events.Answer{}, err
	}
	if b.Wait > 0 {
		if outcomes, err := s.Await(ctx, b.Wait, "", answer.Handle); err == nil {
			answer.Outcomes = &outcomes
		}
	}
	return answer, nil
}

// take reads and stores a submission, and records its telemetry.
func (s *Service) take(ctx context.Context, w *work, b *Submission, received int64) (answer events.Answer, err error) {
	began := time.Now()
	answer = s.read(w, b, received)
	ctx, span := s.show.begin(ctx, w, b, received)
	defer func() {
		s.show.answered(ctx, began, &answer, err)
		end(span, b, &answer, err)
	}()
	if len(answer.Refusals) > 0 {
		s.keep(b, received, answer.Refusals)
	}
	if len(w.parts) == 0 {
		return answer, nil
	}
	if at := span.SpanContext(); at.IsSampled() {
		for i := range w.parts {
			w.parts[i].trace = at
		}
	}
	if err := s.store(w.parts); err != nil {
		return answer, err
	}
	for i := range w.parts {
		p := &w.parts[i]
		answer.Accepted += p.events
		answer.Handle = append(answer.Handle, events.Handle{Partition: p.partition, Position: p.position, First: p.first, Count: p.events})
	}
	return answer, nil
}

// traceparent returns the trace that the first event with a trace names.
func (w *work) traceparent(b *Submission) string {
	switch b.Form {
	case Packed:
		return ""
	case Binary:
		for name, values := range b.Header {
			if strings.EqualFold(name, "ce-traceparent") && len(values) == 1 {
				return values[0]
			}
		}
		return ""
	}
	return w.parser.Traceparent()
}

// Keep stores a submission that was refused before its body was read completely,
// and returns the answer to it.
func (s *Service) Keep(b Submission, refusal events.Refusal) events.Answer {
	refusals := []events.Refusal{refusal}
	s.keep(&b, s.stamp(), refusals)
	answer := events.Answer{Handle: []events.Handle{}, Refusals: refusals}
	s.show.answered(context.Background(), time.Now(), &answer, nil)
	return answer
}

func (s *Service) keep(b *Submission, received int64, refusals []events.Refusal) {
	s.keeper.add(events.NewRefused(b.Provider, b.Actor.Name, time.Unix(0, received), b.Media, b.Body, refusals))
}

// read fills w.parts with the segments to be stored. Their bytes belong to w or
// to the body.
func (s *Service) read(w *work, b *Submission, received int64) events.Answer {
	answer := events.Answer{Handle: []events.Handle{}, Refusals: []events.Refusal{}}
	w.gate = gate{service: s, provider: b.Provider, received: received, fromEvent: b.ReceivedFromEvent}
	w.collector.Reset(b.Provider, &w.gate)
	w.packed = w.packed[:0]
	w.refusals = w.refusals[:0]

	var refused *events.Refusal
	if b.Form == Packed {
		refused = s.readPacked(w, b, received)
	} else {
		refused = w.readEvents(b)
	}
	if refused != nil {
		clear(w.parts)
		w.parts = w.parts[:0]
		answer.Refusals = append(answer.Refusals, *refused)
		return answer
	}
	answer.Refused = len(w.refusals)
	answer.Refusals = append(answer.Refusals, w.refusals...)
	for p := range w.collector.Parts() {
		from := len(w.packed)
		w.packed = p.Builder.AppendTo(w.packed)
		// A growing buffer may move, but earlier slices of it keep their bytes.
		w.add(s, b, received, p.Book, p.Builder.Len(), w.packed[from:len(w.packed):len(w.packed)])
	}
	return answer
}

func (w *work) add(s *Service, b *Submission, received int64, book events.Book, n int, packed []byte) {
	w.parts = append(w.parts, part{
		partition: s.partition(book),
		events:    n,
		segment: events.Segment{
			Book: book, Received: received, ReceivedFromEvent: b.ReceivedFromEvent, Key: b.Actor.Key, Packed: packed,
		},
	})
}

func (w *work) readEvents(b *Submission) *events.Refusal {
	var parsed cloudevents.Parsed
	var refused *events.Refusal
	switch b.Form {
	case Single:
		parsed, refused = w.parser.Single(b.Body, &w.collector)
	case Binary:
		parsed, refused = w.parser.Binary(b.Header, b.Body, &w.collector)
	case Lines:
		parsed, refused = w.parser.Lines(b.Body, &w.collector)
	default:
		parsed, refused = w.parser.Batch(b.Body, &w.collector)
	}
	w.refusals = append(w.refusals, parsed.Refusals...)
	return refused
}

// readPacked reads segments. A segment whose events are all good and belong to
// one book is stored unchanged; the good events of other segments are packed
// again.
func (s *Service) readPacked(w *work, b *Submission, received int64) *events.Refusal {
	index, at := 0, 0
	for segments := 0; at < len(b.Body); segments++ {
		size, width := binary.Uvarint(b.Body[at:])
		if width <= 0 || size > uint64(len(b.Body)-at-width) {
			r := whole("segment", events.Malformed, "at byte %d: the remaining %d bytes are not a segment after its length", at, len(b.Body)-at)
			return &r
		}
		if segments == events.MaxSegments {
			r := whole("segment", events.TooLarge, "more than %d segments", events.MaxSegments)
			return &r
		}
		at += width
		segment := b.Body[at : at+int(size) : at+int(size)]
		at += int(size)
		if size > packed.MaxPacked {
			r := whole("segment", events.TooLarge, "segment %d has %d bytes, more than %d", segments, size, packed.MaxPacked)
			return &r
		}
		c := &w.columns
		if err := c.Decode(segment); err != nil {
			r := malformed(segments, err)
			return &r
		}
		if c.Provider != b.Provider {
			r := whole("provider", events.Unauthorized, "segment %d belongs to provider %q", segments, c.Provider)
			return &r
		}
		if book, ok := w.verifier.verify(c, &w.gate); ok {
			w.add(s, b, received, book, c.N, segment)
		} else {
			w.collect(c, index)
		}
		index += c.N
	}
	return nil
}
