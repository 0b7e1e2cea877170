package registerfile

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/aliquot-engine/aliquot/internal/published"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

const (
	wallet      = "0xdcbeffbecce100cce9e4b153c4e15cb885643193"
	walletMixed = "0xdcbEfFBECcE100cCE9E4b153C4e15cB885643193"
)

func TestReadList(t *testing.T) {
	got, err := ReadList(strings.NewReader("# sanctions\n\n0xDCBEFFBECCE100CCE9E4B153C4E15CB885643193\r\nben\nann\nben\n"), "")
	if want := []events.Holder{"0xdcbeffbecce100cce9e4b153c4e15cb885643193", "ann", "ben"}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v, %v; want %v", got, err, want)
	}
	if _, err := ReadList(strings.NewReader("ann\nb en\nc\x00d\n"), ""); err == nil || !strings.Contains(err.Error(), "line 2: holder") || !strings.Contains(err.Error(), "line 3: holder") {
		t.Fatalf("got %v", err)
	}
	if _, err := ReadList(strings.NewReader(strings.Repeat("x", 100_000)), ""); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Fatalf("got %v", err)
	}
}

func TestPublishedListsAndTheirDecisions(t *testing.T) {
	list, err := ReadList(published.Open(t, "7-compliance/ofac-2024-09-27-ETH.txt"), "")
	if err != nil || !slices.Contains(list, "0xdcbeffbecce100cce9e4b153c4e15cb885643193") {
		t.Fatalf("%d holders, %v", len(list), err)
	}
	for _, holders := range [][]events.Holder{list, nil, many(30_000)} {
		parts := Decisions("ofac", holders)
		count := 0
		for i, p := range parts {
			count += len(p.Holders)
			if p.Part != i || p.Parts != len(parts) {
				t.Fatalf("part %d of %d at %d of %d", p.Part, p.Parts, i, len(parts))
			}
			if _, err := events.AppendDecision(nil, events.Decision{ID: "x", Actor: "operator:ada", At: time.Unix(0, 0), Body: p}); err != nil {
				t.Fatal(err)
			}
		}
		if count != len(holders) {
			t.Fatalf("%d of %d holders", count, len(holders))
		}
	}
}

// many makes names that JSON writes as long as can be.
func many(n int) []events.Holder {
	list := make([]events.Holder, n)
	for i := range list {
		list[i] = events.Holder(fmt.Sprintf("%s%07d", strings.Repeat("<", 100), i))
	}
	return list
}

