package ingest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/cloudevents"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// unseen are instruments that record nothing.
func unseen(t testing.TB) *instruments {
	t.Helper()
	i, err := newInstruments(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// reading is a service that can read submissions, without streams.
func reading(t testing.TB) *Service {
	t.Helper()
	s := &Service{
		config:     Config{MaxBody: 64 << 10, MaxPending: 1 << 30, Now: func() time.Time { return noon }},
		publishers: map[int]*publisher{0: newPublisher(0, nil, 1, unseen(t), slog.Default())},
		keeper:     newKeeper(nil, slog.Default()),
		room:       newRoom(1<<30, 1<<30),
		folded:     directory.New(),
		show:       unseen(t),
	}
	largest, err := money.ParseQuantity("100")
	if err != nil {
		t.Fatal(err)
	}
	for i, body := range []events.Body{
		events.ProviderDeclared{Provider: "acme"},
		events.BookDeclared{Book: "eu", Provider: "acme", Calendar: "day", TimeZone: "UTC", Asset: "USDC", HorizonSeconds: 3600, FutureSeconds: 60},
		events.BookDeclared{Book: "us", Provider: "acme", Calendar: "day", TimeZone: "UTC", Asset: "USDC", FutureSeconds: 60},
		events.NodeDeclared{Node: "gpu-eu", Book: "eu"}, events.NodeDeclared{Node: "cpu-eu", Book: "eu"}, events.NodeDeclared{Node: "gpu-us", Book: "us"},
		events.CustomerDeclared{Customer: "lab-eu", Book: "eu"}, events.CustomerDeclared{Customer: "lab-us", Book: "us"},
		events.MeterDeclared{Meter: "s", Book: "eu", Unit: "s", Max: largest}, events.MeterDeclared{Meter: "s", Book: "us", Unit: "s"},
	} {
		if err := s.folded.Apply(uint64(i+1), events.Decision{ID: fmt.Sprint(i), Actor: "operator:test", At: noon, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Packed and as JSON, the same events are accepted into the same books and
// refused for the same reasons. Fails when the verifier accepts what the
// collector refuses: if it does not check the quantity, the customer, the book of
// later nodes, or either bound of the ends.
func TestPackedAndJSONAreJudgedAlike(t *testing.T) {
	s := reading(t)
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(good string, others ...string) string {
		if random.IntN(40) > 0 {
			return good
		}
		return others[random.IntN(len(others))]
	}
	verbatim := 0
	for round := range 2_000 {
		list := make([]events.Usage, 1+random.IntN(20))
		for i := range list {
			end := noon.Add(time.Duration(random.IntN(3_000)) * -time.Second)
			if random.IntN(40) == 0 {
				end = noon.Add(time.Duration(random.IntN(8_000)-4_000) * time.Second)
			}
			q, err := money.ParseQuantity(pick("1.5", "0", "100", "100.000000000000000001", "1000000000000000", "1000000000000001"))
			if err != nil {
				t.Fatal(err)
			}
			list[i] = events.Usage{
				Source: "m", ID: fmt.Sprint(round, "-", i), Quantity: q, Start: end.UnixNano(), End: end.UnixNano(),
				Node:     events.Node(pick("gpu-eu", "cpu-eu", "gpu-us", "nowhere")),
				Customer: events.Customer(pick("lab-eu", "lab-us", "nobody")),
				Meter:    events.Meter(pick("s", "fuel")),
			}
			switch random.IntN(400) {
			case 0:
				list[i].Retracts = "earlier"
			case 1:
				list[i].Replaces = "earlier"
			}
		}
		asJSON := s.judge(t, Submission{Provider: "acme", Form: Batch, Body: jsonOf(list)})
		asPacked := s.judge(t, Submission{Provider: "acme", Form: Packed, Body: packedOf(t, list)})
		if !reflect.DeepEqual(asJSON, asPacked) {
			t.Fatalf("round %d:\nas JSON %v\npacked  %v", round, asJSON, asPacked)
		}
		if len(asPacked) == len(list) {
			verbatim++
		}
	}
	if verbatim == 0 {
		t.Error("no segment was passed on as it was")
	}
}

// judge reads a submission and returns for each event where it went.
func (s *Service) judge(t *testing.T, b Submission) map[string]string {
	t.Helper()
	w := new(work)
	answer := s.read(w, &b, noon.UnixNano())
	verdicts := map[string]string{}
	for _, r := range answer.Refusals {
		verdicts[r.ID] = fmt.Sprint(r.Index, r.Field, r.Reason, r.Detail)
	}
	for _, p := range w.parts {
		var c packed.Columns
		if err := c.Decode(p.segment.Packed); err != nil {
			t.Fatal(err)
		}
		for i := range c.N {
			verdicts[string(c.ID(i))] = fmt.Sprint(p.segment.Book, c.Event(i))
		}
	}
	return verdicts
}

func jsonOf(list []events.Usage) []byte {
	body := []byte{'['}
	for i := range list {
		if i > 0 {
			body = append(body, ',')
		}
		body = cloudevents.Append(body, &list[i])
	}
	return append(body, ']')
}

func packedOf(t testing.TB, list []events.Usage) []byte {
	t.Helper()
	var builder packed.Builder
	builder.Reset("acme", false)
	var raw packed.RawUsage
	for i := range list {
		if err := raw.Set(&list[i]); err != nil || !builder.Add(&raw) {
			t.Fatal("event does not fit", err)
		}
	}
	segment := builder.AppendTo(nil)
	return append(binary.AppendUvarint(nil, uint64(len(segment))), segment...)
}

var seed = []events.Usage{
	{Source: "m", ID: "a", Node: "gpu-eu", Customer: "lab-eu", Meter: "s", Start: noon.UnixNano(), End: noon.UnixNano()},
	{Source: "m", ID: "b", Node: "gpu-us", Customer: "lab-us", Meter: "s", Start: noon.UnixNano(), End: noon.UnixNano(), Retracts: "a",
		Attributes: []events.Attribute{{Name: "gpu", Value: "H100"}}},
}

// Whatever is submitted, nothing panics. What is stored can be read and has the
// provider's name, and each event is counted once.
func FuzzSubmission(f *testing.F) {
	f.Add(uint8(Packed), packedOf(f, seed))
	f.Add(uint8(Packed), append(packedOf(f, seed[:1]), packedOf(f, seed[1:])...))
	f.Add(uint8(Batch), jsonOf(seed))
	f.Add(uint8(Lines), []byte("{}\n{"))
	f.Add(uint8(Packed), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	s := reading(f)
	w := new(work)
	f.Fuzz(func(t *testing.T, form uint8, body []byte) {
		w.parts = w.parts[:0]
		answer := s.read(w, &Submission{Provider: "acme", Form: Form(form), Body: body}, noon.UnixNano())
		whole := len(answer.Refusals) == 1 && answer.Refusals[0].Index < 0
		if whole && len(w.parts) > 0 {
			t.Error("refused as a whole, and stored in part")
		}
		if !whole && answer.Refused != len(answer.Refusals) {
			t.Errorf("%d refused, %d refusals", answer.Refused, len(answer.Refusals))
		}
		for _, p := range w.parts {
			var c packed.Columns
			if err := c.Decode(p.segment.Packed); err != nil {
				t.Fatal(err)
			}
			if c.N != p.events || c.Provider != "acme" || p.segment.Book != "eu" && p.segment.Book != "us" {
				t.Errorf("%d events of %s in %s, counted as %d", c.N, c.Provider, p.segment.Book, p.events)
			}
		}
	})
}

// Whatever a body and its coding are, what is read of it stays within the limit,
// and all room is released.
func FuzzReadBody(f *testing.F) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(make([]byte, 100<<10))
	_ = z.Close()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("gzip", zipped.Bytes())
	f.Add("zstd", encoder.EncodeAll(make([]byte, 100<<10), nil))
	f.Add("", make([]byte, 64<<10))
	f.Add("", make([]byte, 64<<10+1))
	f.Add("br", []byte("x"))
	s := reading(f)
	f.Fuzz(func(t *testing.T, coding string, data []byte) {
		for _, length := range []int64{-1, int64(len(data))} {
			body, refusal, err := s.ReadBody(context.Background(), "acme", bytes.NewReader(data), length, coding)
			if err != nil {
				t.Fatal(err)
			}
			if len(body.Bytes()) > s.config.MaxBody {
				t.Errorf("%d bytes", len(body.Bytes()))
			}
			if refusal == nil && coding == "" && !bytes.Equal(body.Bytes(), data) {
				t.Error("other bytes")
			}
			if refusal == nil && coding == "" && len(data) > s.config.MaxBody {
				t.Error("not refused")
			}
			body.Release()
		}
		if !s.room.all.TryAcquire(1<<30) || len(s.room.of) > 0 {
			t.Fatal("room is missing")
		}
		s.room.all.Release(1 << 30)
	})
}
