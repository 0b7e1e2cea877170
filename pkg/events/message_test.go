package events_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/eventstest"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/golden"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// messages are one of each kind, the last with a body that is compressed.
func messages() []events.Message {
	small := pack(loose{}, eventstest.Samples(true, 3))
	large := pack(loose{}, eventstest.Samples(false, 200))
	return []events.Message{
		{Kind: events.Barrier, Control: 300, Rules: 1},
		{Kind: events.Marker},
		{Kind: events.Batch, Segments: []events.Segment{{Book: "eu", Received: 1_795_348_800_000_000_000, Key: "key-1", Packed: small}}},
		{Kind: events.Batch, Segments: []events.Segment{
			{Book: "eu", Received: 1_795_348_800_000_000_000, Key: "key-1", Packed: large},
			{Book: "us", Received: 0, ReceivedFromEvent: true, Key: "", Signature: bytes.Repeat([]byte{7}, 64), Packed: small},
		}},
		{Kind: events.Barrier, Control: 1 << 40, Rules: 2, Root: &events.Root{1, 2, 31: 3}},
	}
}

// loose lets helpers of tests be used outside of one.
type loose struct{ testing.TB }

func (loose) Helper() {}

func TestMessagesSurvive(t *testing.T) {
	var scratch []byte
	var got events.Message // Reused, so that nothing of one may show in the next.
	for range 2 {
		for i, m := range messages() {
			data := events.AppendMessage([]byte("before"), &m)
			if !bytes.HasPrefix(data, []byte("before")) {
				t.Fatal("what was there is gone")
			}
			var err error
			if scratch, err = got.Decode(data[len("before"):], scratch); err != nil {
				t.Fatal(i, err)
			}
			for j := range got.Segments {
				if len(got.Segments[j].Signature) == 0 {
					got.Segments[j].Signature = nil
				}
			}
			if got.Kind != m.Kind || got.Control != m.Control || got.Rules != m.Rules || !reflect.DeepEqual(got.Root, m.Root) || len(got.Segments) != len(m.Segments) ||
				len(m.Segments) > 0 && !reflect.DeepEqual(got.Segments, m.Segments) {
				t.Errorf("message %d:\n got %+v\nwant %+v", i, got, m)
			}
		}
	}
}

func TestMessagesAreRefused(t *testing.T) {
	all := messages()
	batch := events.AppendMessage(nil, &all[2])
	for name, data := range map[string][]byte{
		"nothing":                  {},
		"one byte":                 {1},
		"an unknown version":       {2, 3},
		"an unknown kind":          {1, 4},
		"a marker with more":       {1, 3, 0},
		"a barrier without rules":  {1, 2, 5},
		"a root cut short":         append([]byte{1, 2, 5, 1}, make([]byte, 31)...),
		"a root with more":         append([]byte{1, 2, 5, 1}, make([]byte, 33)...),
		"rules beyond 32 bits":     {1, 2, 5, 0x80, 0x80, 0x80, 0x80, 0x80, 1},
		"an unknown compression":   {1, 1, 2, 0},
		"a body that is no block":  {1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a bomb of 4 GB":           {1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0},
		"too many segments":        {1, 1, 0, 0xe9, 7},
		"a batch cut short":        batch[:len(batch)-1],
		"a batch with more":        append(bytes.Clone(batch), 0),
		"a signature of one byte":  {1, 1, 0, 1, 1, 'b', 0, 0, 1, 'k', 1, 9, 0},
		"a flag that is not known": {1, 1, 0, 1, 1, 'b', 0, 2, 1, 'k', 0, 0},
		"a text beyond the end":    {1, 1, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var m events.Message
			scratch, err := m.Decode(data, nil)
			if err == nil || !strings.HasPrefix(err.Error(), "decoding message: ") {
				t.Error(err)
			}
			if cap(scratch) > events.MaxBody {
				t.Error("allocated for a bomb")
			}
		})
	}
}

// Golden bytes: what version 1 wrote must be read forever, and be written the
// same. The compressed body depends on the compressor, so it is only read.
func TestUsageGoldenBytes(t *testing.T) {
	names := []string{"message-v1-barrier", "message-v1-marker", "message-v1-batch", "message-v1-batch-s2", "message-v1-barrier-root"}
	for i, m := range messages() {
		if i != 3 {
			golden.Compare(t, names[i], events.AppendMessage(nil, &m))
			continue
		}
		path := filepath.Join("testdata", names[i])
		if *golden.Update {
			golden.Compare(t, names[i], events.AppendMessage(nil, &m))
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var got events.Message
		if _, err := got.Decode(data, nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Segments[0].Packed, m.Segments[0].Packed) || !bytes.Equal(got.Segments[1].Signature, m.Segments[1].Signature) {
			t.Error("the compressed batch is read as something else")
		}
	}
}

func TestDecodingAMessageAllocatesNothing(t *testing.T) {
	m := messages()[3]
	data := events.AppendMessage(nil, &m)
	var got events.Message
	scratch, _ := got.Decode(data, nil)
	if n := testing.AllocsPerRun(20, func() { scratch, _ = got.Decode(data, scratch) }); n > 0 {
		t.Errorf("decoding a message: %v allocations", n)
	}
}

// pack packs events as a provider does.
func pack(t testing.TB, all []events.Usage) []byte {
	t.Helper()
	var b packed.Builder
	b.Reset("acme", all[0].Sequenced)
	for i := range all {
		var r packed.RawUsage
		if err := r.Set(&all[i]); err != nil {
			t.Fatal(err)
		}
		if !b.Add(&r) {
			t.Fatalf("event %d does not fit", i)
		}
	}
	return b.AppendTo(nil)
}
