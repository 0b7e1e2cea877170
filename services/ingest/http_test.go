package ingest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/cloudevents"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

const batchMedia = "application/cloudevents-batch+json"

func TestEveryFormOfASubmissionIsStored(t *testing.T) {
	b := open(t, eventlog.Config{}, nil)
	one := used("e1")
	single := cloudevents.Append(nil, &one)
	lines := append(append(bytes.Clone(single), '\n'), single...)
	data := single[bytes.Index(single, []byte(`"data":`))+len(`"data":`) : len(single)-1]
	two := []events.Usage{one, used("e2")}
	tests := []struct {
		name   string
		media  string
		body   []byte
		header []string
		want   int
	}{
		{"a batch", batchMedia, batch(two...), nil, 2},
		{"a batch in capitals with a parameter", "Application/CloudEvents-Batch+JSON; Charset=UTF-8", batch(two...), nil, 2},
		{"a batch as JSON", "application/json", batch(two...), nil, 2},
		{"an empty batch", batchMedia, []byte("[]"), nil, 0},
		{"one event", "application/cloudevents+json", single, nil, 1},
		{"one event as JSON", "application/json", single, nil, 1},
		{"lines", "application/x-ndjson", lines, nil, 2},
		{"data with attributes in headers", "application/json; charset=utf-8", data,
			[]string{"ce-specversion", "1.0", "CE-Type", "aliquot.usage", "ce-id", "e%201", "ce-source", "meter-1", "ce-time", "2026-11-22T12:00:00Z"}, 1},
		{"a packed segment", "application/vnd.aliquot.packed", packedBody(t, "acme", two...), nil, 2},
		{"two packed segments", "application/vnd.aliquot.packed", append(packedBody(t, "acme", two...), packedBody(t, "acme", one)...), nil, 3},
		{"gzip", batchMedia, gzipped(batch(two...)), []string{"Content-Encoding", "GZIP"}, 2},
		{"zstd", batchMedia, zstded(batch(two...)), []string{"Content-Encoding", "zstd"}, 2},
		{"an operator for a provider", batchMedia, batch(two...), []string{"Authorization", "Bearer " + operatorToken, "Aliquot-Provider", "acme"}, 2},
		{"the folder's own operator", batchMedia, batch(two...), []string{"Authorization", "bearer " + ownToken, "Aliquot-Provider", "acme"}, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := len(b.stored())
			a := b.post(test.media, test.body, test.header...)
			if status := map[bool]int{true: 202, false: 200}[test.want > 0]; a.status != status || a.Accepted != test.want || a.Refused != 0 {
				t.Fatalf("answer %+v", a)
			}
			stored := b.stored()[before:]
			if len(stored) != test.want {
				t.Fatalf("stored %d", len(stored))
			}
			n := 0
			for _, h := range a.Handle {
				n += h.Count
			}
			if n != test.want {
				t.Errorf("handle %+v", a.Handle)
			}
			for _, got := range stored {
				want := one
				want.ID = got.ID
				if !reflect.DeepEqual(got, want) {
					t.Errorf("got  %+v\nwant %+v", got, want)
				}
			}
		})
	}
}

