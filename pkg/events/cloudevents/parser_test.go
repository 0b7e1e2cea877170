package cloudevents

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/eventstest"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// keep is a sink that spells events out.
type keep struct{ events []events.Usage }

func (k *keep) Add(u *packed.RawUsage) *packed.Fault {
	if f := u.Check(); f != nil {
		panic(fmt.Sprintf("the parser hands on what Check refuses: %+v", f))
	}
	k.events = append(k.events, spell(u))
	return nil
}

// spell copies an event out of the parser.
func spell(r *packed.RawUsage) events.Usage {
	q, err := money.QuantityFromMantissa(r.QuantityHigh, r.QuantityLow, r.Scale)
	if err != nil {
		panic(err)
	}
	u := events.Usage{
		Source: string(r.Source), ID: string(r.ID), Epoch: r.Epoch, Sequence: r.Sequence, Sequenced: r.Sequenced,
		Node: events.Node(r.Node), Customer: events.Customer(r.Customer), Meter: events.Meter(r.Meter),
		Quantity: q, Start: r.Start, End: r.End, Replaces: string(r.Replaces), Retracts: string(r.Retracts),
	}
	for _, a := range r.Attributes {
		u.Attributes = append(u.Attributes, events.Attribute{Name: string(a.Name), Value: string(a.Value)})
	}
	return u
}

// open is a gate that knows every name but those beginning with "un".
type open struct{}

func (open) Node(node []byte) (packed.Route, bool) {
	book := events.Book("book-a")
	if len(node) > 0 && node[len(node)-1]&1 == 1 {
		book = "book-b"
	}
	return packed.Route{Book: book, Window: events.Window{Latest: math.MaxInt64 - 1}}, !bytes.HasPrefix(node, []byte("un"))
}
func (open) Customer(_ events.Book, c []byte) bool { return !bytes.HasPrefix(c, []byte("un")) }
func (open) Meter(_ events.Book, m []byte) (money.Quantity, bool) {
	return eventstest.Quantity("100000000000000000000"), !bytes.HasPrefix(m, []byte("un"))
}

const good = `{"specversion":"1.0","type":"aliquot.usage","id":"e1","source":"//s","time":"2026-11-22T12:00:00Z",` +
	`"data":{"node":"n1","customer":"c1","meter":"gpu.seconds","quantity":"1.5","attributes":{"model":"H100","region":"eu"}}}`

func batchOf(all []events.Usage) []byte {
	body := []byte{'['}
	for i := range all {
		if i > 0 {
			body = append(body, ',')
		}
		body = Append(body, &all[i])
	}
	return append(body, ']')
}

