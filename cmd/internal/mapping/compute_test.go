package mapping

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/document"
)

// The commonest export of a GPU provider has GPUs, a start and an end, and no quantity.
func TestQuantitiesAreCalculatedExactly(t *testing.T) {
	const header = "node,gpus,milli,from,to,at,until\n"
	row := func(cells string) string { return header + cells + ",2026-01-01T00:00:00Z,2026-01-01T00:30:00Z\n" }
	times := []string{"start: {column: at}", "end: {column: until}"}
	for _, c := range []struct{ name, quantity, file, want string }{
		{"a product", "{product: [gpus, from]}", row("a,8,,12.5,0"), "100"},
		{"a product with the length of the event", "{product: [gpus, {difference: [end, start], unit: s}]}", row("a,8,,0,0"), "14400"},
		{"the length of the event in hours", "{difference: [end, start], unit: h}", row("a,8,,0,0"), "0.5"},
		{"a difference of two numbers", "{difference: [to, from]}", row("a,8,,1662858720.25,1662858721"), "0.75"},
		{"three factors and a scale, as in a published trace", "{product: [gpus, milli, {difference: [to, from]}], scale: 1/1000}", row("a,2,500,100,160.5"), "60.5"},
		{"a sum", "{sum: [gpus, from, to]}", row("a,1,,0.1,0.2"), "1.3"},
		{"a column and a scale", "{column: milli, scale: 0.001}", row("a,1,1500,0,0"), "1.5"},
		{"a constant", "{product: [{constant: 3}, gpus]}", row("a,2,,0,0"), "6"},
		{"a nested one with a scale of its own", "{difference: [{product: [gpus, to], scale: 3}, from]}", row("a,2,,1,10"), "59"},
		// 1/3 × 3 is 1: fractions are kept until the end.
		{"thirds that come to a whole", "{product: [{column: gpus, scale: 1/3}, {constant: 3}]}", row("a,1,,0,0"), "1"},
		{"all eighteen places", "{product: [from, to]}", row("a,1,,0.000000001,0.000000001"), "0.000000000000000001"},
		{"a result with more places", "{product: [from, to]}", row("a,1,,0.0000000001,0.000000001"), "quantity too_precise: the result 1/10000000000000000000 has more than 18 decimal places: a smaller unit may have fewer"},
		{"a result without an end", "{column: gpus, scale: 1/3}", row("a,1,,0,0"), "quantity too_precise: the result 1/3 has more than 18 decimal places: a smaller unit may have fewer"},
		{"a result below zero", "{difference: [from, to]}", row("a,1,,1,2"), `quantity negative: "-1" is below zero`},
		{"a result that is too large", "{product: [from, to]}", row("a,1,,1e15,1e15"), `quantity absurd: "1000000000000000000000000000000" does not fit 128 bits`},
		{"an empty factor", "{product: [gpus, milli]}", row("a,1,,1,2"), `quantity missing: the column "milli" is empty`},
		{"a factor that is no number", "{product: [gpus, milli]}", row("a,1,many,1,2"), `quantity bad_number: the column "milli": "many" is not a decimal number`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := transcript(t, with(append(times, "quantity: "+c.quantity)...), "x.csv", c.file)
			want := "2: " + c.want + "\n"
			if !strings.Contains(c.want, " ") {
				want = "2: 1 a/acme gpu.seconds " + c.want + " [2026-01-01T00:00:00, 2026-01-01T00:30:00)\n"
			}
			if got != want {
				t.Errorf("got %swant %s", got, want)
			}
		})
	}
	for _, c := range []struct{ name, quantity, want string }{
		{"one factor", "{product: [a]}", "quantity.product: should be a list of 2 to 16"},
		{"two kinds", "{product: [a, b], sum: [a, b]}", "quantity: should be one of column, constant, product, sum and difference"},
		{"a difference of three", "{difference: [a, b, c]}", "quantity.difference: should be a list of two"},
		{"a difference of columns with a unit", "{difference: [b, a], unit: s}", "quantity.difference: with a unit it is [end, start]"},
		{"the length backwards", "{difference: [start, end], unit: s}", "quantity.difference: with a unit it is [end, start]"},
		{"a unit that is none", "{difference: [end, start], unit: day}", "quantity.unit: should be one of ns"},
		{"a unit of a product", "{product: [a, b], unit: s}", "quantity.unit: is for a difference of times"},
		{"a scale of zero", "{column: a, scale: 0}", "quantity.scale: should be above zero"},
		{"a scale by zero", "{column: a, scale: 1/0}", "quantity.scale: should be a decimal number"},
		{"a scale that is a float's", "{column: a, scale: .inf}", "quantity.scale: should be a decimal number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Parse("map.yaml", []byte(with("quantity: "+c.quantity))); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// The file and the map of the page are used as they stand there.
func TestThePageOfFilesIsTrue(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root(t), "docs", "files.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string) string {
		_, after, found := strings.Cut(string(page), "```"+kind+"\n")
		text, _, closed := strings.Cut(after, "```")
		if !found || !closed {
			t.Fatalf("the page has no %s", kind)
		}
		return text
	}
	got := transcript(t, block("yaml"), "usage.csv", block("csv"))
	var events []string
	for _, line := range strings.Split(strings.TrimSpace(got), "\n") {
		fields := strings.Fields(line)
		events = append(events, strings.Join(append(fields[:1:1], fields[2:]...), " ")) // Without the hash.
	}
	want := []string{
		"2: h100-7/protein-gmbh gpu.seconds 43200 [2026-10-05T06:00:00, 2026-10-05T07:30:00)",
		"3: h100-7/conversation-lab gpu.seconds 1800 [2026-10-05T08:00:00, 2026-10-05T09:00:00)",
	}
	if !slices.Equal(events, want) {
		t.Errorf("got %q", events)
	}
}

func TestTimesAreRoundedWhereTheMapSaysTo(t *testing.T) {
	for _, c := range []struct{ name, end, cell, want string }{
		{"a float's seconds", "{column: at, layout: unix, round: 1ms}", "3973.0000000000005", "1970-01-01T01:06:13"},
		{"to the nearest", "{column: at, layout: unix, round: 1ms}", "1.0005001", "1970-01-01T00:00:01.001"},
		{"half, to the even one below", "{column: at, layout: unix, round: 1ms}", "1.0005", "1970-01-01T00:00:01"},
		{"half, to the even one above", "{column: at, layout: unix, round: 1ms}", "1.0015", "1970-01-01T00:00:01.002"},
		{"to a nanosecond", "{column: at, layout: unix_ms, round: 1ns}", "1.0000006", "1970-01-01T00:00:00.001000001"},
		{"to a minute", "{column: at, layout: unix, round: 1m}", "89.99", "1970-01-01T00:01:00"},
		{"of a layout", "{column: at, round: 1ms}", "2026-01-01T00:00:00.12349999999Z", "2026-01-01T00:00:00.123"},
		{"of a layout, beyond the ninth digit", "{column: at, round: 1us}", "2026-01-01T00:00:00.0000005000000001Z", "2026-01-01T00:00:00.000001"},
		{"of a layout, half", "{column: at, round: 1us}", "2026-01-01T00:00:00.0000005Z", "2026-01-01T00:00:00"},
		{"of a layout, to a nanosecond", "{column: at, round: 1ns}", "2026-01-01T00:00:00.0000000016Z", "2026-01-01T00:00:00.000000002"},
		{"of a layout, half a nanosecond", "{column: at, round: 1ns}", "2026-01-01T00:00:00.0000000025Z", "2026-01-01T00:00:00.000000002"},
		{"none", "{column: at, layout: unix}", "3973.0000000000005", `end too_precise: "3973.0000000000005" has a part of a nanosecond`},
		{"beyond the range", "{column: at, layout: unix, round: 1h}", "9223372036.8", `end bad_time: "9223372036.8" is beyond 2262`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := transcript(t, with("end: "+c.end), "x.csv", "node,seconds,at\na,1,"+c.cell+"\n")
			if c.want[0] == 'e' && got != "2: "+c.want+"\n" || c.want[0] != 'e' && !strings.HasSuffix(got, " ["+c.want+", "+c.want+")\n") {
				t.Errorf("got %s", got)
			}
		})
	}
	// The quantity stays what the file says; its interval is rounded.
	got := transcript(t, with("start: {before: end, column: seconds, round: 1ms}"), "x.csv", "node,seconds,at\na,3973.0000000000005,2026-01-01T02:00:00Z\n")
	if got != "2: 1 a/acme gpu.seconds 3973.0000000000005 [2026-01-01T00:53:47, 2026-01-01T02:00:00)\n" {
		t.Errorf("got %s", got)
	}
}

