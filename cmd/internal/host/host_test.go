package host

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const bookYAML = `
kind: Provider
provider: acme
---
kind: Book
book: acme-eu
provider: acme
calendar: day
asset: USDC
horizon: none
received: event
---
kind: Meter
meter: gpu.seconds
book: acme-eu
unit: s
---
kind: QuotePolicy
pair: USDC/USD
fixed: 1
---
kind: Card
card: gpu
version: 1
book: acme-eu
currency: USD
effective: 2020-01-01T00:00:00Z
rules:
  - meter: gpu.seconds
    price: 1.99
    per: 3600
---
kind: Node
node: n1
book: acme-eu
---
kind: Customer
customer: c1
book: acme-eu
---
kind: Token
token: T1
book: acme-eu
all_nodes: true
---
kind: Waterfall
token: T1
fee: 2.5%
`

// person asks the API as a user would.
type person struct {
	t      *testing.T
	d      *Process
	traced string // traceparent of what is asked; empty: none
}

func (p person) ask(method, path, kind, body string, want int) (out map[string]any) {
	p.t.Helper()
	p.into(method, path, kind, body, want, &out)
	return out
}

// into reads the answer into a value of its shape.
func (p person) into(method, path, kind, body string, want int, out any) {
	p.t.Helper()
	request, err := http.NewRequest(method, p.d.URL()+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+p.d.Token())
	request.Header.Set("Aliquot-Provider", "acme")
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	if p.traced != "" {
		request.Header.Set("traceparent", p.traced)
	}
	client := http.Client{Timeout: time.Minute} // whatever hangs is named
	response, err := client.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if response.StatusCode != want {
		p.t.Fatalf("%s %s: %s\n%s", method, path, response.Status, data)
	}
	if len(bytes.TrimSpace(data)) > 0 {
		if err := json.Unmarshal(data, out); err != nil {
			p.t.Fatal(err)
		}
	}
}

func event(sequence int) string {
	return fmt.Sprintf(`{"specversion":"1.0","type":"aliquot.usage","source":"/test","id":"%d","sequence":"%d",
		"data":{"node":"n1","customer":"c1","meter":"gpu.seconds","quantity":"3600",
		"start":"2026-11-20T00:00:00Z","end":"2026-11-20T01:00:00Z"}}`, sequence, sequence)
}

// TestUsageBecomesPayouts follows ten GPU hours at $1.99 from the API to a
// holder's payout, and again through a restart.
func TestUsageBecomesPayouts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start := func() *Process {
		d, err := Open(t.Context(), Config{Dir: dir, Listen: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := start()
	defer func() { _ = d.Close() }()
	p := person{t: t, d: d}
	if got := p.ask("POST", "/v1/apply?file=book.yaml", "application/yaml", bookYAML, 200); got["applied"].(float64) != 9 {
		t.Fatalf("applied %v", got)
	}
	if got := p.ask("POST", "/v1/apply?file=book.yaml", "application/yaml", bookYAML, 200); got["unchanged"].(float64) != 9 {
		t.Fatalf("applied again: %v", got)
	}
	var all []string
	for i := range 10 {
		all = append(all, event(i+1))
	}
	p.ask("POST", "/v1/events?wait=10", "application/cloudevents-batch+json", "["+strings.Join(all, ",")+"]", 200)
	p.ask("POST", "/v1/settled", "", "", 200)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}

	d = start()
	p = person{t: t, d: d}
	p.ask("POST", "/v1/events?wait=10", "application/cloudevents-batch+json", "["+strings.Join(all, ",")+"]", 200)
	p.ask("POST", "/v1/deposits/outstanding", "application/json", `{"book":"acme-eu","reference":"r1"}`, 200)
	p.ask("POST", "/v1/periods/close", "application/json", `{"book":"acme-eu","period":"2026-11-20"}`, 200)
	p.ask("POST", "/v1/registers/T1/import?file=r.csv", "text/csv", "holder,units\na,1\nb,2\n", 200)
	made := p.ask("POST", "/v1/distributions", "application/json", `{"token":"T1","period":"2026-11-20"}`, 200)
	// 10 × $1.99, less 2.5 %.
	if made["revenue"] != "19.9" || made["fee"] != "0.4975" || made["pool"] != "19.4025" || made["planned"] != "19.4025" {
		t.Fatalf("distribution: %v", made)
	}
	batch := p.ask("POST", "/v1/payouts/export", "application/json", `{"distribution":"T1:2026-11-20"}`, 200)
	if batch["payouts"].(float64) != 2 || fmt.Sprint(batch["amounts"]) != "[map[amount:19.4025 asset:USDC]]" {
		t.Fatalf("batch: %v", batch)
	}
	if got := p.ask("GET", "/v1/check?deep=true", "", "", 200); got["ok"] != true {
		t.Fatalf("check: %v", got)
	}
	if got := p.ask("POST", "/v1/replay", "", "", 200); got["identical"] != true {
		t.Fatalf("replay: %v", got)
	}
	sum := p.ask("GET", "/v1/summary", "", "", 200)
	if sum["accepted"].(float64) != 10 || sum["duplicate"].(float64) != 10 {
		t.Fatalf("summary: %v", sum)
	}
}
