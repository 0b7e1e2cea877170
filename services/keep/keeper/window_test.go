package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// everything is a store that accepts every event of every batch.
type everything struct {
	position uint64
	events   map[uint64]int
}

func (e *everything) Cursor(context.Context, int) (settlement.Cursor, error) {
	return settlement.Cursor{Position: e.position}, nil
}

func (e *everything) Outcomes(_ context.Context, _ int, from, to uint64, each func(settlement.Outcome) error) error {
	for at := from; at <= to; at++ {
		if n := e.events[at]; n > 0 {
			if err := each(settlement.Outcome{Position: at, Runs: []settlement.Run{{Events: n, Outcome: events.Accepted}}}); err != nil {
				return err
			}
		}
	}
	return nil
}

// batchOf returns a message of usage with n events in two segments, one of which
// cannot be decoded.
func batchOf(t *testing.T, n int) []byte {
	t.Helper()
	quantity, err := money.ParseQuantity("3.25")
	if err != nil {
		t.Fatal(err)
	}
	var b packed.Builder
	b.Reset("acme", true)
	for i := range n {
		u := events.Usage{Source: "//acme/1", Sequenced: true, Sequence: uint64(n*1000 + i), Node: "n", Customer: "c", Meter: "m", Quantity: quantity, Start: 1e9, End: 2e9}
		var r packed.RawUsage
		if err := r.Set(&u); err != nil || !b.Add(&r) {
			t.Fatalf("event %d does not fit: %v", i, err)
		}
	}
	return events.AppendMessage(nil, &events.Message{Kind: events.Batch, Segments: []events.Segment{
		{Book: "b", Packed: b.AppendTo(nil)}, {Book: "b", Packed: []byte("broken")},
	}})
}

// tell calls Seen as a settler does.
func tell(t *testing.T, k *Keeper, m eventlog.Message) {
	t.Helper()
	var envelope events.Message
	if _, err := envelope.Decode(m.Data, nil); err != nil {
		return // The settler passes on only what it can read.
	}
	var segments []settlement.Decoded
	for _, s := range envelope.Segments {
		d := settlement.Decoded{Segment: s, Columns: new(packed.Columns)}
		d.Err = d.Columns.Decode(s.Packed)
		segments = append(segments, d)
	}
	k.Seen(m, &envelope, segments)
}

// The log is the same whether the keeper reads all of it, the settler all of it,
// or each some of it. Fails when a message is taken from the window at another
// position, or when a root differs from the stream's.
func TestTheLogIsTheSameNoMatterWhoReads(t *testing.T) {
	p := newPlace(t)
	store := &everything{events: map[uint64]int{}}
	var all []eventlog.Message
	for i := range 40 {
		data := fmt.Appendf(nil, "\xff no usage %d", i)
		switch i % 4 {
		case 0, 1:
			data = batchOf(t, 1+i)
			store.events[uint64(i+1)] = 1 + i
		case 2:
			data = events.AppendMessage(nil, &events.Message{Kind: events.Barrier, Control: uint64(i)})
		}
		if _, err := p.usage.Publish(t.Context(), eventlog.UsageSubject(0), data, eventlog.PublishOptions{}); err != nil {
			t.Fatal(err)
		}
		all = append(all, eventlog.Message{Seq: uint64(i + 1), Time: time.Unix(int64(i), 0), Subject: eventlog.UsageSubject(0), Data: data})
	}
	store.position = uint64(len(all))

	leaves := func(told func(position uint64) bool) (list []string) {
		k, err := Open(t.Context(), Config{
			Dir: t.TempDir(), Usage: []*eventlog.Stream{p.usage}, Streams: []*eventlog.Stream{p.control}, Store: store,
			Every: 5 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		w := k.windows[eventlog.UsageSubject(0)]
		w.open(1)
		for _, m := range all {
			if told(m.Seq) {
				tell(t, k, m)
				tell(t, k, m) // Once more, as after a restart.
			}
		}
		if told(1) && len(w.items) == 0 {
			t.Fatal("the window took nothing")
		}
		if err := errors.Join(k.Finish(t.Context()), k.Close()); err != nil {
			t.Fatal(err)
		}
		if len(w.items) > 0 || w.bytes != 0 {
			t.Errorf("the window has %d messages and %d bytes left", len(w.items), w.bytes)
		}
		log, err := tiles.OpenReader(LogDir(k.config.Dir, p.usage.Name()), k.Key().Origin(LogName(p.usage.Name())), k.Key().Public())
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			leaf, err := log.Leaf(uint64(i))
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, string(leaf))
		}
		return list
	}
	want := leaves(func(uint64) bool { return false })
	for name, told := range map[string]func(uint64) bool{
		"the settler":       func(uint64) bool { return true },
		"each some of it":   func(at uint64) bool { return at%3 != 0 },
		"the settler first": func(at uint64) bool { return at < 20 },
		"the keeper first":  func(at uint64) bool { return at >= 20 },
	} {
		have := leaves(told)
		for i := range want {
			if have[i] != want[i] {
				a, _ := tlog.DecodeUsageLeaf([]byte(want[i]))
				b, _ := tlog.DecodeUsageLeaf([]byte(have[i]))
				t.Fatalf("read by %s, position %d is %+v, want %+v", name, i+1, b, a)
			}
		}
	}
}

func TestTheWindowIsBounded(t *testing.T) {
	var w window
	message := func(position uint64, bytes int) {
		w.put(eventlog.Message{Seq: position, Data: make([]byte, bytes)}, &events.Message{Kind: events.Marker}, nil)
	}
	message(1, 1)
	if len(w.items) > 0 {
		t.Error("it takes messages before it is open")
	}
	w.open(5)
	for position := range uint64(100) {
		message(position, 1<<20)
	}
	if w.bytes > windowBytes || len(w.items) != windowBytes>>20 {
		t.Errorf("%d messages of %d bytes", len(w.items), w.bytes)
	}
	if _, ok := w.take(4); ok {
		t.Error("it has a message that is kept already")
	}
	if i, ok := w.take(5); !ok || i.Seq != 5 {
		t.Error("it has not the first message that it was told of")
	}
	message(5, 1)
	if _, ok := w.items[5]; ok {
		t.Error("it takes a message that was taken from it")
	}
	w.close()
	message(200, 1)
	if len(w.items) > 0 || w.bytes > 0 {
		t.Error("it takes messages after it was closed")
	}
}
