package acceptance

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// spoiled is a good event with one member in place of its own.
func spoiled(member, value string) string {
	order := []string{"specversion", "type", "source", "id"}
	members := map[string]string{"specversion": `"1.0"`, "type": `"aliquot.usage"`, "source": `"/hostile"`, "id": `"x"`}
	inner := []string{"node", "customer", "meter", "quantity", "start", "end"}
	data := map[string]string{"node": `"n0"`, "customer": `"c0"`, "meter": `"unit"`, "quantity": `"1"`,
		"start": `"2024-05-01T00:00:00Z"`, "end": `"2024-05-01T01:00:00Z"`}
	object := func(order []string, members map[string]string, member string) string {
		if member != "" && members[member] == "" {
			order = append(order, member)
		}
		var b strings.Builder
		for i, name := range order {
			if i > 0 {
				b.WriteByte(',')
			}
			if name == member {
				fmt.Fprintf(&b, "%q:%s", name, value)
			} else {
				fmt.Fprintf(&b, "%q:%s", name, members[name])
			}
		}
		return "{" + b.String() + "}"
	}
	within, isData := strings.CutPrefix(member, "data.")
	if isData {
		member = ""
	} else {
		within = ""
	}
	outer := object(order, members, member)
	return outer[:len(outer)-1] + `,"data":` + object(inner, data, within) + "}"
}

