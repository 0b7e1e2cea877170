package cluster

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/metric"
)

// watch shows whether the streams can be written, and the metrics at an address
// of their own where that is configured. Close ends both.
func (p *Process) watch() error {
	_, unserve, err := p.config.Telemetry.Listen(p.config.MetricsListen, p.config.Logger)
	if err != nil {
		return err
	}
	p.watched = append(p.watched, unserve)
	meter := p.config.Telemetry.Meter()
	if meter == nil {
		return nil
	}
	healthy, err := meter.Int64ObservableGauge("aliquot.streams.healthy",
		metric.WithDescription("1 where messages can be stored: connected, without a write error, free space above the reserve; 0 otherwise."))
	if err != nil {
		return fmt.Errorf("showing the streams: %w", err)
	}
	watched, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if p.log.Healthy() == nil {
			o.ObserveInt64(healthy, 1)
		} else {
			o.ObserveInt64(healthy, 0)
		}
		return nil
	}, healthy)
	if err == nil {
		p.watched = append(p.watched, watched.Unregister)
	}
	return err
}
