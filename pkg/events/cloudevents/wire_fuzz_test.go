package cloudevents

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// result is all that a submission comes to.
type result struct {
	Events   []events.Usage
	Parsed   Parsed
	Refusals []events.Refusal
	Whole    *events.Refusal
}

func parse(p *Parser, lines bool, body []byte) result {
	var k keep
	read := p.Batch
	if lines {
		read = p.Lines
	}
	parsed, whole := read(body, &k)
	refusals := append([]events.Refusal(nil), parsed.Refusals...)
	parsed.Refusals = nil
	return result{k.events, parsed, refusals, whole}
}

// Learned layouts change no outcome; what is JSON is what encoding/json says is
// JSON; and what is accepted has the values that encoding/json finds.
func FuzzParser(f *testing.F) {
	for _, event := range []string{
		good, `{}`, `[1.5e+7,true,null,"a\u00e9"]`, `"\ud800"`, "{\"id\":\"\xff\"}", ` {"id" : 1 } `,
		strings.Replace(good, `"id"`, `"sequence":"7","epoch":2,"id"`, 1),
		strings.Replace(good, `"1.5"`, `10.25`, 1),
		strings.Replace(good, `"meter"`, `"start":"2026-11-22T11:00:00.123456789+01:00","end":"2026-11-22T12:00:00Z","meter"`, 1),
		strings.Replace(good, `"customer":"c1",`, ``, 1),
		strings.Replace(good, `"id"`, `"subject":"c 9","x":"y","id"`, 1),
		strings.ReplaceAll(good, `,`, ",\n "),
		`{"specversion":"1.0","type":"aliquot.usage","id":"1","source":"s","sequence":0,"subject":"c","time":"2026-11-22T12:00:00Z","data":{"node":"n","meter":"m","quantity":0}}`,
	} {
		f.Add(event, event)
		f.Add(good, event)
	}
	f.Add(inBase64(good), good)
	f.Fuzz(func(t *testing.T, first, second string) {
		general, learned := Parser{general: true}, Parser{}
		parse(&learned, false, []byte("["+first+"]"))
		for _, lines := range []bool{false, true} {
			body := []byte("[" + first + "," + second + ",\n" + second + "," + first + "]")
			if lines {
				body = []byte(first + "\n" + second + "\n\n" + second + "\r\n" + first)
			}
			want, got := parse(&general, lines, body), parse(&learned, lines, body)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("lines=%v %q:\nlearned %+v\ngeneral %+v", lines, body, got, want)
			}
			if lines {
				continue
			}
			malformed := want.Whole != nil && want.Whole.Reason == events.Malformed
			if deep := malformed && want.Whole.Detail == "nested too deep"; !deep && malformed == json.Valid(body) {
				t.Fatalf("%q: valid JSON is %v, refused %v", body, json.Valid(body), want.Whole)
			}
		}
		if got := parse(&learned, false, []byte("["+second+"]")); len(got.Events) == 1 && json.Valid([]byte(second)) {
			compare(t, second, got.Events[0])
		}
	})
}

