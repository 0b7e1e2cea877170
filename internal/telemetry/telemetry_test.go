package telemetry

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

// clean removes the variables of the test's own environment.
func clean(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"OTEL_SDK_DISABLED", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
		"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_TRACES_SAMPLER", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME",
	} {
		t.Setenv(name, "")
	}
}

func TestTheEnvironmentSaysWhatIsShown(t *testing.T) {
	for _, c := range []struct {
		what                   string
		environment            string // name=value, separated by spaces
		metered, traced, paged bool
		problem                string
	}{
		{what: "nothing is said", metered: true, paged: true},
		{what: "an endpoint", environment: "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", metered: true, traced: true, paged: true},
		{what: "an endpoint, over gRPC", environment: "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1 OTEL_EXPORTER_OTLP_PROTOCOL=grpc", metered: true, traced: true, paged: true},
		{what: "an endpoint for metrics alone", environment: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://127.0.0.1:1/v1/metrics", metered: true, paged: true},
		{what: "an endpoint, no traces", environment: "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1 OTEL_TRACES_EXPORTER=none", metered: true, paged: true},
		{what: "all off", environment: "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1 OTEL_SDK_DISABLED=true"},
		{what: "an exporter that is not there", environment: "OTEL_TRACES_EXPORTER=zipkin", problem: `OTEL_TRACES_EXPORTER is "zipkin"`},
		{what: "a protocol that is not there", environment: "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1 OTEL_EXPORTER_OTLP_PROTOCOL=http/json", problem: `OTEL_EXPORTER_OTLP_PROTOCOL is "http/json"`},
	} {
		t.Run(c.what, func(t *testing.T) {
			clean(t)
			for one := range strings.FieldsSeq(c.environment) {
				name, value, _ := strings.Cut(one, "=")
				t.Setenv(name, value)
			}
			shown, err := Start(t.Context(), Config{Service: "test", Logger: slog.New(slog.DiscardHandler)})
			if c.problem != "" {
				if err == nil || !strings.Contains(err.Error(), c.problem) {
					t.Fatalf("the error is %v, want %s", err, c.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// Nobody listens: only what was to be exported is lost.
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			defer func() { _ = shown.Close(ended) }()
			if got := [3]bool{shown.Meter() != nil, shown.Tracer() != nil, shown.Page() != nil}; got != [3]bool{c.metered, c.traced, c.paged} {
				t.Errorf("meter, tracer and page are there: %v", got)
			}
		})
	}
}

func TestALogLineNamesItsTrace(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(Logs(slog.NewTextHandler(&out, nil))).With("partition", 0)
	id, span := trace.TraceID{1}, trace.SpanID{2}
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span}))
	logger.InfoContext(ctx, "with")
	logger.InfoContext(t.Context(), "without")
	with, without, _ := strings.Cut(out.String(), "\n")
	if want := "msg=with partition=0 trace_id=" + id.String() + " span_id=" + span.String(); !strings.HasSuffix(with, want) {
		t.Errorf("the line is %q, want …%s", with, want)
	}
	if strings.Contains(without, "trace_id") {
		t.Errorf("the line is %q", without)
	}
}

// A request continues the caller's trace, and probes begin none.
func TestARequestIsASpan(t *testing.T) {
	clean(t)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1/v1/traces")
	shown, err := Start(t.Context(), Config{Service: "test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	defer func() { _ = shown.Close(ended) }()
	var seen trace.SpanContext
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		seen = trace.SpanContextFromContext(r.Context())
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("the connection cannot be reached: %v", err)
		}
	})
	const caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, c := range []struct {
		path, header, trace string
		valid               bool
	}{
		{"/v1/statements/holders/ann", "", "", true},
		{"/v1/events", caller, "0af7651916cd43dd8448eb211c80319c", true},
		{"/livez", "", "", false},
		{"/metrics", "", "", false},
	} {
		seen = trace.SpanContext{}
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, nil)
		request.Header.Set("traceparent", c.header)
		shown.Server(mux).ServeHTTP(httptest.NewRecorder(), request)
		if seen.IsValid() != c.valid || c.trace != "" && seen.TraceID().String() != c.trace {
			t.Errorf("%s: the trace is %v", c.path, seen.TraceID())
		}
	}
}
