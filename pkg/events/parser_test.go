package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// keep is a sink that spells events out.
type keep struct{ events []Usage }

func (k *keep) Add(u *RawUsage) *Fault {
	if f := u.Check(); f != nil {
		panic(fmt.Sprintf("the parser hands on what Check refuses: %+v", f))
	}
	k.events = append(k.events, u.spell())
	return nil
}

// spell copies an event out of the parser.
func (r *RawUsage) spell() Usage {
	q, err := money.QuantityFromMantissa(r.QuantityHigh, r.QuantityLow, r.Scale)
	if err != nil {
		panic(err)
	}
	u := Usage{
		Source: string(r.Source), ID: string(r.ID), Epoch: r.Epoch, Sequence: r.Sequence, Sequenced: r.Sequenced,
		Node: Node(r.Node), Customer: Customer(r.Customer), Meter: Meter(r.Meter),
		Quantity: q, Start: r.Start, End: r.End, Replaces: string(r.Replaces), Retracts: string(r.Retracts),
	}
	for _, a := range r.Attributes {
		u.Attributes = append(u.Attributes, Attribute{string(a.Name), string(a.Value)})
	}
	return u
}

// open is a gate that knows every name but those beginning with "un".
type open struct{}

func (open) Node(node []byte) (Route, bool) {
	book := Book("book-a")
	if len(node) > 0 && node[len(node)-1]&1 == 1 {
		book = "book-b"
	}
	return Route{book, Window{0, math.MaxInt64 - 1}}, !bytes.HasPrefix(node, []byte("un"))
}
func (open) Customer(_ Book, c []byte) bool { return !bytes.HasPrefix(c, []byte("un")) }
func (open) Meter(_ Book, m []byte) (money.Quantity, bool) {
	return mustQuantity("100000000000000000000"), !bytes.HasPrefix(m, []byte("un"))
}

const good = `{"specversion":"1.0","type":"aliquot.usage","id":"e1","source":"//s","time":"2026-11-22T12:00:00Z",` +
	`"data":{"node":"n1","customer":"c1","meter":"gpu.seconds","quantity":"1.5","attributes":{"model":"H100","region":"eu"}}}`

func batchOf(all []Usage) []byte {
	body := []byte{'['}
	for i := range all {
		if i > 0 {
			body = append(body, ',')
		}
		body = AppendCloudEvent(body, &all[i])
	}
	return append(body, ']')
}

func TestWhatIsWrittenAsCloudEventsIsReadAsTheSame(t *testing.T) {
	for _, sequenced := range []bool{true, false} {
		all := samples(sequenced, 1000)
		for i := range all {
			if sequenced {
				all[i].ID = fmt.Sprintf("%d/%d", all[i].Epoch, all[i].Sequence)
			}
		}
		body := batchOf(all)
		if !json.Valid(body) {
			t.Fatal("not JSON")
		}
		for _, general := range []bool{true, false} {
			p, k := Parser{general: general}, keep{}
			parsed, refusal := p.Batch(body, &k)
			if refusal != nil || len(parsed.Refusals) > 0 || parsed.Events != len(all) {
				t.Fatalf("%v %+v", refusal, parsed)
			}
			for i := range all {
				if !reflect.DeepEqual(k.events[i], all[i]) {
					t.Fatalf("event %d:\n got %+v\nwant %+v", i, k.events[i], all[i])
				}
			}
		}
	}
}