// spaces are so many bytes of white space, compressed.
func spaces(t *testing.T, n int, coding string) []byte {
	t.Helper()
	var out bytes.Buffer
	chunk := bytes.Repeat([]byte(" "), 1<<20)
	write := func(w interface{ Write([]byte) (int, error) }) {
		for range n >> 20 {
			if _, err := w.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
	}
	switch coding {
	case "gzip":
		z := gzip.NewWriter(&out)
		write(z)
		_ = z.Close()
	case "zstd":
		z, err := zstd.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		write(z)
		_ = z.Close()
	default:
		write(&out)
	}
	return out.Bytes()
}

// peak is the most memory that a process has had, in MiB.
func peak(t *testing.T, pid int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return n >> 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// strict is the book of this test: it has a horizon of ten years, and a largest
// quantity.
func strict() string {
	return strings.NewReplacer("horizon: none", "horizon: 3650d", "unit: u", "unit: u\nmax: 1000000").
		Replace(declarations([]string{"n0"}, []string{"c0"}))
}

// "Malformed JSON, wrong types, negative or absurd quantities, times in the
// future or beyond the acceptance horizon, unknown node, meter or customer,
// 100 MB bodies, zip bombs, invalid UTF-8, ids of 10 KB, NUL bytes: each is
// refused with a reason that names the field (and line), is kept in REFUSED,
// and never stops or slows the rest."
func TestHostileUsageIsRefusedByNameAndKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := up(t, dir)
	s.declare(strict())
	text := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	tests := []struct {
		name   string
		kind   string // batched where empty
		coding string
		body   string
		field  string
		reason events.Reason
		line   int // 2 for one event between good ones
		whole  bool
	}{
		{name: "half a text", body: "[" + spoiled("", "")[:100], reason: events.Malformed, whole: true},
		{name: "no JSON at all", body: "GET / HTTP/1.1", reason: events.WrongType, whole: true},
		{name: "a NUL byte between", body: "[\x00]", reason: events.Malformed, whole: true},
		{name: "brackets to a depth of 100,000", body: strings.Repeat("[", 100_000), reason: events.Malformed, whole: true},
		{name: "no media type", kind: "text/html", body: "[]", field: "Content-Type", reason: events.Unsupported, whole: true},
		{name: "gzip that is none", coding: "gzip", body: "[]", field: "body", reason: events.Malformed, whole: true},
		{name: "an unknown coding", coding: "br", body: "[]", field: "Content-Encoding", reason: events.Unsupported, whole: true},
		{name: "a body of 100 MB", body: string(spaces(t, 100<<20, "")), field: "body", reason: events.TooLarge, whole: true},
		{name: "1 GB in a gzip bomb", coding: "gzip", body: string(spaces(t, 1<<30, "gzip")), field: "body", reason: events.TooLarge, whole: true},
		{name: "1 GB in a zstd bomb", coding: "zstd", body: string(spaces(t, 1<<30, "zstd")), field: "body", reason: events.TooLarge, whole: true},
		{name: "a segment of noise", kind: packedForm, body: "\x08\x01\x02\x03\x04\x05\x06\x07\x08", field: "segment", reason: events.Malformed, whole: true},

		{name: "an event that is a number", body: "17", reason: events.WrongType},
		{name: "a negative quantity", body: spoiled("data.quantity", `"-0.5"`), field: "data.quantity", reason: events.Negative},
		{name: "an absurd quantity", body: spoiled("data.quantity", `"1000000.1"`), field: "data.quantity", reason: events.Absurd},
		{name: "a quantity of 400 digits", body: spoiled("data.quantity", strings.Repeat("9", 400)), field: "data.quantity", reason: events.Absurd},
		{name: "a quantity with an exponent beyond all", body: spoiled("data.quantity", `1e999999999`), field: "data.quantity"},
		{name: "a quantity with 19 decimals", body: spoiled("data.quantity", `"0.1000000000000000001"`), field: "data.quantity", reason: events.TooPrecise},
		{name: "a quantity that is true", body: spoiled("data.quantity", `true`), field: "data.quantity", reason: events.WrongType},
		{name: "a quantity that is NaN", body: spoiled("data.quantity", `"NaN"`), field: "data.quantity", reason: events.BadNumber},
		{name: "a node that is a list", body: spoiled("data.node", `["n0"]`), field: "data.node", reason: events.WrongType},
		{name: "an end in the future", body: spoiled("data.end", `"2199-01-01T00:00:00Z"`), field: "data.end", reason: events.FromFuture},
		{name: "an end beyond the horizon", body: strings.Replace(spoiled("data.end", `"1999-01-01T00:00:00Z"`), "2024-05-01T00", "1998-05-01T00", 1), field: "data.end", reason: events.BeyondHorizon},
		{name: "a start before 1970", body: spoiled("data.start", `"1969-12-31T23:59:59Z"`), field: "data.start", reason: events.BadTime},
		{name: "a day that is none", body: spoiled("data.end", `"2024-02-31T00:00:00Z"`), field: "data.end", reason: events.BadTime},
		{name: "an end before the start", body: spoiled("data.end", `"2024-04-30T00:00:00Z"`), field: "data.start", reason: events.BadInterval},
		{name: "an unknown node", body: spoiled("data.node", `"elsewhere"`), field: "data.node", reason: events.UnknownNode},
		{name: "an unknown customer", body: spoiled("data.customer", `"nobody"`), field: "data.customer", reason: events.UnknownCustomer},
		{name: "an unknown meter", body: spoiled("data.meter", `"fuel"`), field: "data.meter", reason: events.UnknownMeter},
		{name: "an id of 10 KB", body: spoiled("id", text(10<<10)), field: "id", reason: events.TooLong},
		{name: "a source of 10 KB", body: spoiled("source", text(10<<10)), field: "source", reason: events.TooLong},
		{name: "an escaped NUL in the id", body: spoiled("id", `"a\u0000b"`), field: "id", reason: events.BadText},
		{name: "invalid UTF-8 in the node", body: spoiled("data.node", "\"n\xff\""), field: "data.node", reason: events.BadText},
		{name: "half a surrogate", body: spoiled("source", `"\udc00"`), field: "source", reason: events.BadText},
		{name: "a member of another name", body: spoiled("data.quantitty", `"1"`), field: "data.quantitty", reason: events.Unsupported},
	}

	// Good usage goes on meanwhile, and its slowest answer is looked at.
	sources, _, _ := newSources(3)
	good := sources[0]
	good.customers = good.customers[:1]
	var stopped atomic.Bool
	var sent, slowest atomic.Int64
	ended := make(chan error, 1)
	go func() {
		for !stopped.Load() {
			list := good.more(t, 20)
			for i := range list {
				list[i].Node = "n0"
			}
			kind, body := good.encode(t, list)
			begin := time.Now()
			if a, err := s.send(kind, body); err != nil || a.Accepted != len(list) {
				ended <- errors.Join(err, fmt.Errorf("%+v", a))
				return
			}
			slowest.Store(max(slowest.Load(), int64(time.Since(begin))))
			sent.Add(int64(len(list)))
			time.Sleep(5 * time.Millisecond)
		}
		ended <- nil
	}()

	beside := 0
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			body := test.body
			if !test.whole {
				body = "[" + spoiled("id", fmt.Sprintf(`"before-%d"`, i)) + ",\n" + test.body + ",\n" + spoiled("id", fmt.Sprintf(`"after-%d"`, i)) + "]"
				beside += 2
			}
			header := http.Header{}
			if test.coding != "" {
				header.Set("Content-Encoding", test.coding)
			}
			if test.kind == "" {
				test.kind = batched
			}
			status, answer, err := s.do(request{method: "POST", path: "/v1/events", kind: test.kind, body: []byte(body), header: header})
			if err != nil {
				if len(body) > 1<<20 {
					return // Told to go away while it was sending still; REFUSED has it.
				}
				t.Fatal(err)
			}
			if test.whole {
				var p struct{ Field, Reason, Detail string }
				if err := json.Unmarshal(answer, &p); err != nil || status < 400 || status > 499 || p.Reason != string(test.reason) || p.Field != test.field || p.Detail == "" {
					t.Errorf("%d %s", status, answer)
				}
				return
			}
			var a accepted
			if err := json.Unmarshal(answer, &a); err != nil || status != http.StatusAccepted || a.Accepted != 2 || a.Refused != 1 || len(a.Refusals) != 1 {
				t.Fatalf("%d %s", status, answer)
			}
			r := a.Refusals[0]
			if test.reason != "" && r.Reason != string(test.reason) || r.Field != test.field || r.Line != 2 || r.Index != 1 || r.Detail == "" {
				t.Errorf("%s", answer)
			}
		})
	}
	stopped.Store(true)
	if err := <-ended; err != nil {
		t.Fatalf("good usage stopped: %v\n%s", err, s.log)
	}
	s.settled()
	sum := s.summary()
	if sum.Accepted != int(sent.Load())+beside || sum.Refused != 0 {
		t.Errorf("%d good events were acknowledged, settled are %+v", int(sent.Load())+beside, sum)
	}
	if most := peak(t, s.process.Pid); most > 1024 {
		t.Errorf("the process took %d MiB", most)
	} else {
		t.Logf("%d good events meanwhile, the slowest answer after %s, %d MiB at most", sent.Load(), time.Duration(slowest.Load()).Round(time.Millisecond), most)
	}
	// Nothing hostile holds good usage up. The limit allows for a busy machine.
	if limit := time.Minute; time.Duration(slowest.Load()) > limit {
		t.Errorf("a good submission waited %s", time.Duration(slowest.Load()))
	}
	s.clean(true)
	s.stop()

	kept := messages(t, dir, (*eventlog.Log).Refused)
	if len(kept) != len(tests) {
		t.Fatalf("%d submissions were refused, %d are kept", len(tests), len(kept))
	}
	for i, m := range kept {
		r, err := events.DecodeRefused(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		test := tests[i]
		if r.Provider != provider || len(r.First) != 1 || r.First[0].Field != test.field || test.reason != "" && r.First[0].Reason != test.reason {
			t.Errorf("%s is kept as %+v", test.name, r.First)
		}
		if sum := sha256.Sum256([]byte(test.body)); test.whole && test.coding == "" && len(test.body) < 1<<20 && r.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: another body is kept", test.name)
		}
	}
}

