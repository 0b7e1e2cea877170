package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/client"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/ingest"
	"github.com/aliquot-engine/aliquot/services/ingest/httpapi"
)

func TestAClientSendsEveryFormat(t *testing.T) {
	b := open(t, eventlog.Config{}, nil)
	for _, format := range []client.Format{client.Packed, client.JSON} {
		for _, coding := range []client.Coding{client.Plain, client.Zstd, client.Gzip} {
			t.Run(fmt.Sprint(format, coding), func(t *testing.T) {
				c, err := client.New(client.Config{
					URL: b.server.URL, Token: acmeToken, Provider: "acme", Format: format, Coding: coding,
					Source: "meter-1", Epoch: 5, Sequence: 10, Batch: 2,
				})
				if err != nil {
					t.Fatal(err)
				}
				before := len(b.stored())
				var results []client.Result
				for i := range 5 {
					result, ok, err := c.Add(t.Context(), used("", func(u *events.Usage) { u.Quantity = quantity(fmt.Sprint(i)) }))
					if err != nil {
						t.Fatal(err)
					}
					if ok {
						results = append(results, result)
					}
				}
				result, err := c.Flush(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if results = append(results, result); len(results) != 3 || results[0].Accepted != 2 || results[2].Accepted != 1 || c.Next() != 15 {
					t.Errorf("results %+v", results)
				}
				for i, u := range b.stored()[before:] {
					if u.Source != "meter-1" || u.Epoch != 5 || u.Sequence != uint64(10+i) || u.Quantity != quantity(fmt.Sprint(i)) {
						t.Errorf("stored %+v", u)
					}
				}
			})
		}
	}
}

// Refusals by the engine and by the client itself have the indices of their
// events.
func TestAClientSaysWhichEventsWereRefused(t *testing.T) {
	b := open(t, eventlog.Config{}, nil)
	list := []events.Usage{
		used("a"),
		used("b", func(u *events.Usage) { u.Node = "" }),
		used("c", func(u *events.Usage) { u.Meter = "fuel" }),
		used("d", func(u *events.Usage) { u.Sequenced = true }),
		used("e", func(u *events.Usage) { u.Quantity = quantity("-1") }),
		used("f", func(u *events.Usage) { u.Customer = "nobody" }),
		used("g"),
	}
	want := "1 data.node missing, 2 data.meter unknown_meter, 4 data.quantity negative, 5 data.customer unknown_customer"
	for _, format := range []client.Format{client.Packed, client.JSON} {
		c, err := client.New(client.Config{URL: b.server.URL, Token: acmeToken, Provider: "acme", Format: format})
		if err != nil {
			t.Fatal(err)
		}
		result, err := c.Send(t.Context(), list)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range result.Refusals {
			got = append(got, fmt.Sprintf("%d %s %s", r.Index, r.Field, r.Reason))
		}
		if result.Accepted != 3 || result.Refused != 4 || strings.Join(got, ", ") != want {
			t.Errorf("%d accepted, %d refused: %q", result.Accepted, result.Refused, got)
		}
		if result, err := c.Send(t.Context(), list[1:2]); err != nil || result.Refused != 1 || result.Attempts != 0 {
			t.Errorf("nothing to send: %+v %v", result, err)
		}
	}
}

// Fails when a repeated attempt is encoded again, or is not made.
func TestAClientRepeatsTheSameBytesUntilTheyAreStored(t *testing.T) {
	b := open(t, eventlog.Config{}, nil)
	var attempts atomic.Int32
	handler := httpapi.New(b.service)
	flaky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch attempts.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.WriteHeader(http.StatusInsufficientStorage)
		case 3: // Stored, but the answer is lost.
			handler.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		default:
			handler.ServeHTTP(w, r)
		}
	}))
	defer flaky.Close()
	c, err := client.New(client.Config{URL: flaky.URL, Token: acmeToken, Provider: "acme", FirstWait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	result, err := c.Send(t.Context(), []events.Usage{used("a"), used("b")})
	if err != nil || result.Accepted != 2 || result.Attempts != 4 {
		t.Fatalf("result %+v: %v", result, err)
	}
	m := b.messages()
	if len(m) != 2 || string(m[0].Segments[0].Packed) != string(m[1].Segments[0].Packed) {
		t.Errorf("%d messages, or other bytes", len(m))
	}

	attempts.Store(0)
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		attempts.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer down.Close()
	c, err = client.New(client.Config{URL: down.URL, Token: acmeToken, Provider: "acme", FirstWait: time.Millisecond, Patience: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var problem *client.ProblemError
	if _, err := c.Send(t.Context(), []events.Usage{used("a")}); !errors.As(err, &problem) || problem.Status != 503 {
		t.Errorf("out of patience: %v after %d attempts", err, attempts.Load())
	}
	// The last attempt is cut off without an answer: what the server said before is told.
	attempts.Store(0)
	hangs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if attempts.Add(1) > 1 {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer hangs.Close()
	c, err = client.New(client.Config{URL: hangs.URL, Token: acmeToken, Provider: "acme", FirstWait: time.Millisecond, Patience: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(t.Context(), []events.Usage{used("a")}); !errors.As(err, &problem) || problem.Status != 503 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the last attempt hangs: %v after %d attempts", err, attempts.Load())
	}
	c, err = client.New(client.Config{URL: b.server.URL, Token: "guess", Provider: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(t.Context(), []events.Usage{used("a")}); !errors.As(err, &problem) || problem.Status != 401 || problem.Reason != events.Unauthorized {
		t.Errorf("a wrong token: %v", err)
	}
}

func TestAClientAsksForOutcomes(t *testing.T) {
	fake := &settled{}
	b := open(t, eventlog.Config{}, func(c *ingest.Config) { c.Settler, c.Store = fake, fake })
	c, err := client.New(client.Config{URL: b.server.URL, Token: acmeToken, Provider: "acme", Wait: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	result, err := c.Send(t.Context(), []events.Usage{used("a")})
	if err != nil || result.Outcomes == nil || result.Outcomes.Settled {
		t.Fatalf("result %+v: %v", result, err)
	}
	if o, err := c.Outcomes(t.Context(), result.Handle[0], 0); err != nil || o.Settled {
		t.Errorf("outcomes %+v: %v", o, err)
	}
	var problem *client.ProblemError
	if _, err := c.Outcomes(t.Context(), events.Handle{Position: 99, Count: 1}, 0); !errors.As(err, &problem) || problem.Status != 404 {
		t.Errorf("nowhere: %v", err)
	}
}