func TestEventsAreReadAsSpecified(t *testing.T) {
	base := Usage{
		Source: "//s", ID: "e1", Node: "n1", Customer: "c1", Meter: "gpu.seconds", Quantity: mustQuantity("1.5"),
		Start: 1795348800_000000000, End: 1795348800_000000000,
		Attributes: []Attribute{{"model", "H100"}, {"region", "eu"}},
	}
	for name, test := range map[string]struct {
		from, to string
		change   func(*Usage)
	}{
		"as it is":                         {"", "", func(*Usage) {}},
		"the later name of the type":       {`"aliquot.usage"`, `"aliquot.usage.v1"`, func(*Usage) {}},
		"a quantity as a number":           {`"1.5"`, `1.50e0`, func(*Usage) {}},
		"a quantity beyond any float":      {`"1.5"`, `123456789.123456789123456789`, func(u *Usage) { u.Quantity = mustQuantity("123456789.123456789123456789") }},
		"white space everywhere":           {`{"node":"n1",`, " { \"node\" :\t\"n1\" \r\n , ", func(*Usage) {}},
		"escapes in texts and names":       {`"node":"n1"`, `"n\u006fde":"n\u0031"`, func(*Usage) {}},
		"a surrogate pair":                 {`"e1"`, `"e\ud83d\ude00"`, func(u *Usage) { u.ID = "e😀" }},
		"attributes in any order":          {`{"model":"H100","region":"eu"}`, `{"region":"eu","model":"H100"}`, func(*Usage) {}},
		"no attributes":                    {`{"model":"H100","region":"eu"}`, `null`, func(u *Usage) { u.Attributes = nil }},
		"an empty value":                   {`"eu"`, `""`, func(u *Usage) { u.Attributes[1].Value = "" }},
		"a start":                          {`"meter"`, `"start":"2026-11-22T11:59:59.5Z","meter"`, func(u *Usage) { u.Start -= 500_000_000 }},
		"an end before the time":           {`"meter"`, `"end":"2026-11-22T11:59:59.000000001Z","meter"`, func(u *Usage) { u.End -= 999_999_999; u.Start = u.End }},
		"a time with an offset":            {`12:00:00Z`, `13:30:00+01:30`, func(*Usage) {}},
		"a subject in place of a customer": {`"customer":"c1",`, ``, func(u *Usage) { u.Customer = "sub" }},
		"a sequence as text":               {`"id"`, `"sequence":"0000017","id"`, func(u *Usage) { u.Sequenced, u.Sequence = true, 17 }},
		"a sequence and epoch as numbers":  {`"id"`, `"sequence":18446744073709551615,"epoch":3,"id"`, func(u *Usage) { u.Sequenced, u.Sequence, u.Epoch = true, math.MaxUint64, 3 }},
		"an extension":                     {`"id"`, `"traceparent":"00-ab","tenant1":7,"test":true,"none":null,"id"`, func(*Usage) {}},
		"a content type with a parameter":  {`"id"`, `"datacontenttype":"Application/JSON; charset=utf-8","id"`, func(*Usage) {}},
		"an event that replaces another":   {`"meter"`, `"replaces":"e0","meter"`, func(u *Usage) { u.Replaces = "e0" }},
		"an event that takes one back":     {`"meter"`, `"retracts":"e0","meter"`, func(u *Usage) { u.Retracts = "e0" }},
	} {
		t.Run(name, func(t *testing.T) {
			event := strings.Replace(strings.Replace(good, `"data"`, `"subject":"sub","data"`, 1), test.from, test.to, 1)
			want := base
			want.Attributes = append([]Attribute(nil), base.Attributes...)
			test.change(&want)
			// Twice, so that the second is read by the layout of the first.
			var p Parser
			var k keep
			parsed, refusal := p.Batch([]byte("["+event+","+event+"]"), &k)
			if refusal != nil || len(parsed.Refusals) > 0 {
				t.Fatal(refusal, parsed.Refusals)
			}
			for _, got := range k.events {
				if !reflect.DeepEqual(got, want) {
					t.Errorf("\n got %+v\nwant %+v", got, want)
				}
			}
		})
	}
}