// compare looks an accepted event up in what encoding/json makes of its text.
func compare(t *testing.T, body string, got events.Usage) {
	if !utf8.ValidString(body) {
		// Then encoding/json replaces what is accepted only where nothing reads it.
		t.Fatalf("accepted %q, which is not UTF-8", body)
	}
	members := object(t, body)
	str := func(raw json.RawMessage) (s string) {
		if raw != nil {
			_ = json.Unmarshal(raw, &s)
		}
		return s
	}
	text := members["data"]
	if encoded := members["data_base64"]; encoded != nil && string(encoded) != "null" {
		var err error
		if text, err = base64.StdEncoding.DecodeString(str(encoded)); err != nil {
			t.Fatalf("accepted %s, which is not base64: %v", encoded, err)
		}
		text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	}
	data := object(t, string(text))
	first := func(values ...json.RawMessage) json.RawMessage {
		for _, v := range values {
			if v != nil && string(v) != "null" {
				return v
			}
		}
		return nil
	}
	number := func(raw json.RawMessage) string {
		if raw == nil {
			return "0"
		}
		if raw[0] == '"' {
			return str(raw)
		}
		return string(raw)
	}
	instant := func(raw json.RawMessage) int64 {
		var at time.Time
		if err := at.UnmarshalText([]byte(str(raw))); err != nil {
			t.Fatalf("accepted the time %s: %v", raw, err)
		}
		return at.UnixNano()
	}
	q, err := money.ParseQuantity(number(data["quantity"]))
	if err != nil {
		t.Fatalf("accepted the quantity %s: %v", data["quantity"], err)
	}
	end := instant(first(data["end"], members["time"]))
	want := events.Usage{
		Source: str(members["source"]), ID: str(members["id"]),
		Node: events.Node(str(data["node"])), Customer: events.Customer(str(first(data["customer"], members["subject"]))),
		Meter: events.Meter(str(data["meter"])), Quantity: q, Start: end, End: end,
		Replaces: str(data["replaces"]), Retracts: str(data["retracts"]),
	}
	if raw := first(data["start"]); raw != nil {
		want.Start = instant(raw)
	}
	if raw := first(members["sequence"]); raw != nil {
		want.Sequenced = true
		want.Sequence, _ = parseInteger([]byte(number(raw)))
		want.Epoch, _ = parseInteger([]byte(number(first(members["epoch"]))))
	}
	if raw := first(data["attributes"]); raw != nil {
		attributes := object(t, string(raw))
		for _, name := range slices.Sorted(maps.Keys(attributes)) {
			want.Attributes = append(want.Attributes, events.Attribute{Name: name, Value: str(attributes[name])})
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%q:\n got %+v\nwant %+v", body, got, want)
	}
}

// object reads an object with encoding/json, which must not repeat a member.
func object(t *testing.T, body string) map[string]json.RawMessage {
	d := json.NewDecoder(strings.NewReader(body))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		t.Fatalf("accepted %q, which is no object", body)
	}
	members := map[string]json.RawMessage{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		name := token.(string)
		if _, twice := members[name]; twice {
			t.Fatalf("accepted %q, which has %q twice", body, name)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		members[name] = value
	}
	return members
}

func FuzzQuantity(f *testing.F) {
	for _, s := range []string{
		"0", "1.5", "00012.50", ".5", "5.", "-0", "-1", "+3", "1e-18", "1e-19", "9999999999999999999", "99999999999999999999",
		"0.000000000000000001", "0.0000000000000000010", "170141183460469231731.687303715884105727", "1.2.3", "", "1_0", "0x1", "Inf",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var r packed.RawUsage
		reason, _ := setQuantity(&r, []byte(s))
		want, err := money.ParseQuantity(s)
		if (reason == "") != (err == nil && want.Sign() >= 0) {
			t.Fatalf("%q is refused as %q, want %v %v", s, reason, want, err)
		}
		if reason == "" {
			got, err := money.QuantityFromMantissa(r.QuantityHigh, r.QuantityLow, r.Scale)
			if err != nil || got != want {
				t.Fatalf("%q is %v %v, want %v", s, got, err, want)
			}
		}
	})
}

func FuzzBinaryHeader(f *testing.F) {
	for _, s := range []string{"plain", "%41%2541", `"q\"%41"`, "%", `"`, "é", "a\tb"} {
		f.Add(s, `{"node":"n"}`)
	}
	f.Fuzz(func(t *testing.T, value, body string) {
		var p Parser
		var k keep
		header := map[string][]string{"ce-id": {value}, "ce-type": {"aliquot.usage"}, "ce-source": {"s"}, "ce-specversion": {"1.0"}}
		parsed, whole := p.Binary(header, []byte(body), &k)
		if whole == nil && parsed.Events != 1 {
			t.Fatalf("%d events", parsed.Events)
		}
		if whole == nil && !json.Valid([]byte(body)) {
			t.Fatalf("read the body %q", body)
		}
	})
}
