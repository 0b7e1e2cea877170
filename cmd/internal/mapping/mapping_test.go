package mapping

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/document"
	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// simple is a map that tests change by a line.
const simple = `
source: test
id: row
node: "{node}"
customer: acme
meter: gpu.seconds
quantity: {column: seconds}
end: {column: at, layout: rfc3339}
`

// with replaces or adds fields, one a line.
func with(lines ...string) string {
	text := simple
	for _, line := range lines {
		name, _, _ := strings.Cut(line, ":")
		var kept []string
		for _, old := range strings.Split(text, "\n") {
			if !strings.HasPrefix(old, name+":") {
				kept = append(kept, old)
			}
		}
		text = strings.Join(kept, "\n") + line + "\n"
	}
	return text
}

// transcript reads everything as lines that a person can check.
func transcript(t *testing.T, document, name, file string) string {
	t.Helper()
	m, err := Parse("map.yaml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.Read(strings.NewReader(file), name)
	if err != nil {
		t.Fatal(err)
	}
	return written(t, r)
}

func written(t *testing.T, r *Reader) string {
	t.Helper()
	var b strings.Builder
	for {
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		if item.Refusal != nil {
			fmt.Fprintf(&b, "%d: %s %s: %s\n", item.Line, item.Refusal.Field, item.Refusal.Reason, item.Refusal.Detail)
			continue
		}
		u := item.Usage
		id := u.ID
		if u.Sequenced {
			id = fmt.Sprint(u.Sequence)
		}
		fmt.Fprintf(&b, "%d: %s %s/%s %s %s", item.Line, id, u.Node, u.Customer, u.Meter, u.Quantity)
		fmt.Fprintf(&b, " [%s, %s)", clock(u.Start), clock(u.End))
		for _, a := range u.Attributes {
			fmt.Fprintf(&b, " %s=%s", a.Name, a.Value)
		}
		b.WriteByte('\n')
	}
}

func clock(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.999999999") }

func TestRowsBecomeEvents(t *testing.T) {
	for _, c := range []struct{ name, document, file, want string }{
		{"one event a row, numbered", simple, "node,seconds,at\na,1.50,2026-01-01T00:00:00Z\nb,2e-3,2026-01-01T00:00:00.5+01:00\n", `
2: 1 a/acme gpu.seconds 1.5 [2026-01-01T00:00:00, 2026-01-01T00:00:00)
3: 2 b/acme gpu.seconds 0.002 [2025-12-31T23:00:00.5, 2025-12-31T23:00:00.5)`},
		// Fails when a skipped row takes a number.
		{"a filter skips rows, which take no number", with("where: [state == DONE, node != c]"),
			"state,node,seconds,at\nFAILED,a,1,2026-01-01T00:00:00Z\nDONE,a,1,2026-01-01T00:00:00Z\nDONE,c,1,2026-01-01T00:00:00Z\nDONE,b,1,2026-01-01T00:00:00Z\n", `
3: 1 a/acme gpu.seconds 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)
5: 2 b/acme gpu.seconds 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)`},
		{"a filter of several texts", with(`where: node in a, "b c"`, `node: n`), "node,seconds,at\nb c,1,2026-01-01T00:00:00Z\nd,1,2026-01-01T00:00:00Z\n", `
2: 1 n/acme gpu.seconds 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)`},
		// Fails when a refused row gives its number to the next.
		{"a refused row keeps its number free and stops nothing", simple,
			"node,seconds,at\na,x,2026-01-01T00:00:00Z\na,1\na,1,2026-01-01T00:00:00Z\n", `
2: quantity bad_number: "x" is not a decimal number
3:  malformed: the row has 2 fields and the header 3
4: 3 a/acme gpu.seconds 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)`},
		{"several events a row, each refused on its own", with("meter: tokens", `events: [{meter: in}, {quantity: {column: out}, attributes: {kind: "{node}-{seconds}", none: "{empty}"}}]`),
			"node,seconds,out,at,empty\na,1,2,2026-01-01T00:00:00Z,\na,1,,2026-01-01T00:00:00Z,\n", `
2: 1 a/acme in 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)
2: 2 a/acme tokens 2 [2026-01-01T00:00:00, 2026-01-01T00:00:00) kind=a-1
3: 3 a/acme in 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)
3: quantity missing: the column "out" is empty`},
		{"an id that a column says", with(`id: "{job}"`), "job,node,seconds,at\nj1,a,1,2026-01-01T00:00:00Z\n,a,1,2026-01-01T00:00:00Z\n", `
2: j1 a/acme gpu.seconds 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)
3: id missing: is empty`},
		{"an id of a row with two events", with(`id: "{job}"`, `events: [{meter: in}, {meter: out}]`), "job,node,seconds,at\nj1,a,1,2026-01-01T00:00:00Z\n", `
2: j1/1 a/acme in 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)
2: j1/2 a/acme out 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)`},
		// The first 16 bytes of SHA-256 of 01 61 02 31 30: "a" and "10" with their lengths.
		{"an id that is the hash of columns", with(`id: {content: [node, seconds]}`), "seconds,node,at\n10,a,2026-01-01T00:00:00Z\n", `
2: ` + "850842188071f6238c9f2a95b8940a38" + ` a/acme gpu.seconds 10 [2026-01-01T00:00:00, 2026-01-01T00:00:00)`},
		{"a layout of one's own, in a zone", with(`end: {column: at, layout: "02.01.2006 15:04:05", zone: "+02:00"}`), "node,seconds,at\na,1,03.01.2026 01:00:00.000000001\n", `
2: 1 a/acme gpu.seconds 1 [2026-01-02T23:00:00.000000001, 2026-01-02T23:00:00.000000001)`},
		{"seconds since 1970 with decimals", with(`end: {column: at, layout: unix}`), "node,seconds,at\na,1,1662858720.123456789\na,1,1662858720.0\na,1,1.6628587200000000001e9\na,1,-1\na,1,1e11\n", `
2: 1 a/acme gpu.seconds 1 [2022-09-11T01:12:00.123456789, 2022-09-11T01:12:00.123456789)
3: 2 a/acme gpu.seconds 1 [2022-09-11T01:12:00, 2022-09-11T01:12:00)
4: end too_precise: "1.6628587200000000001e9" has a part of a nanosecond
5: end negative: "-1" is below zero
6: end bad_time: "1e11" is beyond 2262`},
		{"milliseconds since 1970", with(`end: {column: at, layout: unix_ms}`), "node,seconds,at\na,1,1662858720001.5\n", `
2: 1 a/acme gpu.seconds 1 [2022-09-11T01:12:00.0015, 2022-09-11T01:12:00.0015)`},
		// Fails when the duration is rounded down or to the nearest: the interval would be shorter than the usage.
		{"a start before an end goes down to the nanosecond", with("start: {before: end, column: seconds, unit: ms}"), "node,seconds,at\na,1.0000001,2026-01-01T00:00:00Z\na,1,2026-01-01T00:00:00Z\n", `
2: 1 a/acme gpu.seconds 1.0000001 [2025-12-31T23:59:59.998999999, 2026-01-01T00:00:00)
3: 2 a/acme gpu.seconds 1 [2025-12-31T23:59:59.999, 2026-01-01T00:00:00)`},
		{"an end after a start goes up to the nanosecond", with("start: {column: at}", "end: {after: start, column: seconds, unit: s}"), "node,seconds,at\na,1.0000000001,2026-01-01T00:00:00Z\n", `
2: 1 a/acme gpu.seconds 1.0000000001 [2026-01-01T00:00:00, 2026-01-01T00:00:01.000000001)`},
		{"times that cannot be", with("start: {column: from}"), "node,seconds,from,at\na,1,2026-01-02T00:00:00Z,2026-01-01T00:00:00Z\na,1,1969-12-31T23:59:59Z,2026-01-01T00:00:00Z\na,1,yesterday,2026-01-01T00:00:00Z\na,1,2026-01-01T00:00:00.0000000001Z,2026-01-01T00:00:00Z\na,1,2026-01-01T00:00:00.0000000000Z,2026-01-01T00:00:00Z\n", `
2: end bad_interval: is before start
3: start bad_time: "1969-12-31T23:59:59Z" is not between 1970 and 2262
4: start bad_time: "yesterday" is not of the form 2006-01-02T15:04:05.999999999Z07:00
5: start too_precise: "2026-01-01T00:00:00.0000000001Z" has a part of a nanosecond
6: 5 a/acme gpu.seconds 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)`},
		{"quantities that cannot be", simple, "node,seconds,at\na,-1,2026-01-01T00:00:00Z\na,1e-19,2026-01-01T00:00:00Z\na,1e30,2026-01-01T00:00:00Z\na,NaN,2026-01-01T00:00:00Z\n", `
2: quantity negative: "-1" is below zero
3: quantity too_precise: "1e-19" has more than 18 decimal places
4: quantity absurd: "1e30" does not fit 128 bits
5: quantity bad_number: "NaN" is not a decimal number`},
		{"names that cannot be", simple, "node,seconds,at\n,1,2026-01-01T00:00:00Z\na b,1,2026-01-01T00:00:00Z\n\xff,1,2026-01-01T00:00:00Z\n" + strings.Repeat("x", 129) + ",1,2026-01-01T00:00:00Z\n", `
2: node missing: is empty
3: node bad_text: name has the character U+0020
4: node bad_text: name is not UTF-8
5: node too_long: name has 129 bytes, more than 128`},
		{"quotes, line ends of two kinds, comments and empty lines", with("comment: \"#\"", "separator: \";\"", `node: {hash: [node], of: 1}`, "attributes: {said: \"{said}\"}"),
			"\uFEFFnode;said;seconds;at\r\n# a comment\r\n\r\na;\"b;\"\"c\"\"\";1;2026-01-01T00:00:00Z\r\n\"a\";d;\"1\";2026-01-01T00:00:00Z", `
4: 1 0/acme gpu.seconds 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00) said=b;"c"
5: 2 0/acme gpu.seconds 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00) said=d`},
		{"a quoted field over two lines is one row", with("where: said != x"), "node,said,seconds,at\na,\"two\nlines\",1,2026-01-01T00:00:00Z\nb,,1,2026-01-01T00:00:00Z\n", `
2: 1 a/acme gpu.seconds 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)
4: 2 b/acme gpu.seconds 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)`},
		// Fails when an unclosed quote swallows the rows after it.
		{"a quote that is never closed costs one row", simple, "node,seconds,at\n\"a,1,2026-01-01T00:00:00Z\nb,1,2026-01-01T00:00:00Z\nc,1,2026-01-01T00:00:00Z\n", `
2:  malformed: a quote is not closed, or text follows it
3: 2 b/acme gpu.seconds 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)
4: 3 c/acme gpu.seconds 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)`},
		{"a row that is too long costs one row", simple, "node,seconds,at\n" + strings.Repeat("a", MaxRow+1) + ",1,2026-01-01T00:00:00Z\nb,1,2026-01-01T00:00:00Z\n", `
2:  too_large: a row has at most 1048576 bytes
3: 2 b/acme gpu.seconds 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)`},
		{"a file without a header line", with("columns: [node, seconds, at]"), "a,1,2026-01-01T00:00:00Z\n", `
1: 1 a/acme gpu.seconds 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)`},
		{"JSON Lines, with nested members and numbers as they are written", with("format: jsonl", `quantity: {column: usage.seconds}`),
			"{\"node\": \"a\", \"usage\": {\"seconds\": 0.1000}, \"at\": \"2026-01-01T00:00:00Z\", \"list\": [1, {\"x\": 2}]}\n\n{\"usage\": {\"seconds\": \"2\"}, \"node\": true, \"at\": \"2026-01-01T00:00:00Z\"}\n", `
1: 1 a/acme gpu.seconds 0.1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)
3: 2 true/acme gpu.seconds 2 [2026-01-01T00:00:00, 2026-01-01T00:00:00)`},
		{"JSON that cannot be", with("format: jsonl"), "{\"node\": \"a\"\n[]\n{\"node\":\"a\",\"node\":\"b\"}\n{\"a\":{\"b\":1},\"a.b\":2}\n{} {}\n{\"node\":\"a\",\"seconds\":null,\"at\":\"2026-01-01T00:00:00Z\"}\n{\"\xff\":1}\n" + strings.Repeat(`{"a":`, 20) + "\n{\"a\":{\"b\":1},\"a\":{\"c\":2}}\n", `
1:  malformed: not JSON: the line ends too early
2:  malformed: should be one JSON object
3:  malformed: member "node" is given twice
4:  malformed: member "a.b" is given twice
5:  malformed: something follows the JSON object
6: quantity missing: the column "seconds" is empty
7:  bad_text: is not UTF-8
8:  malformed: objects are nested deeper than 16
9:  malformed: member "a" is given twice`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := transcript(t, c.document, "test.csv", c.file); got != strings.TrimPrefix(c.want, "\n")+"\n" {
				t.Errorf("got\n%s\nwant%s", got, c.want)
			}
		})
	}
}

func TestNamesOfHashesDifferByFieldAndStayAsTheyAre(t *testing.T) {
	// Fails when the hash, its bytes or its format change: the same file would
	// get other nodes when it is sent again.
	document := with(`node: {hash: [at, seconds], of: 1000, format: "gpu-%04d-x"}`, "customer: {hash: [at, seconds], of: 1000}")
	got := transcript(t, document, "test.csv", "seconds,at\n1,2026-01-01T00:00:00Z\n11,2026-01-01T00:00:00Z\n")
	want := `2: 1 gpu-0988-x/238 gpu.seconds 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)
3: 2 gpu-0828-x/741 gpu.seconds 11 [2026-01-01T00:00:00, 2026-01-01T00:00:00)
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestJSONRowsThatDifferOnlyInAnArrayAreTwo(t *testing.T) {
	document := with("format: jsonl", "id: content")
	got := transcript(t, document, "x", `{"node":"a","seconds":1,"at":"2026-01-01T00:00:00Z","gpus":["0"]}
{"node":"a","seconds":1,"at":"2026-01-01T00:00:00Z","gpus":["1"]}
{"gpus":["0"],"at":"2026-01-01T00:00:00Z","seconds":1,"node":"a"}
`)
	var ids []string
	for _, line := range strings.Split(strings.TrimSpace(got), "\n") {
		ids = append(ids, strings.Fields(line)[1])
	}
	if len(ids) != 3 || ids[0] == ids[1] || ids[0] != ids[2] {
		t.Errorf("got ids %v", ids)
	}
}

func TestAShiftMovesTheEarliestStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.csv")
	file := "node,seconds,at\na,1,2026-01-01T00:00:10Z\nb,5,2026-01-01T00:00:12Z\nc,1,2026-01-01T00:00:20Z\nc,1,1970-01-01T00:00:01Z\n"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	document := with("start: {before: end, column: seconds}", "where: at != 1970-01-01T00:00:01Z", "shift: {begin: 2023-03-10T12:00:00Z}", "source: \"x/{file}\"")
	m, err := Parse("map.yaml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// Fails when the first row's start (09) or the earliest end is moved there.
	want := `2: 1 a/acme gpu.seconds 1 [2023-03-10T12:00:02, 2023-03-10T12:00:03)
3: 2 b/acme gpu.seconds 5 [2023-03-10T12:00:00, 2023-03-10T12:00:05)
4: 3 c/acme gpu.seconds 1 [2023-03-10T12:00:12, 2023-03-10T12:00:13)
`
	if got := written(t, r); got != want || r.source != "x/trace.csv" || r.Bytes() != int64(len(file)) {
		t.Errorf("got\n%s of %s, %d bytes; want\n%s", got, r.source, r.Bytes(), want)
	}
}

func TestOpenSaysWhichColumnIsMissing(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"an empty file", "", "the file is empty"},
		{"a missing column", "node,at\n", `line 7 of the map names a column: test.csv: line 1: it has no column "seconds": its columns are node, at`},
		{"a column that is there twice", "node,seconds,at,seconds\n", `has two columns "seconds"`},
		{"a header that is no CSV", "\"node\n", "a quote is not closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Parse("map.yaml", []byte(simple))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.Read(strings.NewReader(c.file), "test.csv"); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	m, err := Parse("map.yaml", []byte(simple))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Open(filepath.Join(t.TempDir(), "none.csv"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestParseNamesLineAndFieldOfEveryProblem(t *testing.T) {
	for _, c := range []struct{ name, document, want string }{
		{"an empty map", "", "map.yaml:1:1: the map is empty"},
		{"unbalanced YAML", "source: {a", "map.yaml:1:1: not YAML: did not find expected"},
		{"two documents", simple + "---\nsource: b\n", "a second begins"},
		{"a list", "- a\n", "should be a mapping with"},
		{"a misspelt field", with("sorce: x"), "map.yaml:9:1: sorce: is not known here"},
		{"a field given twice", simple + "id: row\n", "id: is given twice"},
		{"an alias", with("attributes: &a {x: y}", "where: *a"), "where: aliases may not be used here"},
		{"a format that is none", with("format: xml"), "format: \"xml\" is neither csv nor json"},
		{"a separator of two", with("separator: \",,\""), "separator: \",,\" is not one character"},
		{"no id", strings.Replace(simple, "id: row", "", 1), "id: is missing"},
		{"an id that is the same in every row", with("id: job"), "id: should be row, content"},
		{"no source", strings.Replace(simple, "source: test", "", 1), "source: is missing"},
		{"a source with a column", with(`source: "{node}"`), "source: a source is one for the whole file"},
		{"a name that cannot be", with("customer: a b"), "customer: name has the character U+0020"},
		{"an unclosed brace", with(`node: "{node"`), "node: a brace is opened and no column named"},
		{"a closed brace", with(`node: "node}"`), "node: a brace is closed and none open"},
		{"a hash of nothing", with("node: {hash: [], of: 2}"), "node.hash: is an empty list"},
		{"a hash of how many", with("node: {hash: [node]}"), "node.of: is missing"},
		{"a hash of none", with("node: {hash: [node], of: 0}"), "node.of: should be a whole number from 1"},
		{"a format without a number", with("node: {hash: [node], of: 3, format: gpu}"), "node.format: should have one %d"},
		{"a format with a text", with(`node: {hash: [node], of: 3, format: "%s"}`), "node.format: should have one %d"},
		{"a text that is two things", with("node: {column: a, constant: b}"), "node: should be a text, {text: TEXT}, {column: NAME}"},
		{"no times", strings.Replace(simple, "end: {column: at, layout: rfc3339}", "", 1), "end: is missing"},
		{"times that rest on each other", with("start: {before: end, column: a}", "end: {after: start, column: a}"), "start and end each rest on the other"},
		{"a start before an end that is not there", strings.Replace(with("start: {before: end, column: a}"), "end: {column: at, layout: rfc3339}", "", 1), "start.before: should be end, and end be given"},
		{"a layout that loses the year", with("end: {column: at, layout: \"15:04\"}"), "end.layout: \"15:04\" is not rfc3339"},
		{"a unit that is none", with("start: {before: end, column: a, unit: days}"), "start.unit: should be one of"},
		{"a zone that is none", with("end: {column: at, zone: Berlin}"), "end.zone: should be UTC, an offset such as +02:00, or a name of the IANA database"},
		{"a shift that is no time", with("shift: {begin: soon}"), "shift.begin: \"soon\" is not a time"},
		{"declarations without a book", with("declare: {nodes: true}"), "declare: needs the field book"},
		{"an empty that is none", with("empty: yes"), "empty: should be allowed or refused"},
		{"an empty of a text that is none", with(`node: {text: "{a}-{b}", empty: no}`), "node.empty: should be allowed or refused"},
		{"an optional column that is not used", with("optional: [nod]"), `optional[0]: the map does not use a column "nod"`},
		{"a skip that is no number", with("skip: -1"), "skip: should be a number of lines"},
		{"marks that are one", with(`decimal: ","`, `thousands: ","`), "thousands: ',' is the decimal mark already"},
		{"a yes that is none", with("declare: {nodes: yes}", "book: b"), "declare.nodes: should be true or false"},
		{"a condition that is none", with("where: seconds>0"), "where[0]: \"seconds>0\" is not of the form"},
		{"no events", with("events: []"), "events: should be a list of 1 to 64 events"},
		{"an event without its meter", strings.Replace(with("events: [{node: a}]"), "meter: gpu.seconds\n", "", 1), "events[0].meter: is missing"},
		{"a quantity that is a list", with("quantity: [a]"), "quantity: should be a mapping"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("map.yaml", []byte(c.document))
			var problems document.Problems
			if !errors.As(err, &problems) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			for _, p := range problems {
				if p.Line < 1 || p.Column < 1 {
					t.Errorf("no position: %+v", p)
				}
			}
		})
	}
	_, err := Parse("map.yaml", []byte(with("separator: xx", "format: xml", "id: same")))
	var problems document.Problems
	if !errors.As(err, &problems) || len(problems) != 3 {
		t.Errorf("not all problems at once: %v", err)
	}
	if _, err := Parse("map.yaml", make([]byte, MaxMap+1)); err == nil {
		t.Error("a map of more than its limit was read")
	}
}

func TestTheManualsExampleIsAMap(t *testing.T) {
	manual, err := os.ReadFile(filepath.Join(root(t), "docs", "map-format.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(manual), "```yaml\n")
	if len(blocks) < 2 {
		t.Fatal("the manual has no example")
	}
	for _, b := range blocks[1:] {
		document, _, _ := strings.Cut(b, "```")
		if _, err := Parse("map.yaml", []byte(document)); err != nil {
			t.Errorf("%v in\n%s", err, document)
		}
	}
}

// FuzzParse: no map makes the compiler panic, and every refusal has a position.
func FuzzParse(f *testing.F) {
	f.Add([]byte(simple))
	f.Add([]byte(with("events: [{node: {hash: [a], of: 3, format: \"%03d\"}}]", "where: [a in b, c]")))
	f.Add([]byte(with("quantity: {product: [seconds, {difference: [end, start], unit: s}], scale: 1/3}", "start: {column: at, layout: \"2006-01-02 15:04:05\", zone: Europe/Berlin, round: 1ms}", "node: {column: node, slug: true, shorten: 24}")))
	f.Add([]byte(with("where: ['seconds > 1', '\"node\" not in \"a, b\", 3']", "optional: [node]", "empty: allowed")))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse("map.yaml", data)
		if err != nil {
			var problems document.Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("a problem without a place: %v", err)
			}
			return
		}
		if r, err := m.Read(strings.NewReader("node,seconds,at\na,1,2026-01-01T00:00:00Z\n"), "x.csv"); err == nil {
			drain(t, r)
		}
	})
}