func TestEventsAreRefusedByField(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for name, test := range map[string]struct {
		from, to string
		field    string
		reason   Reason
	}{
		"no specversion":                    {`"specversion":"1.0",`, ``, "specversion", Missing},
		"specversion 0.3":                   {`"1.0"`, `"0.3"`, "specversion", Unsupported},
		"another type":                      {`"aliquot.usage"`, `"aliquot.usages"`, "type", Unsupported},
		"no type":                           {`"type":"aliquot.usage",`, ``, "type", Missing},
		"no id":                             {`"id":"e1",`, ``, "id", Missing},
		"an empty id":                       {`"e1"`, `""`, "id", Missing},
		"an id that is a number":            {`"e1"`, `17`, "id", WrongType},
		"an id of 10 KB":                    {`"e1"`, `"` + long + `"`, "id", TooLong},
		"an id with NUL":                    {`"e1"`, `"e\u0000"`, "id", BadText},
		"an id with half a surrogate":       {`"e1"`, `"e\ud83d"`, "id", BadText},
		"an id that is not UTF-8":           {`"e1"`, "\"e\xff\"", "id", BadText},
		"an id twice":                       {`"id":"e1"`, `"id":"e1","id":"e1"`, "id", Malformed},
		"an id twice, once null":            {`"id":"e1"`, `"id":null,"id":"e1"`, "id", Malformed},
		"a source of 513 bytes":             {`"//s"`, `"` + long[:513] + `"`, "source", TooLong},
		"a node with a space":               {`"n1"`, `"n 1"`, "data.node", BadText},
		"a node of 129 bytes":               {`"n1"`, `"` + long[:129] + `"`, "data.node", TooLong},
		"an empty customer":                 {`"c1"`, `""`, "data.customer", Missing},
		"no customer":                       {`"customer":"c1",`, ``, "data.customer", Missing},
		"no quantity":                       {`"quantity":"1.5",`, ``, "data.quantity", Missing},
		"a null quantity":                   {`"1.5"`, `null`, "data.quantity", Missing},
		"a quantity that is true":           {`"1.5"`, `true`, "data.quantity", WrongType},
		"a quantity that is a word":         {`"1.5"`, `"many"`, "data.quantity", BadNumber},
		"a quantity with a space":           {`"1.5"`, `" 1.5"`, "data.quantity", BadNumber},
		"a quantity in hexadecimal":         {`"1.5"`, `"0x10"`, "data.quantity", BadNumber},
		"a quantity of NaN":                 {`"1.5"`, `"NaN"`, "data.quantity", BadNumber},
		"a negative quantity":               {`"1.5"`, `-1`, "data.quantity", Negative},
		"a quantity of 19 places":           {`"1.5"`, `"0.1234567890123456789"`, "data.quantity", TooPrecise},
		"a quantity beyond 128 bits":        {`"1.5"`, `1e30`, "data.quantity", Absurd},
		"a quantity of a million digits":    {`"1.5"`, strings.Repeat("9", 1_000_000), "data.quantity", Absurd},
		"a misspelt member":                 {`"quantity"`, `"quantitty":"1","quantity"`, "data.quantitty", Unsupported},
		"a member of data twice":            {`"quantity"`, `"quantity":"1","quantity"`, "data.quantity", Malformed},
		"data that is an array":             {`"data":{`, `"data":[],"x":{`, "data", WrongType},
		"no data":                           {`"data":{`, `"x":{`, "x", WrongType},
		"data beside data in base64":        {`"data":{`, `"data_base64":"e30=","data":{`, "data", Malformed},
		"XML data":                          {`"id"`, `"datacontenttype":"application/xml","id"`, "datacontenttype", Unsupported},
		"an extension that is an object":    {`"id"`, `"x":{},"id"`, "x", WrongType},
		"an extension twice":                {`"id"`, `"x":1,"x":1,"id"`, "x", Malformed},
		"a member in capitals":              {`"id"`, `"Subject":"c","id"`, "Subject", Unsupported},
		"a time without a zone":             {`12:00:00Z`, `12:00:00`, "time", BadTime},
		"a time of 10 decimals":             {`12:00:00Z`, `12:00:00.0000000001Z`, "time", BadTime},
		"a leap second":                     {`12:00:00Z`, `23:59:60Z`, "time", BadTime},
		"a time of 1969":                    {`2026`, `1969`, "time", BadTime},
		"a time of 9999":                    {`2026`, `9999`, "time", BadTime},
		"30 February":                       {`11-22`, `02-30`, "time", BadTime},
		"a time of NULs":                    {`"2026-11-22T`, `"\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000T`, "time", BadText},
		"no time":                           {`"time":"2026-11-22T12:00:00Z",`, ``, "data.end", Missing},
		"a start after the end":             {`"meter"`, `"start":"2026-11-22T12:00:00.000000001Z","meter"`, "data.start", BadInterval},
		"a sequence below zero":             {`"id"`, `"sequence":-1,"id"`, "sequence", BadNumber},
		"a sequence with a point":           {`"id"`, `"sequence":1.0,"id"`, "sequence", BadNumber},
		"a sequence of 2^64":                {`"id"`, `"sequence":"18446744073709551616","id"`, "sequence", BadNumber},
		"an epoch without a sequence":       {`"id"`, `"epoch":1,"id"`, "sequence", Missing},
		"an attribute that is a number":     {`"eu"`, `1`, "data.attributes.region", WrongType},
		"an attribute of 257 bytes":         {`"eu"`, `"` + long[:257] + `"`, "data.attributes.region", TooLong},
		"an attribute name of 65 bytes":     {`"region"`, `"` + long[:65] + `"`, "data.attributes." + long[:48] + "…", TooLong},
		"an attribute name with a space":    {`"region"`, `"re gion"`, "data.attributes.re gion", BadText},
		"an attribute twice":                {`"region"`, `"model"`, "data.attributes.model", Malformed},
		"attributes that are a list":        {`{"model":"H100","region":"eu"}`, `[]`, "data.attributes", WrongType},
		"33 attributes":                     {`"region":"eu"`, manyAttributes(32), "data.attributes", TooLarge},
		"an event that does both":           {`"meter"`, `"replaces":"a","retracts":"b","meter"`, "data.retracts", Malformed},
		"a replaced id of 257 bytes":        {`"meter"`, `"replaces":"` + long[:257] + `","meter"`, "data.replaces", TooLong},
		"an unknown node":                   {`"n1"`, `"unknown"`, "data.node", UnknownNode},
		"an unknown customer":               {`"c1"`, `"unknown"`, "data.customer", UnknownCustomer},
		"an unknown meter":                  {`"gpu.seconds"`, `"unknown"`, "data.meter", UnknownMeter},
		"a quantity above the meter's most": {`"1.5"`, `"100000000000000000000.1"`, "data.quantity", Absurd},
		"an event that ends too late":       {`2026-11-22T12:00:00Z`, `2262-04-11T23:47:16.854775807Z`, "data.end", FromFuture},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, test.from, test.to, 1)
			if bad == good {
				t.Fatal("the case changes nothing")
			}
			// Between good ones, on a line of its own, after a layout was learned.
			body := "[" + good + ",\n" + good + ",\n" + bad + ",\n" + good + "]"
			var p Parser
			var c Collector
			c.Reset("acme", open{})
			parsed, refusal := p.Batch([]byte(body), &c)
			if refusal != nil {
				t.Fatal(refusal)
			}
			if parsed.Events != 4 || c.Len() != 3 || len(parsed.Refusals) != 1 {
				t.Fatalf("%d events, %d taken, refused %v", parsed.Events, c.Len(), parsed.Refusals)
			}
			r := parsed.Refusals[0]
			if r.Index != 2 || r.Line != 3 || r.Field != test.field || r.Reason != test.reason {
				t.Errorf("got %+v, want %s %s at line 3", r, test.field, test.reason)
			}
			if len(r.ID) > MaxID+2 || len(r.Detail) > 300 || len(r.Field) > 100 {
				t.Errorf("the refusal repeats hostile text: %+v", r)
			}
		})
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"a%d":"v"`, i)
	}
	return b.String()
}

func TestSubmissionsAreRefusedAsAWhole(t *testing.T) {
	for name, test := range map[string]struct {
		body   string
		reason Reason
		line   int
	}{
		"nothing":                {"", WrongType, 1},
		"an object":              {good, WrongType, 1},
		"no end":                 {"[" + good, Malformed, 1},
		"a comma too many":       {"[" + good + ",]", Malformed, 1},
		"no comma":               {"[" + good + good + "]", Malformed, 1},
		"something behind":       {"[" + good + "]\n\n1", Malformed, 3},
		"a second array":         {"[][]", Malformed, 1},
		"two byte order marks":   {"\ufeff\ufeff[]", WrongType, 1},
		"a byte order mark late": {"[\ufeff]", Malformed, 1},
		"NUL":                    {"\x00", WrongType, 1},
		"a raw line end in text": {"[\n" + strings.Replace(good, "e1", "e\n1", 1) + "]", Malformed, 2},
		"a number with zeros":    {"[" + strings.Replace(good, `"1.5"`, "1", 1) + "," + strings.Replace(good, `"1.5"`, "01", 1) + "]", Malformed, 1},
		"a number with no digit": {"[" + strings.Replace(good, `"1.5"`, "1", 1) + "," + strings.Replace(good, `"1.5"`, "1.", 1) + "]", Malformed, 1},
		"a plus":                 {"[+1]", Malformed, 1},
		"nesting":                {strings.Repeat("[", 100_000), Malformed, 1},
		"deep data":              {"[" + strings.Repeat("[", 16) + strings.Repeat("]", 16) + "]", Malformed, 1},
		"10,001 events":          {"[" + strings.Repeat("1,", MaxEvents) + "1]", TooLarge, 1},
		"a half escape":          {`["\u12"]`, Malformed, 1},
		"an unknown escape":      {`["\x"]`, Malformed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var p Parser
			var k keep
			_, refusal := p.Batch([]byte(test.body), &k)
			if refusal == nil || refusal.Reason != test.reason || refusal.Line != test.line || refusal.Index != -1 {
				t.Errorf("got %+v, want %s at line %d", refusal, test.reason, test.line)
			}
		})
	}
}

func TestABrokenLineIsRefusedAlone(t *testing.T) {
	body := good + "\n\n" + good + "\r\n" + good + " x\n{\n[1]\n  " + good
	for _, general := range []bool{true, false} {
		p, k := Parser{general: general}, keep{}
		parsed, refusal := p.Lines([]byte(body), &k)
		if refusal != nil {
			t.Fatal(refusal)
		}
		var got []string
		for _, r := range parsed.Refusals {
			got = append(got, fmt.Sprintf("%d line %d %s", r.Index, r.Line, r.Reason))
		}
		want := []string{"2 line 4 malformed", "3 line 5 malformed", "4 line 6 wrong_type"}
		if parsed.Events != 6 || len(k.events) != 3 || !reflect.DeepEqual(got, want) {
			t.Errorf("%d events, %d taken, refused %q", parsed.Events, len(k.events), got)
		}
	}
}

func TestBinaryModeDecodesHeaders(t *testing.T) {
	body := `{"node":"n1","customer":"c1","meter":"m","quantity":2}`
	header := func(change ...string) map[string][]string {
		h := map[string][]string{
			"Ce-Specversion": {"1.0"}, "Ce-Type": {"aliquot.usage"}, "Ce-Id": {"e1"}, "ce-source": {"//s"},
			"Ce-Time": {"2026-11-22T12:00:00Z"}, "Ce-Whatever": {"x", "y"}, "Content-Type": {"application/json"},
		}
		for i := 0; i < len(change); i += 2 {
			h[change[i]] = append(h[change[i]][:0:0], change[i+1])
		}
		return h
	}
	for name, test := range map[string]struct {
		header map[string][]string
		body   string
		want   string // the id, or the refused field
	}{
		"plain":                          {header(), body, "e1"},
		"percent encoding":               {header("Ce-Id", "Euro%20%E2%82%AC%20%F0%9F%98%80"), body, "Euro € 😀"},
		"encoded once only":              {header("Ce-Id", "%2541"), body, "%41"},
		"quoted":                         {header("Ce-Id", `"a \"b\" %41"`), body, `a "b" A`},
		"a quote in it":                  {header("Ce-Id", `a"b`), body, `a"b`},
		"JSON in a header":               {header("Ce-Id", `x","id":"y`), body, `x","id":"y`},
		"half a percent":                 {header("Ce-Id", "a%4"), body, "ce-id malformed"},
		"no hexadecimal":                 {header("Ce-Id", "a%4g"), body, "ce-id malformed"},
		"a quote without end":            {header("Ce-Id", `"a\"`), body, "ce-id malformed"},
		"encoded bytes that are no text": {header("Ce-Id", "%ff"), body, "ce-id bad_text"},
		"encoded NUL":                    {header("Ce-Id", "%00"), body, "ce-id bad_text"},
		"a header twice":                 {header("ce-id", "e2"), body, "ce-id malformed"},
		"no time":                        {header("Ce-Time", ""), body, "time bad_time"},
		"a body that breaks out":         {header(), body + `,"id":"x"`, " malformed"},
		"no body":                        {header(), "", " missing"},
		"a body that is null":            {header(), "null", "data missing"},
	} {
		t.Run(name, func(t *testing.T) {
			var p Parser
			var k keep
			parsed, refusal := p.Binary(test.header, []byte(test.body), &k)
			got := ""
			switch {
			case refusal != nil:
				got = refusal.Field + " " + string(refusal.Reason)
			case len(parsed.Refusals) > 0:
				got = parsed.Refusals[0].Field + " " + string(parsed.Refusals[0].Reason)
			default:
				got = k.events[0].ID
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestCollectorPacksByBookAndKeepsOrder(t *testing.T) {
	all := append(samples(true, 900), samples(false, 900)...)
	for i := range all { // Those it refuses.
		all[i].Replaces, all[i].Retracts = "", ""
	}
	for i := range all {
		if i%3 == 0 {
			all[i], all[len(all)-1-i] = all[len(all)-1-i], all[i]
		}
	}
	var p Parser
	var c Collector
	for range 3 { // Reuse must not show.
		c.Reset("acme", open{})
		if _, refusal := p.Batch(batchOf(all), &c); refusal != nil {
			t.Fatal(refusal)
		}
		seen := 0
		for part := range c.Parts() {
			var columns Columns
			if err := columns.Decode(part.Builder.AppendTo(nil)); err != nil {
				t.Fatal(err)
			}
			at := 0
			for i := range columns.N {
				got := columns.Event(i)
				for at < len(all) && !reflect.DeepEqual(got, all[at]) {
					at++
				}
				route, _ := open{}.Node([]byte(got.Node))
				if at == len(all) || route.Book != part.Book {
					t.Fatalf("event %d of %s is in the wrong place: %+v", i, part.Book, got)
				}
				at++
				seen++
			}
		}
		if seen != len(all) || c.Len() != len(all) {
			t.Fatalf("%d events of %d", seen, len(all))
		}
	}
}

// Fails when a lane goes on after it is full, or keeps numbers of the builder before.
func TestCollectorBeginsAnotherSegmentWhenOneIsFull(t *testing.T) {
	base := samples(false, 1)[0]
	base.Attributes = nil
	var body []byte
	const n = 9_000
	for i := range n {
		base.ID = fmt.Sprintf("%0200d", i)
		body = append(AppendCloudEvent(body, &base), '\n')
	}
	var p Parser
	var c Collector
	c.Reset("acme", open{})
	if parsed, refusal := p.Lines(body, &c); refusal != nil || len(parsed.Refusals) > 0 {
		t.Fatal(refusal, parsed)
	}
	at, parts := 0, 0
	for part := range c.Parts() {
		packed := part.Builder.AppendTo(nil)
		var columns Columns
		if err := columns.Decode(packed); err != nil {
			t.Fatal(err)
		}
		for i := range columns.N {
			if want := fmt.Sprintf("%0200d", at); string(columns.ID(i)) != want || columns.Event(i).Node != base.Node {
				t.Fatalf("event %d is %q", at, columns.ID(i))
			}
			at++
		}
		parts++
	}
	if at != n || parts < 2 {
		t.Errorf("%d events in %d parts", at, parts)
	}
}
