package host

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/metric"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
)

// watch shows metrics that belong to no service: the free disk space under the
// streams, and whether the streams can be written. If an address for metrics is
// configured, it also serves them there. If the streams are reached by URL,
// their own servers show the disk.
func (p *Process) watch() (err error) {
	p.metricsAddr, p.unserve, err = p.config.Telemetry.Listen(p.config.MetricsListen, p.config.Logger)
	if err != nil {
		return err
	}
	meter := p.config.Telemetry.Meter()
	if meter == nil {
		return nil
	}
	problems := make([]error, 3)
	var free, reserve, healthy metric.Int64ObservableGauge
	free, problems[0] = meter.Int64ObservableGauge("aliquot.disk.free", metric.WithUnit("By"),
		metric.WithDescription("Free space under the streams."))
	reserve, problems[1] = meter.Int64ObservableGauge("aliquot.disk.reserve", metric.WithUnit("By"),
		metric.WithDescription("Free space below which usage is refused with 507."))
	healthy, problems[2] = meter.Int64ObservableGauge("aliquot.streams.healthy",
		metric.WithDescription("1 if messages can be stored: connected, without a write error, free space above the reserve; 0 otherwise."))
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("showing the streams: %w", err)
	}
	reserved := p.config.ReserveBytes
	if reserved == 0 {
		reserved = eventlog.DefaultReserveBytes
	}
	p.watched, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if bytes, err := p.log.Free(); err == nil {
			o.ObserveInt64(free, int64(bytes))
			o.ObserveInt64(reserve, max(reserved, 0))
		}
		if p.log.Healthy() == nil {
			o.ObserveInt64(healthy, 1)
		} else {
			o.ObserveInt64(healthy, 0)
		}
		return nil
	}, free, reserve, healthy)
	return err
}

// unwatch removes the metrics of watch.
func (p *Process) unwatch() error {
	if p.watched == nil {
		return nil
	}
	return p.watched.Unregister()
}

// MetricsAddr is the host:port that serves only the metrics; empty if there is
// none.
func (p *Process) MetricsAddr() string { return p.metricsAddr }
