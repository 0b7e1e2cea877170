package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// rejected returns the lines of a file of refused rows.
func rejected(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// Refused rows beyond the first 20 were once lost, and the command reported
// success.
func TestEveryRefusedRowIsCountedAndWritten(t *testing.T) {
	var more []string
	for i := range 60 {
		more = append(more, fmt.Sprintf(`gpu-0,lab-0,"n%d, ""x""",1700000100`, i)) // Not a number: the map refuses it.
	}
	more = append(more, "gpu-0,lab-0,1001,1700000101", // Above the meter's maximum: ingest refuses it.
		"gpu-0,lab-0,1", `"gpu-0,lab-0,1,1700000102`) // These are not rows at all.
	r, send := room(t, 10, more...)
	send.Rejects = filepath.Join(t.TempDir(), "rejects.csv")
	text, err := stdout(t, func() error { return send.Run(t.Context(), r) })
	if !errors.Is(err, errFalse) {
		t.Fatalf("rows were refused, and the command ended with %v", err)
	}
	for _, part := range []string{`"refused": 63`, `"unmapped": 62`, `"bad_number": 60`, `"absurd": 1`, `"malformed": 2`} {
		if !strings.Contains(text, part) && !strings.Contains(text, strings.ReplaceAll(part, " ", "")) {
			t.Errorf("no %s in %s", part, text)
		}
	}
	lines := rejected(t, send.Rejects)
	if len(lines) != 64 || lines[0] != "node,customer,seconds,at,aliquot_refused_line,aliquot_refused_field,aliquot_refused_reason,aliquot_refused_detail" {
		t.Fatalf("%d lines, the first is %s", len(lines), lines[0])
	}
	for i, want := range map[int]string{
		1:  `gpu-0,lab-0,"n0, ""x""",1700000100,12,quantity,bad_number,"""n0, \""x\"""" `,
		60: `gpu-0,lab-0,"n59, ""x""",1700000100,71,quantity,bad_number,`,
		61: "gpu-0,lab-0,1001,1700000101,72,data.quantity,absurd,",
		62: `"gpu-0,lab-0,1",,,,73,,malformed,`,
		63: `"""gpu-0,lab-0,1,1700000102",,,,74,,malformed,`,
	} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d: %s\nwant %s", i+1, lines[i], want)
		}
	}
	// A sending without refusals leaves no rows of an earlier one.
	good, err := os.ReadFile(send.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(send.File, []byte(strings.Join(strings.SplitAfter(string(good), "\n")[:11], "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if sent := sendAll(t, r, send); sent.Refused != 0 || len(rejected(t, send.Rejects)) != 1 {
		t.Errorf("%+v, and %d lines", sent, len(rejected(t, send.Rejects)))
	}
	send.Rejects = send.File
	if err := send.Run(t.Context(), r); err == nil || !strings.Contains(err.Error(), "is the file to send") {
		t.Errorf("the input was taken for the refused rows: %v", err)
	}
}

func TestRefusedRowsOfJSONStayJSON(t *testing.T) {
	r, send := room(t, 1)
	send.File = filepath.Join(t.TempDir(), "x.json")
	send.Rejects = send.File + ".rejects"
	send.Tolerate = true
	if err := os.WriteFile(send.File, []byte(`[{"node":"gpu-0","customer":"lab-0","seconds":1,"at":1700000100},
{"node":"gpu-0","customer":"lab-0",
 "seconds":"many","at":1700000100}, 7, {}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	sent := sendAll(t, r, send)
	want := []string{
		`{"node":"gpu-0","customer":"lab-0","seconds":"many","at":1700000100,"aliquot_refused":{"line":2,"field":"quantity","reason":"bad_number","detail":"\"many\" is not a decimal number"}}`,
		`{"aliquot_refused":{"line":3,"reason":"malformed","detail":"should be one JSON object","text":"7"}}`,
	}
	if got := rejected(t, send.Rejects); len(got) != 3 || sent.Refused != 3 || !strings.HasPrefix(got[2], `{"aliquot_refused":{"line":3,"field":"node","reason":"missing"`) {
		t.Errorf("got %q of %+v", got, sent)
	} else {
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("got %s\nwant %s", got[i], want[i])
			}
		}
	}
}

// Settlement names a refused event by identity; its row is found again.
func TestRowsThatSettlementRefusesAreWrittenToo(t *testing.T) {
	r, send := room(t, 150)
	if sent := sendAll(t, r, send); sent.Outcomes.Accepted != 150 {
		t.Fatalf("%+v", sent)
	}
	// Different content under known numbers is a conflict.
	text, err := os.ReadFile(send.File)
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(string(text), "\n")
	rows[7] = strings.Replace(rows[7], ".5,", ".75,", 1)
	rows[120] = strings.Replace(rows[120], "lab-", "lab-0", 1)
	if err := os.WriteFile(send.File, []byte(strings.Join(rows, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	send.Rejects, send.Tolerate = filepath.Join(t.TempDir(), "rejects.csv"), true
	sent := sendAll(t, r, send)
	if sent.Reasons[events.Conflict]+sent.Reasons[events.UnknownCustomer]+sent.Reasons[events.BeyondHorizon]+sent.Reasons[events.FromFuture] != 2 || len(sent.Refusals) != 2 {
		t.Fatalf("%+v", sent)
	}
	got := rejected(t, send.Rejects)
	if len(got) != 3 || !strings.HasPrefix(got[1], rows[7]+",8,") || !strings.HasPrefix(got[2], rows[120]+",121,") {
		t.Errorf("got %q", got)
	}
	send.Tolerate = false
	if _, err := stdout(t, func() error { return send.Run(t.Context(), r) }); !errors.Is(err, errFalse) {
		t.Errorf("not tolerated: %v", err)
	}
}

// Fails when a resumed run overwrites the rows that the first run had refused.
func TestAnInterruptedSendingKeepsWhatItRefused(t *testing.T) {
	r, send := room(t, 250, "gpu-0,lab-0,many,1700001000")
	text, err := os.ReadFile(send.File)
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.SplitAfter(string(text), "\n")
	rows[1] = "gpu-0,lab-0,none,1700000000\n"
	if err := os.WriteFile(send.File, []byte(strings.Join(rows, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	send.Rejects, send.Tolerate = filepath.Join(t.TempDir(), "rejects.csv"), true
	send.Batch = 50
	interrupt(t, r, send, func(*Sent) bool { return true })
	send.Batch = 100
	sent := sendAll(t, r, send)
	got := rejected(t, send.Rejects)
	if sent.Resumed == 0 || sent.Refused != 2 || sent.Reasons[events.BadNumber] != 2 {
		t.Errorf("%+v", sent)
	}
	if len(got) != 3 || !strings.Contains(got[1], ",2,quantity,") || !strings.Contains(got[2], ",252,quantity,") {
		t.Errorf("got %q", got)
	}
}

// The demo once counted only the refused rows that it lists.
func TestTheDemoCountsEveryRefusal(t *testing.T) {
	var all Sent
	for range 2 {
		part := Sent{Reasons: map[events.Reason]int{}}
		for line := range 30 {
			part.refuse(refusedRow{Line: line, Field: "quantity", Reason: events.BadNumber})
		}
		all.merge(part)
	}
	d := &demoResult{refusedAtOnce: all.Refused, Refusals: all.Refusals, Reasons: all.reasons()}
	var text strings.Builder
	d.writeEvents(&text)
	if got := strings.Join(strings.Fields(text.String()), " "); !strings.Contains(got, "bad_number 60 ") || !strings.HasSuffix(got, "and 40 more before settlement") {
		t.Errorf("got %s", text.String())
	}
}
