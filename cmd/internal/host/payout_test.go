package host

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestOwedMoneyHasAWayOut follows, through the API, one payout that fails, one
// whose answers contradict each other, and a payout run of what is owed. A
// repeated request is answered again, but decided once.
func TestOwedMoneyHasAWayOut(t *testing.T) {
	t.Parallel()
	d, err := Open(t.Context(), Config{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	p := person{t: t, d: d}
	decisions := func() uint64 {
		last, err := d.streams.control.Last(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return last
	}
	const kind = "application/json"
	p.ask("POST", "/v1/apply?file=book.yaml", "application/yaml", bookYAML, 200)
	var all []string
	for i := range 10 {
		all = append(all, event(i+1))
	}
	p.ask("POST", "/v1/events?wait=10", "application/cloudevents-batch+json", "["+strings.Join(all, ",")+"]", 200)
	p.ask("POST", "/v1/settled", "", "", 200)
	p.ask("POST", "/v1/deposits/outstanding", kind, `{"book":"acme-eu","reference":"r1"}`, 200)
	p.ask("POST", "/v1/periods/close", kind, `{"book":"acme-eu","period":"2026-11-20"}`, 200)
	p.ask("POST", "/v1/registers/T1/import?file=r.csv", "text/csv", "holder,units\na,1\nb,2\n", 200)
	p.ask("POST", "/v1/payouts/runs", kind, `{"token":"T1"}`, 409)
	p.ask("POST", "/v1/payouts/runs", kind, `{"token":"T9"}`, 404)
	p.ask("POST", "/v1/distributions", kind, `{"token":"T1","period":"2026-11-20"}`, 200)
	p.ask("GET", "/v1/statements/holder/nobody", "", "", 404)
	totals := func(holder string) map[string]any {
		return p.ask("GET", "/v1/statements/holder/"+holder, "", "", 200)["totals"].([]any)[0].(map[string]any)
	}
	if got := totals("a"); got["planned"] != "6.4675" || got["in_flight"] != "0" {
		t.Errorf("a before the export: %v", got)
	}
	p.ask("POST", "/v1/payouts/export", kind, `{"distribution":"T1:2026-11-20"}`, 200)
	if got := totals("a"); got["planned"] != "0" || got["in_flight"] != "6.4675" {
		t.Errorf("a after the export: %v", got)
	}
	ids := map[string]string{}
	for _, line := range strings.Split(p.text("/v1/payouts/batches/T1:2026-11-20:csv"), "\n")[1:] {
		if f := strings.Split(line, ","); len(f) > 1 {
			ids[f[1]] = f[0]
		}
	}
	answer := func(want int, rows ...string) map[string]any {
		return p.ask("POST", "/v1/payouts/batches/T1:2026-11-20:csv/confirm?file=answer.csv", "text/csv", "payout_id,state,reference,amount\n"+strings.Join(rows, "\n")+"\n", want)
	}
	reason := func(got map[string]any) string {
		list, _ := got["void"].([]any)
		if len(list) != 1 {
			t.Fatalf("an answer that has no effect: %v", got)
		}
		return list[0].(map[string]any)["reason"].(string)
	}
	wrong := ids["a"] + ",confirmed,tx-1,6.47"
	first := reason(answer(200, wrong))
	before := decisions()
	if again := reason(answer(200, wrong)); again != first || !strings.Contains(first, "6.47") || decisions() != before {
		t.Errorf("a void answer, twice: %q, then %q, with %d new decisions", first, again, decisions()-before)
	}
	answer(200, ids["a"]+",failed,,6.467500", ids["b"]+",failed,,")
	late := ids["a"] + ",confirmed,tx-1,"
	if first := reason(answer(200, late)); !strings.Contains(first, "failed cannot become confirmed") {
		t.Error(first)
	}
	correct := func(want int, body string) map[string]any {
		return p.ask("POST", "/v1/payouts/corrections/"+ids["a"], kind, body, want)
	}
	correct(422, `{"state":"paid","reason":"x"}`)
	correct(422, `{"state":"confirmed","reason":" "}`)
	p.ask("POST", "/v1/payouts/corrections/po-1", kind, `{"state":"confirmed","reason":"x"}`, 404)
	done := correct(200, `{"state":"confirmed","reference":"tx-1","reason":"the bank's letter"}`)
	if done["effect"] != "applied" || done["from"] != "failed" || done["state"] != "confirmed" || done["reference"] != "tx-1" {
		t.Errorf("corrected: %v", done)
	}
	before = decisions()
	if again := correct(200, `{"state":"confirmed","reference":"tx-1","reason":"the bank's letter"}`); again["effect"] != "unchanged" || again["position"] != done["position"] || decisions() != before {
		t.Errorf("corrected again: %v", again)
	}

	// The rail repeats its answer after that answer was withdrawn.
	again := ids["a"] + ",confirmed,tx-1,6.4675"
	answer(200, again)
	correct(200, `{"state":"submitted","reason":"the bank looks into it"}`)
	if got := totals("a"); got["in_flight"] != "6.4675" {
		t.Errorf("an answer that was withdrawn: %v", got)
	}
	for range 2 {
		if got := answer(200, again); len(got["void"].([]any)) != 0 {
			t.Errorf("the same answer, later: %v", got)
		}
	}
	if got := totals("a"); got["paid"] != "6.4675" {
		t.Errorf("answered again: %v", got)
	}

	run := p.ask("POST", "/v1/payouts/runs", kind, `{"token":"T1"}`, 200)
	assets := run["assets"].([]any)[0].(map[string]any)
	if run["run"] != "T1:run:1" || run["effect"] != "applied" || assets["payouts"].(float64) != 1 || assets["planned"] != "12.935" {
		t.Errorf("payout run: %v", run)
	}
	before = decisions()
	for _, body := range []string{`{"token":"T1"}`, `{"token":"T1","run":"T1:run:1"}`} {
		if again := p.ask("POST", "/v1/payouts/runs", kind, body, 200); again["run"] != "T1:run:1" || again["effect"] != "unchanged" || again["control_position"] != run["control_position"] {
			t.Errorf("the same run again: %v", again)
		}
	}
	if decisions() != before {
		t.Errorf("asked again, %d decisions were made", decisions()-before)
	}
	p.ask("POST", "/v1/payouts/runs", kind, `{"token":"T1","run":"T1:2026-11-20"}`, 409)
	batch := p.ask("POST", "/v1/payouts/export", kind, `{"distribution":"T1:run:1"}`, 200)
	if batch["payouts"].(float64) != 1 || fmt.Sprint(batch["amounts"]) != "[map[amount:12.935 asset:USDC]]" {
		t.Errorf("batch of the run: %v", batch)
	}
	file := strings.Split(p.text("/v1/payouts/batches/T1:run:1:csv"), "\n")
	id := strings.Split(file[1], ",")[0]
	p.ask("POST", "/v1/payouts/batches/T1:run:1:csv/confirm?file=answer.csv", "text/csv", strings.ReplaceAll(file[0], "payout_id", "payout_id,state")+"\n"+strings.Replace(file[1], id, id+",confirmed", 1)+"\n", 200)
	if got := totals("b"); got["paid"] != "12.935" || got["in_flight"] != "0" {
		t.Errorf("b in the end: %v", got)
	}
	node := p.ask("GET", "/v1/explain?id="+id, "", "", 200)
	if text := fmt.Sprint(node); !strings.Contains(text, "Payout run T1:run:1 of token T1") || strings.Contains(text, "NOT equal") || !strings.Contains(text, "12.935 (carried in)") {
		t.Errorf("explained: %s", text)
	}
	if text := fmt.Sprint(p.ask("GET", "/v1/explain?id="+ids["a"], "", "", 200)); !strings.Contains(text, "from failed to confirmed, because \"the bank's letter\"") {
		t.Errorf("explained: %s", text)
	}
	if got := p.ask("GET", "/v1/check?deep=true", "", "", 200); got["ok"] != true {
		t.Errorf("check: %v", got)
	}
	if got := p.ask("POST", "/v1/replay", "", "", 200); got["identical"] != true {
		t.Errorf("replay: %v", got)
	}
	sum := p.ask("GET", "/v1/summary", "", "", 200)
	if sum["distributions"].(float64) != 1 || sum["payout_runs"].(float64) != 1 {
		t.Errorf("summary: %v", sum)
	}
}

// text requests a file.
func (p person) text(path string) string {
	p.t.Helper()
	request, err := http.NewRequest(http.MethodGet, p.d.URL()+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+p.d.Token())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %s, %v", path, response.Status, err)
	}
	return string(data)
}