func TestWhatIsWrittenAsCloudEventsIsReadAsTheSame(t *testing.T) {
	for _, sequenced := range []bool{true, false} {
		all := eventstest.Samples(sequenced, 1000)
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
	base := events.Usage{
		Source: "//s", ID: "e1", Node: "n1", Customer: "c1", Meter: "gpu.seconds", Quantity: eventstest.Quantity("1.5"),
		Start: 1795348800_000000000, End: 1795348800_000000000,
		Attributes: []events.Attribute{{Name: "model", Value: "H100"}, {Name: "region", Value: "eu"}},
	}
	for name, test := range map[string]struct {
		from, to string
		change   func(*events.Usage)
	}{
		"as it is":                         {"", "", func(*events.Usage) {}},
		"the later name of the type":       {`"aliquot.usage"`, `"aliquot.usage.v1"`, func(*events.Usage) {}},
		"a quantity as a number":           {`"1.5"`, `1.50e0`, func(*events.Usage) {}},
		"a quantity beyond any float":      {`"1.5"`, `123456789.123456789123456789`, func(u *events.Usage) { u.Quantity = eventstest.Quantity("123456789.123456789123456789") }},
		"white space everywhere":           {`{"node":"n1",`, " { \"node\" :\t\"n1\" \r\n , ", func(*events.Usage) {}},
		"escapes in texts and names":       {`"node":"n1"`, `"n\u006fde":"n\u0031"`, func(*events.Usage) {}},
		"a surrogate pair":                 {`"e1"`, `"e\ud83d\ude00"`, func(u *events.Usage) { u.ID = "e😀" }},
		"attributes in any order":          {`{"model":"H100","region":"eu"}`, `{"region":"eu","model":"H100"}`, func(*events.Usage) {}},
		"no attributes":                    {`{"model":"H100","region":"eu"}`, `null`, func(u *events.Usage) { u.Attributes = nil }},
		"an empty value":                   {`"eu"`, `""`, func(u *events.Usage) { u.Attributes[1].Value = "" }},
		"a start":                          {`"meter"`, `"start":"2026-11-22T11:59:59.5Z","meter"`, func(u *events.Usage) { u.Start -= 500_000_000 }},
		"an end before the time":           {`"meter"`, `"end":"2026-11-22T11:59:59.000000001Z","meter"`, func(u *events.Usage) { u.End -= 999_999_999; u.Start = u.End }},
		"a time with an offset":            {`12:00:00Z`, `13:30:00+01:30`, func(*events.Usage) {}},
		"a subject in place of a customer": {`"customer":"c1",`, ``, func(u *events.Usage) { u.Customer = "sub" }},
		"a sequence as text":               {`"id"`, `"sequence":"0000017","id"`, func(u *events.Usage) { u.Sequenced, u.Sequence = true, 17 }},
		"a sequence and epoch as numbers":  {`"id"`, `"sequence":18446744073709551615,"epoch":3,"id"`, func(u *events.Usage) { u.Sequenced, u.Sequence, u.Epoch = true, math.MaxUint64, 3 }},
		"an extension":                     {`"id"`, `"traceparent":"00-ab","tenant1":7,"test":true,"none":null,"id"`, func(*events.Usage) {}},
		"a content type with a parameter":  {`"id"`, `"datacontenttype":"Application/JSON; charset=utf-8","id"`, func(*events.Usage) {}},
		"an event that replaces another":   {`"meter"`, `"replaces":"e0","meter"`, func(u *events.Usage) { u.Replaces = "e0" }},
		"an event that takes one back":     {`"meter"`, `"retracts":"e0","meter"`, func(u *events.Usage) { u.Retracts = "e0" }},
	} {
		t.Run(name, func(t *testing.T) {
			event := strings.Replace(strings.Replace(good, `"data"`, `"subject":"sub","data"`, 1), test.from, test.to, 1)
			want := base
			want.Attributes = append([]events.Attribute(nil), base.Attributes...)
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
		reason   events.Reason
	}{
		"no specversion":                    {`"specversion":"1.0",`, ``, "specversion", events.Missing},
		"specversion 0.3":                   {`"1.0"`, `"0.3"`, "specversion", events.Unsupported},
		"another type":                      {`"aliquot.usage"`, `"aliquot.usages"`, "type", events.Unsupported},
		"no type":                           {`"type":"aliquot.usage",`, ``, "type", events.Missing},
		"no id":                             {`"id":"e1",`, ``, "id", events.Missing},
		"an empty id":                       {`"e1"`, `""`, "id", events.Missing},
		"an id that is a number":            {`"e1"`, `17`, "id", events.WrongType},
		"an id of 10 KB":                    {`"e1"`, `"` + long + `"`, "id", events.TooLong},
		"an id with NUL":                    {`"e1"`, `"e\u0000"`, "id", events.BadText},
		"an id with half a surrogate":       {`"e1"`, `"e\ud83d"`, "id", events.BadText},
		"an id that is not UTF-8":           {`"e1"`, "\"e\xff\"", "id", events.BadText},
		"an id twice":                       {`"id":"e1"`, `"id":"e1","id":"e1"`, "id", events.Malformed},
		"an id twice, once null":            {`"id":"e1"`, `"id":null,"id":"e1"`, "id", events.Malformed},
		"a source of 513 bytes":             {`"//s"`, `"` + long[:513] + `"`, "source", events.TooLong},
		"a node with a space":               {`"n1"`, `"n 1"`, "data.node", events.BadText},
		"a node of 129 bytes":               {`"n1"`, `"` + long[:129] + `"`, "data.node", events.TooLong},
		"an empty customer":                 {`"c1"`, `""`, "data.customer", events.Missing},
		"no customer":                       {`"customer":"c1",`, ``, "data.customer", events.Missing},
		"no quantity":                       {`"quantity":"1.5",`, ``, "data.quantity", events.Missing},
		"a null quantity":                   {`"1.5"`, `null`, "data.quantity", events.Missing},
		"a quantity that is true":           {`"1.5"`, `true`, "data.quantity", events.WrongType},
		"a quantity that is a word":         {`"1.5"`, `"many"`, "data.quantity", events.BadNumber},
		"a quantity with a space":           {`"1.5"`, `" 1.5"`, "data.quantity", events.BadNumber},
		"a quantity in hexadecimal":         {`"1.5"`, `"0x10"`, "data.quantity", events.BadNumber},
		"a quantity of NaN":                 {`"1.5"`, `"NaN"`, "data.quantity", events.BadNumber},
		"a negative quantity":               {`"1.5"`, `-1`, "data.quantity", events.Negative},
		"a quantity of 19 places":           {`"1.5"`, `"0.1234567890123456789"`, "data.quantity", events.TooPrecise},
		"a quantity beyond 128 bits":        {`"1.5"`, `1e30`, "data.quantity", events.Absurd},
		"a quantity of a million digits":    {`"1.5"`, strings.Repeat("9", 1_000_000), "data.quantity", events.Absurd},
		"a misspelt member":                 {`"quantity"`, `"quantitty":"1","quantity"`, "data.quantitty", events.Unsupported},
		"a member of data twice":            {`"quantity"`, `"quantity":"1","quantity"`, "data.quantity", events.Malformed},
		"data that is an array":             {`"data":{`, `"data":[],"x":{`, "data", events.WrongType},
		"no data":                           {`"data":{`, `"x":{`, "x", events.WrongType},
		"data beside data in base64":        {`"data":{`, `"data_base64":"e30=","data":{`, "data", events.Malformed},
		"XML data":                          {`"id"`, `"datacontenttype":"application/xml","id"`, "datacontenttype", events.Unsupported},
		"an extension that is an object":    {`"id"`, `"x":{},"id"`, "x", events.WrongType},
		"an extension twice":                {`"id"`, `"x":1,"x":1,"id"`, "x", events.Malformed},
		"a member in capitals":              {`"id"`, `"Subject":"c","id"`, "Subject", events.Unsupported},
		"a time without a zone":             {`12:00:00Z`, `12:00:00`, "time", events.BadTime},
		"a time of 10 decimals":             {`12:00:00Z`, `12:00:00.0000000001Z`, "time", events.BadTime},
		"a leap second":                     {`12:00:00Z`, `23:59:60Z`, "time", events.BadTime},
		"a time of 1969":                    {`2026`, `1969`, "time", events.BadTime},
		"a time of 9999":                    {`2026`, `9999`, "time", events.BadTime},
		"30 February":                       {`11-22`, `02-30`, "time", events.BadTime},
		"a time of NULs":                    {`"2026-11-22T`, `"\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000T`, "time", events.BadText},
		"no time":                           {`"time":"2026-11-22T12:00:00Z",`, ``, "data.end", events.Missing},
		"a start after the end":             {`"meter"`, `"start":"2026-11-22T12:00:00.000000001Z","meter"`, "data.start", events.BadInterval},
		"a sequence below zero":             {`"id"`, `"sequence":-1,"id"`, "sequence", events.BadNumber},
		"a sequence with a point":           {`"id"`, `"sequence":1.0,"id"`, "sequence", events.BadNumber},
		"a sequence of 2^64":                {`"id"`, `"sequence":"18446744073709551616","id"`, "sequence", events.BadNumber},
		"an epoch without a sequence":       {`"id"`, `"epoch":1,"id"`, "sequence", events.Missing},
		"an attribute that is a number":     {`"eu"`, `1`, "data.attributes.region", events.WrongType},
		"an attribute of 257 bytes":         {`"eu"`, `"` + long[:257] + `"`, "data.attributes.region", events.TooLong},
		"an attribute name of 65 bytes":     {`"region"`, `"` + long[:65] + `"`, "data.attributes." + long[:48] + "…", events.TooLong},
		"an attribute name with a space":    {`"region"`, `"re gion"`, "data.attributes.re gion", events.BadText},
		"an attribute twice":                {`"region"`, `"model"`, "data.attributes.model", events.Malformed},
		"attributes that are a list":        {`{"model":"H100","region":"eu"}`, `[]`, "data.attributes", events.WrongType},
		"33 attributes":                     {`"region":"eu"`, manyAttributes(32), "data.attributes", events.TooLarge},
		"an event that does both":           {`"meter"`, `"replaces":"a","retracts":"b","meter"`, "data.retracts", events.Malformed},
		"a replaced id of 257 bytes":        {`"meter"`, `"replaces":"` + long[:257] + `","meter"`, "data.replaces", events.TooLong},
		"an unknown node":                   {`"n1"`, `"unknown"`, "data.node", events.UnknownNode},
		"an unknown customer":               {`"c1"`, `"unknown"`, "data.customer", events.UnknownCustomer},
		"an unknown meter":                  {`"gpu.seconds"`, `"unknown"`, "data.meter", events.UnknownMeter},
		"a quantity above the meter's most": {`"1.5"`, `"100000000000000000000.1"`, "data.quantity", events.Absurd},
		"an event that ends too late":       {`2026-11-22T12:00:00Z`, `2262-04-11T23:47:16.854775807Z`, "data.end", events.FromFuture},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, test.from, test.to, 1)
			if bad == good {
				t.Fatal("the case changes nothing")
			}
			// Between good ones, on a line of its own, after a layout was learned.
			body := "[" + good + ",\n" + good + ",\n" + bad + ",\n" + good + "]"
			var p Parser
			var c packed.Collector
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
			if len(r.ID) > packed.MaxID+2 || len(r.Detail) > 300 || len(r.Field) > 100 {
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
		reason events.Reason
		line   int
	}{
		"nothing":                {"", events.WrongType, 1},
		"an object":              {good, events.WrongType, 1},
		"no end":                 {"[" + good, events.Malformed, 1},
		"a comma too many":       {"[" + good + ",]", events.Malformed, 1},
		"no comma":               {"[" + good + good + "]", events.Malformed, 1},
		"something behind":       {"[" + good + "]\n\n1", events.Malformed, 3},
		"a second array":         {"[][]", events.Malformed, 1},
		"two byte order marks":   {"\ufeff\ufeff[]", events.WrongType, 1},
		"a byte order mark late": {"[\ufeff]", events.Malformed, 1},
		"NUL":                    {"\x00", events.WrongType, 1},
		"a raw line end in text": {"[\n" + strings.Replace(good, "e1", "e\n1", 1) + "]", events.Malformed, 2},
		"a number with zeros":    {"[" + strings.Replace(good, `"1.5"`, "1", 1) + "," + strings.Replace(good, `"1.5"`, "01", 1) + "]", events.Malformed, 1},
		"a number with no digit": {"[" + strings.Replace(good, `"1.5"`, "1", 1) + "," + strings.Replace(good, `"1.5"`, "1.", 1) + "]", events.Malformed, 1},
		"a plus":                 {"[+1]", events.Malformed, 1},
		"nesting":                {strings.Repeat("[", 100_000), events.Malformed, 1},
		"deep data":              {"[" + strings.Repeat("[", 16) + strings.Repeat("]", 16) + "]", events.Malformed, 1},
		"10,001 events":          {"[" + strings.Repeat("1,", packed.MaxEvents) + "1]", events.TooLarge, 1},
		"a half escape":          {`["\u12"]`, events.Malformed, 1},
		"an unknown escape":      {`["\x"]`, events.Malformed, 1},
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
	all := append(eventstest.Samples(true, 900), eventstest.Samples(false, 900)...)
	for i := range all { // Those it refuses.
		all[i].Replaces, all[i].Retracts = "", ""
	}
	for i := range all {
		if i%3 == 0 {
			all[i], all[len(all)-1-i] = all[len(all)-1-i], all[i]
		}
	}
	var p Parser
	var c packed.Collector
	for range 3 { // Reuse must not show.
		c.Reset("acme", open{})
		if _, refusal := p.Batch(batchOf(all), &c); refusal != nil {
			t.Fatal(refusal)
		}
		seen := 0
		for part := range c.Parts() {
			var columns packed.Columns
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
	base := eventstest.Samples(false, 1)[0]
	base.Attributes = nil
	var body []byte
	const n = 9_000
	for i := range n {
		base.ID = fmt.Sprintf("%0200d", i)
		body = append(Append(body, &base), '\n')
	}
	var p Parser
	var c packed.Collector
	c.Reset("acme", open{})
	if parsed, refusal := p.Lines(body, &c); refusal != nil || len(parsed.Refusals) > 0 {
		t.Fatal(refusal, parsed)
	}
	at, parts := 0, 0
	for part := range c.Parts() {
		segment := part.Builder.AppendTo(nil)
		var columns packed.Columns
		if err := columns.Decode(segment); err != nil {
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
