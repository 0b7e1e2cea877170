package export

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// ReadText reverses what a report's CSV does to a text beyond the quoting of RFC
// 4180, which the CSV reader has already removed.
func ReadText(s string) string {
	if s != "" && s[0] == '\'' {
		s = s[1:]
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 >= len(s) {
			b = append(b, s[i])
			continue
		}
		if s[i+1] == 'x' && i+3 < len(s) {
			b = append(b, unhex(s[i+2])<<4|unhex(s[i+3]))
			i += 3
			continue
		}
		b = append(b, s[i+1])
		i++
	}
	return string(b)
}

func unhex(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

// hostile are texts that a parser or a spreadsheet may misinterpret.
var hostile = []string{
	"", "plain", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'quoted", "''", "a,b", `say "x"`, `"`, `""`, "two\nlines", "two\r\nlines",
	"\x00", "a\x00b", "\x01\x1f\x7f", `back\slash`, `\x00`, `\\`, "\xff\xfe", "é", "日本", "=cmd|' /C calc'!A0", " lead", "trail ", "\u2028", "a\u009b2K", "\u202e001", "\u2066x\u2069", "a\u200bb", "\u0085", "\U000e0041", "-", "\\", "'=", "x\\",
}

// written returns the CSV of one text beside a plain one.
func written(t testing.TB, s string) []byte {
	t.Helper()
	var out bytes.Buffer
	table, err := newTable(&out, "test", []Column{{"a", Text, true}, {"b", Text, true}}, CSV)
	if err != nil {
		t.Fatal(err)
	}
	if err := table.row(text(s), text("end")); err != nil {
		t.Fatal(err)
	}
	if err := table.sink.close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func checkText(t testing.TB, s string) {
	t.Helper()
	data := written(t, s)
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		t.Fatalf("%q: %q is no text", s, data)
	}
	all, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil || len(all) != 2 || len(all[1]) != 2 || all[1][1] != "end" {
		t.Fatalf("%q: %q is read as %q, %v", s, data, all, err)
	}
	for _, r := range string(data) {
		if !unicode.IsPrint(r) && !strings.ContainsRune("\t\r\n", r) {
			t.Errorf("%q: %U is in the file as it is", s, r)
		}
	}
	got := all[1][0]
	if got != "" && strings.ContainsRune("=+-@\t\r\n", rune(got[0])) {
		t.Errorf("%q: a spreadsheet computes %q", s, got)
	}
	// The CSV reader turns a carriage return with a line feed into a line feed.
	if want := strings.ReplaceAll(s, "\r\n", "\n"); ReadText(got) != want {
		t.Errorf("%q comes back as %q", s, ReadText(got))
	}
}

func TestHostileTextIsTextInCSV(t *testing.T) {
	for _, s := range hostile {
		checkText(t, s)
	}
}

func FuzzText(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkText(t, s) })
}

func TestNullAndEmptyAreApart(t *testing.T) {
	for format, want := range map[Format]string{
		CSV:  "a,b\n,\"\"\n",
		JSON: "[\n{\"a\":null,\"b\":\"\"}\n]\n",
	} {
		var out bytes.Buffer
		table, err := newTable(&out, "test", []Column{{"a", Text, true}, {"b", Text, true}}, format)
		if err != nil {
			t.Fatal(err)
		}
		if err := table.row(cell{}, text("")); err != nil {
			t.Fatal(err)
		}
		if err := table.sink.close(); err != nil || out.String() != want {
			t.Errorf("%s: %q, %v; want %q", format, out.String(), err, want)
		}
	}
}

func TestHostileTextIsTextInJSON(t *testing.T) {
	for _, s := range hostile {
		var out bytes.Buffer
		table, err := newTable(&out, "test", []Column{{"a", Text, true}}, JSON)
		if err != nil {
			t.Fatal(err)
		}
		if err := table.row(text(s)); err != nil {
			t.Fatal(err)
		}
		if err := table.sink.close(); err != nil {
			t.Fatal(err)
		}
		var got []map[string]string
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got) != 1 || got[0]["a"] != strings.ToValidUTF8(s, "\uFFFD") && utf8.ValidString(s) {
			t.Errorf("%q: %q is read as %q, %v", s, out.String(), got, err)
		}
	}
}

func TestARowThatIsNotOfItsColumnsEndsTheReport(t *testing.T) {
	columns := []Column{{"a", Text, false}, {"b", Count, true}}
	for name, cells := range map[string][]cell{
		"too few":                {text("x")},
		"too many":               {text("x"), cell{}, cell{}},
		"null where none may be": {cell{}, cell{}},
		"another type":           {text("x"), text("1")},
	} {
		table, err := newTable(&bytes.Buffer{}, "test", columns, CSV)
		if err != nil {
			t.Fatal(err)
		}
		if err := table.row(cells...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
