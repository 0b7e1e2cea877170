package ingest_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/cloudevents"
	"github.com/aliquot-engine/aliquot/services/ingest"
)

// Such events were once answered as accepted, and refused later where nobody saw
// it.
func TestWhatTakesBackOrReplacesAnEventIsRefusedAtIntake(t *testing.T) {
	b := open(t, eventlog.Config{}, nil)
	good := used("a")
	for name, change := range map[string]func(*events.Usage){
		"data.retracts": func(u *events.Usage) { u.Retracts = "a" },
		"data.replaces": func(u *events.Usage) { u.Replaces = "a" },
	} {
		amends := used("b", change)
		one := cloudevents.Append(nil, &amends)
		for _, test := range []struct {
			how, media string
			body       []byte
			status     int
			accepted   int
			index      int
		}{
			{"alone", "application/cloudevents+json", one, 422, 0, 0},
			{"in a batch of its own", batchMedia, batch(amends), 422, 0, 0},
			{"in a batch with another", batchMedia, batch(good, amends), 202, 1, 1},
			{"on a line", "application/x-ndjson", one, 422, 0, 0},
			{"packed", ingest.PackedMedia, packedBody(t, "acme", amends), 422, 0, 0},
			{"packed with another", ingest.PackedMedia, packedBody(t, "acme", amends, good), 202, 1, 0},
		} {
			stored := len(b.stored())
			a := b.post(test.media, test.body)
			if a.status != test.status || a.Accepted != test.accepted || len(a.Refusals) != 1 || len(b.stored())-stored != test.accepted {
				t.Errorf("%s %s: %d, %+v", name, test.how, a.status, a.Answer)
				continue
			}
			if r := a.Refusals[0]; r.Field != name || r.Reason != events.Unsupported || r.Index != test.index || !strings.Contains(r.Detail, `"a" stays as it is`) {
				t.Errorf("%s %s: %+v", name, test.how, r)
			}
		}
	}
	for _, u := range b.stored() {
		if u.Retracts+u.Replaces != "" {
			t.Errorf("stored %+v", u)
		}
	}
}

func TestBodiesAsProgramsWriteThem(t *testing.T) {
	b := open(t, eventlog.Config{}, nil)
	const mark = "\uFEFF"
	one := used("a")
	event := string(cloudevents.Append(nil, &one))
	before, data, _ := strings.Cut(event, `"data":`)
	encoded := before + `"data_base64":"` + base64.StdEncoding.EncodeToString([]byte(strings.TrimSuffix(data, "}"))) + `"}`
	pretty := strings.ReplaceAll(event, `,"`, ",\n\"")
	for _, test := range []struct {
		name, media, body string
		accepted          int
	}{
		{"an event with a mark", "application/json", mark + event, 1},
		{"a batch with a mark", "application/json; charset=utf-8", mark + " [" + event + "]", 1},
		{"lines with a mark", "application/x-ndjson", mark + event + "\r\n" + event + "\r\n", 2},
		{"lines that are called JSON", "application/json", event + "\n" + event + "\n", 2},
		{"lines that are called JSON, with a mark, CRLF and an empty line", "application/json", mark + event + " \r\n\r\n" + event, 2},
		{"one event over several lines", "application/json", pretty + "\n", 1},
		{"a batch over several lines", "application/json", "[\n" + pretty + ",\n" + pretty + "\n]\n", 2},
		{"lines by another name", "application/jsonlines", event + "\n", 1},
		{"lines by a name of before", "application/x-jsonlines; charset=utf-8", event + "\n", 1},
		{"data in base64", "application/cloudevents+json", encoded, 1},
		{"data in base64 in a batch", batchMedia, "[" + event + "," + encoded + "]", 2},
		{"data in base64 on lines", "application/x-ndjson", encoded + "\n" + event, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			if a := b.post(test.media, []byte(test.body)); a.status != 202 || a.Accepted != test.accepted || a.Refused != 0 {
				t.Errorf("%d, %+v, %s", a.status, a.Answer, a.Detail)
			}
		})
	}
}
