package ingest_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/telemetry/trail"
	"github.com/aliquot-engine/aliquot/services/ingest"
)

const (
	asked = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	named = "00-1af7651916cd43dd8448eb211c80319d-b7ad6b7169203332-01"
)

// The header of a message of USAGE names the trace of the request whose events it
// contains, and its bytes do not depend on the trace. Fails when the header is
// written to a message that is not sampled, or is not written at all.
func TestATraceGoesWithTheMessageAndNotIntoIt(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	b := open(t, eventlog.Config{}, func(c *ingest.Config) {
		c.Tracer = trace.NewTracerProvider(trace.WithSpanProcessor(recorder)).Tracer("test")
	})
	event := string(batch(used("e1")))
	extended := func(id, traceparent string) []byte {
		body := strings.Replace(event, `"e1"`, fmt.Sprintf("%q", id), 1)
		return []byte(strings.Replace(body, `{"specversion"`, fmt.Sprintf(`{"traceparent":%q,"specversion"`, traceparent), 1))
	}
	for at, c := range []struct {
		what string
		body []byte
		// header and want are traces; want is the trace of the message's span.
		header, want string
	}{
		{"the request's", []byte(event), asked, asked},
		{"the event's", extended("e2", named), "", named},
		{"the event's, by a layout that was learned", extended("e3", asked), "", asked},
		{"the request's before the event's", extended("e4", named), asked, asked},
		{"none where it is not sampled", []byte(strings.Replace(event, "e1", "e5", 1)), strings.TrimSuffix(asked, "01") + "00", ""},
	} {
		header := []string{}
		if c.header != "" {
			header = append(header, "traceparent", c.header)
		}
		if got := b.post(ingest.BatchMedia, c.body, header...); got.status != 202 {
			t.Fatalf("%s: %+v", c.what, got)
		}
		stored, err := b.usage.Get(t.Context(), uint64(at+1))
		if err != nil {
			t.Fatal(err)
		}
		if got := stored.Trace(); got.TraceID() != trail.Parse(c.want).TraceID() || got.IsSampled() != (c.want != "") {
			t.Errorf("%s: the message is of trace %v, want %q", c.what, got.TraceID(), c.want)
		}
		if bytes.Contains(stored.Data, []byte("traceparent")) {
			t.Errorf("%s: the trace is in the message", c.what)
		}
	}
	// Each sampled request has a span for accepting it, with a child for
	// publishing.
	spans := recorder.Ended()
	if len(spans) != 8 {
		t.Fatalf("%d spans, want 8", len(spans))
	}
	for i := 0; i < len(spans); i += 2 {
		published, accepted := spans[i], spans[i+1]
		if published.Name() != "publish usage.0" || accepted.Name() != "accept usage" ||
			published.Parent().SpanID() != accepted.SpanContext().SpanID() {
			t.Errorf("span %q is not the child of %q", published.Name(), accepted.Name())
		}
	}
	if links := spans[7].Links(); len(links) != 1 || links[0].SpanContext.TraceID() != trail.Parse(named).TraceID() {
		t.Errorf("the event's trace is not linked: %v", links)
	}
}

// The counters match what was sent, submission by submission.
func TestSubmissionsAreCounted(t *testing.T) {
	reader := metric.NewManualReader()
	b := open(t, eventlog.Config{}, func(c *ingest.Config) {
		c.Meter = metric.NewMeterProvider(metric.WithReader(reader)).Meter("test")
	})
	bad := strings.Replace(string(batch(used("b"))), `"quantity":"12.5"`, `"quantity":"-1"`, 1)
	for _, body := range []string{string(batch(used("1"), used("2"), used("3"))), bad, "[", bad[:len(bad)-1] + "," + string(batch(used("4")))[1:]} {
		b.post(ingest.BatchMedia, []byte(body))
	}
	got := counts(t, reader)
	for name, want := range map[string]int64{
		"aliquot.ingest.accepted":                       4,
		"aliquot.ingest.refused negative":               2,
		"aliquot.ingest.refused malformed":              1,
		"aliquot.ingest.refused conflict":               0,
		"aliquot.ingest.submissions accepted":           2,
		"aliquot.ingest.submissions refused":            2,
		"aliquot.ingest.submissions overloaded":         0,
		"aliquot.ingest.submission.duration, how often": 4,
		"aliquot.ingest.batch.events, how often":        2,
		"aliquot.ingest.batch.events":                   4,
	} {
		if have, ok := got[name]; !ok || have != want {
			t.Errorf("%s is %d, want %d", name, have, want)
		}
	}
}

// counts reads every counter. The value of its attribute follows its name.
func counts(t *testing.T, reader metric.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	found := map[string]int64{}
	name := func(of string, set attribute.Set) string {
		for _, one := range set.ToSlice() {
			of += " " + one.Value.AsString()
		}
		return of
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					found[name(m.Name, p.Attributes)] = p.Value
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					found[name(m.Name, p.Attributes)] = p.Sum
					found[name(m.Name, p.Attributes)+", how often"] = int64(p.Count)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					found[name(m.Name, p.Attributes)+", how often"] = int64(p.Count)
				}
			}
		}
	}
	return found
}
