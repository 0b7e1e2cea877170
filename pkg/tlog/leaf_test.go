package tlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

var update = flag.Bool("update", false, "rewrite the golden bytes; review the difference: what was written once must stay readable")

var usageLeaves = []UsageLeaf{
	{Kind: Unreadable, Position: 1, Data: LeafHash([]byte("a"))},
	{Kind: events.Barrier, Position: 2, Data: LeafHash([]byte("b")), Control: 300},
	{Kind: events.Marker, Position: 1 << 40, Data: LeafHash([]byte("c"))},
	{Kind: events.Batch, Position: 3, Data: LeafHash([]byte("d")), EventRoot: EmptyRoot()},
	{Kind: events.Batch, Position: 4, Data: LeafHash([]byte("d")), EventRoot: EmptyRoot(),
		Runs: []settlement.Run{{Events: 0, Outcome: events.Refused, Reason: "malformed"}}},
	{Kind: events.Batch, Position: 5, Data: LeafHash([]byte("e")), Events: 1000, Contexts: 3, EventRoot: LeafHash([]byte("f")),
		Runs: []settlement.Run{{Events: 990, Outcome: events.Accepted}, {Events: 3, Outcome: events.Late},
			{Events: 6, Outcome: events.Duplicate}, {Events: 1, Outcome: events.Refused, Reason: "conflict"}}},
	{Kind: events.Batch, Position: 6, Data: LeafHash([]byte("g")), Events: 7, Contexts: 1, EventRoot: LeafHash([]byte("h")),
		Folded: true, RunsHash: LeafHash([]byte("i"))},
}

var streamLeaves = []StreamLeaf{
	{Position: 1, Subject: "control.RateCardDeclared", Data: LeafHash([]byte("a"))},
	{Position: 1<<64 - 1, Subject: "", Data: Hash{}},
}

