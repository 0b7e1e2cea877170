package apply

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/document"
	"github.com/aliquot-engine/aliquot/internal/published"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func amount(s string) money.Amount {
	a, err := money.ParseAmount(s)
	if err != nil {
		panic(err)
	}
	return a
}

func quantity(s string) money.Quantity {
	q, err := money.ParseQuantity(s)
	if err != nil {
		panic(err)
	}
	return q
}

// example returns the example of the format's description.
func example(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "book-format.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```yaml\n")
	yaml, _, closed := strings.Cut(rest, "\n```")
	if !found || !closed {
		t.Fatal("the description has no example")
	}
	return yaml
}

func TestTheExampleOfTheDescriptionDeclaresWhatItSays(t *testing.T) {
	bodies, err := Parse("example.yaml", []byte(example(t)))
	if err != nil {
		t.Fatal(err)
	}
	h100 := map[string]string{"region": "eu-west", "gpu": "H100"}
	want := []events.Body{
		events.ProviderDeclared{Provider: "acme", Name: "Acme Compute"},
		events.BookDeclared{Book: "acme-eu", Provider: "acme", Calendar: "month", TimeZone: "UTC", Asset: "USDC", HorizonSeconds: 3_024_000, FutureSeconds: 300},
		events.MeterDeclared{Meter: "gpu.seconds", Book: "acme-eu", Unit: "s", Max: quantity("86400")},
		events.MeterDeclared{Meter: "llm.tokens.input", Book: "acme-eu", Unit: "token"},
		events.QuotePolicyDeclared{Pair: "USDC/USD", HeartbeatSeconds: 86_400, MarginSeconds: 100, MaxDeviation: amount("0.0025"), MinSources: 1, Peg: amount("1"), PegWarn: amount("0.005"), PegHold: amount("0.02")},
		events.CardDeclared{Card: "compute", Version: 1, Book: "acme-eu", Currency: "USD", Effective: time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC), Rules: []events.CardRule{
			{Meter: "gpu.seconds", Match: map[string]string{"gpu": "H100"}, Price: amount("1.99"), Per: quantity("3600"), Granularity: quantity("60")},
			{Meter: "gpu.seconds", Match: map[string]string{"gpu": "H100", "plan": "committed"}, Price: amount("1.49"), Per: quantity("3600"), Granularity: quantity("60")},
			{Meter: "llm.tokens.input", Price: amount("2.5"), Per: quantity("1000000")},
		}},
		events.NodeDeclared{Node: "gpu-001", Book: "acme-eu", Attributes: h100},
		events.NodeDeclared{Node: "gpu-002", Book: "acme-eu", Attributes: h100},
		events.NodeDeclared{Node: "gpu-003", Book: "acme-eu", Attributes: map[string]string{"region": "eu-north", "gpu": "H100"}},
		events.CustomerDeclared{Customer: "lab", Book: "acme-eu"},
		events.CustomerDeclared{Customer: "studio", Book: "acme-eu", Name: "The Studio", Plan: "committed"},
		events.TokenDeclared{Token: "EUGPU", Book: "acme-eu", Pool: true, Minimum: amount("0.5")},
		events.WaterfallDeclared{Token: "EUGPU", FeeBasisPoints: 250},
		events.HoldersListed{List: "ofac-sdn", Parts: 1, Holders: []events.Holder{"0xdcbeffbecce100cce9e4b153c4e15cb885643193"}},
	}
	compare(t, bodies, want)

	// And each of them takes effect, once.
	d := directory.New()
	for i, body := range bodies {
		if d.Same(body) {
			t.Errorf("%s: is the same before it was declared", body.Kind())
		}
		if err := d.Apply(uint64(i+1), events.Decision{ID: body.Kind() + string(rune('a'+i)), Actor: "operator:alice", At: time.Unix(1, 0), Body: body}); err != nil {
			t.Errorf("%s: %v", body.Kind(), err)
		}
		if !d.Same(body) {
			t.Errorf("%s: is not the same after it was declared", body.Kind())
		}
	}
}

func compare(t *testing.T, got, want []events.Body) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("body %d is\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d bodies, want %d", len(got), len(want))
	}
}