func TestADurationCanBeConstant(t *testing.T) {
	for _, c := range []struct{ name, duration, want string }{
		{"with its unit", "{after: start, constant: 1h}", "[2026-01-01T00:00:00, 2026-01-01T01:00:00)"},
		{"with a unit beside it", "{after: start, constant: 1.5, unit: m}", "[2026-01-01T00:00:00, 2026-01-01T00:01:30)"},
		{"of nothing", "{after: start, constant: 0s}", "[2026-01-01T00:00:00, 2026-01-01T00:00:00)"},
		{"without a unit", "{after: start, constant: 5}", "end.constant: should be a span of whole nanoseconds"},
		{"with two units", "{after: start, constant: 5m, unit: s}", "end.constant: should be a span"},
		{"of a part of a nanosecond", "{after: start, constant: 0.5ns}", "end.constant: should be a span"},
		{"below zero", "{after: start, constant: -5m}", "end.constant: should be a span"},
		{"beside a column", "{after: start, constant: 5m, column: seconds}", "end.constant: is given together with column"},
		{"of a time", "{constant: 5m, column: seconds}", "end.constant: is for a duration"},
		{"rounded to nothing", "{after: start, column: seconds, round: 0s}", "end.round: should be a span from 1ns to 1h"},
	} {
		t.Run(c.name, func(t *testing.T) {
			document := with("start: {column: at}", "end: "+c.duration)
			got := ""
			if _, err := Parse("map.yaml", []byte(document)); err != nil {
				got = err.Error()
			} else {
				got = transcript(t, document, "x.csv", "node,seconds,at\na,1,2026-01-01T00:00:00Z\n")
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestZonesWithDaylightSaving(t *testing.T) {
	const local = "layout: \"2006-01-02 15:04:05\""
	for _, c := range []struct{ name, end, cell, want string }{
		{"winter", local + ", zone: Europe/Berlin", "2026-01-15 12:00:00", "2026-01-15T11:00:00"},
		{"summer", local + ", zone: Europe/Berlin", "2026-07-15 12:00:00.5", "2026-07-15T10:00:00.5"},
		{"the last second before clocks go forward", local + ", zone: Europe/Berlin", "2026-03-29 01:59:59", "2026-03-29T00:59:59"},
		{"the first second after", local + ", zone: Europe/Berlin", "2026-03-29 03:00:00", "2026-03-29T01:00:00"},
		{"an hour that was skipped", local + ", zone: Europe/Berlin", "2026-03-29 02:30:00", `end bad_time: "2026-03-29 02:30:00" is a time that Europe/Berlin skipped, when clocks were put forward`},
		{"an hour that was skipped, which no choice makes", local + ", zone: Europe/Berlin, ambiguous: first", "2026-03-29 02:00:00", `end bad_time: "2026-03-29 02:00:00" is a time that Europe/Berlin skipped, when clocks were put forward`},
		{"before the hour that came twice", local + ", zone: Europe/Berlin", "2026-10-25 01:59:59", "2026-10-24T23:59:59"},
		{"an hour that came twice", local + ", zone: Europe/Berlin", "2026-10-25 02:30:00", "end bad_time: \"2026-10-25 02:30:00\" came twice in Europe/Berlin, when clocks were put back: the map can say `ambiguous: first` or `second`"},
		{"the first of them", local + ", zone: Europe/Berlin, ambiguous: first", "2026-10-25 02:30:00", "2026-10-25T00:30:00"},
		{"the second of them", local + ", zone: Europe/Berlin, ambiguous: second", "2026-10-25 02:30:00", "2026-10-25T01:30:00"},
		{"the end of it", local + ", zone: Europe/Berlin", "2026-10-25 03:00:00", "2026-10-25T02:00:00"},
		{"America, twice", local + ", zone: America/New_York", "2026-11-01 01:00:00", "end bad_time: \"2026-11-01 01:00:00\" came twice in America/New_York, when clocks were put back: the map can say `ambiguous: first` or `second`"},
		{"half an hour", local + ", zone: Australia/Lord_Howe, ambiguous: second", "2026-04-05 01:45:00", "2026-04-04T15:15:00"},
		{"a day that was skipped", local + ", zone: Pacific/Apia", "2011-12-30 12:00:00", `end bad_time: "2011-12-30 12:00:00" is a time that Pacific/Apia skipped, when clocks were put forward`},
		{"a time that says its offset", "layout: \"2006-01-02 15:04:05 -0700\", zone: Europe/Berlin", "2026-10-25 02:30:00 +0100", "2026-10-25T01:30:00"},
		{"an abbreviation that the zone knows", "layout: \"2006-01-02 15:04:05 MST\", zone: Europe/Berlin", "2026-10-25 02:30:00 CET", "2026-10-25T01:30:00"},
		{"UTC as an abbreviation", "layout: \"2006-01-02 15:04:05 MST\"", "2026-10-25 02:30:00 UTC", "2026-10-25T02:30:00"},
		// Package time reads it as UTC, five hours off.
		{"an abbreviation that nobody knows", "layout: \"2006-01-02 15:04:05 MST\"", "2026-01-25 02:30:00 EST", `end bad_time: "2026-01-25 02:30:00 EST": EST is not an abbreviation of the zone UTC`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := transcript(t, with("end: {column: at, "+c.end+"}"), "x.csv", "node,seconds,at\na,1,"+c.cell+"\n")
			if c.want[0] == 'e' && got != "2: "+c.want+"\n" || c.want[0] != 'e' && !strings.HasSuffix(got, " ["+c.want+", "+c.want+")\n") {
				t.Errorf("got %s", got)
			}
		})
	}
	for _, zone := range []string{"Local", "EST", "Europe/Atlantis", "../etc/passwd", "CET"} {
		if _, err := Parse("map.yaml", []byte(with("end: {column: at, zone: "+zone+"}"))); err == nil || !strings.Contains(err.Error(), "end.zone: should be") {
			t.Errorf("%s: got %v", zone, err)
		}
	}
	if _, err := Parse("map.yaml", []byte(with("end: {column: at, ambiguous: first}"))); err == nil || !strings.Contains(err.Error(), "end.ambiguous: is for a zone that puts its clocks back") {
		t.Errorf("got %v", err)
	}
	// Every hour of a year, one after the other: each instant is found, or its clock is one that came twice.
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	m := moment{kind: byLayout, zone: zone, layout: "2006-01-02 15:04:05", changes: true}
	twice := 0
	for at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() == 2026; at = at.Add(30 * time.Minute) {
		text := at.In(zone).Format(m.layout)
		read, err := time.ParseInLocation(m.layout, text, zone)
		if err != nil {
			t.Fatal(err)
		}
		got, wrong := m.resolve(read, text)
		if wrong != nil {
			twice++
		} else if !got.Equal(at) {
			t.Fatalf("%s is %s, not %s", text, got.UTC(), at)
		}
	}
	if twice != 4 {
		t.Errorf("%d clocks came twice", twice)
	}
}

func TestConditionsCompareNumbersAsNumbers(t *testing.T) {
	const rows = "kind,gpus,node,seconds,at\n"
	row := func(kind, gpus string) string { return kind + "," + gpus + ",a,1,2026-01-01T00:00:00Z\n" }
	for _, c := range []struct{ where, kept, skipped, refused string }{
		{"gpus > 8", "9,10,8.0000001,1e2", "8,8.0,7,-9", "many,"},
		{"gpus >= 8", "8,8.0,9", "7.9", "x"},
		{"gpus < 8", "7.9,-1", "8,8.0", "0x1"},
		{"gpus <= 8", "8,8.00,-1", "8.1,10", ""},
		{"gpus == 8", "8,8.0,08,8e0", "88,,many", ""},
		{"gpus != 8", "9,,many", "8,8.0", ""},
		{`gpus == "8"`, "8", "8.0,08", ""},
		{"gpus in 1, 2.0", "1,2,2.0", "3,", ""},
		{"gpus not in 1, 2", "3,", "1.0,2", ""},
		{"gpus == ", "", "0", ""},
		{`kind == "a, b"`, "-", "1", ""},
		{`"kind" in "a, b", c`, "-", "1", ""},
		{"gpus >= -1", "0,-1.0", "-2", ""},
	} {
		t.Run(c.where, func(t *testing.T) {
			document := with("where: ['" + c.where + "']")
			for _, group := range []struct{ cells, want string }{{c.kept, "kept"}, {c.skipped, "skipped"}, {c.refused, "refused"}} {
				if group.cells == "" && c.where != "gpus == " {
					continue
				}
				for _, cell := range strings.Split(group.cells, ",") {
					kind, gpus := "x", cell
					if cell == "-" {
						kind, gpus = `"a, b"`, "1"
					}
					if group.want == "refused" && len(group.cells) == 0 {
						continue
					}
					got := "kept"
					text := transcript(t, document, "x.csv", rows+row(kind, gpus))
					switch {
					case text == "":
						got = "skipped"
					case strings.HasPrefix(text, "2: where "):
						got = "refused"
					}
					if got != group.want {
						t.Errorf("%q is %s: %s", cell, got, text)
					}
				}
			}
		})
	}
	t.Run("in order: a filter before spares the comparison", func(t *testing.T) {
		if got := transcript(t, with(`where: ['gpus != ""', gpus > 0]`), "x.csv", rows+row("x", "")); got != "" {
			t.Errorf("got %s", got)
		}
	})
	for _, c := range []struct{ where, want string }{
		{"at > 2026-01-01", "> compares numbers, and \"2026-01-01\" is none"},
		{`gpus > "8"`, "> compares numbers"},
		{"> 8", "is not of the form"},
		{`"gpus > 8`, "is not of the form"},
		{`"gpus" x == 8`, "is not of the form"},
		{`gpus in "a, b`, "is not of the form"},
	} {
		if _, err := Parse("map.yaml", []byte(with("where: ['"+c.where+"']"))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", c.where, err)
		}
	}
}

func TestAnEventOfARowCanHaveAFilter(t *testing.T) {
	m, err := Parse("map.yaml", []byte(with(`events: [{meter: in, where: seconds > 0}, {meter: out, quantity: {column: out}, where: [out != 0, out > 0]}]`)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.Read(strings.NewReader("node,seconds,out,at\na,1,0,2026-01-01T00:00:00Z\na,0,2,2026-01-01T00:00:00Z\na,0,0.0,2026-01-01T00:00:00Z\na,0,x,2026-01-01T00:00:00Z\n"), "x.csv")
	if err != nil {
		t.Fatal(err)
	}
	// An event keeps the number of its place in the row, whatever is filtered beside it.
	want := `2: 1 a/acme in 1 [2026-01-01T00:00:00, 2026-01-01T00:00:00)
3: 4 a/acme out 2 [2026-01-01T00:00:00, 2026-01-01T00:00:00)
5: where bad_number: the column "out" is compared as a number: "x" is not a decimal number
`
	if got := written(t, r); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := r.Counts(); got != (Counts{Rows: 4, Skipped: 1, Events: 2, Refused: 1}) {
		t.Errorf("got %+v", got)
	}
}

func TestFunctionsMakeNamesOfTexts(t *testing.T) {
	long := "/subscriptions/1f2e3d4c/resourceGroups/research-and-development-eu/providers/Microsoft.MachineLearningServices/workspaces/ws-training/computes/h100-cluster-7"
	for _, c := range []struct{ name, node, cell, want string }{
		{"slug", "{column: name, slug: true}", "Conversation log", "conversation-log"},
		{"slug of what is at the ends and between", "{column: name, slug: true}", "  GPU (H100)/ Zürich_1.2 !", "gpu-h100-zürich_1.2"},
		{"trim", "{text: \"{name}\", trim: true}", "\"\u00a0a\u00a0\"", "a"},
		{"lower", "{column: name, lower: true}", "LAB-7", "lab-7"},
		{"replace", `{column: name, replace: {" ": "_", "/": "."}}`, "a b/c", "a_b.c"},
		{"replace before lower", `{column: name, lower: true, replace: {"LAB": ""}}`, "LABx", "x"},
		{"shorten what is short", "{column: name, shorten: 64}", "lab", "lab"},
		{"shorten", "{column: name, shorten: 64}", long, long[:47] + "-"},
		{"shorten a template", `{text: "gpu-{name}", slug: true, shorten: 24}`, long, "gpu-sub-"},
		{"shorten between characters", "{column: name, shorten: 24}", strings.Repeat("é", 20), "ééé-"},
		{"nothing that is left", "{column: name, slug: true}", "!!!", "node missing: is empty"},
		{"a constant", "{constant: Main Node, slug: true}", "x", "main-node"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := transcript(t, with("node: "+c.node), "x.csv", "name,seconds,at\n"+c.cell+",1,2026-01-01T00:00:00Z\n")
			want := "2: 1 " + c.want + "/acme gpu.seconds 1 "
			switch {
			case strings.HasPrefix(c.want, "node "):
				want = "2: " + c.want
			case strings.HasSuffix(c.want, "-"): // Hashes are compared below.
				want = "2: 1 " + c.want
			}
			if !strings.HasPrefix(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	if len(long) < 150 {
		t.Fatal("it is not long")
	}
	// What begins alike stays two, is as long as was said, and is the same each time.
	a, b := shorten(long+"1", 64), shorten(long+"2", 64)
	if a == b || len(a) != 64 || a != shorten(long+"1", 64) || shorten("abc"+strings.Repeat("x", 61), 64) != "abc"+strings.Repeat("x", 61) {
		t.Errorf("%s and %s", a, b)
	}
	// printf 'abcdefghijklmnopqrstuvwxyz' | sha256sum
	if got := shorten("abcdefghijklmnopqrstuvwxyz", 24); got != "abcdefg-71c480df93d6ae2f" {
		t.Errorf("got %s", got)
	}
	for _, c := range []struct{ node, want string }{
		{"{column: name, shorten: 8}", "node.shorten: should be a number of bytes from 24 to 128"},
		{"{column: name, slug: maybe}", "node.slug: should be true or false"},
		{"{column: name, replace: [a]}", "node.replace: should be a mapping"},
		{`{column: name, replace: {"": a}}`, "node.replace: an empty text cannot be replaced"},
		{"{hash: [name], of: 3, lower: true}", "node.lower: says nothing about a hash"},
		{"{column: name, upper: true}", "node.upper: is not known here"},
	} {
		_, err := Parse("map.yaml", []byte(with("node: "+c.node)))
		var problems document.Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", c.node, err)
		}
	}
}
