package host

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestNoFactsFromTheFutureAndAWayBack uses the API. Values that lie in the
// future are refused before anything is recorded, and the error names the
// field; a round, a closing and a deposit are taken back; and a replay gives
// the same ledger.
func TestNoFactsFromTheFutureAndAWayBack(t *testing.T) {
	t.Parallel()
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
	says := func(answer map[string]any, want string) {
		t.Helper()
		if text := fmt.Sprint(answer); !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	p.ask("POST", "/v1/apply?file=book.yaml", "application/yaml", bookYAML, 200)
	before := p.ask("GET", "/v1/status", "", "", 200)["control"]
	today := time.Now().UTC().Format(time.DateOnly)
	tomorrow := time.Now().UTC().AddDate(0, 0, 1).Format(time.DateOnly)
	says(post("/v1/quotes", `{"pair":"USDC/USD","source":"feed","rounds":[{"round":"1","time":"2062-01-01T00:00:00Z","rate":"1"}]}`, 422), "rounds[0].time")
	says(post("/v1/periods/close", `{"book":"acme-eu","period":"2126-11-01","early":true,"reason":"typing"}`, 422), "period: 2126-11-01 has not begun")
	says(post("/v1/periods/close", `{"book":"acme-eu","period":"2600-01-01"}`, 422), "period")
	says(post("/v1/periods/close", fmt.Sprintf(`{"book":"acme-eu","period":%q}`, tomorrow), 422), "has not")
	says(post("/v1/periods/close", fmt.Sprintf(`{"book":"acme-eu","period":%q,"early":true}`, today), 422), "reason")
	if after := p.ask("GET", "/v1/status", "", "", 200)["control"]; after != before {
		t.Errorf("CONTROL went from %v to %v: what was refused was recorded", before, after)
	}

	post("/v1/quotes", `{"pair":"USDC/USD","source":"feed","rounds":[{"round":"1","time":"2026-11-01T00:00:00Z","rate":"1"}]}`, 200)
	if got := post("/v1/quotes/withdraw", `{"pair":"USDC/USD","source":"feed","round":"1","reason":"misread"}`, 200); len(got["priced"].([]any)) != 0 {
		t.Errorf("a round that priced nothing: %v", got)
	}
	says(post("/v1/quotes/withdraw", `{"pair":"USDC/USD","source":"feed","round":"9","reason":"misread"}`, 409), "no round")
	says(post("/v1/suspense/release", `{"pair":"USDC/USD","source":"feed","round":"1","reason":"so"}`, 409), "no round")

	deposit := `{"book":"acme-eu","customer":"c1","asset":"USDC","amount":"5","reference":"wire"}`
	reversal := strings.TrimSuffix(deposit, "}") + `,"reason":"another's"}`
	says(post("/v1/deposits/reverse", reversal, 409), "0 USDC")
	post("/v1/deposits", deposit, 200)
	if got := post("/v1/deposits/reverse", reversal, 200); got["effect"] != "applied" {
		t.Errorf("reversed: %v", got)
	}
	if got := post("/v1/deposits/reverse", reversal, 200); got["effect"] != "unchanged" {
		t.Errorf("reversed again: %v", got)
	}
	says(post("/v1/deposits", deposit, 409), "a reversal of deposit")

	post("/v1/periods/close", `{"book":"acme-eu","period":"2026-11-20"}`, 200)
	says(post("/v1/distributions", `{"token":"T1","period":"2026-11-20","record_date":"2261-01-01T00:00:00Z"}`, 422), "record_date")
	says(post("/v1/distributions", `{"token":"T1","period":"2026-11-20","record_date":"2026-11-20T24:00:00Z"}`, 422), "hour 24")
	if got := post("/v1/periods/reopen", `{"book":"acme-eu","period":"2026-11-20","reason":"usage is missing"}`, 200); got["effect"] != "applied" {
		t.Errorf("reopened: %v", got)
	}
	says(post("/v1/periods/reopen", `{"book":"acme-eu","period":"2026-11-20","reason":"usage is missing"}`, 409), "is not closed")
	p.ask("POST", "/v1/events?wait=10", "application/cloudevents-batch+json", "["+event(1)+"]", 200)
	p.ask("POST", "/v1/settled", "", "", 200)
	post("/v1/deposits/outstanding", `{"book":"acme-eu","reference":"r1"}`, 200)
	if got := post("/v1/periods/close", `{"book":"acme-eu","period":"2026-11-20"}`, 200); got["effect"] != "applied" || len(got["waiting"].([]any)) != 0 {
		t.Errorf("closed again: %v", got)
	}
	p.ask("POST", "/v1/registers/T1/import?file=r.csv", "text/csv", "holder,units\na,1\n", 200)
	if made := post("/v1/distributions", `{"token":"T1","period":"2026-11-20"}`, 200); made["revenue"] != "1.99" {
		t.Errorf("distribution: %v", made)
	}
	says(post("/v1/periods/reopen", `{"book":"acme-eu","period":"2026-11-20","reason":"too late"}`, 409), "rests on the closing")
	if got := p.ask("GET", "/v1/check?deep=true", "", "", 200); got["ok"] != true {
		t.Errorf("check: %v", got)
	}
	if got := p.ask("POST", "/v1/replay", "", "", 200); got["identical"] != true {
		t.Errorf("replay: %v", got)
	}
}
