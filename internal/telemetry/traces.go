package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// startTraces exports spans, if there is an endpoint for them. The environment
// chooses the sampler.
func (t *Telemetry) startTraces(ctx context.Context, about *resource.Resource, by protocol, config Config) error {
	var exporter trace.SpanExporter
	var err error
	switch by {
	case none:
		return nil
	case overHTTP:
		var options []otlptracehttp.Option
		if config.Collector != "" {
			options = append(options, otlptracehttp.WithEndpointURL(config.Collector+"/v1/traces"))
		}
		exporter, err = otlptracehttp.New(ctx, options...)
	case overGRPC:
		exporter, err = otlptracegrpc.New(ctx)
	}
	if err != nil {
		return err
	}
	provider := trace.NewTracerProvider(trace.WithResource(about), trace.WithBatcher(exporter))
	t.closes = append(t.closes, provider.Shutdown)
	t.tracer = provider.Tracer(scope)
	return nil
}
