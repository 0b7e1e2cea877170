package rowfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// transcript returns everything read as lines that a person can check: the
// columns, then each row as LINE: NAME=TEXT …, or its error.
func transcript(file string, o Options) string {
	r, err := New(strings.NewReader(file), o)
	if err != nil {
		return "refused: " + err.Error()
	}
	defer r.Close()
	var b strings.Builder
	for {
		row, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return strings.TrimSuffix(b.String(), "\n")
		case OfRow(err):
			fmt.Fprintln(&b, err)
			continue
		case err != nil:
			return b.String() + "ended: " + err.Error()
		}
		fmt.Fprintf(&b, "%d:", row.Line())
		row.All(func(name, text string) { fmt.Fprintf(&b, " %s=%q", name, text) })
		b.WriteByte('\n')
	}
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func zstandard(s string) string {
	w, _ := zstd.NewWriter(nil)
	return string(w.EncodeAll([]byte(s), nil))
}

func inUTF16(s string, mark, big bool) string {
	units := utf16.Encode([]rune(s))
	if mark {
		units = append([]uint16{0xfeff}, units...)
	}
	var b []byte
	for _, u := range units {
		if big {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return string(b)
}

func TestFilesAsPeopleHaveThem(t *testing.T) {
	const ab = "1: a=\"1\" b=\"2\"\n2: a=\"3\" b=\"4\""
	const twoRows = "2: a=\"1\" b=\"2\"\n3: a=\"3\" b=\"4\""
	for _, c := range []struct {
		name, file string
		o          Options
		want       string
	}{
		{"plain CSV", "a,b\n1,2\n3,4\n", Options{}, twoRows},
		{"without a line end at the end", "a,b\n1,2\n3,4", Options{}, twoRows},
		{"a byte order mark", "\uFEFFa,b\n1,2\n3,4\n", Options{}, twoRows},
		{"CRLF", "a,b\r\n1,2\r\n3,4\r\n", Options{}, twoRows},
		{"semicolons", "a;b\n1;2\n3;4\n", Options{}, twoRows},
		{"tabs", "a\tb\n1\t2\n3\t4\n", Options{}, twoRows},
		{"bars", "a|b\n1|2\n3|4\n", Options{}, twoRows},
		{"semicolons with a comma in a name", "\"a\";b (1,000)\n1;2,5\n", Options{}, `2: a="1" b (1,000)="2,5"`},
		{"a quoted header does not count for the separator", "\"a;b;c\",d\n1,2\n", Options{}, `2: a;b;c="1" d="2"`},
		{"one column", "a\n1\n", Options{}, `2: a="1"`},
		{"a separator by option", "a,x:b\n1,1:2\n", Options{Separator: ':'}, `2: a,x="1,1" b="2"`},
		{"Excel's own first line", "sep=;\r\na;b\r\n1;2\r\n3;4\r\n", Options{}, "3: a=\"1\" b=\"2\"\n4: a=\"3\" b=\"4\""},
		{"an empty first name in a tabbed file", "\tb\n1\t2\n", Options{}, `2: ="1" b="2"`},
		{"spaces around fields", " a , b\t\n 1 ,2 \n\"3 \" , \"4\" \n", Options{}, "2: a=\"1\" b=\"2\"\n3: a=\"3 \" b=\"4\""},
		{"quotes in quotes, separators and line breaks", "a,b\n\"x,\"\"y\"\"\",\"two\r\nlines\"\n3,4\n", Options{}, "2: a=\"x,\\\"y\\\"\" b=\"two\\nlines\"\n4: a=\"3\" b=\"4\""},
		{"empty lines and comments", "# made by x\n\na,b\n#1,1\n1,2\n\n3,4\n", Options{Comment: '#'}, "5: a=\"1\" b=\"2\"\n7: a=\"3\" b=\"4\""},
		{"lines to skip", "Report of 2026\nfor, acme\na,b\n1,2\n3,4\n", Options{Skip: 2}, "4: a=\"1\" b=\"2\"\n5: a=\"3\" b=\"4\""},
		{"columns by option", "1,2\n3,4\n", Options{Columns: []string{"a", "b"}}, ab},
		{"columns by option and decimal commas", "1,5;2,5\n", Options{Columns: []string{"a", "b"}, Decimal: ','}, `1: a="1,5" b="2,5"`},
		{"columns by option and as many commas in numbers", "1,5;2,5;3,5\n", Options{Columns: []string{"a", "b", "c"}}, `1: a="1,5" b="2,5" c="3,5"`},
		{"gzip", gzipped("\uFEFFa;b\n1;2\n3;4\n"), Options{}, twoRows},
		{"gzip in two parts", gzipped("a,b\n1,") + gzipped("2\n3,4\n"), Options{}, twoRows},
		{"zstd", zstandard("a,b\n1,2\n3,4\n"), Options{}, twoRows},
		{"JSON Lines", "{\"a\":1,\"b\":2}\n{\"a\":3,\"b\":4}\n", Options{}, ab},
		{"JSON Lines with a mark, CRLF and empty lines", "\uFEFF\r\n{\"a\":1,\"b\":2}\r\n\r\n{\"a\":3,\"b\":4}", Options{}, "2: a=\"1\" b=\"2\"\n4: a=\"3\" b=\"4\""},
		{"JSON Lines in zstd", zstandard("{\"a\":1,\"b\":2}\n{\"a\":3,\"b\":4}\n"), Options{}, ab},
		{"a JSON array", "[\n {\"a\": 1, \"b\": 2},\n {\"a\": 3,\n  \"b\": 4}\n]\n", Options{}, twoRows},
		{"a JSON array on one line", `[{"a":1,"b":2},{"a":3,"b":4}]`, Options{}, "1: a=\"1\" b=\"2\"\n1: a=\"3\" b=\"4\""},
		{"an empty JSON array", " [ ] \n", Options{}, ""},
		{"brackets and quotes in the texts of an array", `[{"a":"]},\"{"},{"a":"\\"}]`, Options{}, "1: a=\"]},\\\"{\"\n1: a=\"\\\\\""},
		{"large and long numbers are texts", `{"a":123456789012345678901234567890,"b":0.10000000000000000000001,"c":1e400}`, Options{},
			`1: a="123456789012345678901234567890" b="0.10000000000000000000001" c="1e400"`},
		{"nested members, null, booleans and arrays", `{"a":{"b":{"c":1}},"n":null,"t":true,"l":[1,{"x":"y"}]}`, Options{},
			`1: a.b.c="1" n="" t="true" l="[1 { \"x\" \"y\" } ] "`},
		{"a name decides before the first character", "{x},b\n1,2\n", Options{Name: "f.csv.gz"}, `2: {x}="1" b="2"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := transcript(c.file, c.o); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestWhatIsWrongIsNamedWithItsFileAndLine(t *testing.T) {
	long := strings.Repeat("x", MaxRow+1)
	for _, c := range []struct {
		name, file string
		o          Options
		want       string
	}{
		{"an empty file", "", Options{}, "refused: f: the file is empty: a header line was expected"},
		{"only a mark", "\uFEFF\n\n", Options{}, "refused: f: the file is empty: a header line was expected"},
		{"an empty JSON file", " \n", Options{Format: JSON}, "refused: f: the file is empty"},
		{"a short row and a long one", "a,b\n1\n1,2\n1,2,3\n", Options{}, "f: line 2: the row has 1 fields and the header 2\n3: a=\"1\" b=\"2\"\nf: line 4: the row has 3 fields and the header 2"},
		// Fails when an unclosed quote also consumes the rows after it.
		{"a quote that is never closed", "a,b\n\"1,2\n3,4\n", Options{}, "f: line 2: a quote is not closed, or text follows it\n3: a=\"3\" b=\"4\""},
		{"text behind a quote", "a,b\n\"1\"x,2\n3,4\n", Options{}, "f: line 2: a quote is not closed, or text follows it\n3: a=\"3\" b=\"4\""},
		{"a row that is too long", "a,b\n" + long + "\n3,4\n", Options{}, "f: line 2: a row has at most 1048576 bytes\n3: a=\"3\" b=\"4\""},
		{"an element that is too long", `[{"a":"` + long + `"},{"a":1}]`, Options{}, "f: line 1: a row has at most 1048576 bytes\n1: a=\"1\""},
		{"a header that is too long", long + "\n1\n", Options{}, "refused: f: line 1: a row has at most 1048576 bytes"},
		{"a header with an open quote", "\"a\n", Options{}, "refused: f: line 1: the header line: a quote is not closed, or text follows it"},
		{"lines that end with CR alone", "a,b\r1,2\r", Options{}, "refused: f: line 1: its lines end with a carriage return only: save it with line feeds"},
		{"fewer lines than are skipped", "a\n", Options{Skip: 2}, "refused: f: the file has 1 lines, and 2 were to be skipped"},
		{"a member twice", "{\"a\":1,\"a\":2}\n{\"a\":1}\n", Options{}, "f: line 1: member \"a\" is given twice\n2: a=\"1\""},
		{"a member twice by its path", `{"a":{"b":1},"a.b":2}`, Options{}, "f: line 1: member \"a.b\" is given twice"},
		{"a nested member twice", `{"a":{"b":1,"b":1}}`, Options{}, "f: line 1: member \"a.b\" is given twice"},
		{"a line that is no object", "{\"a\":1}\n7\n[]\n{\"a\":2} x\n", Options{}, "1: a=\"1\"\nf: line 2: should be one JSON object\nf: line 3: should be one JSON object\nf: line 4: something follows the JSON object"},
		{"a line that is no UTF-8", "{\"a\":\"\xff\"}\n", Options{}, "f: line 1: is not UTF-8"},
		{"an element that is no object", "[7,{\"a\":1}]", Options{}, "f: line 1: should be one JSON object\n1: a=\"1\""},
		{"an element with a fault in it", "[\n{\"a\":1,},\n{\"a\":1}]", Options{}, "f: line 2: not JSON: invalid character '}' looking for beginning of object key string\n3: a=\"1\""},
		{"an array that is not closed", "[{\"a\":1},\n{\"a\":2}", Options{}, "1: a=\"1\"\nended: f: line 2: the array is not closed: the file ends too early"},
		{"an array without a comma", "[{\"a\":1}\n{\"a\":2}]", Options{}, "f: line 1: something follows the JSON object"},
		{"an array with a comma too many", "[{\"a\":1},]", Options{}, "1: a=\"1\"\nended: f: line 1: there is a comma before the end of the array"},
		{"text behind an array", "[{\"a\":1}]\n[]", Options{}, "1: a=\"1\"\nended: f: line 2: something follows the array"},
		{"UTF-16 with a mark", inUTF16("a,b\n1,2\n", true, false), Options{}, "refused: f: the file is UTF-16 (little endian), and has to be UTF-8: save it as \"CSV UTF-8\""},
		{"UTF-16, big endian", inUTF16("a,b\n1,2\n", true, true), Options{}, "refused: f: the file is UTF-16 (big endian), and has to be UTF-8: save it as \"CSV UTF-8\""},
		{"UTF-16 without a mark", inUTF16("a,b\n1,2\n", false, false), Options{}, "refused: f: the file is UTF-16 (little endian), and has to be UTF-8"},
		{"UTF-16 in gzip", gzipped(inUTF16("a,b\n1,2\n", false, true)), Options{}, "refused: f: the file is UTF-16 (big endian), and has to be UTF-8"},
		{"a workbook", "PK\x03\x04rest", Options{}, "refused: f: the file is a ZIP archive or a workbook (.xlsx): unpack it, or save the sheet as CSV"},
		{"Parquet", "PAR1....", Options{}, "refused: f: the file is a Parquet file: export it as CSV or JSON Lines"},
		{"zero bytes", "a\x00,b\n", Options{}, "refused: f: the file is not text: it begins with zero bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Name = "f"
			got := transcript(c.file, c.o)
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestAFileCutInTheMiddleIsNoEnd(t *testing.T) {
	// Fails when the end of the compressed bytes counts as the end of the rows.
	file := "a,b\n" + strings.Repeat("1,2\n", 1000)
	for name, packed := range map[string]string{"gzip": gzipped(file), "zstd": zstandard(file)} {
		if got := transcript(packed[:len(packed)-6], Options{Name: "f"}); !strings.Contains(got, "reading "+name+": ") || !(strings.Contains(got, "ended: f: line ") || strings.HasPrefix(got, "refused: f")) {
			t.Errorf("%s: got %.80s … %.200s", name, got, got[max(0, len(got)-200):])
		}
	}
}

func TestColumnsAreAskedForByName(t *testing.T) {
	open := func(file string, o Options) *Reader {
		o.Name = "f"
		r, err := New(strings.NewReader(file), o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	const csv = "\nHolderAddress,Balance,balance,Note\n0x1,\"1,234.5\",2,\n"
	for _, c := range []struct {
		name string
		ask  func(*Reader) (Column, error)
		file string
		want string // name of the column, or error
	}{
		{"an exact name", func(r *Reader) (Column, error) { return r.Column("Balance") }, csv, "Balance"},
		{"another case is another name", func(r *Reader) (Column, error) { return r.Column("note") }, csv, `f: line 2: it has no column "note": its columns are HolderAddress, Balance, balance, Note`},
		{"a name that is there twice", func(r *Reader) (Column, error) { return r.Column("a") }, "a,a\n", `f: line 1: it has two columns "a"`},
		{"one of several names", func(r *Reader) (Column, error) { return r.Find("holder", "holder", "HOLDERADDRESS") }, csv, "HolderAddress"},
		{"none of several names", func(r *Reader) (Column, error) { return r.Find("holder", "holder", "wallet") }, csv, "f: line 2: no column is called holder or wallet, as the holder would be: its columns are HolderAddress, Balance, balance, Note"},
		{"two of several names", func(r *Reader) (Column, error) { return r.Find("units", "balance") }, csv, `f: line 2: the columns "Balance" and "balance" could both be the units: say which`},
		{"a member of the first row", func(r *Reader) (Column, error) { return r.Find("units", "BALANCE") }, "\n{\"holder\":\"a\",\"balance\":1}\n", "balance"},
		{"no member of the first row", func(r *Reader) (Column, error) { return r.Find("units", "units") }, "\n{\"holder\":\"a\",\"balance\":1}\n", "f: line 2: no column is called units, as the units would be: its columns are holder, balance"},
		{"a first row that is faulty", func(r *Reader) (Column, error) { return r.Find("units", "units") }, "{\"units\":1\n", "f: line 1: not JSON: the line ends too early"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := open(c.file, Options{})
			column, err := c.ask(r)
			got := r.ColumnName(column)
			if err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}

	r := open("{\"a\":\"\",\"n\":null}\n{\"b\":1}\n", Options{})
	a, _ := r.Column("a")
	b, _ := r.Column("b")
	n, _ := r.Column("n")
	if _, err := r.Column("c"); err != nil {
		t.Fatal(err)
	}
	cells := func(w *Row) string {
		var s []string
		for _, c := range []Column{a, b, n, None} {
			text, there := w.Cell(c)
			s = append(s, fmt.Sprint(text, there))
		}
		return strings.Join(s, " ")
	}
	first, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	// Fails when absent and empty are the same.
	if got := cells(first); got != "true false true false" || fmt.Sprint(r.Unseen()) != "[b c]" {
		t.Errorf("the first row has %s, and unseen are %v", got, r.Unseen())
	}
	second, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if got := cells(second); got != "false 1true false false" || fmt.Sprint(r.Unseen()) != "[c]" {
		t.Errorf("the second row has %s, and unseen are %v", got, r.Unseen())
	}
	if text, there := second.Named("b"); text != "1" || !there {
		t.Errorf("by its name: %q %t", text, there)
	}
	if err := second.Errorf(b, "is odd"); err.Error() != "f: line 2: b: is odd" || !OfRow(err) {
		t.Errorf("an error of a cell: %v", err)
	}
}

func TestNumbersByTheirMarks(t *testing.T) {
	for _, c := range []struct {
		name      string
		decimal   byte
		thousands rune
		text      string
		want      string // or a part of the error
	}{
		{"plain", 0, 0, "1234.5", "1234.5"},
		{"a comma that nobody explained", 0, 0, "1,5", "say whether it is the decimal mark"},
		{"thousands", 0, ',', "1,234,567.8901", "1234567.8901"},
		{"thousands, negative", 0, ',', "-1,234.5", "-1234.5"},
		{"thousands, none needed", 0, ',', "12.5", "12.5"},
		{"thousands, left out", 0, ',', "1234567.5", "1234567.5"},
		{"thousands with an exponent", 0, ',', "1,234e3", "1234e3"},
		{"a decimal comma", ',', 0, "1234,5", "1234.5"},
		{"a decimal comma and points", ',', '.', "1.234.567,5", "1234567.5"},
		{"no-break spaces", ',', ' ', "1\u00a0234\u202f567 890,5", "1234567890.5"},
		{"apostrophes", 0, '\'', "1'234.5", "1234.5"},
		// Each of these would be another number if the marks were exchanged.
		{"a decimal comma read as thousands", 0, ',', "1,5", "not of three"},
		{"a long group", 0, ',', "1234,567", "not of three"},
		{"a short group", 0, ',', "1,23,456", "not of three"},
		{"a group that is empty", 0, ',', ",123", "not of three"},
		{"thousands behind the mark", 0, ',', "1.234,567", "after its decimal mark"},
		{"a point where the mark is a comma", ',', 0, "1.5", "is not a number with the decimal mark"},
		{"two marks", ',', '.', "1,5,5", "after its decimal mark"},
		{"a text", 0, ',', "many", "is not a number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := New(strings.NewReader("q|x\n\""+c.text+"\"|1\n"), Options{Name: "f", Decimal: c.decimal, Thousands: c.thousands})
			if err != nil {
				t.Fatal(err)
			}
			q, err := r.Column("q")
			if err != nil {
				t.Fatal(err)
			}
			row, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			got, err := row.Number(q)
			if err != nil {
				if got = err.Error(); !strings.HasPrefix(got, "f: line 2: q: ") {
					t.Errorf("an error without its place: %s", got)
				}
			}
			if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestFlagsSayWhatIsWrongWithThem(t *testing.T) {
	o, err := (&Flags{Format: "tsv", Separator: "tab", Comment: "#", Skip: 2, Decimal: "comma", Thousands: "point"}).Options("f")
	if err != nil || o.Format != CSV || o.Separator != '\t' || o.Comment != '#' || o.Skip != 2 || o.Decimal != ',' || o.Thousands != '.' || o.Name != "f" {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, c := range []struct {
		flags Flags
		want  string
	}{
		{Flags{Format: "xml"}, `format: "xml" is neither csv nor json`},
		{Flags{Separator: ",,"}, `separator: ",," is not one character`},
		{Flags{Separator: `"`}, "separator: must be one ASCII character other than a quote"},
		{Flags{Comment: "§"}, `comment: "§" is not an ASCII character`},
		{Flags{Decimal: ";"}, "decimal: must be . or ,"},
		{Flags{Thousands: "."}, "thousands: '.' is already the decimal mark"},
		{Flags{Thousands: "x"}, "thousands: must be one of"},
		{Flags{Skip: -1}, "skip: -1 is below zero"},
		{Flags{Columns: []string{"a", "a"}}, `columns: "a" is named twice`},
	} {
		if _, err := c.flags.Options("f"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %s", c.flags, err, c.want)
		}
	}
}

func TestARowAsItIsInTheFile(t *testing.T) {
	for _, c := range []struct{ name, file, head, want string }{
		{"CSV with a field over two lines", "a , b\r\n1, \"x\r\ny\" \r\n\"3\n4,5\n", "a , b", "1, \"x\ny\" |\"3|4,5"},
		{"JSON Lines", "{ \"a\" : 1}\n{\"a\":\n", "", "{ \"a\" : 1}|{\"a\":"},
		{"a JSON array", "[ { \"a\" :\n 1} , 7 ]", "", "{ \"a\" :\n 1}|7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := New(strings.NewReader(c.file), Options{})
			if err != nil {
				t.Fatal(err)
			}
			var raws []string
			for {
				row, err := r.Next()
				if row == nil {
					if !errors.Is(err, io.EOF) {
						t.Fatal(err)
					}
					break
				}
				raws = append(raws, row.Raw())
			}
			if got := strings.Join(raws, "|"); got != c.want || r.Head() != c.head {
				t.Errorf("got %q under %q", got, r.Head())
			}
		})
	}
}

func TestBytesAreThoseOfTheFile(t *testing.T) {
	file := gzipped("a,b\n" + strings.Repeat("1,2\n", 100_000))
	path := filepath.Join(t.TempDir(), "x.csv.gz")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for {
		if _, err := r.Next(); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			break
		}
		rows++
	}
	if rows != 100_000 || r.Bytes() != int64(len(file)) || r.Name() != "x.csv.gz" {
		t.Errorf("%s: %d rows of %d bytes", r.Name(), rows, r.Bytes())
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// FuzzRows: no file makes a reader panic or run endlessly, every row is returned
// once and in order, and reading again gives the same result.
func FuzzRows(f *testing.F) {
	f.Add([]byte("a,b\n1,2\n\"b\n,\",1\n\"c"), byte(0))
	f.Add([]byte("[{\"a\":1},{\n]}"), byte(0))
	f.Add([]byte(gzipped("a;b\n1;2\n")), byte(1))
	f.Add([]byte("{\"a\":{\"b\":[1,2]}}\n{"), byte(2))
	f.Fuzz(func(t *testing.T, file []byte, format byte) {
		o := Options{Format: Format(format % 3), Comment: '#'}
		first := transcript(string(file), o)
		if second := transcript(string(file), o); second != first {
			t.Fatalf("read twice: %s and %s", first, second)
		}
		r, err := New(bytes.NewReader(file), o)
		if err != nil {
			return
		}
		line := 0
		for {
			row, err := r.Next()
			if row == nil {
				if err == nil {
					t.Fatal("neither a row nor an error")
				}
				return
			}
			if row.Line() < line {
				t.Fatalf("line %d after %d", row.Line(), line)
			}
			line = row.Line()
		}
	})
}
