package cloudevents

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// inBase64 writes the data of an event as data_base64.
func inBase64(event string) string {
	before, rest, _ := strings.Cut(event, `"data":`)
	data := strings.TrimSuffix(rest, "}")
	return before + `"data_base64":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `"}`
}

func TestDataInBase64IsTheData(t *testing.T) {
	var plain keep
	p := Parser{}
	if _, refusal := p.Single([]byte(good), &plain); refusal != nil {
		t.Fatal(refusal)
	}
	want := plain.events[0]
	slashes := strings.Replace(good, `"n1"`, "\"n1\"\n\t\t\t\t\t?>", 1)
	for name, event := range map[string]string{
		"as it is":                              inBase64(good),
		"with white space and a mark in it":     inBase64(strings.Replace(good, `"data":`, "\"data\":\ufeff \n", 1)),
		"with data that is null":                strings.Replace(inBase64(good), `"data_base64"`, `"data":null,"data_base64"`, 1),
		"with a content type":                   strings.Replace(inBase64(good), `"id"`, `"datacontenttype":"application/json","id"`, 1),
		"with its slashes escaped, as PHP does": strings.ReplaceAll(inBase64(good), "/", `\/`),
	} {
		t.Run(name, func(t *testing.T) {
			// Between others, whose layout must not be taken for its own.
			body := "[" + good + "," + event + "," + good + "," + event + "]"
			for _, general := range []bool{false, true} {
				p, k := Parser{general: general}, keep{}
				parsed, refusal := p.Batch([]byte(body), &k)
				if refusal != nil || len(parsed.Refusals) > 0 || len(k.events) != 4 {
					t.Fatalf("%v %+v", refusal, parsed)
				}
				for i := range k.events {
					if !reflect.DeepEqual(k.events[i], want) {
						t.Errorf("event %d: got %+v\nwant %+v", i, k.events[i], want)
					}
				}
			}
		})
	}
	for name, test := range map[string]struct {
		event  string
		field  string
		reason events.Reason
	}{
		"no base64":              {strings.Replace(inBase64(good), `"data_base64":"`, `"data_base64":"!`, 1), "data_base64", events.Malformed},
		"no text":                {strings.Replace(good, `"data":`, `"data_base64":`, 1), "data_base64", events.WrongType},
		"no JSON":                {inBase64(slashes), "data_base64", events.Malformed},
		"nothing":                {strings.Replace(good, `"data":`, `"data_base64":"","data":`, 1), "data", events.WrongType},
		"JSON that is no object": {inBase64(`{"specversion":"1.0","type":"aliquot.usage","id":"e1","source":"//s","data":[1]}`), "data", events.WrongType},
		"a faulty member":        {inBase64(strings.Replace(good, "1.5", "many", 1)), "data.quantity", events.BadNumber},
		"something behind it":    {inBase64(strings.TrimSuffix(good, "}") + " 7}"), "data_base64", events.Malformed},
		"data before it":         {strings.Replace(good, `"data":`, `"data":{},"data_base64":`, 1), "data_base64", events.Malformed},
		"data behind it":         {strings.Replace(inBase64(good), `"}`, `","data":{}}`, 1), "data", events.Malformed},
		"it twice":               {strings.Replace(inBase64(good), `"data_base64"`, `"data_base64":"e30=","data_base64"`, 1), "data_base64", events.Malformed},
		"another content type":   {strings.Replace(inBase64(good), `"id"`, `"datacontenttype":"application/x-protobuf","id"`, 1), "datacontenttype", events.Unsupported},
	} {
		t.Run(name, func(t *testing.T) {
			for _, general := range []bool{false, true} {
				p, k := Parser{general: general}, keep{}
				parsed, refusal := p.Batch([]byte("["+good+",\n\n"+test.event+",\n"+good+"]"), &k)
				if refusal != nil || len(parsed.Refusals) != 1 || len(k.events) != 2 {
					t.Fatalf("%v %+v", refusal, parsed)
				}
				if r := parsed.Refusals[0]; r.Field != test.field || r.Reason != test.reason || r.Line != 3 {
					t.Errorf("got %+v", r)
				}
			}
		})
	}
}

func TestAByteOrderMarkIsNoPartOfTheBody(t *testing.T) {
	const mark = "\ufeff"
	header := map[string][]string{"ce-specversion": {"1.0"}, "ce-type": {"aliquot.usage"}, "ce-id": {"e1"}, "ce-source": {"//s"}, "ce-time": {"2026-11-22T12:00:00Z"}}
	for name, read := range map[string]func(p *Parser, k *keep) (Parsed, *events.Refusal){
		"a batch":  func(p *Parser, k *keep) (Parsed, *events.Refusal) { return p.Batch([]byte(mark+"["+good+"]"), k) },
		"an event": func(p *Parser, k *keep) (Parsed, *events.Refusal) { return p.Single([]byte(mark+"\r\n"+good), k) },
		"lines":    func(p *Parser, k *keep) (Parsed, *events.Refusal) { return p.Lines([]byte(mark+good+"\n"), k) },
		"binary mode": func(p *Parser, k *keep) (Parsed, *events.Refusal) {
			return p.Binary(header, []byte(mark+`{"node":"n1","customer":"c1","meter":"gpu.seconds","quantity":"1.5"}`), k)
		},
	} {
		var k keep
		parsed, refusal := read(new(Parser), &k)
		if refusal != nil || len(parsed.Refusals) > 0 || len(k.events) != 1 || k.events[0].ID != "e1" {
			t.Errorf("%s: %v %+v %+v", name, refusal, parsed, k.events)
		}
	}
	// The line of a refusal is counted from behind it.
	var k keep
	if parsed, _ := new(Parser).Lines([]byte(mark+good+"\n{}\n"), &k); len(parsed.Refusals) != 1 || parsed.Refusals[0].Line != 2 {
		t.Errorf("got %+v", parsed)
	}
}
