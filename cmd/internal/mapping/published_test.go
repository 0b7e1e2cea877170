package mapping

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/published"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// root is the folder of go.mod.
func root(t testing.TB) string {
	t.Helper()
	for up := "."; len(up) < 60; up = filepath.Join("..", up) {
		if _, err := os.Stat(filepath.Join(up, "go.mod")); err == nil {
			return up
		}
	}
	t.Fatal("no go.mod above this test")
	return ""
}

func example(t testing.TB, path string) *Map {
	t.Helper()
	document, err := os.ReadFile(filepath.Join(root(t), "examples", path))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse("map.yaml", document)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// totals are what a file came to.
type totals struct {
	Counts
	identities int
	quantity   map[events.Meter]money.Quantity // of distinct identities
	sent       map[events.Meter]money.Quantity // of all events
	first      time.Time                       // earliest start
	events     []events.Usage
}

func read(t testing.TB, r *Reader) totals {
	t.Helper()
	all := totals{quantity: map[events.Meter]money.Quantity{}, sent: map[events.Meter]money.Quantity{}}
	seen := map[string]bool{}
	add := func(to map[events.Meter]money.Quantity, u *events.Usage) {
		sum, err := to[u.Meter].Add(u.Quantity)
		if err != nil {
			t.Fatal(err)
		}
		to[u.Meter] = sum
	}
	for {
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if item.Refusal != nil {
			continue
		}
		u := &item.Usage
		if u.Start > u.End || u.Sequenced == (u.ID != "") {
			t.Fatalf("line %d: %+v", item.Line, u)
		}
		add(all.sent, u)
		if id := fmt.Sprint(u.Source, "|", u.ID, "|", u.Sequence); !seen[id] {
			seen[id] = true
			add(all.quantity, u)
		}
		if at := time.Unix(0, u.Start).UTC(); all.first.IsZero() || at.Before(all.first) {
			all.first = at
		}
		all.events = append(all.events, *u)
	}
	all.Counts, all.identities = r.Counts(), len(seen)
	return all
}

func TestTheJobsOfGenTD26AreBilledOnceEach(t *testing.T) {
	// Fails when the filter is left out (398 + 30 + 3 more), when one column is
	// left out of the hash, or when the row number is hashed with it.
	m := example(t, "gentd26/jobs/map.yaml")
	path := published.Path(t, "1-usage/gentd26-lora-request-trace.csv")
	r, err := m.Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := read(t, r)
	if got.Counts != (Counts{Rows: 26823, Skipped: 431, Events: 26392}) || got.identities != 26373 {
		t.Errorf("got %+v with %d identities", got.Counts, got.identities)
	}
	if sent, billed := got.sent["gpu.seconds"], got.quantity["gpu.seconds"]; sent.String() != "763010" || billed.String() != "762761" {
		t.Errorf("got %v s sent and %v s of distinct jobs", sent, billed)
	}
	s, err := m.Survey(path)
	if err != nil || len(s.Nodes) != 32 || len(s.Customers) == 0 || s.Nodes[31] != "gpu-031" {
		t.Errorf("surveyed %d nodes, %d customers, %v", len(s.Nodes), len(s.Customers), err)
	}
}

func TestTheNodesOfGenTD26SumExactly(t *testing.T) {
	m := example(t, "gentd26/nodes/map.yaml")
	r, err := m.Open(published.Path(t, "1-usage/gentd26-node-pipeline-inference-ms.csv"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := read(t, r)
	if got.Counts != (Counts{Rows: 34421, Events: 34421}) || got.identities != 34421 {
		t.Errorf("got %+v with %d identities", got.Counts, got.identities)
	}
	if sum := got.sent["gpu.ms"]; sum.String() != "624764262.3666666666755" {
		t.Errorf("got %v ms", sum)
	}
	nodes := map[events.Node]bool{}
	for i, u := range got.events {
		nodes[u.Node] = true
		// The interval is the usage, up to the next nanosecond: 10⁶ of them a millisecond.
		length, err := money.QuantityFromMantissa(0, uint64(u.End-u.Start), 6)
		if err != nil {
			t.Fatal(err)
		}
		over, err := length.Sub(u.Quantity)
		if err != nil || over.Sign() < 0 || over.Cmp(money.QuantityFromLimbs(0, 1e12)) >= 0 {
			t.Fatalf("row %d: an interval of %v ms for %v ms", i+1, length, u.Quantity)
		}
	}
	if len(nodes) != 132 {
		t.Errorf("got %d nodes", len(nodes))
	}
}

func TestTheAzureHourHasTwoEventsARow(t *testing.T) {
	m := example(t, "azure-llm/map.yaml")
	path := published.Path(t, "1-usage/azure-llm-2023-conv.csv")
	r, err := m.Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := read(t, r)
	if got.Counts != (Counts{Rows: 19366, Events: 38732}) || got.identities != 38732 {
		t.Errorf("got %+v with %d identities", got.Counts, got.identities)
	}
	if in, out := got.sent["llm.tokens.input"], got.sent["llm.tokens.output"]; in.String() != "22361870" || out.String() != "4088665" {
		t.Errorf("got %v and %v tokens", in, out)
	}
	for i, u := range got.events {
		if u.Sequence != uint64(i+1) {
			t.Fatalf("event %d has sequence %d", i+1, u.Sequence)
		}
	}

	begin := time.Date(2023, 3, 10, 12, 0, 0, 0, time.UTC)
	shifted, err := m.Open(path, Options{Begin: begin})
	if err != nil {
		t.Fatal(err)
	}
	defer shifted.Close()
	moved := read(t, shifted)
	if !moved.first.Equal(begin) {
		t.Errorf("the shifted trace begins at %v", moved.first)
	}
	for i := range moved.events {
		u, v := got.events[i], moved.events[i]
		if v.End-u.End != shifted.Shift() || v.Start-u.Start != shifted.Shift() {
			t.Fatalf("event %d moved by %d and %d", i, v.Start-u.Start, v.End-u.End)
		}
		u.Start, u.End = v.Start, v.End
		if fmt.Sprint(u) != fmt.Sprint(v) {
			t.Fatalf("event %d changed more than its times: %+v, %+v", i, u, v)
		}
	}
}

func BenchmarkSurvey(b *testing.B) {
	m := example(b, "gentd26/jobs/map.yaml")
	path := published.Path(b, "1-usage/gentd26-lora-request-trace.csv")
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size()) // of 26,823 rows
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Survey(path); err != nil {
			b.Fatal(err)
		}
	}
}
