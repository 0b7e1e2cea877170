package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/telemetry/trail"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// faulty is a real stream whose publishes fail as the test says, one fault for
// each publish.
type faulty struct {
	*eventlog.Stream

	mu     sync.Mutex // guards what follows
	faults []fault
	late   []byte // a message that is still on its way
	unread int    // how many reads fail
}

type fault uint8

const (
	none        fault = iota
	lostAnswer        // stored, but the answer is lost
	lostMessage       // not stored, and no answer
	lateMessage       // stored only after the stream was read back, and no answer
	full
	unavailable
)

func (f *faulty) Publish(ctx context.Context, subject string, data []byte, options eventlog.PublishOptions) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := none
	if len(f.faults) > 0 {
		now, f.faults = f.faults[0], f.faults[1:]
	}
	// The server's own window of message ids would hide what is tested here.
	options.MsgID = ""
	if f.late != nil {
		if _, err := f.Stream.Publish(ctx, subject, f.late, eventlog.PublishOptions{}); err != nil {
			return 0, err
		}
		f.late = nil
	}
	switch now {
	case lostAnswer:
		if _, err := f.Stream.Publish(ctx, subject, data, options); err != nil {
			return 0, err
		}
		return 0, eventlog.ErrAmbiguous
	case lostMessage:
		return 0, eventlog.ErrAmbiguous
	case lateMessage:
		f.late = bytes.Clone(data)
		return 0, eventlog.ErrAmbiguous
	case full:
		return 0, eventlog.ErrFull
	case unavailable:
		return 0, eventlog.ErrUnavailable
	}
	return f.Stream.Publish(ctx, subject, data, options)
}

func (f *faulty) Last(ctx context.Context) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unread > 0 {
		f.unread--
		return 0, eventlog.ErrUnavailable
	}
	return f.Stream.Last(ctx)
}

// Fails when a message whose answer was lost is published again without looking,
// when the repetition has no condition on the end of the stream, and when a
// refused repetition counts as proof that nothing was stored.
func TestAMessageIsStoredOnceWhateverItsAnswers(t *testing.T) {
	always := []fault{lostMessage, lostMessage, lostMessage, lostMessage, lostMessage}
	tests := []struct {
		name   string
		faults []fault
		unread int
		want   error
		stored int
	}{
		{"nothing goes wrong", nil, 0, nil, 1},
		{"the answer is lost", []fault{lostAnswer}, 0, nil, 1},
		{"the message is lost", []fault{lostMessage}, 0, nil, 1},
		{"the message is late", []fault{lateMessage}, 0, nil, 1},
		{"the message is late, then an answer lost", []fault{lateMessage, lostAnswer}, 0, nil, 1},
		{"the answer is lost, and the stream cannot be read at first", []fault{lostAnswer}, 2, nil, 1},
		{"the answer is lost, and the stream cannot be read", []fault{lostAnswer}, 100, ErrUnknown, 1},
		{"the message is lost, and the stream cannot be read", []fault{lostMessage}, 100, ErrUnknown, 0},
		{"the message is lost, then the disk full, then not", []fault{lostMessage, full}, 0, nil, 1},
		{"the message is always lost", always, 0, ErrUnknown, 0},
		{"the disk is full", []fault{full}, 0, ErrFull, 0},
		{"the stream is away", []fault{unavailable}, 0, ErrOverloaded, 0},
	}
	log := openLog(t)
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			stream, err := log.Usage(t.Context(), uint32(i), 0)
			if err != nil {
				t.Fatal(err)
			}
			broken := &faulty{Stream: stream, faults: test.faults, unread: test.unread}
			p := newPublisher(i, broken, 1, unseen(t), slog.New(slog.DiscardHandler))
			p.pause = time.Millisecond
			data := events.AppendMessage(nil, &events.Message{Kind: events.Batch, Segments: []events.Segment{{Book: "eu", Packed: []byte(test.name)}}})
			// The stream has a message of another publisher, and another one
			// arrives in between.
			if _, err := stream.Publish(t.Context(), p.subject, events.AppendMessage(nil, &events.Message{Kind: events.Marker}), eventlog.PublishOptions{}); err != nil {
				t.Fatal(err)
			}
			position, err := p.store(t.Context(), data)
			if !errors.Is(err, test.want) || test.want == nil && err != nil {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			last, err := stream.Last(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			found := 0
			for at := uint64(1); at <= last; at++ {
				m, err := stream.Get(t.Context(), at)
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Equal(m.Data, data) {
					found++
					if test.want == nil && at != position {
						t.Errorf("stored at %d, answered %d", at, position)
					}
				}
			}
			if found != test.stored {
				t.Errorf("stored %d times, want %d", found, test.stored)
			}
		})
	}
}