// "unbalanced YAML … each is refused with a reason that names the field (and
// line)"; and nothing of a file with a mistake is applied.
func TestHostileDeclarationsAreRefusedByLineAndField(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := up(t, dir)
	s.declare(declarations([]string{"n0"}, []string{"c0"}))
	before := len(s.balances())
	var status struct{ Control int }
	s.ask("GET", "/v1/status", "", "", &status)
	const good = "kind: Node\nnode: fresh\nbook: acme-eu\n---\n"
	bomb := "kind: Nodes\nbook: acme-eu\nnodes: &a [x, x, x, x, x, x, x, x, x, x]\nattributes: {x: *a}\n"
	tests := []struct {
		name, yaml string
		want       string
	}{
		{"unbalanced brackets", good + "kind: Node\nnode: [a\n", "book.yaml:"},
		{"unbalanced quotes", good + "kind: Node\nnode: \"a\n", "book.yaml:"},
		{"a tab", good + "kind: Card\nrules:\n\t- x: 1\n", "book.yaml:7:"},
		{"NUL bytes", good + "kind: Node\nnode: a\x00b\n", "book.yaml:"},
		{"invalid UTF-8", good + "kind: Node\nnode: \xff\xfe\n", "book.yaml:"},
		{"an unknown kind", good + "kind: Planet\n", "book.yaml:5:7: kind"},
		{"an unknown field", good + "kind: Node\nnode: n1\nbook: acme-eu\ncolour: red\n", "book.yaml:8:1: colour"},
		{"a name of 10 KB", good + "kind: Node\nbook: acme-eu\nnode: " + strings.Repeat("x", 10<<10) + "\n", "book.yaml:7:7: node"},
		{"a negative price", good + "kind: Card\ncard: k\nbook: acme-eu\ncurrency: USD\neffective: 2024-01-01\nrules:\n  - meter: unit\n    price: -1\n", "book.yaml:12:12: rules[0].price"},
		{"a price in words", good + "kind: Card\ncard: k\nbook: acme-eu\ncurrency: USD\neffective: 2024-01-01\nrules:\n  - meter: unit\n    price: cheap\n", "book.yaml:12:12: rules[0].price"},
		{"19 decimals", good + "kind: Card\ncard: k\nbook: acme-eu\ncurrency: USD\neffective: 2024-01-01\nrules:\n  - meter: unit\n    price: 0.1234567890123456789\n", "book.yaml:12:12: rules[0].price"},
		{"a fee above all", good + "kind: Waterfall\ntoken: T1\nfee: 101%\n", "book.yaml:7:6: fee"},
		{"a list where a text belongs", good + bomb, "book.yaml:7:8: attributes.x"},
		{"the same node twice", good + "kind: Node\nnode: fresh\nbook: acme-eu\n", "book.yaml:5:1"},
		{"nothing", "", "book.yaml:1:1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "book.yaml")
			if err := os.WriteFile(file, []byte(test.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			c := aliquot(t, "apply", "-f", file, "--data", dir, "--json")
			if c.code != 1 || !strings.Contains(c.err, test.want) {
				t.Errorf("exit %d, wants %q\n%s%s", c.code, test.want, tail(c.out), tail(c.err))
			}
		})
	}
	was := status.Control
	s.ask("GET", "/v1/status", "", "", &status)
	if status.Control != was || len(s.balances()) != before {
		t.Errorf("CONTROL went from %d to %d", was, status.Control)
	}
	s.stop()
}