func TestLeavesKeepTheirBytes(t *testing.T) {
	var text strings.Builder
	for _, l := range streamLeaves {
		fmt.Fprintf(&text, "%x\n", l.Append(nil))
	}
	for _, l := range usageLeaves {
		fmt.Fprintf(&text, "%x\n", l.Append(nil))
	}
	const path = "testdata/leaves-v1.hex"
	if *update {
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || text.String() != string(want) {
		t.Errorf("leaves are\n%s, want\n%s (%v)", text.String(), want, err)
	}
}

func TestLeavesAreReadAsTheyWereWritten(t *testing.T) {
	for _, l := range streamLeaves {
		if got, err := DecodeStreamLeaf(l.Append(nil)); err != nil || got != l {
			t.Errorf("%+v is read as %+v, %v", l, got, err)
		}
	}
	for _, l := range usageLeaves {
		data := l.Append(nil)
		if got, err := DecodeUsageLeaf(data); err != nil || !reflect.DeepEqual(got, l) {
			t.Errorf("%+v is read as %+v, %v", l, got, err)
		}
		for n := range data {
			if got, err := DecodeUsageLeaf(data[:n]); err == nil {
				t.Errorf("%x is read as %+v", data[:n], got)
			}
		}
		if _, err := DecodeUsageLeaf(append(data, 0)); err == nil {
			t.Errorf("%+v is read with a byte more", l)
		}
	}
}

func TestLeavesThatAreNotInTheirOneFormAreRefused(t *testing.T) {
	base := func() UsageLeaf { return UsageLeaf{Kind: events.Batch, Position: 1, Events: 2} }
	tests := []struct {
		name   string
		change func(l *UsageLeaf)
	}{
		{"more contexts than events", func(l *UsageLeaf) { l.Contexts, l.Runs = 3, []settlement.Run{{Events: 2, Outcome: events.Accepted}} }},
		{"runs of fewer events", func(l *UsageLeaf) { l.Runs = []settlement.Run{{Events: 1, Outcome: events.Accepted}} }},
		{"runs of more events", func(l *UsageLeaf) { l.Runs = []settlement.Run{{Events: 3, Outcome: events.Accepted}} }},
		{"no outcome", func(l *UsageLeaf) { l.Runs = []settlement.Run{{Events: 2}} }},
		{"a fifth outcome", func(l *UsageLeaf) { l.Runs = []settlement.Run{{Events: 2, Outcome: 5}} }},
		{"refused without a reason", func(l *UsageLeaf) { l.Runs = []settlement.Run{{Events: 2, Outcome: events.Refused}} }},
		{"accepted with a reason", func(l *UsageLeaf) {
			l.Runs = []settlement.Run{{Events: 2, Outcome: events.Accepted, Reason: "x"}}
		}},
		{"a fourth kind", func(l *UsageLeaf) { l.Kind = 4 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := base()
			test.change(&l)
			if got, err := DecodeUsageLeaf(l.Append(nil)); err == nil {
				t.Errorf("read as %+v", got)
			}
		})
	}
	long := append([]byte{'S', 1, 0x81, 0x00, 0}, make([]byte, 32)...) // 1 in two bytes
	if got, err := DecodeStreamLeaf(long); err == nil {
		t.Errorf("read as %+v", got)
	}
}

// A provider can make outcomes alternate: the leaf must stay short nevertheless.
func TestRunsTooLongForALeafAreFolded(t *testing.T) {
	l := UsageLeaf{Kind: events.Batch, Position: 9, Events: 10_000}
	for i := range 10_000 {
		r := settlement.Run{Events: 1, Outcome: events.Refused, Reason: "future"}
		if i%2 == 0 {
			r = settlement.Run{Events: 1, Outcome: events.Duplicate}
		}
		l.Runs = append(l.Runs, r)
	}
	runs := AppendRuns(nil, l.Runs)
	data := l.Append(nil)
	if len(runs) <= maxRuns || len(data) > 150 {
		t.Fatalf("runs of %d bytes, leaf of %d", len(runs), len(data))
	}
	got, err := DecodeUsageLeaf(data)
	if err != nil || !got.Folded || got.RunsHash != sha256.Sum256(runs) || got.Events != 10_000 {
		t.Fatalf("read as %+v, %v", got, err)
	}
	if again := got.Append(nil); !bytes.Equal(again, data) {
		t.Errorf("written again as %x, was %x", again, data)
	}
	if shown, err := DecodeRuns(runs); err != nil || !reflect.DeepEqual(shown, l.Runs) {
		t.Errorf("runs are read otherwise: %v", err)
	}
	// The same runs in full inside the leaf would be a second encoding of it.
	open := l
	open.Runs = nil
	head := open.Append(nil)
	head = append(head[:len(head)-1], runs...)
	if _, err := DecodeUsageLeaf(head); err == nil {
		t.Error("a leaf with long runs is read")
	}
}

func TestTheOutcomeOfAnEventIsInTheLeaf(t *testing.T) {
	l := usageLeaves[5]
	for ordinal, want := range map[uint64]events.Outcome{
		0: events.Accepted, 989: events.Accepted, 990: events.Late, 992: events.Late, 993: events.Duplicate, 999: events.Refused, 1000: 0,
	} {
		r, ok := l.At(ordinal)
		if ok != (want != 0) || r.Outcome != want {
			t.Errorf("event %d: %+v, %v", ordinal, r, ok)
		}
	}
}

func FuzzDecodeUsageLeaf(f *testing.F) {
	for _, l := range usageLeaves {
		f.Add(l.Append(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := DecodeUsageLeaf(data)
		if err != nil {
			return
		}
		if again := l.Append(nil); !bytes.Equal(again, data) {
			t.Errorf("%x is read as %+v, which is %x", data, l, again)
		}
	})
}

func FuzzDecodeStreamLeaf(f *testing.F) {
	for _, l := range streamLeaves {
		f.Add(l.Append(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := DecodeStreamLeaf(data); err == nil && !bytes.Equal(l.Append(nil), data) {
			t.Errorf("%x is read as %+v", data, l)
		}
	})
}

// This is the root of an empty tree in every RFC 6962 implementation.
func TestTheEmptyRootIsKnown(t *testing.T) {
	const want = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	root := EmptyRoot()
	if got := hex.EncodeToString(root[:]); got != want {
		t.Error(got)
	}
	long := bytes.Repeat([]byte{7}, 5000)
	if LeafHash(long) != Hash(sha256.Sum256(append([]byte{0}, long...))) {
		t.Error("a long leaf is hashed otherwise")
	}
}