// Screening fails closed: each of these once gave a list, rc 0, on which the
// listed wallet was not.
func TestListsAreReadAsWhatTheySay(t *testing.T) {
	for _, c := range []struct {
		name, text, column string
		want               []events.Holder // nil: an error
		wrong              string          // in the error
	}{
		{"one a line", walletMixed + "\nmallory\n", "", []events.Holder{wallet, "mallory"}, ""},
		{"an account of a chain", "eip155:1:" + walletMixed + "\n", "", []events.Holder{wallet}, ""},
		{"two spellings are one", walletMixed + "\n" + wallet + "\n", "", []events.Holder{wallet}, ""},
		{"decomposed letters", "Zoe\u0308\n", "", []events.Holder{"Zo\u00eb"}, ""},
		{"CSV with a known header", "address,list\n" + walletMixed + ",SDN\n", "", []events.Holder{wallet}, ""},
		{"CSV with semicolons", "list;Wallet\nSDN;" + walletMixed + "\n", "", []events.Holder{wallet}, ""},
		{"CSV with tabs", "list\taccount\nSDN\t" + walletMixed + "\n", "", []events.Holder{wallet}, ""},
		{"CSV with quotes and a mark", "\ufeff\"address\",\"name\"\r\n\"" + walletMixed + "\",\"a, b\"\r\n", "", []events.Holder{wallet}, ""},
		{"one column with a known header", "address\n" + walletMixed + "\n", "", []events.Holder{wallet}, ""},
		{"a named column", "sdn_name,id\nMallory Inc,mallory\n", "id", []events.Holder{"mallory"}, ""},
		{"a named column in another case", "Digital Currency Address,x\n" + wallet + ",y\n", "digital currency address", []events.Holder{wallet}, ""},
		{"comments before the header", "# sanctions\n\naddress,list\n" + wallet + ",SDN\n", "", []events.Holder{wallet}, ""},
		{"packed by gzip", gzipped(walletMixed + "\nmallory\n"), "", []events.Holder{wallet, "mallory"}, ""},
		{"packed by zstd", zstandard("# x\naddress,list\n" + walletMixed + ",SDN\n"), "", []events.Holder{wallet}, ""},
		{"a cell of two lines", "list,address\n\"SDN,\nUN\"," + walletMixed + "\nx,mallory\n", "", []events.Holder{wallet, "mallory"}, ""},
		{"CSV with bars and an explorer's header", "HolderAddress|Balance\n" + walletMixed + "|1\n", "", []events.Holder{wallet}, ""},
		{"JSON Lines", "# x\n" + `{"list": "SDN", "address": "` + walletMixed + `"}` + "\n", "", []events.Holder{wallet}, ""},
		{"a JSON array with a named member", "[\n  {\"id\": \"mallory\"}\n]\n", "ID", []events.Holder{"mallory"}, ""},
		{"a JSON array", "[\n  {\"wallet\": \"mallory\"}\n]\n", "", []events.Holder{"mallory"}, ""},
		{"one a line, of which one begins with a bracket", "mallory\n[ann]\n", "", []events.Holder{"[ann]", "mallory"}, ""},
		{"nothing", "# nobody\n", "", []events.Holder{}, ""},

		{"CSV without header", walletMixed + ",SDN\n", "", nil, "line 1: holder: "},
		{"CSV without header, further on", "ann\n" + walletMixed + ";SDN\n", "", nil, "line 2: holder: "},
		{"CSV with an unknown header", "sdn,wallet_id\n" + walletMixed + ",SDN\n", "", nil, "line 1: holder: "},
		{"one column with an unknown header", "wallet_address\n" + walletMixed + "\n", "", nil, `line 1: "wallet_address" is not an address`},
		{"a column that is not there", "address,list\n" + wallet + ",SDN\n", "id", nil, "line 1: no column is called id"},
		{"two columns that could be it", "address,holder\n" + wallet + ",x\n", "", nil, "line 1: the columns"},
		{"a row with a cell too many", "address,list\n" + wallet + ",SDN,x\n", "", nil, "line 2: the row has 3 fields and the header 2"},
		{"a row with an open quote", "address,list\n\"" + wallet + ",SDN\n", "", nil, "line 2: "},
		{"an empty cell", "address,list\n,SDN\n", "", nil, "line 2: holder: name is empty"},
		{"an empty file with a column", "", "id", nil, "the file is empty"},
		{"39 digits", "ann\n0xdcbeffbecce100cce9e4b153c4e15cb88564319\n", "", nil, "line 2: holder: "},
		{"no 0x", "dcbeffbecce100cce9e4b153c4e15cb885643193\n", "", nil, "line 1: holder: "},
		{"a wrong checksum", "0xdcbEfFBECcE100cCE9E4b153C4e15cB885643194\n", "", nil, "checksum"},
		{"a wrong checksum in a column", "address\n0xdcbEfFBECcE100cCE9E4b153C4e15cB885643194\n", "", nil, "line 2: holder: "},
		{"a NUL", "mal\x00lory\n", "", nil, "not text: it begins with zero bytes"},
		{"a NUL further on", "somebody\nmal\x00lory\n", "", nil, "line 2: holder: "},
		{"an escape", "\x1b[8mmallory\n", "", nil, "line 1: holder: "},
		{"UTF-16", "m\x00a\x00l\x00\n\x00", "", nil, "the file is UTF-16 (little endian)"},
		{"UTF-16 with a mark", "\xfe\xff\x00m\x00a", "", nil, "the file is UTF-16 (big endian)"},
		{"a workbook", "PK\x03\x04\x14\x00\x06\x00", "", nil, "a workbook (.xlsx)"},
		{"a packed list that is cut off", gzipped(walletMixed + "\nmallory\n")[:30], "", nil, "gzip"},
		{"a packed list with a wrong line", gzipped(walletMixed + "\nmall,ory\n"), "", nil, "line 2: holder: "},
		{"JSON in which a row has no holder", `{"address": "` + wallet + `"}` + "\n" + `{"adress": "mallory"}` + "\n", "", nil, "line 2: holder: name is empty"},
		{"JSON of other names", `{"who": "mallory"}` + "\n", "", nil, "no column is called holder or account"},
		{"a line without end", strings.Repeat("m", maxLine+1), "", nil, "line 1: the line is longer"},
		{"JSON", `["` + wallet + `"]` + "\n", "", nil, "line 1: holder: "},
		{"a page instead of the list", "<!DOCTYPE html>\n<html>\n", "", nil, "line 1: holder: "},
		{"two in a line", wallet + " " + walletMixed + "\n", "", nil, "line 1: holder: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ReadList(strings.NewReader(c.text), c.column)
			if c.want == nil {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Fatalf("got %q, %v; want an error with %q", got, err, c.wrong)
				}
				return
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Fatalf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	if err = errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return b.String()
}

func zstandard(text string) string {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return string(w.EncodeAll([]byte(text), nil))
}

func FuzzReadList(f *testing.F) {
	f.Add([]byte("# x\nann\nben\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ReadList(strings.NewReader(string(data)), "")
		if err == nil && !slices.IsSorted(list) {
			t.Fatal("not ascending")
		}
		for _, h := range list {
			if events.CheckHolder(h) != nil {
				t.Fatalf("%q is on it", h)
			}
		}
	})
}
