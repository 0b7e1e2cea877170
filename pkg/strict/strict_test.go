package strict_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/strict"
)

type inner struct {
	Amount string `json:"amount"`
}

type base struct {
	Kind string `json:"kind"`
}

type document struct {
	base
	Payout *inner            `json:"payout,omitempty"`
	List   []inner           `json:"list"`
	Named  map[string]inner  `json:"named"`
	Texts  map[string]string `json:"texts"`
	Raw    json.RawMessage   `json:"raw"`
	At     time.Time         `json:"at"`
	Any    any               `json:"any"`
	Hidden string            `json:"-"`
	Plain  int
}

// encoding/json accepts each row. Fails when the walk leaves out a kind of
// object.
func TestWhatTwoReadersWouldReadDifferentlyIsRefused(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"a member twice", `{"payout":{"amount":"1"},"payout":{"amount":"2"}}`, `"payout" occurs twice`},
		{"a member in capitals", `{"PAYOUT":{"amount":"2"}}`, `unknown field "PAYOUT": it is written "payout"`},
		{"a member and its capitals", `{"payout":{"amount":"1"},"PAYOUT":{"amount":"2"}}`, `unknown field "PAYOUT": it is written "payout"`},
		{"a letter that folds to another", `{"\u212aind":"x"}`, "it is written \"kind\""},
		{"a member that is not known", `{"extra":1}`, `unknown field "extra"`},
		{"the name of a field that has another", `{"Payout":null}`, `it is written "payout"`},
		{"a field that is never read", `{"Hidden":"x"}`, `unknown field "Hidden"`},
		{"a member below", `{"payout":{"amount":"1","Amount":"2"}}`, `unknown field "payout.Amount": it is written "amount"`},
		{"a member of an embedded struct", `{"kind":"a","Kind":"b"}`, `it is written "kind"`},
		{"a member of an embedded struct twice", `{"kind":"a","kind":"b"}`, `"kind" occurs twice`},
		{"in a list", `{"list":[{"amount":"1"},{"amount":"1","amount":"2"}]}`, `"list.amount" occurs twice`},
		{"in a map", `{"named":{"a":{"AMOUNT":"1"}}}`, `"named.a.AMOUNT"`},
		{"a key of a map twice", `{"texts":{"a":"1","a":"2"}}`, `"texts.a" occurs twice`},
		{"the same key in other spellings", `{"texts":{"a":"1","\u0061":"2"}}`, `"texts.a" occurs twice`},
		{"two spellings of what is no UTF-8", "{\"texts\":{\"\xff\":\"1\",\"\ufffd\":\"2\"}}", `occurs twice`},
		{"in what is decoded later", `{"raw":{"a":1,"a":2}}`, `"raw.a" occurs twice`},
		{"in a value of any type", `{"any":[{"a":{"b":1,"b":2}}]}`, `"any.a.b" occurs twice`},
		{"null twice", `{"payout":null,"payout":null}`, `"payout" occurs twice`},
		{"two values", `{} {}`, "bytes after the JSON value"},
		{"a brace too many", `{}}`, "bytes after the JSON value"},
		{"nothing", ``, "no JSON value"},
		{"white space", " \n", "no JSON value"},
		{"half a value", `{"payout"`, "unexpected EOF"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var d document
			if err := strict.Decode([]byte(test.text), &d); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("want %q, got %v", test.want, err)
			}
		})
	}
}

func TestWhatOneReaderReadsIsReadAsEncodingJSONDoes(t *testing.T) {
	for _, text := range []string{
		`{}`, ` { } ` + "\n", `null`,
		`{"kind":"a","payout":{"amount":"\"}{,"},"list":[],"named":{},"Plain":-12}`,
		`{"list":[{},{"amount":"1"} , {"amount":"\\"}],"named":{"A":{},"a":{}},"texts":{"x":"{\"a\":1,\"a\":2}"}}`,
		`{"raw":{"Payout":1,"payout":[true,false,null]},"any":{"A":1,"a":2},"at":"2026-11-20T12:00:00Z"}`,
		`{"k\u0069nd":"a"}`,
	} {
		var got, want document
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		if err := strict.Decode([]byte(text), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	var list []int
	if err := strict.Decode([]byte("[1, 2 ,3]"), &list); err != nil || len(list) != 3 {
		t.Errorf("%v, %v", list, err)
	}
}

// Every accepted input gives the value that encoding/json decodes, and encoding
// that value again gives input that is accepted.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"payout":{"amount":"1"}}`, `{"any":[1,{"a":2}],"texts":{"":""}}`, `{"a":1}{`, `{"raw":{"a":[[]]}}`, "null", `"`, `{"list":[{`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got, want document
		if err := strict.Decode(data, &got); err != nil {
			return
		}
		if err := json.Unmarshal(data, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %+v is not %+v, %v", data, got, want, err)
		}
		again, err := json.Marshal(&got)
		if err != nil {
			return // a time whose year the type can read but not write
		}
		if err := strict.Decode(again, &got); err != nil {
			t.Fatalf("%q written again: %q: %v", data, again, err)
		}
	})
}
