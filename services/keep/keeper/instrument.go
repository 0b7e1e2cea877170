package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// observeTimeout limits the questions to store and streams for one collection.
const observeTimeout = 5 * time.Second

// watch measures how far everything is signed, each time that metrics are
// collected. It continues after Run has returned, because then it is needed most;
// Close ends it.
func (k *Keeper) watch(meter metric.Meter) error {
	if meter == nil {
		meter = noop.Meter{}
	}
	problems := make([]error, 3)
	var size, lag, stopped metric.Int64ObservableGauge
	size, problems[0] = meter.Int64ObservableGauge("aliquot.keeper.size", metric.WithUnit("{message}"),
		metric.WithDescription("Messages that the last signed checkpoint of a log covers."))
	lag, problems[1] = meter.Int64ObservableGauge("aliquot.keeper.lag.messages", metric.WithUnit("{message}"),
		metric.WithDescription("Messages that are committed but not signed yet."))
	stopped, problems[2] = meter.Int64ObservableGauge("aliquot.keeper.stopped",
		metric.WithDescription("1 if the keeper has stopped because something differs or cannot be written; 0 otherwise."))
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("showing the keeper: %w", err)
	}
	logs := make([]metric.MeasurementOption, len(k.kept))
	for i, s := range k.kept {
		logs[i] = metric.WithAttributeSet(attribute.NewSet(attribute.String("log", LogName(s.stream.Name()))))
	}
	var err error
	k.watched, err = meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, observeTimeout)
		defer cancel()
		if k.Err() != nil {
			o.ObserveInt64(stopped, 1)
		} else {
			o.ObserveInt64(stopped, 0)
		}
		for i, s := range k.kept {
			// On an error nothing is reported: a missing figure is noticed, a
			// wrong one is believed.
			checkpoint, _, err := s.log.Reader().Checkpoint()
			if err != nil {
				continue
			}
			o.ObserveInt64(size, int64(checkpoint.Size), logs[i])
			if committed, err := s.maker.committed(ctx); err == nil {
				o.ObserveInt64(lag, max(int64(committed)-int64(checkpoint.Size), 0), logs[i])
			}
		}
		return nil
	}, size, lag, stopped)
	return err
}