func TestAnEventStandsWhereItsHandleSays(t *testing.T) {
	b := open(t, eventlog.Config{}, nil)
	list := []events.Usage{
		used("a"),
		used("b", func(u *events.Usage) { u.Node, u.Customer = "gpu-us", "lab-us" }),
		used("c", func(u *events.Usage) { u.Node = "nowhere" }),
		used("d", func(u *events.Usage) { u.Sequenced, u.Sequence = true, 7 }),
		used("e"),
	}
	a := b.post(batchMedia, batch(list...))
	if a.Accepted != 4 || a.Refused != 1 || a.Refusals[0].Index != 2 || a.Refusals[0].ID != "c" || a.Refusals[0].Reason != events.UnknownNode {
		t.Fatalf("answer %+v", a)
	}
	var got []string
	for _, h := range a.Handle {
		at := 0
		for _, segment := range b.messages()[h.Position-1].Segments {
			var c packed.Columns
			if err := c.Decode(segment.Packed); err != nil {
				t.Fatal(err)
			}
			for i := range c.N {
				if at >= h.First && at < h.First+h.Count {
					e := c.Event(i)
					got = append(got, fmt.Sprintf("%s %s%d", segment.Book, e.ID, e.Sequence))
				}
				at++
			}
		}
	}
	if want := []string{"eu a0", "eu e0", "us b0", "eu 7"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	m := b.messages()[0].Segments[0]
	if m.Key != "acme-1" || m.Received < noon.UnixNano() || m.ReceivedFromEvent {
		t.Errorf("segment %+v", m)
	}
}

// A provider's segment is stored unchanged, unless an event in it must be
// refused.
func TestAGoodPackedSegmentIsKeptVerbatim(t *testing.T) {
	b := open(t, eventlog.Config{}, nil)
	good := packedBody(t, "acme", used("a"), used("b"))
	mixed := packedBody(t, "acme", used("c", func(u *events.Usage) { u.Node = "nowhere" }), used("d"),
		used("e", func(u *events.Usage) { u.Node, u.Customer = "gpu-us", "lab-us" }),
		used("f", func(u *events.Usage) { u.Quantity = quantity("86400.000000000000000001") }))
	a := b.post("application/vnd.aliquot.packed", append(bytes.Clone(good), mixed...))
	if a.Accepted != 4 || a.Refused != 2 {
		t.Fatalf("answer %+v", a)
	}
	if a.Refusals[0].Index != 2 || a.Refusals[0].Reason != events.UnknownNode || a.Refusals[0].ID != "c" ||
		a.Refusals[1].Index != 5 || a.Refusals[1].Reason != events.Absurd {
		t.Errorf("refusals %v", a.Refusals)
	}
	segments := b.messages()[0].Segments
	if len(segments) != 3 || !bytes.HasSuffix(good, segments[0].Packed) {
		t.Errorf("%d segments, the first is not what was sent", len(segments))
	}
	if kept := b.kept(1)[0]; kept.Events != 2 || kept.Provider != "acme" || kept.Actor != "provider:acme-1" {
		t.Errorf("kept %+v", kept)
	}
}

func TestWhoMaySubmit(t *testing.T) {
	b := open(t, eventlog.Config{}, nil)
	body := batch(used("a"))
	tests := []struct {
		name   string
		header []string
		status int
	}{
		{"nobody", []string{"Authorization", ""}, 401},
		{"another scheme", []string{"Authorization", "Basic " + acmeToken}, 401},
		{"an unknown token", []string{"Authorization", "Bearer guess"}, 401},
		{"an empty token", []string{"Authorization", "Bearer "}, 401},
		{"an auditor", []string{"Authorization", "Bearer " + auditorToken, "Aliquot-Provider", "acme"}, 403},
		{"a provider for another", []string{"Aliquot-Provider", "other"}, 403},
		{"an operator for nobody", []string{"Authorization", "Bearer " + operatorToken}, 403},
		{"an operator for one who is not there", []string{"Authorization", "Bearer " + operatorToken, "Aliquot-Provider", "ghost"}, 403},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := b.post(batchMedia, body, test.header...)
			if a.status != test.status || a.Reason != events.Unauthorized || a.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("answer %+v", a)
			}
			if test.status == 401 && a.header.Get("WWW-Authenticate") == "" {
				t.Error("does not say how to authenticate")
			}
		})
	}
	// Fails when every provider knows the nodes of all.
	if a := b.post(batchMedia, body, "Authorization", "Bearer "+otherToken); a.status != 422 || a.Refusals[0].Reason != events.UnknownNode {
		t.Errorf("another's node: %+v", a)
	}
	if a := b.post("application/vnd.aliquot.packed", packedBody(t, "acme", used("a")), "Authorization", "Bearer "+otherToken); a.status != 403 {
		t.Errorf("another's segment: %+v", a)
	}
	b.declare(events.KeyRevoked{Key: "acme-1"})
	if a := b.post(batchMedia, body); a.status != 401 {
		t.Errorf("a revoked key: %+v", a)
	}
	if n := len(b.stored()); n != 0 {
		t.Errorf("stored %d", n)
	}
}

func TestAnImportIsReceivedAtItsEvents(t *testing.T) {
	b := open(t, eventlog.Config{}, nil)
	old := func(node events.Node, customer events.Customer) events.Usage {
		return used("a", func(u *events.Usage) {
			u.Node, u.Customer = node, customer
			u.Start, u.End = noon.AddDate(-3, 0, 0).UnixNano(), noon.AddDate(-3, 0, 0).UnixNano()
		})
	}
	body := batch(old("gpu-old", "lab-old"), old("gpu-eu", "lab-eu"))
	if a := b.post(batchMedia, body); a.Refused != 2 || a.Refusals[0].Reason != events.BeyondHorizon {
		t.Errorf("without asking: %+v", a)
	}
	a := b.post(batchMedia, body, "Aliquot-Received", "event")
	if a.Accepted != 1 || a.Refused != 1 || a.Refusals[0].Index != 1 {
		t.Errorf("asked for: %+v", a)
	}
	if segments := b.messages()[0].Segments; len(segments) != 1 || !segments[0].ReceivedFromEvent {
		t.Errorf("segments %+v", segments)
	}
	if a := b.post(batchMedia, body, "Aliquot-Received", "yesterday"); a.status != 400 || a.Field != "Aliquot-Received" {
		t.Errorf("nonsense: %+v", a)
	}
}

func packedBody(t testing.TB, provider events.Provider, list ...events.Usage) []byte {
	t.Helper()
	var builder packed.Builder
	builder.Reset(provider, list[0].Sequenced)
	var raw packed.RawUsage
	for i := range list {
		if err := raw.Set(&list[i]); err != nil {
			t.Fatal(err)
		}
		if !builder.Add(&raw) {
			t.Fatal("segment is full")
		}
	}
	segment := builder.AppendTo(nil)
	return append(binary.AppendUvarint(nil, uint64(len(segment))), segment...)
}

func gzipped(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(body)
	_ = z.Close()
	return b.Bytes()
}

func zstded(body []byte) []byte {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return z.EncodeAll(body, nil)
}

func TestAnUnknownMediaTypeOrCodingIsRefused(t *testing.T) {
	b := open(t, eventlog.Config{}, nil)
	body := batch(used("a"))
	for _, test := range []struct{ media, coding, field string }{
		{"text/csv", "", "Content-Type"},
		{"", "", "Content-Type"},
		{"application/json; charset=latin-1", "", "Content-Type"},
		{"application/json; charset", "", "Content-Type"},
		{batchMedia, "br", "Content-Encoding"},
		{batchMedia, "gzip, zstd", "Content-Encoding"},
	} {
		a := b.post(test.media, body, "Content-Encoding", test.coding)
		if a.status != 415 || a.Field != test.field || a.Reason != events.Unsupported {
			t.Errorf("%q %q: %+v", test.media, test.coding, a)
		}
	}
	if kept := b.kept(6); !strings.HasPrefix(string(kept[0].Head), "[{") || kept[0].Media != "text/csv" {
		t.Errorf("kept %+v", kept[0])
	}
}
