package host

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
)

// A repeated request is answered with the existing result: with the same
// status, without another decision, and without another effect, whether its
// answer was lost or the process was killed before it answered. Each row is
// sent, and sent again both to the same process and to a newly started one.
//
// Seen to fail: when a declaration does not look for an existing distribution
// (it makes a second one), when a decision under a used id is appended (CONTROL
// grows), and when a deposit of everything outstanding ignores who has paid
// under its reference.
func TestTheSameRequestAgainAnswersWithWhatStands(t *testing.T) {
	t.Parallel()
	const asJSON, csv = "application/json", "text/csv"
	dir := t.TempDir()
	var d *Process
	p := person{t: t}
	start := func() {
		var err error
		if d, err = Open(t.Context(), Config{Dir: dir, Listen: "127.0.0.1:0", LazySync: true}); err != nil {
			t.Fatal(err)
		}
		p.d = d
	}
	start()
	defer func() { _ = d.Close() }()
	control := func() float64 { return p.ask("GET", "/v1/status", "", "", 200)["control"].(float64) }
	state := func() string {
		t.Helper()
		var balances, made, batches any
		p.into("GET", "/v1/balances", "", "", 200, &balances)
		p.into("GET", "/v1/distributions", "", "", 200, &made)
		p.into("GET", "/v1/payouts/batches", "", "", 200, &batches)
		text, err := json.Marshal([]any{balances, made, batches})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	usage := func(sequences ...int) {
		for _, n := range sequences {
			p.ask("POST", "/v1/events?wait=10", "application/cloudevents+json", event(n), 200)
		}
	}
	answers := ""
	for _, row := range []struct {
		name               string
		before             func()
		method, path, kind string
		body               string
		want               int    // status, each time
		member             string // of the answer, which is equal each time
		again              any    // unless this says what it is from the second time on
		appends            bool   // each repetition is a decision of its own, without a second effect
	}{
		{name: "declarations", method: "POST", path: "/v1/apply?file=book.yaml", kind: "application/yaml", body: bookYAML, want: 200, member: "applied", again: 0.0},
		{name: "a key", method: "POST", path: "/v1/keys", kind: asJSON, body: `{"key":"eve","scope":"auditor"}`, want: 200, member: "refused"},
		{name: "a key's end", method: "DELETE", path: "/v1/keys/eve", want: 200, member: "effect", again: "unchanged"},
		{name: "a key that was never issued", method: "DELETE", path: "/v1/keys/nobody", want: 409, appends: true},
		{name: "usage", method: "POST", path: "/v1/events?wait=10", kind: "application/cloudevents+json", body: event(1), want: 200},
		{name: "a deposit", method: "POST", path: "/v1/deposits", kind: asJSON, body: `{"book":"acme-eu","customer":"c1","asset":"USDC","amount":"0.5","reference":"bank 1"}`,
			want: 200, member: "effect", again: "unchanged"},
		{name: "another deposit under its reference", method: "POST", path: "/v1/deposits", kind: asJSON,
			body: `{"book":"acme-eu","customer":"c1","asset":"USDC","amount":"0.75","reference":"bank 1"}`, want: 409},
		{name: "a deposit of what is outstanding", method: "POST", path: "/v1/deposits/outstanding", kind: asJSON, body: `{"book":"acme-eu","reference":"r1"}`,
			want: 200, member: "applied", again: 0.0},
		{name: "the same reference after more usage", before: func() { usage(2) }, method: "POST", path: "/v1/deposits/outstanding", kind: asJSON,
			body: `{"book":"acme-eu","reference":"r1"}`, want: 200, member: "unchanged", again: 1.0},
		{name: "another reference", method: "POST", path: "/v1/deposits/outstanding", kind: asJSON, body: `{"book":"acme-eu","reference":"r2"}`,
			want: 200, member: "applied", again: 0.0},
		{name: "a collection", method: "POST", path: "/v1/collections", kind: asJSON, body: `{"book":"acme-eu"}`, want: 200, appends: true},
		{name: "a distribution of a period that is not closed", method: "POST", path: "/v1/distributions", kind: asJSON,
			body: `{"token":"T1","period":"2026-11-20"}`, want: 409},
		{name: "an earlier closing", method: "POST", path: "/v1/periods/close", kind: asJSON, body: `{"book":"acme-eu","period":"2026-11-19"}`, want: 200, member: "effect", again: "unchanged"},
		{name: "a distribution of nothing", method: "POST", path: "/v1/distributions", kind: asJSON, body: `{"token":"T1","period":"2026-11-19"}`, want: 409},
		{name: "a closing", method: "POST", path: "/v1/periods/close", kind: asJSON, body: `{"book":"acme-eu","period":"2026-11-20"}`, want: 200, member: "effect", again: "unchanged"},
		{name: "a register", method: "POST", path: "/v1/registers/T1/import?file=r.csv", kind: csv, body: "holder,units\na,1\nb,2\n", want: 200, member: "effect", again: "unchanged"},
		{name: "a screening list", method: "POST", path: "/v1/holds/ofac", kind: "text/plain", body: "mallory\n", want: 200, member: "effect", again: "unchanged"},
		{name: "a distribution", method: "POST", path: "/v1/distributions", kind: asJSON, body: `{"token":"T1","period":"2026-11-20"}`, want: 200, member: "distribution"},
		{name: "a distribution with another record date", method: "POST", path: "/v1/distributions", kind: asJSON,
			body: `{"token":"T1","period":"2026-11-20","record_date":"2026-11-21T00:00:00Z"}`, want: 409},
		{name: "a distribution after late money", before: func() {
			usage(3) // late: the period is closed
			p.ask("POST", "/v1/deposits/outstanding", asJSON, `{"book":"acme-eu","reference":"r3"}`, 200)
			p.ask("POST", "/v1/periods/close", asJSON, `{"book":"acme-eu","period":"2026-11-21"}`, 200)
		}, method: "POST", path: "/v1/distributions", kind: asJSON, body: `{"token":"T1","period":"2026-11-20"}`, want: 200, member: "revenue"},
		{name: "the next distribution, which late money joins", method: "POST", path: "/v1/distributions", kind: asJSON,
			body: `{"token":"T1","period":"2026-11-21"}`, want: 200, member: "revenue"},
		{name: "payouts", method: "POST", path: "/v1/payouts/export", kind: asJSON, body: `{"distribution":"T1:2026-11-20"}`, want: 200, member: "amount"},
		{name: "a rail's answer", before: func() {
			answers = "payout_id,state,reference\n"
			for i, id := range payoutsOf(t, d, "T1:2026-11-20") {
				answers += fmt.Sprintf("%s,confirmed,tx-%d\n", id, i)
			}
		}, method: "POST", path: "/v1/payouts/batches/T1:2026-11-20:csv/confirm", kind: csv, body: "ANSWERS", want: 200, member: "applied", again: 0.0},
	} {
		t.Run(row.name, func(t *testing.T) {
			p.t = t
			if row.before != nil {
				row.before()
			}
			if row.body == "ANSWERS" {
				row.body = answers
			}
			first := p.ask(row.method, row.path, row.kind, row.body, row.want)
			at, stands := control(), state()
			for _, again := range []string{"to the same process", "to a process started anew"} {
				if again != "to the same process" {
					if err := d.Close(); err != nil {
						t.Fatal(err)
					}
					start()
				}
				want := row.want
				if row.member == "refused" {
					want = 409 // its secret was shown once
				}
				answer := p.ask(row.method, row.path, row.kind, row.body, want)
				if now := control(); now != at && !row.appends {
					t.Errorf("%s: CONTROL went from %v to %v", again, at, now)
				}
				if now := state(); now != stands {
					t.Errorf("%s: it had an effect:\n%s\nbefore:\n%s", again, now, stands)
				}
				expected := row.again
				if expected == nil {
					expected = first[row.member]
				}
				if row.member != "" && row.member != "refused" && !reflect.DeepEqual(answer[row.member], expected) {
					t.Errorf("%s: %s is %v, want %v", again, row.member, answer[row.member], expected)
				}
			}
		})
	}
}

func payoutsOf(t *testing.T, d *Process, id string) (list []string) {
	t.Helper()
	err := d.store.Payouts(t.Context(), id, "", func(p distribution.Payout) error {
		list = append(list, p.ID)
		return nil
	})
	if err != nil || len(list) == 0 {
		t.Fatalf("%s has payouts %v, %v", id, list, err)
	}
	return list
}