// FuzzRows: no file makes a reader panic or stop early, every row is accounted
// for, and reading again gives the same.
func FuzzRows(f *testing.F) {
	f.Add(true, []byte("node,seconds,at\na,1,2026-01-01T00:00:00Z\n\"b\n,\",1,1\n\"c"))
	f.Add(false, []byte("{\"node\":\"a\",\"seconds\":1}\n{\n[]"))
	csvMap, err := Parse("map.yaml", []byte(with("where: node != x", "id: content", "events: [{meter: a}, {meter: b, start: {before: end, column: seconds}}]", "columns: [node, seconds, at]")))
	if err != nil {
		f.Fatal(err)
	}
	jsonMap := *csvMap
	jsonMap.file.Format = rowfile.JSON
	jsonMap.columns = slices.Clone(csvMap.columns)
	for i := range jsonMap.columns {
		jsonMap.columns[i].optional = true // Otherwise a file without one ends with an error.
	}
	f.Fuzz(func(t *testing.T, csv bool, file []byte) {
		m := &jsonMap
		if csv {
			m = csvMap
		}
		var texts [2]string
		for i := range texts {
			r, err := m.Read(strings.NewReader(string(file)), "x")
			if err != nil {
				t.Fatal(err)
			}
			texts[i] = drain(t, r)
			if n := r.Counts(); n.Events+n.Refused < n.Rows-n.Skipped || n.Events+n.Refused > 2*(n.Rows-n.Skipped) {
				t.Fatalf("not every row is accounted for: %+v", n)
			}
			if r.Bytes() != int64(len(file)) {
				t.Fatalf("read %d of %d bytes", r.Bytes(), len(file))
			}
		}
		if texts[0] != texts[1] {
			t.Fatalf("read twice: %s and %s", texts[0], texts[1])
		}
	})
}

func drain(t *testing.T, r *Reader) string {
	var b strings.Builder
	for {
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		if u := item.Usage; item.Refusal == nil && (u.Start < 0 || u.End < u.Start || u.Quantity.Sign() < 0 || events.CheckName(string(u.Node)) != nil) {
			t.Fatalf("an event that cannot be: %+v", u)
		}
		fmt.Fprintln(&b, item.Line, item.Usage, item.Refusal)
	}
}
