package host

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/aliquot-engine/aliquot/internal/telemetry"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
)

// span is a span that a collector received.
type span struct {
	name, trace, id, parent string
	links                   []string // linked traces
}

// collector accepts OTLP as a real collector does.
type collector struct {
	*httptest.Server
	mu      sync.Mutex // guards the fields below
	spans   []span
	metrics int
}

func collect(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("what was exported cannot be read: %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if r.URL.Path == "/v1/metrics" {
			c.metrics += len(data)
			return
		}
		// The field numbers of opentelemetry/proto/trace/v1/trace.proto.
		for _, resource := range fields(t, data, 1) {
			for _, scope := range fields(t, resource, 2) {
				for _, s := range fields(t, scope, 2) {
					one := span{trace: hexOf(t, s, 1), id: hexOf(t, s, 2), parent: hexOf(t, s, 4)}
					for _, name := range fields(t, s, 5) {
						one.name = string(name)
					}
					for _, link := range fields(t, s, 13) {
						one.links = append(one.links, hexOf(t, link, 1))
					}
					c.spans = append(c.spans, one)
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// fields returns the byte-string values of one field of a protobuf message.
func fields(t *testing.T, message []byte, wanted protowire.Number) (list [][]byte) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			t.Errorf("what was exported is no protobuf: %v", protowire.ParseError(n))
			return list
		}
		message = message[n:]
		if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			t.Errorf("what was exported is no protobuf: %v", protowire.ParseError(n))
			return list
		}
		if number == wanted && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(message)
			list = append(list, value)
		}
		message = message[n:]
	}
	return list
}

func hexOf(t *testing.T, message []byte, field protowire.Number) string {
	return hex.EncodeToString(bytes.Join(fields(t, message, field), nil))
}

// path returns the names of the spans from the newest one with a name up to its
// first ancestor that was not exported.
func (c *collector) path(trace, name string) (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.IndexFunc(c.spans, func(s span) bool { return s.trace == trace && s.name == name })
	for at >= 0 {
		names = append(names, c.spans[at].name)
		parent := c.spans[at].parent
		at = slices.IndexFunc(c.spans, func(s span) bool { return s.id == parent })
	}
	slices.Reverse(names)
	return names
}

// linked reports whether a span of a trace is linked to another trace.
func (c *collector) linked(trace, name, to string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.spans, func(s span) bool {
		return s.trace == trace && s.name == name && slices.Contains(s.links, to)
	})
}

