package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/services/audit/explain"
)

func TestATextHasAllTheReadingsThatItMayHave(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		{"/s#order#7", []string{`--source "/s" --id "order#7"`, `--source "/s#order" --id "7"`, `--source "/s#order" --sequence 7`}},
		{"/s#7", []string{`--source "/s" --id "7"`, `--source "/s" --sequence 7`}},
		{"/s#0/7", []string{`--source "/s" --id "0/7"`, `--source "/s" --sequence 0/7`}},
		{"a##7", []string{`--source "a" --id "#7"`, `--source "a#" --id "7"`, `--source "a#" --sequence 7`}},
		{"/s#007", []string{`--source "/s" --id "007"`}},
		{"/s#+7", []string{`--source "/s" --id "+7"`}},
		{"/s#1/2/3", []string{`--source "/s" --id "1/2/3"`}},
		{"#7", nil}, {"s#", nil}, {"0/1/2", nil}, {"", nil},
	} {
		var got []string
		for _, i := range explain.Readings(test.text) {
			got = append(got, i.String())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
}

// All commands that take an identity read it in the same way: if one event has
// it, they find that event, and if two have it, the error names both.
func TestAnIdentityNamesOneEventOrIsRefused(t *testing.T) {
	r, _ := room(t, 1)
	dir := t.TempDir()
	send := func(source, id string, rows ...string) {
		t.Helper()
		file, mapped := filepath.Join(dir, "usage.csv"), filepath.Join(dir, "map.yaml")
		text := "id,node,customer,seconds,at\n"
		for i, row := range rows {
			text += fmt.Sprintf("%s,gpu-0,lab-0,%d.5,%d\n", row, i+1, 1_700_000_000+i)
		}
		m := strings.Replace(strings.Replace(testMap, `"acme/{file}"`, fmt.Sprintf("%q", source), 1), "id: row", "id: "+id, 1)
		for name, text := range map[string]string{file: text, mapped: m} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if sent := sendAll(t, r, usageSend{File: file, Map: mapped, Batch: 100, Wait: true}); sent.Outcomes.Accepted != len(rows) {
			t.Fatalf("%+v", sent)
		}
	}
	// at asks one of the commands where the event is. If the command fails,
	// refused is its error.
	at := func(command string, line ...string) (handle, refused string) {
		t.Helper()
		got := capture(t, append(append(strings.Fields(command), line...), "--data", r.Data, "--json")...)
		for deadline := time.Now().Add(time.Minute); command == "receipt" && strings.Contains(got.err, "does not cover it yet") && time.Now().Before(deadline); {
			got = capture(t, append(append(strings.Fields(command), line...), "--data", r.Data, "--json")...)
		}
		if got.code != exitDone {
			return "", got.err
		}
		var said struct {
			ID     string
			Handle struct {
				Partition, First int
				Position         uint64
			}
			Event struct {
				Partition, Ordinal int
				Position           uint64
			}
		}
		if err := json.Unmarshal([]byte(got.out), &said); err != nil {
			t.Fatalf("%s: %v", got.out, err)
		}
		if command == "usage outcome" {
			return fmt.Sprintf("%d/%d/%d", said.Handle.Partition, said.Handle.Position, said.Handle.First), ""
		}
		return said.ID, ""
	}
	send("/s", "{column: id}", "order#7", "plain")
	first, refused := at("usage outcome", "/s#order#7")
	if refused != "" {
		t.Fatalf("an id with a # in it: %s", refused)
	}
	if got, refused := at("explain", "/s#order#7"); got != first {
		t.Errorf("explain: %s, want %s\n%s", got, first, refused)
	}
	if _, refused := at("receipt", "/s#order#7"); refused != "" {
		t.Errorf("receipt: %s", refused)
	}
	send("/s#order", "row", "", "", "", "", "", "", "")
	send("/n", "{column: id}", "3", "0/2")
	send("/n", "row", "", "", "")
	for _, test := range []struct {
		text  string
		parts [2][]string // what leaves no doubt
	}{
		{"/s#order#7", [2][]string{{"--source", "/s", "--id", "order#7"}, {"--source", "/s#order", "--sequence", "7"}}},
		{"/n#3", [2][]string{{"--source", "/n", "--id", "3"}, {"--source", "/n", "--sequence", "3"}}},
		{"/n#0/2", [2][]string{{"--source", "/n", "--id", "0/2"}, {"--source", "/n", "--sequence", "0/2"}}},
	} {
		for _, command := range []string{"usage outcome", "explain", "receipt"} {
			_, refused := at(command, test.text)
			for _, part := range test.parts {
				if want := fmt.Sprintf("%s %q %s", part[0], part[1], part[2]); !strings.Contains(refused, "more than one event") || !strings.Contains(refused, want) {
					t.Errorf("%s %s does not name %s: %s", command, test.text, want, refused)
				}
			}
			a, refusedA := at(command, test.parts[0]...)
			b, refusedB := at(command, test.parts[1]...)
			if a == "" || b == "" || a == b {
				t.Errorf("%s: %v is %s, %v is %s\n%s%s", command, test.parts[0], a, test.parts[1], b, refusedA, refusedB)
			}
		}
	}
	if got, refused := at("explain", "/s#order#6"); got == "" {
		t.Errorf("a sequence of a source with a # in it: %s", refused)
	}
	for _, line := range [][]string{{"--id", "x"}, {"--source", "/s"}, {"--source", "/s", "--id", "a", "--sequence", "1"}, {"/s#x", "--source", "/s"}, {"--source", "/s", "--sequence", "1/x"}, nil} {
		for _, command := range []string{"usage outcome", "explain", "receipt"} {
			if got := capture(t, append(append(strings.Fields(command), line...), "--data", r.Data)...); got.code != exitMisuse {
				t.Errorf("%s %v: exit %d\n%s", command, line, got.code, got.err)
			}
		}
	}
}
