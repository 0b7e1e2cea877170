package telemetry

import (
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/aliquot-engine/aliquot/internal/telemetry/trail"
)

// Server wraps an HTTP handler in a span for each request, which is a child of
// the caller's span if the request's header names one (W3C Trace Context).
// Without traces the handler is returned unchanged. Frequent requests (probes,
// pages of metrics and tiles of logs) do not begin a trace of their own.
func (t *Telemetry) Server(next http.Handler) http.Handler {
	if t == nil || t.tracer == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := trail.Of(r.Header)
		if !caller.IsValid() && isPolled(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		ctx := r.Context()
		if caller.IsValid() {
			ctx = trace.ContextWithRemoteSpanContext(ctx, caller)
		}
		ctx, span := t.tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer))
		if !span.IsRecording() {
			next.ServeHTTP(w, r.WithContext(ctx))
			return
		}
		defer span.End()
		r = r.WithContext(ctx)
		seen := &watched{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r)
		attributes := []attribute.KeyValue{
			attribute.String("http.request.method", r.Method),
			attribute.Int("http.response.status_code", seen.status),
		}
		// The path contains ids. The route, which the mux records, does not.
		if _, route, found := strings.Cut(r.Pattern, " "); found {
			span.SetName(r.Pattern)
			attributes = append(attributes, attribute.String("http.route", route))
		}
		span.SetAttributes(attributes...)
		if seen.status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(seen.status))
		}
	})
}

func isPolled(path string) bool {
	return path == "/livez" || path == "/readyz" || path == "/metrics" || strings.HasPrefix(path, "/tlog/")
}

// watched records the status of an answer.
type watched struct {
	http.ResponseWriter
	status int
}

func (w *watched) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }
