package host

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// A declared distribution that is void does not keep a period closed; one that
// was made does, and check finds a decision that contradicts this. Once, a void
// declaration kept its period closed permanently.
func TestAVoidDistributionKeepsNoPeriodClosed(t *testing.T) {
	d, err := Open(t.Context(), Config{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	p := person{t: t, d: d}
	post := func(path, body string, want int) map[string]any {
		t.Helper()
		return p.ask("POST", path, "application/json", body, want)
	}
	decide := func(id string, body events.Body) {
		t.Helper()
		data, err := events.AppendDecision(nil, events.Decision{ID: id, Actor: "operator:ada", At: time.Now().UTC(), Body: body})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.streams.control.Publish(t.Context(), eventlog.ControlSubject(body.Kind()), data, eventlog.PublishOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	const period = "2026-11-20"
	reopen := fmt.Sprintf(`{"book":"acme-eu","period":%q,"reason":"usage is missing"}`, period)
	p.ask("POST", "/v1/apply?file=book.yaml", "application/yaml", bookYAML, 200)
	post("/v1/periods/close", `{"book":"acme-eu","period":"`+period+`"}`, 200)
	// It rests on CONTROL before the token was declared, so it is void.
	decide("early", events.DistributionDeclared{Distribution: "early", Token: "T1", Period: period, ControlSeq: 1, RecordDate: time.Now().UTC()})
	if got := post("/v1/periods/reopen", reopen, 200); got["effect"] != "applied" {
		t.Errorf("reopened: %v", got)
	}
	p.ask("POST", "/v1/events?wait=10", "application/cloudevents-batch+json", "["+event(1)+"]", 200)
	p.ask("POST", "/v1/settled", "", "", 200)
	post("/v1/deposits/outstanding", `{"book":"acme-eu","reference":"r1"}`, 200)
	post("/v1/periods/close", `{"book":"acme-eu","period":"`+period+`"}`, 200)
	p.ask("POST", "/v1/registers/T1/import?file=r.csv", "text/csv", "holder,units\na,1\n", 200)
	if made := post("/v1/distributions", `{"token":"T1","period":"`+period+`"}`, 200); made["revenue"] != "1.99" {
		t.Errorf("distribution: %v", made)
	}
	if got := fmt.Sprint(post("/v1/periods/reopen", reopen, 409)); !strings.Contains(got, `distribution "T1:2026-11-20" rests on the closing`) {
		t.Errorf("reopened: %v", got)
	}
	if got := p.ask("GET", "/v1/check?deep=true", "", "", 200); got["ok"] != true {
		t.Errorf("check: %v", got)
	}
	if got := p.ask("POST", "/v1/replay", "", "", 200); got["identical"] != true {
		t.Errorf("replay: %v", got)
	}
	decide("lie", events.PeriodReopened{Book: "acme-eu", Period: period, Reason: "so", Void: []string{"T1:2026-11-20", "early"}})
	got := fmt.Sprint(p.ask("GET", "/v1/check", "", "", 200))
	if !strings.Contains(got, "as if it were void") {
		t.Errorf("check: %v", got)
	}
}
