package host

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/metric"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
)

// watch shows what belongs to no service: the disk under the streams, and whether
// they can be written; and serves the metrics at an address of their own, where
// one is configured. The disk of a log that is reached by URL is shown by its own
// servers.
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
		metric.WithDescription("1 where messages can be stored: connected, without a write error, free space above the reserve; 0 otherwise."))
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

// unwatch ends what watch shows.
func (p *Process) unwatch() error {
	if p.watched == nil {
		return nil
	}
	return p.watched.Unregister()
}

// MetricsAddr is the host:port at which the metrics alone are answered; empty
// where there is none.
func (p *Process) MetricsAddr() string { return p.metricsAddr }
