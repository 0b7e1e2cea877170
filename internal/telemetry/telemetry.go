// Package telemetry shows what a process does: metrics as a Prometheus page and
// over OTLP, traces over OTLP, and log lines that name their trace.
//
// The method: a process sets up one [Telemetry] and passes its meter and its
// tracer to the services in their configurations. The services only know the
// interfaces of OpenTelemetry. Metrics for the page are collected when the page
// is requested. OTLP is exported if the environment names an endpoint, by the
// variables of the OpenTelemetry specification and with their meanings:
//
//	OTEL_EXPORTER_OTLP_ENDPOINT            http://collector:4318; with it, traces and metrics are sent
//	OTEL_EXPORTER_OTLP_TRACES_ENDPOINT     traces alone, the whole URL
//	OTEL_EXPORTER_OTLP_METRICS_ENDPOINT    metrics alone, the whole URL
//	OTEL_EXPORTER_OTLP_PROTOCOL            http/protobuf (default) or grpc; also _TRACES_, _METRICS_
//	OTEL_EXPORTER_OTLP_HEADERS, …          every other OTEL_EXPORTER_OTLP_… variable
//	OTEL_TRACES_EXPORTER                   otlp (default) or none
//	OTEL_METRICS_EXPORTER                  otlp (default) or none; this does not affect the page
//	OTEL_TRACES_SAMPLER, …_SAMPLER_ARG     parentbased_always_on by default
//	OTEL_METRIC_EXPORT_INTERVAL            milliseconds, 60,000 by default
//	OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
//	OTEL_SDK_DISABLED                      true: disables all of this, including the page
//
// # Invariants
//
//   - Never waited for: a collector that is slow, full or gone costs the data
//     that was to be exported, and a warning; it never affects settlement.
//   - Nothing leaves the process unless an endpoint is named.
//   - Without traces the tracer is nil, and no request is examined for one.
package telemetry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/trace"
)

// scope is the instrumentation scope: one for everything, because a binary has
// one version.
const scope = "github.com/aliquot-engine/aliquot"

// Config says under which name a process is shown.
type Config struct {
	// Service and Version are service.name and service.version in what is
	// exported; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override them.
	Service, Version string
	// Unpaged leaves out the Prometheus page, for a process that serves no HTTP.
	// Without the page and without an endpoint nothing is collected.
	Unpaged bool
	// Collector is the URL of an OTLP endpoint over HTTP that replaces the one in
	// the environment, for measuring the cost of exporting; empty uses the
	// environment.
	Collector string
	// Logger receives exports that fail; nil means slog.Default.
	Logger *slog.Logger
}

// Telemetry is the telemetry of a process. The zero value and nil show nothing.
type Telemetry struct {
	meter  metric.Meter // nil if nothing is measured
	tracer trace.Tracer // nil if nothing is traced
	page   http.Handler // nil if there is no page
	closes []func(context.Context) error
}

// Start sets up what the configuration and the environment ask for. It does not
// wait for a collector. Its error names the variable with an impossible value.
func Start(ctx context.Context, config Config) (*Telemetry, error) {
	t := &Telemetry{}
	if said("OTEL_SDK_DISABLED") == "true" {
		return t, nil
	}
	traces, err := protocolOf("traces")
	if err != nil {
		return nil, err
	}
	metrics, err := protocolOf("metrics")
	if err != nil {
		return nil, err
	}
	if config.Collector != "" {
		traces, metrics = overHTTP, overHTTP
	}
	if traces == none && metrics == none && config.Unpaged {
		return t, nil
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(
			attribute.String("service.name", config.Service),
			attribute.String("service.version", config.Version),
			attribute.String("service.instance.id", rand.Text()),
		),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv(), // the last one takes precedence
	)
	if err != nil {
		return nil, fmt.Errorf("setting up telemetry: %w", err)
	}
	logger := config.Logger
	if logger == nil {
		logger = slog.Default()
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("telemetry", "cause", err) }))
	if err := t.startMetrics(ctx, about, metrics, config); err != nil {
		return nil, errors.Join(fmt.Errorf("setting up metrics: %w", err), t.Close(ctx))
	}
	if err := t.startTraces(ctx, about, traces, config); err != nil {
		return nil, errors.Join(fmt.Errorf("setting up traces: %w", err), t.Close(ctx))
	}
	return t, nil
}

// Meter returns the meter, or nil if nothing is measured.
func (t *Telemetry) Meter() metric.Meter {
	if t == nil {
		return nil
	}
	return t.meter
}

// Tracer returns the tracer, or nil if nothing is traced.
func (t *Telemetry) Tracer() trace.Tracer {
	if t == nil {
		return nil
	}
	return t.tracer
}

// Page returns a handler that answers with every metric in Prometheus' formats,
// or nil if there is no page. It requires no authentication: the server decides
// who may see it.
func (t *Telemetry) Page() http.Handler {
	if t == nil {
		return nil
	}
	return t.page
}

// Close exports what is left, for as long as ctx allows.
func (t *Telemetry) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	var problems []error
	for _, one := range t.closes {
		problems = append(problems, one(ctx))
	}
	t.closes = nil
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("exporting the last of the telemetry: %w", err)
	}
	return nil
}

// protocol is the protocol by which a signal is exported.
type protocol int

const (
	none protocol = iota
	overHTTP
	overGRPC
)

// protocolOf reads from the environment how a signal is to be exported.
func protocolOf(signal string) (protocol, error) {
	upper := strings.ToUpper(signal)
	switch exporters := said("OTEL_" + upper + "_EXPORTER"); exporters {
	case "", "otlp":
	case "none", "prometheus": // the page exists anyway
		return none, nil
	default:
		return none, fmt.Errorf("setting up telemetry: OTEL_%s_EXPORTER is %q, but must be otlp or none", upper, exporters)
	}
	if said("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && said("OTEL_EXPORTER_OTLP_"+upper+"_ENDPOINT") == "" {
		return none, nil
	}
	name := "OTEL_EXPORTER_OTLP_" + upper + "_PROTOCOL"
	value := said(name)
	if value == "" {
		name = "OTEL_EXPORTER_OTLP_PROTOCOL"
		value = said(name)
	}
	switch value {
	case "", "http/protobuf":
		return overHTTP, nil
	case "grpc":
		return overGRPC, nil
	}
	return none, fmt.Errorf("setting up telemetry: %s is %q, but must be http/protobuf or grpc", name, value)
}

// said reads a variable of the specification; an empty one counts as absent.
func said(name string) string { return strings.TrimSpace(os.Getenv(name)) }
