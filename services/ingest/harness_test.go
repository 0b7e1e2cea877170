package ingest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/cloudevents"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/services/ingest"
	"github.com/aliquot-engine/aliquot/services/ingest/httpapi"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const (
	acmeToken     = "acme-secret"
	otherToken    = "other-secret"
	auditorToken  = "auditor-secret"
	operatorToken = "operator-secret"
	ownToken      = "the folder's own"
)

// bench is an ingest service on a real log, without a settler unless one is
// given.
type bench struct {
	t       testing.TB
	log     *eventlog.Log
	usage   *eventlog.Stream
	refused *eventlog.Stream
	control *eventlog.Stream
	service *ingest.Service
	server  *httptest.Server
	stop    func()
}

func open(t testing.TB, streams eventlog.Config, change func(*ingest.Config)) *bench {
	t.Helper()
	ctx := t.Context()
	if streams.Dir == "" {
		streams.Dir = t.TempDir()
	}
	log, err := eventlog.Open(ctx, streams)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	b := serve(t, log, change)
	b.declare(declared()...)
	return b
}

// serve runs an ingest service on an open log.
func serve(t testing.TB, log *eventlog.Log, change func(*ingest.Config)) *bench {
	t.Helper()
	ctx := t.Context()
	b := &bench{t: t, log: log}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	b.usage, err = log.Usage(ctx, 0, 0)
	must(err)
	b.refused, err = log.Refused(ctx)
	must(err)
	b.control, err = log.Control(ctx)
	must(err)
	config := ingest.Config{
		Usage: map[int]*eventlog.Stream{0: b.usage}, Refused: b.refused, Control: b.control,
		OperatorSHA256: sha256.Sum256([]byte(ownToken)), Now: func() time.Time { return noon },
	}
	if change != nil {
		change(&config)
	}
	b.service, err = ingest.New(config)
	must(err)
	running, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.service.Run(running) }()
	b.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		done <- nil
	}
	t.Cleanup(b.stop)
	b.server = httptest.NewServer(httpapi.New(b.service))
	t.Cleanup(b.server.Close)
	return b
}

func declared() []events.Body {
	bodies := []events.Body{
		events.ProviderDeclared{Provider: "acme"}, events.ProviderDeclared{Provider: "other"},
		book("eu", "acme"), book("us", "acme"), book("far", "other"),
	}
	imports := book("old", "acme")
	imports.ReceivedFromEvent = true
	bodies = append(bodies, imports)
	for _, name := range []events.Book{"eu", "us", "far", "old"} {
		bodies = append(bodies,
			events.NodeDeclared{Node: events.Node("gpu-" + name), Book: name},
			events.NodeDeclared{Node: events.Node("cpu-" + name), Book: name},
			events.CustomerDeclared{Customer: events.Customer("lab-" + name), Book: name},
			events.MeterDeclared{Meter: "gpu.seconds", Book: name, Unit: "s", Max: quantity("86400")},
			events.MeterDeclared{Meter: "tokens", Book: name, Unit: "token"},
		)
	}
	return append(bodies,
		key("acme-1", acmeToken, "provider", "acme"), key("other-1", otherToken, "provider", "other"),
		key("audit", auditorToken, "auditor", ""), key("alice", operatorToken, "operator", ""),
	)
}

func book(name events.Book, provider events.Provider) events.BookDeclared {
	return events.BookDeclared{
		Book: name, Provider: provider, Calendar: "day", TimeZone: "UTC", Asset: "USDC",
		HorizonSeconds: 35 * 24 * 3600, FutureSeconds: 300,
	}
}

func key(name, token, scope string, provider events.Provider) events.KeyIssued {
	sum := sha256.Sum256([]byte(token))
	return events.KeyIssued{Key: name, SHA256: hex.EncodeToString(sum[:]), Scope: scope, Provider: provider}
}

func quantity(s string) money.Quantity {
	q, err := money.ParseQuantity(s)
	if err != nil {
		panic(err)
	}
	return q
}

