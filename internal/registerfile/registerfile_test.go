package registerfile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/published"
	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func read(text string) (string, Summary, error) {
	return readWith(text, Options{})
}

func readWith(text string, o Options) (string, Summary, error) {
	var b strings.Builder
	sum, err := ReadHoldings(strings.NewReader(text), o, func(h events.Holder, u money.Units) error {
		fmt.Fprintf(&b, "%s=%v ", h, u)
		return nil
	})
	return strings.TrimSpace(b.String()), sum, err
}

func TestReadHoldings(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"the plain form", "holder,units\nann,3\nben,4\n", "ann=3 ben=4"},
		{"columns in any order and case, others left alone", "Index, Amount_Wei ,Account,note\n0,7,ann,\"a, b\"\n", "ann=7"},
		{"an EVM address in any case", "address,balance\n0xDCBEFFBECCE100CCE9E4B153C4E15CB885643193,1\n", "0xdcbeffbecce100cce9e4b153c4e15cb885643193=1"},
		{"a byte order mark and carriage returns", "\uFEFFwallet,amount\r\nann,1\r\n", "ann=1"},
		{"no units, no holder", "holder,units\nann,0\nben,1\n", "ben=1"},
		{"units of 128 bits", "holder,units\nann,340282366920938463463374607431768211455\n", "ann=340282366920938463463374607431768211455"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, _, err := read(c.text); err != nil || got != c.want {
				t.Fatalf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestReadHoldingsNamesLineAndField(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"an empty file", "", "the file is empty"},
		{"no header", "ann,3\n", "line 1: no column is called holder"},
		{"no units", "holder,name\n", "line 1: no column is called units"},
		{"two columns that could be the units", "holder,amount,units\n", `line 1: the columns "amount" and "units" could both be the units`},
		{"nobody", "holder,units\n", "line 2: "},
		{"only holders of nothing", "holder,units\nann,0\n", "line 2: "},
		{"a decimal", "holder,units\nann,1.5\n", "line 2: units: "},
		{"a negative number", "holder,units\nann,1\nben,-5\n", "line 3: units: "},
		{"a float", "holder,units\nann,2.5e-07\n", "line 2: units: "},
		{"more than 128 bits", "holder,units\nann,340282366920938463463374607431768211456\n", "line 2: units: "},
		{"a supply of more than 128 bits", "holder,units\nann,340282366920938463463374607431768211455\nben,1\n", "line 3: units: the supply"},
		{"an address with a digit too few", "holder,units\nann,1\n0xdcbeffbecce100cce9e4b153c4e15cb88564319,1\n", "line 3: holder: "},
		{"two digits", "account,amount\n0x12,1\n", "line 2: holder: \"0x12\" is not an address: it has 2 digits"},
		{"a wrong checksum", "address,units\n0xdcbEfFBECcE100cCE9E4b153C4e15cB885643194,1\n", "line 2: holder: "},
		{"the zero address", "address,units\n0x0000000000000000000000000000000000000000,1\n", "line 2: holder: is the zero address"},
		{"no prefix", "address,units\ndcbeffbecce100cce9e4b153c4e15cb885643193,1\n", "line 2: holder: "},
		{"a formula", "holder,units\n=1+1,1\n", "line 2: holder: "},
		{"a plus, a minus and an at", "holder,units\n+1,1\n-1,1\n@a,1\n", "line 4: holder: "},
		{"a formula behind a tab", "holder,units\n\"a\t=1\",1\n", "line 2: holder: "},
		{"a separator in a name", "holder,units\n\"ann,ben\",1\n", "line 2: holder: "},
		{"one name composed and decomposed", "holder,units\nZo\u00eb,1\nZoe\u0308,1\n", "line 3: holder: Zoë is already on line 2"},
		{"one wallet, once with its chain", "address,units\n0xdcbeffbecce100cce9e4b153c4e15cb885643193,1\neip155:1:0xdcbEfFBECcE100cCE9E4b153C4e15cB885643193,1\n", "line 3: holder: "},
		{"a nameless holder", "holder,units\n,1\n", "line 2: holder: name is empty"},
		{"a NUL in a name", "holder,units\na\x00b,1\n", "line 2: holder: "},
		{"a name that is not UTF-8", "holder,units\na\xffb,1\n", "line 2: holder: "},
		{"a name of 10 KB", "holder,units\n" + strings.Repeat("a", 10_240) + ",1\n", "line 2: holder: "},
		{"a missing field", "holder,units\nann\n", "line 2: the row has 1 fields and the header 2"},
		{"an open quote", "holder,units\n\"ann,1\n", "line 2"},
		// Fails when duplicates are compared as they are written.
		{"one wallet written in two ways", "holder,units\n0xdcbEfFBECcE100cCE9E4b153C4e15cB885643193,1\n0xdcbeffbecce100cce9e4b153c4e15cb885643193,2\n", "line 3: holder: 0xdcbeffbecce100cce9e4b153c4e15cb885643193 is already on line 2"},
		{"several problems at once", "holder,units\nann,x\nben,y\n", "line 3: units: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, _, err := read(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

// What explorers and databases export.
func TestHoldersAsOthersExportThem(t *testing.T) {
	const a, b = "0xdcbEfFBECcE100cCE9E4b153C4e15cB885643193", "0x0000000000000000000000000000000000000001"
	explorer := "\"HolderAddress\",\"Balance\",\"PendingBalanceUpdate\"\n\"" + a + "\",\"1,234.5678\",\"No\"\n\"" + b + "\",\"0.000000000000000001\",\"No\"\n"
	eighteen := Options{Decimals: 18, Rows: rowfile.Options{Thousands: ','}}
	for _, c := range []struct {
		name, text string
		o          Options
		want       string // or a part of the error
	}{
		{"an explorer's export", explorer, eighteen, wallet + "=1234567800000000000000 " + b + "=1"},
		{"without its decimals", explorer, Options{Rows: rowfile.Options{Thousands: ','}}, "line 2: units: "},
		{"without its thousands", explorer, Options{Decimals: 18}, `line 2: units: "1,234.5678" has a comma`},
		{"with too few decimals", explorer, Options{Decimals: 6, Rows: rowfile.Options{Thousands: ','}}, "line 3: units: \"0.000000000000000001\" has 18 decimal places, more than the 6"},
		{"zeros behind are no decimals", "holder,units\nann,1.500000000\n", Options{Decimals: 2}, "ann=150"},
		{"a decimal comma and points", "holder;units\nann;1.234,5\n", Options{Decimals: 2, Rows: rowfile.Options{Decimal: ',', Thousands: '.'}}, "ann=123450"},
		{"an exponent", "holder,units\nann,1e3\n", Options{Decimals: 2}, "line 2: units: "},
		{"a point and nothing", "holder,units\nann,1.\n", Options{Decimals: 2}, "line 2: units: "},
		{"below zero", "holder,units\nann,-1\n", Options{Decimals: 2}, "line 2: units: "},
		{"beyond 128 bits", "holder,units\nann,400000000000000000000\n", Options{Decimals: 18}, "line 2: units: "},
		{"named columns", "who,much,units\nann,7,x\n", Options{Holder: "who", Units: "much"}, "ann=7"},
		{"tabs", "holder\tunits\nann\t7\n", Options{}, "ann=7"},
		{"JSON Lines", "{\"address\":\"" + a + "\",\"amount\":\"7\"}\n", Options{}, wallet + "=7"},
		{"a JSON array, numbers as they are", `[{"holder":"ann","units":340282366920938463463374607431768211455}]`, Options{}, "ann=340282366920938463463374607431768211455"},
		{"UTF-16", "\xff\xfeh\x00o\x00", Options{}, "UTF-16"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _, err := readWith(c.text, c.o)
			if err != nil {
				got = err.Error()
			}
			if err == nil && got != c.want || !strings.Contains(got, c.want) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTheSupplyIsWhatIsExpected(t *testing.T) {
	const zero = "0x0000000000000000000000000000000000000000"
	for _, c := range []struct {
		name, text, supply string
		zero               bool
		want               string // the error's; empty: none
	}{
		{"as expected", "holder,units\nann,3\nben,4\n", "7", false, ""},
		{"a unit more than the pot", "holder,units\nann,3\nben,5\n", "7", false, "sum to 8, 1 more than the expected 7"},
		{"a unit fewer", "holder,units\nann,3\nben,3\n", "7", false, "sum to 6, 1 fewer than the expected 7"},
		{"beyond 64 bits", "holder,units\nann,18446744073709551617\n", "18446744073709551616", false, "1 more"},
		{"the zero address is not among it", "holder,units\nann,3\n" + zero + ",4\n", "3", true, ""},
		{"nor is it when it was expected", "holder,units\nann,3\n" + zero + ",4\n", "7", true, "4 fewer"},
		{"its units are read, though", "holder,units\nann,3\n" + zero + ",x\n", "3", true, "line 3: units"},
		{"and nobody else", "holder,units\n" + zero + ",4\n", "0", true, "line 2: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			supply, err := money.ParseUnits(c.supply)
			if err != nil {
				t.Fatal(err)
			}
			_, sum, err := readWith(c.text, Options{LeaveOutZero: c.zero, ExpectedSupply: &supply})
			if c.want == "" {
				if err != nil || sum.Supply != supply {
					t.Fatalf("%+v, %v", sum, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestProblemsAreBounded(t *testing.T) {
	_, _, err := read("holder,units\n" + strings.Repeat("ann,x\n", 1000))
	if n := strings.Count(err.Error(), "line "); n != rowfile.MaxProblems {
		t.Fatalf("%d problems are named, want %d", n, rowfile.MaxProblems)
	}
}

func TestImportIsTheSameTwice(t *testing.T) {
	var text strings.Builder
	text.WriteString("holder,units\n")
	for i := range 3_000 {
		fmt.Fprintf(&text, "holder-%04d-%s,%d\n", i, strings.Repeat("x", 110), i+1)
	}
	head := events.Movements{Token: "acme", Actor: "operator:ada", At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	var ids []string
	total := 0
	for range 2 {
		i, err := Open(strings.NewReader(text.String()), Options{})
		if err != nil || i.Holders != 3_000 || i.Supply != money.UnitsOf(3000*3001/2) {
			t.Fatalf("%+v, %v", i, err)
		}
		if err := i.Messages(head, "register.csv", func(m *events.Movements) error {
			if _, err := events.AppendMovements(nil, m); err != nil {
				t.Fatal(err)
			}
			if !events.IsOfImport(m.ID, i.ID) || m.Movements[0].Ref != "register.csv" {
				t.Errorf("message %s of import %s with reference %q", m.ID, i.ID, m.Movements[0].Ref)
			}
			ids = append(ids, m.ID)
			total += len(m.Movements)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if half := len(ids) / 2; total != 6_000 || half != 3 || !slices.Equal(ids[:half], ids[half:]) {
		t.Fatalf("%d movements in %v", total, ids)
	}
}

// The id is SHA-256 of the file's bytes, of all of them, and of the options that
// change what is read. Fails when bytes after the last row, or an option, are left
// out: another file would then be taken for the same import.
func TestTheIDOfAnImportFollowsFromTheFileAndItsOptions(t *testing.T) {
	const text = "holder,units\nann,3\n"
	id := func(text string, o Options) string {
		t.Helper()
		i, err := Open(strings.NewReader(text), o)
		if err != nil {
			t.Fatal(err)
		}
		return i.ID
	}
	sum := sha256.Sum256([]byte(text))
	if got, want := id(text, Options{}), "import-"+hex.EncodeToString(sum[:8]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	packed, array := gzipped(text), `[{"holder":"ann","units":"3"}]`
	seen := map[string]string{}
	for name, got := range map[string]string{
		"as it is":               id(text, Options{}),
		"an empty line after it": id(text+"\n", Options{}),
		"packed":                 id(packed, Options{}),
		"packed, and more":       id(packed+gzipped("\n"), Options{}),
		"an array":               id(array, Options{}),
		"an array, and spaces":   id(array+strings.Repeat(" ", 1<<20), Options{}),
		"whole tokens":           id(text, Options{Decimals: 2}),
		"named columns":          id(text, Options{Holder: "holder"}),
		"a decimal comma":        id(text, Options{Rows: rowfile.Options{Decimal: ','}}),
	} {
		if other, twice := seen[got]; twice {
			t.Errorf("%s has the id of %s: %s", name, other, got)
		}
		seen[got] = name
	}
	supply := money.UnitsOf(3)
	if got := id(text, Options{ExpectedSupply: &supply}); seen[got] != "as it is" {
		t.Errorf("an expected supply, which only checks, changes the id to %s", got)
	}
}

func TestNothingIsSaidOfAFileWithAnError(t *testing.T) {
	text := "holder,units\n" + strings.Repeat("", 0)
	for i := range 5_000 {
		text += fmt.Sprintf("h%d,1\n", i)
	}
	text += "last,x\n"
	i, err := Open(strings.NewReader(text), Options{})
	if i != nil {
		t.Fatal("an import of a file that has an error")
	}
	if err == nil || !strings.Contains(err.Error(), "line 5002: units") {
		t.Fatalf("got %v", err)
	}
}

// The published list: 252,803 holders of 149,999,999.975656 UNI. One of them is
// the zero address, with 400 UNI.
func TestTheUNIList(t *testing.T) {
	f := published.Open(t, "5-holders/uniswap-uni-claims-252803.csv")
	messages, largest := 0, 0
	sum, err := Open(f, Options{LeaveOutZero: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := sum.Messages(events.Movements{Token: "uni", Actor: "operator:ada", At: time.Unix(0, 0).UTC()}, "", func(m *events.Movements) error {
		data, err := events.AppendMovements(nil, m)
		messages, largest = messages+1, max(largest, len(data))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if sum.Holders != 252_802 || sum.Supply.String() != "149999599975656000000000000" || sum.Zero.String() != "400000000000000000000" {
		t.Fatalf("%+v", sum)
	}
	_, _ = f.Seek(0, io.SeekStart)
	if _, err := ReadHoldings(f, Options{}, func(events.Holder, money.Units) error { return nil }); err == nil || !strings.Contains(err.Error(), "line 2: holder: is the zero address") {
		t.Errorf("as it is: %v", err)
	}
	t.Logf("%d messages, the largest of %d bytes", messages, largest)
}

// Whatever is read is one holder a name, with units, and sums to the supply.
func FuzzReadHoldings(f *testing.F) {
	for _, seed := range []string{"holder,units\nann,3\n", "index,account,amount_wei\n0,0xAb,1\n", "units,holder\n\"1\",\"a\"\"b\"\n", "\uFEFFwallet,balance\na,1\na,1\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var supply money.Units
		seen := map[events.Holder]bool{}
		sum, err := ReadHoldings(strings.NewReader(string(data)), Options{}, func(h events.Holder, u money.Units) error {
			if seen[h] || u.IsZero() || events.CheckName(string(h)) != nil || events.CanonicalHolder(string(h)) != h {
				t.Fatalf("%q with %v units", h, u)
			}
			seen[h] = true
			supply, _ = supply.Add(u)
			return nil
		})
		if err == nil && (sum.Supply != supply || sum.Holders != len(seen) || len(seen) == 0) {
			t.Fatalf("%+v, but %d holders of %v", sum, len(seen), supply)
		}
	})
}

// A supply is written as the file writes units: with --thousands comma, "1,234.5678"
// was once no number.
func TestASupplyIsWrittenAsTheFileWritesUnits(t *testing.T) {
	for _, c := range []struct {
		name, text string
		o          Options
		want       string // units, or an error
	}{
		{"units", "1000", Options{}, "1000"},
		{"units below zero", "-1", Options{}, "error"},
		{"tokens", "1234.5678", Options{Decimals: 4}, "12345678"},
		{"tokens with thousands", "1,234.5678", Options{Decimals: 4, Rows: rowfile.Options{Thousands: ','}}, "12345678"},
		{"thousands left out", "1234.5678", Options{Decimals: 4, Rows: rowfile.Options{Thousands: ','}}, "12345678"},
		{"a decimal comma", "1.234,5678", Options{Decimals: 4, Rows: rowfile.Options{Decimal: ',', Thousands: '.'}}, "12345678"},
		{"a point in a file of decimal commas", "1234.5678", Options{Decimals: 4, Rows: rowfile.Options{Decimal: ','}}, "error"},
		{"a comma that nobody explained", "1,234", Options{}, "error"},
		{"more decimals than the token", "0.12345", Options{Decimals: 4}, "error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := "error"
			if units, err := c.o.ParseSupply(c.text); err == nil {
				got = units.String()
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
