package events

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Whatever decodes is within its limits, and packing its events again gives the
// same events; a protobuf library reads the same bytes.
func FuzzColumnsDecode(f *testing.F) {
	for _, sequenced := range []bool{true, false} {
		for _, n := range []int{1, 3, 40} {
			f.Add(pack(f, samples(sequenced, n)))
		}
	}
	descriptor := segmentType(f)
	var c, again Columns
	f.Fuzz(func(t *testing.T, packed []byte) {
		err := c.Decode(packed)
		var column *ColumnError
		if err != nil {
			if !errors.As(err, &column) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if err := proto.Unmarshal(packed, dynamicpb.NewMessage(descriptor)); err != nil {
			t.Fatalf("protobuf refuses what is accepted here: %v", err)
		}
		var b Builder
		b.Reset(c.Provider, c.Sequenced)
		for i := range c.N {
			u := c.Event(i)
			r := raw(u)
			if fault := r.Check(); fault != nil {
				t.Fatalf("event %d is faulty: %+v", i, fault)
			}
			if !b.Add(r) {
				t.Skip("sources or sets that no event shares")
			}
		}
		if err := again.Decode(b.AppendTo(nil)); err != nil {
			t.Fatal(err)
		}
		for i := range c.N {
			if !reflect.DeepEqual(c.Event(i), again.Event(i)) || c.Fingerprint(i) != again.Fingerprint(i) {
				t.Fatalf("event %d:\n got %+v\nwant %+v", i, again.Event(i), c.Event(i))
			}
		}
	})
}

func FuzzMessageDecode(f *testing.F) {
	for _, m := range messages() {
		f.Add(AppendMessage(nil, &m))
	}
	var scratch []byte
	f.Fuzz(func(t *testing.T, data []byte) {
		var m, again Message
		var err error
		if scratch, err = m.Decode(data, scratch); err != nil {
			return
		}
		if _, err := again.Decode(AppendMessage(nil, &m), nil); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(m, again) {
			t.Fatalf("\n got %+v\nwant %+v", again, m)
		}
	})
}

// result is all that a submission comes to.
type result struct {
	Events   []Usage
	Parsed   Parsed
	Refusals []Refusal
	Whole    *Refusal
}

func parse(p *Parser, lines bool, body []byte) result {
	var k keep
	read := p.Batch
	if lines {
		read = p.Lines
	}
	parsed, whole := read(body, &k)
	refusals := append([]Refusal(nil), parsed.Refusals...)
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
			malformed := want.Whole != nil && want.Whole.Reason == Malformed
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
func compare(t *testing.T, body string, got Usage) {
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
	want := Usage{
		Source: str(members["source"]), ID: str(members["id"]),
		Node: Node(str(data["node"])), Customer: Customer(str(first(data["customer"], members["subject"]))),
		Meter: Meter(str(data["meter"])), Quantity: q, Start: end, End: end,
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
		for _, name := range sortedKeys(attributes) {
			want.Attributes = append(want.Attributes, Attribute{name, str(attributes[name])})
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

var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func FuzzClock(f *testing.F) {
	for _, s := range []string{
		"2026-11-22T12:00:00Z", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999999999Z", "1969-12-31T23:30:00-00:30",
		"2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854775808Z", "2024-02-29T00:00:00.5+23:59", "2100-02-29T00:00:00Z",
		"2000-02-29T24:00:00Z", "2026-11-22t12:00:00z", "2026-11-22T12:00:00,5Z", "2026-11-22T12:00:00.Z", "0000-01-01T00:00:00Z", strings.Repeat("\x00", 10) + "T00:00:00Z",
	} {
		f.Add(s)
	}
	var c clock
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := c.parse([]byte(s))
		var fresh clock
		if again, same := fresh.parse([]byte(s)); again != got || same != ok {
			t.Fatalf("%q is %d %v, and %d %v to a clock that remembers a date", s, again, same, got, ok)
		}
		var want time.Time
		// Package time is more lenient: commas, hours of one digit, any offset.
		wanted := rfc3339.MatchString(s) && want.UnmarshalText([]byte(s)) == nil &&
			want.Unix() >= 0 && (want.Unix() < math.MaxInt64/1_000_000_000 || want.Unix() == math.MaxInt64/1_000_000_000 && want.Nanosecond() <= math.MaxInt64%1_000_000_000)
		if ok != wanted || ok && got != want.UnixNano() {
			t.Fatalf("%q is %d %v, want %v %v", s, got, ok, want, wanted)
		}
		if !ok {
			return
		}
		if text := string(appendTime(nil, got)); text != want.UTC().Format(time.RFC3339Nano) {
			t.Fatalf("%d is written as %s", got, text)
		}
	})
}

func FuzzQuantity(f *testing.F) {
	for _, s := range []string{
		"0", "1.5", "00012.50", ".5", "5.", "-0", "-1", "+3", "1e-18", "1e-19", "9999999999999999999", "99999999999999999999",
		"0.000000000000000001", "0.0000000000000000010", "170141183460469231731.687303715884105727", "1.2.3", "", "1_0", "0x1", "Inf",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var r RawUsage
		reason, _ := r.setQuantity([]byte(s))
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

// The encoding of one number in all widths, and its inverse.
func TestNumbersOfEveryWidthSurvive(t *testing.T) {
	for shift := range 64 {
		for _, v := range []uint64{1 << shift, 1<<shift - 1, 1<<shift + 1, ^uint64(0) >> shift} {
			for _, behind := range [][]byte{nil, {0xff}, bytes.Repeat([]byte{0x80}, 9)} {
				b := appendVarint(nil, v)
				got, width := readVarint(append(bytes.Clone(b), behind...))
				if got != v || width != len(b) || varintLen(v) != len(b) {
					t.Fatalf("%d: %x is read as %d in %d bytes", v, b, got, width)
				}
			}
		}
	}
}