// decide appends decisions and returns the position of the last one.
func (b *bench) decide(bodies ...events.Body) (position uint64) {
	b.t.Helper()
	for i, body := range bodies {
		last, err := b.control.Last(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		data, err := events.AppendDecision(nil, events.Decision{ID: fmt.Sprintf("d%d-%d", last, i), Actor: "operator:test", At: noon, Body: body})
		if err != nil {
			b.t.Fatal(err)
		}
		if position, err = b.control.Publish(b.t.Context(), eventlog.ControlSubject(body.Kind()), data, eventlog.PublishOptions{}); err != nil {
			b.t.Fatal(err)
		}
	}
	return position
}

func (b *bench) declare(bodies ...events.Body) {
	b.t.Helper()
	if err := b.service.WaitDirectory(b.t.Context(), b.decide(bodies...)); err != nil {
		b.t.Fatal(err)
	}
}

// answer is an [events.Answer] or a problem.
type answer struct {
	events.Answer
	Title  string        `json:"title"`
	Detail string        `json:"detail"`
	Field  string        `json:"field"`
	Reason events.Reason `json:"reason"`
	status int
	header http.Header
}

// post sends a body with headers given in pairs. Authorization is acme's unless
// it is among them.
func (b *bench) post(media string, body []byte, header ...string) answer {
	b.t.Helper()
	a, err := b.tryPost(media, bytes.NewReader(body), header...)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func (b *bench) tryPost(media string, body io.Reader, header ...string) (answer, error) {
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.server.URL+"/v1/events", body)
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+acmeToken)
	if media != "" {
		request.Header.Set("Content-Type", media)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	return do(request)
}

func do(request *http.Request) (answer, error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: response.StatusCode, header: response.Header}
	if err := json.Unmarshal(text, &a); err != nil {
		return answer{}, fmt.Errorf("answer %d %q: %w", response.StatusCode, text, err)
	}
	return a, nil
}

// stored reads every event of the stream.
func (b *bench) stored() (list []events.Usage) {
	b.t.Helper()
	for _, m := range b.messages() {
		for _, segment := range m.Segments {
			var c packed.Columns
			if err := c.Decode(segment.Packed); err != nil {
				b.t.Fatal(err)
			}
			for i := range c.N {
				list = append(list, c.Event(i))
			}
		}
	}
	return list
}

func (b *bench) messages() (list []events.Message) {
	b.t.Helper()
	last, err := b.usage.Last(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	for position := uint64(1); position <= last; position++ {
		stored, err := b.usage.Get(b.t.Context(), position)
		if err != nil {
			b.t.Fatal(err)
		}
		var m events.Message
		if _, err := m.Decode(stored.Data, nil); err != nil {
			b.t.Fatal(err)
		}
		list = append(list, m)
	}
	return list
}

// kept returns the messages of REFUSED once there are n of them.
func (b *bench) kept(n int) (list []events.RefusedSubmission) {
	b.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		last, err := b.refused.Last(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if last >= uint64(n) {
			break
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("REFUSED has %d messages, want %d", last, n)
		}
		time.Sleep(time.Millisecond)
	}
	for position := uint64(1); position <= uint64(n); position++ {
		stored, err := b.refused.Get(b.t.Context(), position)
		if errors.Is(err, eventlog.ErrNotFound) {
			continue
		}
		if err != nil {
			b.t.Fatal(err)
		}
		r, err := events.DecodeRefused(stored.Data)
		if err != nil {
			b.t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// used is one good event of book eu, changed as asked.
func used(id string, change ...func(*events.Usage)) events.Usage {
	u := events.Usage{
		Source: "meter-1", ID: id, Node: "gpu-eu", Customer: "lab-eu", Meter: "gpu.seconds",
		Quantity: quantity("12.5"), Start: noon.Add(-time.Minute).UnixNano(), End: noon.UnixNano(),
	}
	for _, f := range change {
		f(&u)
	}
	return u
}

// batch writes events as a JSON array.
func batch(list ...events.Usage) []byte {
	body := []byte{'['}
	for i := range list {
		if i > 0 {
			body = append(body, ',')
		}
		body = cloudevents.Append(body, &list[i])
	}
	return append(body, ']')
}
