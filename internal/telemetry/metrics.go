package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// startMetrics collects metrics for the page, for export, for both or not at all.
func (t *Telemetry) startMetrics(ctx context.Context, about *resource.Resource, by protocol, config Config) error {
	paged := !config.Unpaged
	if by == none && !paged {
		return nil
	}
	options := []metric.Option{metric.WithResource(about)}
	if paged {
		registry := newRegistry()
		reader, err := prometheus.New(prometheus.WithRegisterer(registry), prometheus.WithoutScopeInfo())
		if err != nil {
			return err
		}
		options = append(options, metric.WithReader(reader))
		t.page = newPage(registry)
	}
	var exporter metric.Exporter
	var err error
	switch by {
	case overHTTP:
		var options []otlpmetrichttp.Option
		if config.Collector != "" {
			options = append(options, otlpmetrichttp.WithEndpointURL(config.Collector+"/v1/metrics"))
		}
		exporter, err = otlpmetrichttp.New(ctx, options...)
	case overGRPC:
		exporter, err = otlpmetricgrpc.New(ctx)
	}
	if err != nil {
		return err
	}
	if exporter != nil {
		options = append(options, metric.WithReader(metric.NewPeriodicReader(exporter)))
	}
	provider := metric.NewMeterProvider(options...)
	t.closes = append(t.closes, provider.Shutdown)
	t.meter = provider.Meter(scope)
	return nil
}
