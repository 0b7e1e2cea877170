package daemon

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/metric"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
)

// watch measures what belongs to no service: the disk under the streams, and
// whether they can be written. A log reached by URL has a disk of its own, of
// which its servers tell.
func (d *Daemon) watch() (err error) {
	meter := d.config.Telemetry.Meter()
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
	reserved := d.config.ReserveBytes
	if reserved == 0 {
		reserved = eventlog.DefaultReserveBytes
	}
	d.watched, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if bytes, err := d.log.Free(); err == nil {
			o.ObserveInt64(free, int64(bytes))
			o.ObserveInt64(reserve, max(reserved, 0))
		}
		if d.log.Healthy() == nil {
			o.ObserveInt64(healthy, 1)
		} else {
			o.ObserveInt64(healthy, 0)
		}
		return nil
	}, free, reserve, healthy)
	return err
}

// unwatch ends it.
func (d *Daemon) unwatch() error {
	if d.watched == nil {
		return nil
	}
	return d.watched.Unregister()
}

// serveMetrics answers with the metrics at an address of their own, where that is
// configured.
func (d *Daemon) serveMetrics() (err error) {
	d.metricsAddr, d.unserve, err = d.config.Telemetry.Listen(d.config.MetricsListen, d.config.Logger)
	return err
}

// MetricsAddr is the host:port at which the metrics alone are answered; empty
// where there is none.
func (d *Daemon) MetricsAddr() string { return d.metricsAddr }