// shownAt starts a process that exports to a collector and logs to a buffer.
func shownAt(t *testing.T, to *collector, logs io.Writer) (*Process, *telemetry.Telemetry) {
	t.Helper()
	logger := slog.New(telemetry.Logs(slog.NewTextHandler(logs, nil)))
	shown, err := telemetry.Start(t.Context(), telemetry.Config{Service: "test", Version: "0", Collector: to.URL, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), Config{
		Dir: t.TempDir(), Listen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0", Telemetry: shown, Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d, shown
}

// One trace begins with a provider's request and ends with the journal in
// LEDGER; another begins with a declaration and ends in PAYOUT; each is linked
// to the traces that it rests on. Fails when any header is not written or not
// read: of USAGE, of a barrier, of CONTROL, or of LEDGER.
func TestATraceGoesFromTheRequestToThePayout(t *testing.T) {
	t.Parallel()
	to := collect(t)
	var logs synced
	d, shown := shownAt(t, to, &logs)
	closed := false
	defer func() {
		if !closed {
			_ = d.Close()
		}
	}()
	p := person{t: t, d: d}
	traces := map[string]string{}
	do := func(name, path, kind, body string, want int) {
		t.Helper()
		traces[name] = fmt.Sprintf("%032x", len(traces)+1)
		p.traced = "00-" + traces[name] + "-00f067aa0ba902b7-01"
		p.ask("POST", path, kind, body, want)
	}
	do("apply", "/v1/apply?file=book.yaml", "application/yaml", bookYAML, 200)
	do("usage", "/v1/events?wait=60", "application/cloudevents-batch+json", "["+event(1)+","+event(2)+"]", 200)
	do("deposit", "/v1/deposits/outstanding", "application/json", `{"book":"acme-eu","reference":"r1"}`, 200)
	do("close", "/v1/periods/close", "application/json", `{"book":"acme-eu","period":"2026-11-20"}`, 200)
	do("register", "/v1/registers/T1/import?file=r.csv", "text/csv", "holder,units\na,1\nb,2\n", 200)
	do("declare", "/v1/distributions", "application/json", `{"token":"T1","period":"2026-11-20"}`, 200)
	do("export", "/v1/payouts/export", "application/json", `{"distribution":"T1:2026-11-20"}`, 200)
	p.traced = ""
	if got := p.ask("GET", "/v1/check?deep=true", "", "", 200); got["ok"] != true {
		t.Fatalf("check: %v", got)
	}
	if got := p.ask("POST", "/v1/replay", "", "", 200); got["identical"] != true {
		t.Fatalf("replay: %v", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	closed = true
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := shown.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ trace, last, want string }{
		{"usage", "relay LEDGER", "POST /v1/events > accept usage > publish usage.0 > settle > relay LEDGER"},
		{"close", "relay LEDGER", "POST /v1/periods/close > publish barrier > settle > relay LEDGER"},
		{"declare", "relay PAYOUT", "POST /v1/distributions > distribute distribution_declared > relay PAYOUT"},
		{"export", "relay PAYOUT", "POST /v1/payouts/export > distribute payouts_submitted > relay PAYOUT"},
	} {
		if got := strings.Join(to.path(traces[c.trace], c.last), " > "); got != c.want {
			t.Errorf("the trace of %s is %q, want %q", c.trace, got, c.want)
		}
	}
	if !to.linked(traces["declare"], "distribute distribution_declared", traces["close"]) {
		t.Error("the distribution is not linked to the closing that brought its revenue")
	}
	if !to.linked(traces["export"], "distribute payouts_submitted", traces["declare"]) {
		t.Error("the payouts are not linked to the declaration")
	}
	if to.metrics == 0 {
		t.Error("no metrics were exported")
	}
	made := slices.Collect(strings.Lines(logs.String()))
	if !slices.ContainsFunc(made, func(line string) bool {
		return strings.Contains(line, "distribution made") && strings.Contains(line, "trace_id="+traces["declare"])
	}) {
		t.Errorf("no log line of the distribution has its trace:\n%s", logs.String())
	}
}

// The metrics page shows how much usage there is. Not everybody who reaches the
// API may see it, but everybody who reaches the address that was opened for it.
func TestWhoMaySeeTheMetrics(t *testing.T) {
	t.Parallel()
	d, shown := shownAt(t, collect(t), io.Discard)
	defer func() { _ = shown.Close(context.WithoutCancel(t.Context())) }()
	defer func() { _ = d.Close() }()
	ask := func(url, token string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	person{t: t, d: d}.ask("POST", "/v1/apply?file=book.yaml", "application/yaml", bookYAML, 200)
	issued := person{t: t, d: d}.ask("POST", "/v1/keys", "application/json", `{"key":"acme-1","scope":"provider","provider":"acme"}`, 200)
	const one = "\naliquot_streams_healthy 1\n"
	for _, c := range []struct {
		what, url, token string
		want             int
	}{
		{"nobody", d.URL(), "", 401},
		{"a stranger", d.URL(), "alq_no", 401},
		{"a provider", d.URL(), fmt.Sprint(issued["secret"]), 403},
		{"the operator", d.URL(), d.Token(), 200},
		{"a scraper, at its own address", "http://" + d.MetricsAddr(), "", 200},
	} {
		status, text := ask(c.url, c.token)
		if status != c.want || (status == 200) != strings.Contains(text, one) {
			t.Errorf("%s: status %d, want %d", c.what, status, c.want)
		}
	}
	if response, err := http.Get("http://" + d.MetricsAddr() + "/v1/status"); err != nil || response.StatusCode != 404 {
		t.Errorf("the address of the metrics answers other questions: %v", err)
	}
}

// The figure of open payouts is the same after a restart, and the counters
// equal what was sent. Fails when payouts are not counted at the start, or when
// they are counted without a commit.
func TestFiguresSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var d *Process
	var shown *telemetry.Telemetry
	start := func() {
		t.Helper()
		var err error
		if shown, err = telemetry.Start(t.Context(), telemetry.Config{Service: "test"}); err != nil {
			t.Fatal(err)
		}
		if d, err = Open(t.Context(), Config{Dir: dir, Listen: "127.0.0.1:0", Telemetry: shown}); err != nil {
			t.Fatal(err)
		}
	}
	stop := func() {
		t.Helper()
		if err := errors.Join(d.Close(), shown.Close(context.WithoutCancel(t.Context()))); err != nil {
			t.Error(err)
		}
	}
	want := func(when string, lines ...string) {
		t.Helper()
		page := httptest.NewRecorder()
		shown.Page().ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		for _, line := range lines {
			if !strings.Contains(page.Body.String(), "\n"+line+"\n") {
				name, _, _ := strings.Cut(line, "{")
				have := regexp.MustCompile("(?m)^"+name+".*$").FindAllString(page.Body.String(), -1)
				t.Errorf("%s: %s is not on the page, but %q", when, line, have)
			}
		}
	}
	start()
	p := person{t: t, d: d}
	p.ask("POST", "/v1/apply?file=book.yaml", "application/yaml", bookYAML, 200)
	p.ask("POST", "/v1/events?wait=60", "application/cloudevents-batch+json", "["+event(1)+","+event(2)+","+event(2)+"]", 200)
	p.ask("POST", "/v1/events", "application/cloudevents-batch+json", "[{}]", 422)
	p.ask("POST", "/v1/deposits/outstanding", "application/json", `{"book":"acme-eu","reference":"r1"}`, 200)
	p.ask("POST", "/v1/periods/close", "application/json", `{"book":"acme-eu","period":"2026-11-20"}`, 200)
	p.ask("POST", "/v1/registers/T1/import?file=r.csv", "text/csv", "holder,units\na,1\nb,2\nc,3\n", 200)
	p.ask("POST", "/v1/distributions", "application/json", `{"token":"T1","period":"2026-11-20"}`, 200)
	want("before the restart",
		`aliquot_ingest_accepted_total 3`,
		`aliquot_ingest_refused_total{reason="missing"} 1`,
		`aliquot_ingest_submissions_total{outcome="refused"} 1`,
		`aliquot_settle_events_total{outcome="accepted",partition="0"} 2`,
		`aliquot_settle_events_total{outcome="duplicate",partition="0"} 1`,
		`aliquot_settle_latency_seconds_count{partition="0"} 1`,
		`aliquot_settle_lag_messages{partition="0"} 0`,
		`aliquot_settle_lag_decisions{partition="0"} 0`,
		`aliquot_distribute_distributions_total 1`,
		`aliquot_distribute_payouts{state="planned"} 3`,
		`aliquot_distribute_payout_changes_total{state="planned"} 3`)
	stop()
	start()
	p = person{t: t, d: d}
	want("after the restart", `aliquot_distribute_payouts{state="planned"} 3`, `aliquot_distribute_payouts{state="submitted"} 0`, `aliquot_distribute_submitted_age_seconds 0`)
	p.ask("POST", "/v1/payouts/export", "application/json", `{"distribution":"T1:2026-11-20"}`, 200)
	stop()
	start()
	defer stop()
	p = person{t: t, d: d}
	want("submitted", `aliquot_distribute_payouts{state="planned"} 0`, `aliquot_distribute_payouts{state="submitted"} 3`)
	var ids []string
	err := d.store.Payouts(t.Context(), "T1:2026-11-20", "", func(p distribution.Payout) error { ids = append(ids, p.ID); return nil })
	if err != nil || len(ids) != 3 {
		t.Fatalf("payouts %v: %v", ids, err)
	}
	confirm := func(lines string) {
		t.Helper()
		p.ask("POST", "/v1/payouts/batches/T1:2026-11-20:csv/confirm", "text/csv", "payout_id,state,reference\n"+lines, 200)
	}
	confirm(ids[0] + ",confirmed,x\n" + ids[1] + ",failed,y\n")
	want("answered for in part", `aliquot_distribute_payouts{state="submitted"} 1`,
		`aliquot_distribute_payout_changes_total{state="confirmed"} 1`, `aliquot_distribute_payout_changes_total{state="failed"} 1`)
	confirm(ids[2] + ",returned,z\n")
	want("answered for", `aliquot_distribute_payouts{state="submitted"} 0`, `aliquot_distribute_submitted_age_seconds 0`)
}

// synced is a buffer that several goroutines may use.
type synced struct {
	mu sync.Mutex // guards the field below
	b  bytes.Buffer
}

func (s *synced) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *synced) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