func openLog(t *testing.T) *eventlog.Log {
	t.Helper()
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

// While a message is being stored the next one fills, up to its limits.
func TestWhatComesTogetherIsStoredTogether(t *testing.T) {
	log := openLog(t)
	stream, err := log.Usage(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := newPublisher(0, stream, 1, unseen(t), slog.Default())
	one := func(n, size int) part {
		waits := &ticket{done: make(chan struct{})}
		waits.left.Store(1)
		return part{events: n, ticket: waits, segment: events.Segment{Book: "eu", Packed: make([]byte, size)}}
	}
	tests := []struct {
		name  string
		parts []part
		want  []int // parts of each message
	}{
		{"small ones", []part{one(10, 500), one(10, 500), one(10, 500)}, []int{3}},
		{"too many events", []part{one(6_000, 500), one(4_000, 500), one(1, 500)}, []int{2, 1}},
		{"too many bytes", []part{one(1, 300<<10), one(1, 212<<10), one(1, 1)}, []int{2, 1}},
		{"a large one goes alone", []part{one(10_000, 900<<10), one(1, 1)}, []int{1, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p.add(test.parts)
			var got []int
			var s slot
			for p.take(&s) {
				got = append(got, len(s.parts))
				p.publish(t.Context(), &s)
			}
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("messages of %v parts, want %v", got, test.want)
			}
			first, position := 0, uint64(0)
			for _, one := range test.parts {
				<-one.ticket.done
				if one.position != position {
					first, position = 0, one.position
				}
				if one.err != nil || one.first != first {
					t.Errorf("first %d, want %d: %v", one.first, first, one.err)
				}
				first += one.events
			}
		})
	}
}

// A message contains the events of several submissions: its span continues the
// trace of the first one and links the others. Fails when only one is kept.
func TestAMessageIsOnTheTrailOfEverySubmissionInIt(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	show, err := newInstruments(nil, trace.NewTracerProvider(trace.WithSpanProcessor(recorder)).Tracer("test"))
	if err != nil {
		t.Fatal(err)
	}
	stored := &holding{}
	p := newPublisher(0, stored, 1, show, slog.Default())
	var parts []*part
	for _, parent := range []string{
		"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01",
		"00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01",
	} {
		parts = append(parts, &part{events: 2, segment: events.Segment{Book: "eu", Packed: []byte("x")}, ticket: &ticket{done: make(chan struct{})}, trace: trail.Parse(parent)})
	}
	p.publish(t.Context(), &slot{parts: parts})
	spans := recorder.Ended()
	if len(spans) != 1 {
		t.Fatalf("%d spans, want 1", len(spans))
	}
	if got := spans[0].Parent().TraceID().String(); got != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("it is of trace %s", got)
	}
	if links := spans[0].Links(); len(links) != 1 || links[0].SpanContext.TraceID().String() != "1af7651916cd43dd8448eb211c80319c" {
		t.Errorf("the links are %v", links)
	}
	if got := trail.Of(stored.header); got.SpanID() != spans[0].SpanContext().SpanID() {
		t.Errorf("the message is of span %v, not %v", got.SpanID(), spans[0].SpanContext().SpanID())
	}
}

// holding stores only the header that a stream would have stored.
type holding struct{ header map[string][]string }

func (h *holding) Publish(ctx context.Context, _ string, _ []byte, _ eventlog.PublishOptions) (uint64, error) {
	h.header = trail.Header(ctx)
	return 1, nil
}

func (h *holding) Last(context.Context) (uint64, error) { return 0, nil }

func (h *holding) Get(context.Context, uint64) (eventlog.Message, error) {
	return eventlog.Message{}, eventlog.ErrNotFound
}