func TestWhatIsReferredToComesFirst(t *testing.T) {
	documents := strings.Split(example(t), "\n---\n")
	for i, j := 0, len(documents)-1; i < j; i, j = i+1, j-1 {
		documents[i], documents[j] = documents[j], documents[i]
	}
	backwards, err := Parse("example.yaml", []byte(strings.Join(documents, "\n---\n")))
	if err != nil {
		t.Fatal(err)
	}
	last := -1
	for _, body := range backwards {
		if r := kinds[body.Kind()].rank; r < last {
			t.Errorf("%s comes too late", body.Kind())
		} else {
			last = r
		}
	}
	two := "kind: Card\ncard: c\nbook: b\ncurrency: USD\neffective: 2023-01-01\nrules: [{meter: m, price: 1}]\nversion: "
	versions, err := Parse("cards.yaml", []byte(two+"2\n---\n"+two+"1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if versions[0].(events.CardDeclared).Version != 1 {
		t.Error("version 2 comes before version 1")
	}
}

func TestEveryMistakeIsNamedWithItsPlace(t *testing.T) {
	text := `kind: Book
book: acme eu
provider: acme
calendar: week
asset: DOGE
horizon: five weeks
colour: red
future: 0x10
---
kind: Card
card: c
version: two
book: b
currency: USD
effective: yesterday
rules:
  - meter: m
    pirce: 2
  - meter: m
    price: 1_000
    price: 2
    per: -1
    granularity: 0.0000000000000000001
    match: [a]
---
kind: Waterfall
token: t
fee: 0.125%
---
kind: Chocolate
---
- list
---
name: x
`
	want := `book.yaml:2:7: book: name has the character U+0020
book.yaml:4:11: calendar: "week" is neither day nor month
book.yaml:5:8: asset: asset "DOGE" has no known minor unit: value outside its domain
book.yaml:6:10: horizon: "five weeks" is not a duration such as 35d, 24h, 1h30m or 90s
book.yaml:6:10: horizon: is zero: write none for a book without horizon
book.yaml:7:1: colour: is not known here: kind, book, provider, calendar, time_zone, asset, horizon, future, received, partition
book.yaml:8:9: future: "0x10" is not a duration such as 35d, 24h, 1h30m or 90s
book.yaml:12:10: version: "two" is not a whole number
book.yaml:12:10: version: 0 is below 1
book.yaml:15:12: effective: "yesterday" is not a time such as 2023-01-01T00:00:00Z, or a day such as 2023-01-01
book.yaml:15:12: effective: 0001-01-01T00:00:00Z is not between 1970 and 2262
book.yaml:17:5: rules[0].price: is missing: write 0 for what is free
book.yaml:18:5: rules[0].pirce: is not known here: meter, match, price, per, granularity
book.yaml:20:12: rules[1].price: reading amount "1_000": not a plain decimal number
book.yaml:21:5: rules[1].price: is given twice, first in line 20
book.yaml:22:10: rules[1].per: is not above zero
book.yaml:23:18: rules[1].granularity: reading quantity "0.0000000000000000001": more decimal places than can be kept
book.yaml:24:12: rules[1].match: should be a mapping of names to values
book.yaml:28:6: fee: "0.125%" is not a whole number of basis points (0.01%)
book.yaml:30:7: kind: "Chocolate" is not one of Provider, Book, Meter, QuotePolicy, Card, Node, Nodes, Customer, Customers, Token, Waterfall, Holds and Key
book.yaml:32:1: should be a mapping that begins with kind
book.yaml:34:1: kind: is missing`
	bodies, err := Parse("book.yaml", []byte(text))
	if bodies != nil || err == nil {
		t.Fatalf("%d bodies, %v", len(bodies), err)
	}
	got := strings.Split(err.Error(), "\n")
	wanted := strings.Split(want, "\n")
	for i := range max(len(got), len(wanted)) {
		a, b := "", ""
		if i < len(got) {
			a = got[i]
		}
		if i < len(wanted) {
			b = wanted[i]
		}
		if a != b {
			t.Errorf("problem %d is\n%s, want\n%s", i, a, b)
		}
	}
}

func TestMistakesOfOneDocument(t *testing.T) {
	book := "kind: Book\nbook: b\nprovider: p\nasset: USDC\n"
	for _, c := range []struct{ why, text, want string }{
		{"an empty file", "", "f.yaml:1:1: the file declares nothing"},
		{"a file of comments", "# nothing\n---\n---\n", "declares nothing"},
		{"unbalanced YAML", "kind: Provider\nprovider: [acme\n", "not YAML"},
		{"a tab for indentation", "kind: Card\nrules:\n\t- x: 1\n", "f.yaml:3:1: not YAML"},
		{"an alias of nothing", "kind: Provider\nprovider: *a\n", "not YAML: unknown anchor"},
		{"invalid UTF-8", "kind: Provider\nprovider: \xff\n", "not YAML"},
		{"a NUL byte", "kind: Provider\nprovider: a\x00b\n", "not YAML"},
		{"a value of nothing", "kind: Provider\nprovider:\n", "provider: has no value"},
		{"a list for a name", "kind: Provider\nprovider: [acme]\n", "f.yaml:2:11: provider: should be one value"},
		{"a missing name", "kind: Provider\n", "f.yaml:1:1: provider: name is empty"},
		{"a merge key", "kind: Provider\nprovider: p\n<<: {name: x}\n", "f.yaml:3:1: <<: is not known here"},
		{"a horizon of zero", book + "horizon: 0s\n", "write none"},
		{"a horizon of 200 years", book + "horizon: 73000d\n", "f.yaml:5:10: horizon: 6307200000 seconds is not between"},
		{"a horizon of all days", book + "horizon: 99999999999999999999d\n", "is not a duration"},
		{"a time of receipt of neither", book + "received: soon\n", "neither event nor now"},
		{"the same book twice", book + "---\n" + book, `f.yaml:6:1: book "b" is declared twice, first in line 1 of f.yaml`},
		{"the same node twice", "kind: Nodes\nbook: b\nnodes: [a, b, a]\n", `nodes[2]: node "a" is declared twice`},
		{"a list of nodes that is none", "kind: Nodes\nbook: b\nnodes: a\n", "nodes: should be a list"},
		{"no list of nodes", "kind: Nodes\nbook: b\n", "nodes: is missing, and so is from"},
		{"a bad node in a list", "kind: Nodes\nbook: b\nnodes: [a, 'b c', {node: d, x: 1}]\n", "f.yaml:3:12: nodes[1].node: name has the character"},
		{"a file that cannot be read here", "kind: Nodes\nbook: b\nfrom: nodes.csv\n", "f.yaml:3:7: from: names a file, and none can be read here"},
		{"a fixed quote with a peg", "kind: QuotePolicy\npair: USDC/USD\nfixed: 1\npeg: 1\n", "f.yaml:4:6: peg: has no meaning together with fixed"},
		{"a fixed quote of zero", "kind: QuotePolicy\npair: USDC/USD\nfixed: 0\n", "fixed: is zero"},
		{"a quote without guards", "kind: QuotePolicy\npair: USDC/USD\n", "heartbeat: is zero"},
		{"a token of no nodes", "kind: Token\ntoken: t\nbook: b\n", "nodes: is empty"},
		{"a fee above everything", "kind: Waterfall\ntoken: t\nfee: 101%\n", "f.yaml:3:6: fee: 10100 is not between"},
		{"a fee that goes the other way", "kind: Waterfall\ntoken: t\nfee: -1%\n", "not a whole number of basis points"},
		{"no fee", "kind: Waterfall\ntoken: t\n", "fee: is missing"},
		{"a key without its nkey", "kind: Key\nkey: k\nprovider: p\n", "f.yaml:1:1: nkey: is empty"},
		{"a key of nobody", "kind: Key\nkey: k\nnkey: UA2IWCWNO2RFK74JSUTTGMNDBQBCOMFAJUPNKHH5Q2KV2U5GO4NRBFTC\n", "f.yaml:1:1: provider: name is empty"},
		{"the nkey of a server", "kind: Key\nkey: k\nprovider: p\nnkey: NA2IWCWNO2RFK74JSUTTGMNDBQBCOMFAJUPNKHH5Q2KV2U5GO4NRBFTC\n", "f.yaml:4:7: nkey: is not the public NKey of a user"},
		{"a secret in a file", "kind: Key\nkey: k\nprovider: p\nsecret: x\n", "f.yaml:4:1: secret: is not known"},
		{"a holder that is none", "kind: Holds\nlist: l\nholders: ['a b']\n", "f.yaml:3:11: holders[0]: name has"},
		{"attributes given twice", "kind: Node\nnode: n\nbook: b\nattributes: {a: 1, a: 2}\n", "f.yaml:4:20: attributes.a: is given twice, first in line 4"},
		{"an attribute of a list", "kind: Node\nnode: n\nbook: b\nattributes: {a: [1]}\n", "attributes.a: should be one value"},
	} {
		bodies, err := Parse("f.yaml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || bodies != nil {
			t.Errorf("%s: got %v, want a problem with %q", c.why, err, c.want)
		}
	}
}

func TestNamesStayAsTheyAreWritten(t *testing.T) {
	bodies, err := Parse("f.yaml", []byte("kind: Nodes\nbook: 007\nnodes: [no, 1e3, 0x10, 2023-01-01, 'null', true]\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range bodies {
		n := b.(events.NodeDeclared)
		got = append(got, string(n.Node))
		if n.Book != "007" {
			t.Errorf("book %q", n.Book)
		}
	}
	if want := []string{"no", "1e3", "0x10", "2023-01-01", "null", "true"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

// Fails when a value goes through a float: 0.1 per 3 and 18 decimals then differ.
func TestNumbersAreExact(t *testing.T) {
	bodies, err := Parse("f.yaml", []byte("kind: Card\ncard: c\nbook: b\ncurrency: USD\neffective: 2023-01-01\nrules:\n  - {meter: m, price: 0.100000000000000001, per: 9007199254740993}\n  - {meter: m, price: 2.5e-07}\n"))
	if err != nil {
		t.Fatal(err)
	}
	rules := bodies[0].(events.CardDeclared).Rules
	if rules[0].Price.String() != "0.100000000000000001" || rules[0].Per.String() != "9007199254740993" || rules[1].Price.String() != "0.00000025" || rules[1].Per.String() != "1" {
		t.Errorf("rules %+v", rules)
	}
}

func TestFractionsAndDurations(t *testing.T) {
	for text, want := range map[string]string{"2%": "0.02", "0.02": "0.02", "0.25 %": "0.0025", "100%": "1", ".5%": "0.005", "2e1%": "", "%": "", "2%%": "", "": ""} {
		got, err := parseFraction(text)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]int64{
		"35d": 3_024_000, "24h": 86_400, "1h30m": 5_400, "90s": 90, "1d1h1m1s": 90_061, "0s": 0,
		"": -1, "5": -1, "d": -1, "1m1h": -1, "1h1h": -1, "1.5h": -1, "-1h": -1, "1 h": -1, "1ms": -1, "1h30": -1, "99999999999s": -1,
	} {
		got, err := parseSeconds(text)
		if (err == nil) != (want >= 0) || err == nil && got != want {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
}

func TestAliasesStandForAtMostSoMany(t *testing.T) {
	small := "kind: Nodes\nbook: b\nattributes: &a {gpu: H100}\nnodes:\n  - {node: x, attributes: *a}\n  - {node: y, attributes: *a}\n"
	bodies, err := Parse("f.yaml", []byte(small))
	if err != nil || len(bodies) != 2 || bodies[1].(events.NodeDeclared).Attributes["gpu"] != "H100" {
		t.Errorf("%v, %v", bodies, err)
	}
	attributes := make([]string, 32)
	for i := range attributes {
		attributes[i] = "a" + strings.Repeat("x", i) + ": v"
	}
	bomb := "kind: Nodes\nbook: b\nnodes:\n  - &n {node: x, attributes: {" + strings.Join(attributes, ", ") + "}}\n" + strings.Repeat("  - *n\n", 2_000)
	if _, err := Parse("f.yaml", []byte(bomb)); err == nil || !strings.Contains(err.Error(), "declared twice") {
		t.Errorf("got %v", err)
	}
	var lines strings.Builder
	for i := range 2_000 {
		fmt.Fprintf(&lines, "  - {node: n%d, attributes: *a}\n", i)
	}
	bomb = "kind: Nodes\nbook: b\nattributes: &a {" + strings.Join(attributes, ", ") + "}\nnodes:\n" + lines.String()
	if _, err := Parse("f.yaml", []byte(bomb)); err != nil {
		t.Errorf("32 attributes of 2,000 nodes gave %v", err)
	}
	bomb = "kind: Card\ncard: c\nbook: b\ncurrency: USD\neffective: 2023-01-01\nrules:\n  - &r {meter: m, price: 1, match: {" + strings.Join(attributes, ", ") + "}}\n" + strings.Repeat("  - *r\n", 10_000)
	if _, err := Parse("f.yaml", []byte(bomb)); err == nil || !strings.Contains(err.Error(), "too many values") {
		t.Errorf("32 attributes of 10,000 rules gave %v", err)
	}
	if _, err := Parse("f.yaml", make([]byte, MaxFile+1)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a large file gave %v", err)
	}
	loop := "kind: Nodes\nbook: b\nnodes: &l [a, *l]\n"
	if _, err := Parse("f.yaml", []byte(loop)); err == nil {
		t.Error("a list within itself was read")
	}
}

func opener(files fstest.MapFS) Open {
	return func(name string) (io.ReadCloser, error) { return files.Open(name) }
}

func TestListsInFilesOfTheirOwn(t *testing.T) {
	files := fstest.MapFS{
		"nodes.csv":     {Data: []byte("\uFEFFnode,region, gpu \ngpu-1,eu,H100\ngpu-2,us,\n")},
		"inventory.csv": {Data: []byte("sn,model,gpus\nn-1,V100,8\nn-2,,0\n")},
		"customers.csv": {Data: []byte("customer,plan,vat\nlab,pro,1\nstudio,,2\n")},
		"list.txt":      {Data: []byte("# sanctioned\n0xDCBEFFBECCE100CCE9E4B153C4E15CB885643193\nmallory\n\nmallory\n")},
	}
	bodies, err := ParseWith("f.yaml", []byte(`kind: Nodes
book: b
attributes: {region: none, zone: z}
from: nodes.csv
---
kind: Nodes
book: b
from: inventory.csv
columns: {node: sn, attributes: {gpu: model}}
---
kind: Customers
book: b
plan: free
from: customers.csv
---
kind: Holds
list: sdn
from: list.txt
`), opener(files))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, bodies, []events.Body{
		events.NodeDeclared{Node: "gpu-1", Book: "b", Attributes: map[string]string{"region": "eu", "gpu": "H100", "zone": "z"}},
		events.NodeDeclared{Node: "gpu-2", Book: "b", Attributes: map[string]string{"region": "us", "zone": "z"}},
		events.NodeDeclared{Node: "n-1", Book: "b", Attributes: map[string]string{"gpu": "V100"}},
		events.NodeDeclared{Node: "n-2", Book: "b", Attributes: map[string]string{}},
		events.CustomerDeclared{Customer: "lab", Book: "b", Plan: "pro"},
		events.CustomerDeclared{Customer: "studio", Book: "b", Plan: "free"},
		events.HoldersListed{List: "sdn", Parts: 1, Holders: []events.Holder{"0xdcbeffbecce100cce9e4b153c4e15cb885643193", "mallory"}},
	})
}

func TestListsAreReadInEveryFormOfRows(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte("node,gpu\nx,H100\n")); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{
		"n.csv": "\uFEFFnode;gpu\r\nx;H100\r\n", "n.tsv": "node\tgpu\nx\tH100", "n.csv.gz": zipped.String(),
		"n.json": `[{"node":"x","gpu":"H100"}]`, "n.jsonl": `{"gpu":"H100","node":"x"}` + "\n",
	} {
		bodies, err := ParseWith("f.yaml", []byte("kind: Nodes\nbook: b\nfrom: "+name+"\n"), opener(fstest.MapFS{name: {Data: []byte(file)}}))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		compare(t, bodies, []events.Body{events.NodeDeclared{Node: "x", Book: "b", Attributes: map[string]string{"gpu": "H100"}}})
	}
}

func TestMistakesInFilesOfTheirOwn(t *testing.T) {
	for _, c := range []struct{ why, columns, file, want string }{
		{"no file", "", "-", "f.yaml:3:7: from: open list.csv: file does not exist"},
		{"an empty file", "", "", "list.csv:1:1: the file is empty"},
		{"no column of nodes", "", "name\nx\n", `f.yaml:3:7: columns.node: list.csv has no column "node"`},
		{"no column of that name", "columns: {node: sn, attributes: {gpu: model}}\n", "sn\nx\n", `f.yaml:4:10: columns.attributes.gpu: list.csv has no column "model"`},
		{"an unknown field of columns", "columns: {colour: red}\n", "node\nx\n", "f.yaml:4:11: columns.colour: is not known"},
		{"a column twice", "", "node,a,a\nx,1,2\n", "list.csv:1:1: it has two columns \"a\""},
		{"a row without a name", "columns: {node: sn}\n", "sn,a\nx,1\n,2\n", "list.csv:3:1: sn: name is empty"},
		{"a row too short", "", "node,a\nx,1\ny\n", "list.csv:3:1: the row has 1 fields and the header 2"},
		{"a quote out of place", "", "node,a\nx,\"1\n", "list.csv:"},
		{"a node twice", "", "node\nx\nx\n", `list.csv:3:1: node "x" is declared twice, first in line 2 of list.csv`},
		{"a member that only a later row has", "", `[{"node":"x","gpu":"H100"},{"node":"y","gpus":"L40S"}]`, "list.csv:1:1: gpus: is not a member of the first row"},
		{"UTF-16", "", "\xff\xfen\x00", "list.csv:1:1: the file is UTF-16 (little endian)"},
		{"a list besides", "nodes: [a]\n", "node\nx\n", "f.yaml:3:7: from: is given together with nodes"},
	} {
		name := "list.csv"
		if strings.HasPrefix(c.file, "[") {
			name = "list"
		}
		files := fstest.MapFS{name: {Data: []byte(c.file)}}
		if c.file == "-" {
			files = fstest.MapFS{}
		}
		_, err := ParseWith("f.yaml", []byte("kind: Nodes\nbook: b\nfrom: "+name+"\n"+c.columns), opener(files))
		c.want = strings.Replace(c.want, "list.csv:", name+":", 1)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want a problem with %q", c.why, err, c.want)
		}
	}
	_, err := ParseWith("f.yaml", []byte("kind: Holds\nlist: l\nfrom: list.txt\n"), opener(fstest.MapFS{"list.txt": {Data: []byte("a\nb c\n")}}))
	if err == nil || !strings.Contains(err.Error(), "list.txt:2:1: holder: name has") {
		t.Errorf("a bad list gave %v", err)
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file gave %v", err)
	}
}

func TestFilesAreFoundBesideTheOneThatNamesThem(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("book.yaml", "kind: Nodes\nbook: b\nfrom: nodes.csv\n")
	write("nodes.csv", "node\nx\n")
	bodies, err := ReadFile(filepath.Join(folder, "book.yaml"))
	if err != nil || len(bodies) != 1 {
		t.Errorf("%v, %v", bodies, err)
	}
}

func TestThePublishedInventoryIsRead(t *testing.T) {
	data := filepath.Dir(published.Path(t, "2-cluster"))
	bodies, err := ParseWith("f.yaml", []byte(`kind: Nodes
book: openb
from: 2-cluster/openb-node-list.csv
columns: {node: sn, attributes: {gpu: model}}
---
kind: Holds
list: ofac-eth
from: 7-compliance/ofac-2024-09-27-ETH.txt
`), Beside(filepath.Join(data, "x")))
	if err != nil {
		t.Fatal(err)
	}
	nodes, held := 0, 0
	for _, body := range bodies {
		switch b := body.(type) {
		case events.NodeDeclared:
			nodes++
		case events.HoldersListed:
			for _, h := range b.Holders {
				if h == "0xdcbeffbecce100cce9e4b153c4e15cb885643193" {
					held++
				}
			}
		}
	}
	if nodes != 1_523 || held != 1 {
		t.Errorf("%d nodes, the listed holder %d times", nodes, held)
	}
}

func TestWhatIsWrittenIsReadBackAsItIs(t *testing.T) {
	bodies, err := Parse("example.yaml", []byte(example(t)))
	if err != nil {
		t.Fatal(err)
	}
	bodies = append(bodies, events.HoldersListed{List: "large", Part: 0, Parts: 2, Holders: []events.Holder{"a"}}, events.HoldersListed{List: "large", Part: 1, Parts: 2, Holders: []events.Holder{"b"}})
	text, err := Format(bodies)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Parse("formatted.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	bodies = append(bodies[:len(bodies)-2], events.HoldersListed{List: "large", Parts: 1, Holders: []events.Holder{"a", "b"}})
	compare(t, back, bodies)
	if _, err := Format([]events.Body{events.CollectionRequested{Book: "b"}}); err == nil {
		t.Error("a collection was written as a declaration")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example(f)))
	f.Add([]byte("kind: Nodes\nbook: b\nattributes: &a {gpu: H100}\nnodes:\n  - {node: x, attributes: *a}\n"))
	f.Add([]byte("kind: QuotePolicy\npair: USDC/USD\nfixed: 1\n---\nkind: Token\ntoken: t\nbook: b\nnodes: [a]\n"))
	f.Add([]byte("kind: Nodes\nbook: b\nnodes: &l [a, *l]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		bodies, err := Parse("f.yaml", data)
		if err != nil {
			var problems document.Problems
			if !errors.As(err, &problems) || len(problems) == 0 || bodies != nil {
				t.Fatalf("%d bodies and %T", len(bodies), err)
			}
			return
		}
		for _, b := range bodies {
			if err := b.Validate(); err != nil {
				t.Fatalf("%+v: %v", b, err)
			}
		}
		text, err := Format(bodies)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse("again.yaml", text)
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		if len(back) != len(bodies) {
			t.Fatalf("%d bodies became %d", len(bodies), len(back))
		}
	})
}
