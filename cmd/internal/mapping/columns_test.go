package mapping

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A misspelt member once billed everything to the customer "tenant-".
func TestAColumnThatNoRowHasIsAnErrorInEveryFormat(t *testing.T) {
	const (
		csv   = "node,seconds,at,tenant\na,1,2026-01-01T00:00:00Z,t1\n"
		lines = `{"node":"a","seconds":1,"at":"2026-01-01T00:00:00Z","tenant":"t1"}` + "\n"
		array = "[" + `{"node":"a","seconds":1,"at":"2026-01-01T00:00:00Z","tenant":"t1"}` + "]"
	)
	for _, c := range []struct{ name, document string }{
		{"in a template", with(`customer: "tenant-{tenent}"`)},
		{"alone", with(`customer: {column: tenent}`)},
		{"in a hash", with(`node: {hash: [node, tenent], of: 4}`)},
		{"in a quantity", with(`quantity: {column: tenent}`)},
		{"in a time", with(`start: {column: tenent}`)},
		{"in a duration", with(`start: {before: end, column: tenent}`)},
		{"in an attribute, which is left out where it is empty", with(`attributes: {t: "{tenent}"}`)},
		{"in a filter, which would let every row pass", with(`where: tenent != test`)},
		{"in an id", with(`id: {content: [node, tenent]}`)},
		{"in an event", with(`events: [{meter: a}, {quantity: {column: tenent}}]`)},
		{"in the case of its letters", with(`customer: "tenant-{Tenant}"`)},
		{"in a space at its end", with(`customer: "tenant-{tenant }"`)},
	} {
		m, err := Parse("map.yaml", []byte(c.document))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []struct{ name, text string }{
			{"x.csv", csv}, {"x.jsonl", lines}, {"x.json", array}, {"late.jsonl", strings.Repeat(lines, 3)},
		} {
			t.Run(c.name+" of "+f.name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), f.name)
				if err := os.WriteFile(path, []byte(f.text), 0o600); err != nil {
					t.Fatal(err)
				}
				// Nothing was read for sending when it is found.
				r, err := m.Open(path, Options{})
				if err == nil {
					_ = r.Close()
					t.Fatal("the file was opened")
				}
				if text := err.Error(); !strings.Contains(text, "of the map names") || !strings.Contains(text, "node, seconds, at, tenant") {
					t.Errorf("got %v", err)
				}
				if _, err := m.Survey(path); err == nil {
					t.Error("it was surveyed")
				}
			})
		}
	}

	t.Run("a member that a later row has is one", func(t *testing.T) {
		m, err := Parse("map.yaml", []byte(with(`attributes: {r: "{region}"}`)))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "x.jsonl")
		if err := os.WriteFile(path, []byte(strings.Repeat(lines, 100)+strings.Replace(lines, "tenant", "region", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := m.Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if got := written(t, r); strings.Count(got, "\n") != 101 || !strings.Contains(got, "r=t1") {
			t.Errorf("got %s", got)
		}
	})
	t.Run("an optional column may be in no row", func(t *testing.T) {
		document := with(`attributes: {r: "{region}"}`, "where: region != eu", "optional: [region]")
		for _, f := range []struct{ name, text string }{{"x.csv", csv}, {"x.jsonl", lines}} {
			if got := transcript(t, document, f.name, f.text); !strings.Contains(got, "1 a/acme gpu.seconds 1 ") {
				t.Errorf("%s: got %s", f.name, got)
			}
		}
	})
	t.Run("a stream says it at its end", func(t *testing.T) {
		m, err := Parse("map.yaml", []byte(with(`customer: "tenant-{tenent}"`)))
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.Read(strings.NewReader(lines), "x.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		item, err := r.Next()
		if err != nil || item.Refusal == nil || item.Refusal.Detail != `the column "tenent" is not in this row, and it is a part of the text` {
			t.Errorf("got %+v, %v", item, err)
		}
		if _, err := r.Next(); err == nil || !strings.Contains(err.Error(), `no row has a member "tenent", which line 8 of the map names; its first row has node, seconds, at, tenant`) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAnEmptyCellInsideATextRefusesTheRow(t *testing.T) {
	const file = "node,seconds,at,rack,slot\na,1,2026-01-01T00:00:00Z,,s\n"
	const lines = `{"node":"a","seconds":1,"at":"2026-01-01T00:00:00Z","slot":"s","rack":null}` + "\n" +
		`{"node":"a","seconds":1,"at":"2026-01-01T00:00:00Z","slot":"s"}` + "\n"
	for _, c := range []struct{ name, document, want string }{
		{"in a node's template", with(`node: "gpu-{rack}"`), `node missing: the column "rack" is empty, and it is a part of the text`},
		{"in a customer's template of columns alone", with(`customer: "{rack}{slot}"`), `customer missing: the column "rack" is empty, and it is a part of the text`},
		{"in a meter's template", with(`meter: "gpu.{rack}"`), `meter missing: the column "rack" is empty, and it is a part of the text`},
		{"in a quantity's template", with(`quantity: "{rack}1"`), `quantity missing: the column "rack" is empty, and it is a part of the text`},
		{"in a hash", with(`node: {hash: [slot, rack], of: 4}`), `node missing: the column "rack" is empty, and the text is a hash of it`},
		{"in an attribute's template", with(`attributes: {place: "{rack}/{slot}"}`), `attributes.place missing: the column "rack" is empty, and it is a part of the text`},
		{"in an id's template", with(`id: "{rack}-{slot}"`), `id missing: the column "rack" is empty, and it is a part of the text`},
		{"in the columns of an id", with(`id: {content: [slot, rack]}`), `id missing: the column "rack" is empty, and the id is a hash of it`},
		{"a name that is the cell alone", with(`customer: "{rack}"`), `customer missing: is empty`},
		// What may be empty.
		{"in an attribute that is the cell alone", with(`attributes: {place: "{rack}"}`), ""},
		{"in an id of the whole row", with("id: content"), ""},
		{"in a template that allows it", with(`node: {text: "gpu-{rack}", empty: allowed}`), ""},
		{"in a hash that allows it", with(`node: {hash: [rack], of: 4, empty: allowed}`), ""},
		{"in an id that allows it", with(`id: {content: [slot, rack], empty: allowed}`), ""},
		{"in a map that allows it", with(`node: "gpu-{rack}"`, `customer: {hash: [rack], of: 4}`, `id: {content: [rack]}`, "empty: allowed"), ""},
		{"in a template that refuses what its map allows", with(`node: {text: "gpu-{rack}", empty: refused}`, "empty: allowed"), `node missing: the column "rack" is empty, and it is a part of the text`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.TrimSuffix(transcript(t, c.document, "x.csv", file), "\n")
			if c.want != "" && got != "2: "+c.want || c.want == "" && !strings.Contains(got, "[2026-01-01") {
				t.Errorf("got %s", got)
			}
			// The same of JSON, where it is null in the first row and absent in the second.
			rows := strings.Split(strings.TrimSpace(transcript(t, c.document, "x.jsonl", lines)), "\n")
			if len(rows) != 2 {
				t.Fatalf("got %v", rows)
			}
			absent := strings.Replace(c.want, `"rack" is empty`, `"rack" is not in this row`, 1)
			if c.want != "" && (rows[0] != "1: "+c.want || rows[1] != "2: "+absent) || c.want == "" && (!strings.Contains(rows[0], "[2026-01-01") || !strings.Contains(rows[1], "[2026-01-01")) {
				t.Errorf("got %v", rows)
			}
		})
	}
}

// The dialects themselves are tested in rowfile: here that a map's options arrive there.
func TestAMapSaysHowItsFilesAreWritten(t *testing.T) {
	for _, c := range []struct{ name, document, file string }{
		{"semicolons, decimal commas and thousands", with(`decimal: ","`, "thousands: point"), "node;seconds;at\na;1.234,5;2026-01-01T00:00:00Z\n"},
		{"tabs by their name", with("separator: tab", "thousands: comma"), "node\tseconds\tat\na\t1,234.5\t2026-01-01T00:00:00Z\n"},
		{"lines before the header", with("skip: 2", "comment: hash"), "Usage, of\n2026\n# by x\nnode,seconds,at\na,1234.5,2026-01-01T00:00:00Z\n"},
		{"a JSON array", with("format: json"), `[{"node":"a","seconds":1234.5,"at":"2026-01-01T00:00:00Z"}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := transcript(t, c.document, "x", c.file)
			if !strings.Contains(got, ": 1 a/acme gpu.seconds 1234.5 [2026-01-01T00:00:00, ") || strings.Count(got, "\n") != 1 {
				t.Errorf("got %s", got)
			}
		})
	}
	// A duration and a time are numbers too.
	got := transcript(t, with(`decimal: ","`, "start: {before: end, column: seconds, unit: ms}", "end: {column: at, layout: unix}"), "x", "node;seconds;at\na;0,5;1000,25\n")
	if got != "2: 1 a/acme gpu.seconds 0.5 [1970-01-01T00:16:40.2495, 1970-01-01T00:16:40.25)\n" {
		t.Errorf("got %s", got)
	}
}
