package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const testBook = `kind: Provider
provider: acme
---
kind: Book
book: acme
provider: acme
calendar: day
asset: USDC
horizon: none
received: event
---
kind: Meter
meter: gpu.seconds
book: acme
unit: s
max: 1000
---
kind: QuotePolicy
pair: USDC/USD
fixed: 1
---
kind: Card
card: acme
version: 1
book: acme
currency: USD
effective: 2020-01-01T00:00:00Z
rules:
  - {meter: gpu.seconds, price: 1}
`

const testMap = `book: acme
source: "acme/{file}"
id: row
received: event
declare: {nodes: true, customers: true}
node: {column: node}
customer: {column: customer}
meter: gpu.seconds
quantity: {column: seconds}
end: {column: at, layout: unix}
`

// room returns a folder with a book, a map, and a trace of n rows.
func room(t *testing.T, n int, more ...string) (r *root, send usageSend) {
	t.Helper()
	dir := t.TempDir()
	var trace strings.Builder
	trace.WriteString("node,customer,seconds,at\n")
	for i := range n {
		fmt.Fprintf(&trace, "gpu-%d,lab-%d,%d.5,%d\n", i%3, i%5, i%100, 1_700_000_000+i)
	}
	for _, row := range more {
		fmt.Fprintln(&trace, row)
	}
	for name, text := range map[string]string{"book.yaml": testBook, "map.yaml": testMap, "trace.csv": trace.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r = &root{Data: filepath.Join(dir, "data"), Quiet: true, JSON: true}
	if _, err := stdout(t, func() error {
		return (&applyCommand{File: []string{filepath.Join(dir, "book.yaml")}}).Run(t.Context(), r)
	}); err != nil {
		t.Fatal(err)
	}
	return r, usageSend{File: filepath.Join(dir, "trace.csv"), Map: filepath.Join(dir, "map.yaml"), Batch: 100, Resume: true, Wait: true}
}

// stdout returns what f printed.
func stdout(t *testing.T, f func() error) (string, error) {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "stdout")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	was := os.Stdout
	os.Stdout = file
	defer func() { os.Stdout = was }()
	failed := f()
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text), failed
}

func sendAll(t *testing.T, r *root, send usageSend) Sent {
	t.Helper()
	text, err := stdout(t, func() error { return send.Run(t.Context(), r) })
	if err != nil {
		t.Fatal(err)
	}
	var sent Sent
	if err := json.Unmarshal([]byte(text), &sent); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return sent
}

func TestACompleteSecondSendingIsAllDuplicates(t *testing.T) {
	r, send := room(t, 1_050)
	first, second := sendAll(t, r, send), sendAll(t, r, send)
	if *first.Outcomes != (tallied{Accepted: 1_050}) {
		t.Errorf("first: %+v", *first.Outcomes)
	}
	if *second.Outcomes != (tallied{Duplicate: 1_050}) || second.Resumed != 0 {
		t.Errorf("second: %+v, resumed %d", *second.Outcomes, second.Resumed)
	}
}

func TestRefusedRowsAreNamedByLineAndField(t *testing.T) {
	r, send := room(t, 10, "gpu-0,lab-0,many,1700000100", "gpu-0,lab-0,1001,1700000101", "gpu-0,lab-0,1,1700000102")
	send.Tolerate = true
	sent := sendAll(t, r, send)
	if sent.Refused != 2 || sent.Unmapped != 1 || sent.Outcomes.Accepted != 11 {
		t.Errorf("%+v, outcomes %+v", sent, *sent.Outcomes)
	}
	want := []string{"line 12: quantity bad_number", "line 13: data.quantity absurd"}
	for i, row := range sent.Refusals {
		if !strings.HasPrefix(row.String(), want[i]) {
			t.Errorf("refusal %d: %s, want %s", i, row, want[i])
		}
	}
	send.Tolerate = false
	if _, err := stdout(t, func() error { return send.Run(t.Context(), r) }); !errors.Is(err, errFalse) {
		t.Errorf("not tolerated: %v", err)
	}
}

// interrupt sends a file until enough says so, and then stops as an interrupted
// command does.
func interrupt(t *testing.T, r *root, send usageSend, enough func(*Sent) bool) {
	t.Helper()
	s, err := r.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	from, err := openSource(send.File, send.Map, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.declareNames(t.Context(), from, "acme"); err != nil {
		t.Fatal(err)
	}
	state, err := send.state(from, s, "acme")
	if err != nil {
		t.Fatal(err)
	}
	interrupted, cancel := context.WithCancel(t.Context())
	defer cancel()
	part := sending{server: s, provider: "acme", source: from, batch: send.Batch, acknowledged: func(sent *Sent, _ int64) {
		state.acknowledge(sent)
		if enough(sent) {
			cancel()
		}
	}}
	if send.Rejects != "" {
		if part.rejects, err = openRejects(send.Rejects, send.File, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := part.run(interrupted); err == nil {
		t.Fatal("it was not interrupted")
	}
	state.keep()
	if part.rejects != nil {
		err = part.rejects.close()
	}
	if err := errors.Join(err, s.close()); err != nil {
		t.Fatal(err)
	}
}

// Fails when the state counts events that are not acknowledged yet, or when a
// refused row before the place of resumption is reported twice.
func TestAnInterruptedSendingGoesOn(t *testing.T) {
	r, send := room(t, 950, "gpu-0,lab-0,many,1700001000", "gpu-0,lab-0,3,1700001001")
	interrupt(t, r, send, func(sent *Sent) bool { return sent.Sent >= 300 })
	send.Tolerate = true
	sent := sendAll(t, r, send)
	if sent.Resumed < 300 || sent.Sent != 951 || sent.Unmapped != 1 {
		t.Errorf("%+v", sent)
	}
	if got := sent.Outcomes.Accepted + sent.Outcomes.Duplicate; got != 951-sent.Resumed {
		t.Errorf("%d outcomes after %d were resumed", got, sent.Resumed)
	}
	if _, err := os.Stat(send.File + stateSuffix); err == nil {
		t.Error("the state stays after the sending is complete")
	}
}

func TestADemoOfOneInputHasOneJournal(t *testing.T) {
	if testing.Short() {
		t.Skip("plays two days")
	}
	var results []demoResult
	for _, c := range []demoCommand{{Batch: 1_000}, {Batch: 77, Restarts: 2}} {
		c.Seed, c.Events, c.Nodes, c.Customers, c.Holders = 11, 3_000, 24, 14, 120
		r := &root{Data: filepath.Join(t.TempDir(), "data"), Quiet: true, JSON: true}
		text, err := stdout(t, func() error { return c.Run(t.Context(), r) })
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		var result demoResult
		if err := json.Unmarshal([]byte(text), &result); err != nil {
			t.Fatal(err)
		}
		results = append(results, result)
	}
	a, b := results[0], results[1]
	if a.JournalHash != b.JournalHash || a.Charged != b.Charged || a.Accepted != b.Accepted {
		t.Errorf("one input, two journals: %s of %s, %s of %s", a.Charged, a.JournalHash, b.Charged, b.JournalHash)
	}
	if a.Suspended != 0 || a.Released == 0 || a.Late == 0 || a.Duplicate == 0 || a.Held.Sign() <= 0 || a.Paid.Sign() <= 0 {
		t.Errorf("the day was too quiet: %+v", a)
	}
}

func TestSecondsAreToldToTheMillisecond(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0.000", 1_234_567 * time.Microsecond: "1.234", time.Hour: "3600.000"} {
		if got := seconds(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}
