package acceptance

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// Two partitions in one process: every book is settled in its own, decisions and
// distributions wait for both, and whatever proves or explains finds either.
//
// Fails when a settler posts for the other's books or sees the other's sequences,
// when checks or replay read one stream alone, and when an index of one partition
// answers for the other.
func TestTwoPartitionsInOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := up(t, dir, "--partitions=2")
	nodes, customers := names("n", 2), names("c", 2)
	s.declare(declarations(nodes[:1], customers[:1]))
	// The second book is another partition's.
	second := strings.NewReplacer(book, "acme-us", "calendar: day", "calendar: day\npartition: 1", "T1", "T2", "card: one", "card: two").
		Replace(declarations(nodes[1:], customers[1:]))
	s.declare(second)
	status, answer, err := s.do(request{method: "POST", path: "/v1/apply?file=test.yaml", kind: "application/yaml",
		body: []byte(strings.ReplaceAll(strings.ReplaceAll(second, "acme-us", "acme-far"), "partition: 1", "partition: 5"))})
	if err != nil || status != http.StatusUnprocessableEntity || !strings.Contains(string(answer), "no process here settles partition 5") {
		t.Errorf("a book of a partition that there is not: %d %s %v", status, answer, err)
	}
	for _, token := range []string{"T1", "T2"} {
		s.ask("POST", "/v1/registers/"+token+"/import?file=r.csv", "text/csv", "holder,units\na,1\nb,2\n", nil)
	}
	// One numbered source and one with ids, that both send to both books.
	want := [2]int{}
	var last accepted
	for i, sequenced := range []bool{true, false} {
		d := &source{name: fmt.Sprint("/both/", i), sequenced: sequenced, packed: i == 0, random: rand.New(rand.NewPCG(7, uint64(i)))}
		for turn := range 6 {
			at := turn % 2
			d.node, d.customers = nodes[at], customers[at:at+1]
			list := d.more(t, 40)
			kind, body := d.encode(t, list)
			for range 2 { // Again: duplicates, found in their partition.
				if last, err = s.send(kind, body); err != nil || last.Accepted != len(list) {
					t.Fatalf("%+v %v", last, err)
				}
				if h := last.Handle; len(h) != 1 || h[0].Partition != at {
					t.Fatalf("usage of book %d went to %+v", at, h)
				}
			}
			want[at] += len(list)
		}
	}
	s.settled()
	for at, name := range []string{book, "acme-us"} {
		var rows []tally
		s.ask("GET", "/v1/tallies?book="+name, "", "", &rows)
		have := map[int]int{}
		for _, r := range rows {
			have[r.Outcome] += r.Events
		}
		if have[1] != want[at] || have[3] != want[at] || have[2]+have[4] != 0 {
			t.Errorf("%s: %v, sent %d twice", name, have, want[at])
		}
	}
	// The last event is one of partition 1, known by its id.
	event := fmt.Sprintf("/both/1#id-%d", 240)
	var explained struct{ Summary string }
	aliquot(t, "explain", event, "--data", dir, "--json").ok(t).into(t, &explained)
	if !strings.Contains(explained.Summary, "on node n1 for customer c1 was accepted") {
		t.Errorf("explained: %s", explained.Summary)
	}
	var receipt json.RawMessage
	made := aliquot(t, "receipt", event, "--data", dir, "--json").ok(t).into(t, &receipt)
	proof := write(t, t.TempDir(), "event.json", made.out)
	aliquot(t, "verify", proof, "--key", filepath.Join(dir, "keys", "log.pub")).ok(t)
	for n, name := range []string{book, "acme-us"} {
		s.ask("POST", "/v1/deposits/outstanding", "application/json", fmt.Sprintf(`{"book":%q,"reference":"all"}`, name), nil)
		s.ask("POST", "/v1/periods/close", "application/json", fmt.Sprintf(`{"book":%q,"period":%q}`, name, period(days-1)), nil)
		s.ask("POST", "/v1/distributions", "application/json", fmt.Sprintf(`{"token":"T%d","period":%q}`, n+1, period(days-1)), nil)
	}
	aliquot(t, "check", "--deep", "--data", dir, "--json").ok(t)
	aliquot(t, "replay", "--data", dir, "--json").ok(t)
	s.stop()
	aliquot(t, "log", "fsck", "--data", dir).ok(t)

	// A start without the flag has as many as there are, one with fewer is refused.
	s = up(t, dir)
	var state struct {
		Partitions []struct{ Partition, Settled int }
	}
	s.ask("GET", "/v1/status", "", "", &state)
	if len(state.Partitions) != 2 {
		t.Errorf("started again it has %+v", state)
	}
	s.stop()
	if refused := aliquot(t, "up", "--data", dir, "--listen", "127.0.0.1:0", "--partitions=1"); refused.code != 1 || !strings.Contains(refused.err, "use --partitions 2 or more") {
		t.Errorf("with fewer partitions: exit %d %s", refused.code, refused.err)
	}
}
