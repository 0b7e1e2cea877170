package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// waits is what ingest asks of settlement: decisions are in effect for it when
// they are for the settler.
type waits struct{ d *Daemon }

func (w waits) WaitEffective(ctx context.Context, k uint64) error {
	return w.d.waitSettlers(ctx, k)
}

func (w waits) WaitSettled(ctx context.Context, p int, position uint64) error {
	return w.d.WaitSettled(ctx, p, position)
}

// WaitEffective returns when every service acts on CONTROL up to position k.
func (d *Daemon) WaitEffective(ctx context.Context, k uint64) error {
	if k == 0 {
		return nil
	}
	if err := d.waitSettlers(ctx, k); err != nil {
		return err
	}
	if err := d.payer.WaitDone(ctx, k); err != nil {
		return err
	}
	return d.ingest.WaitDirectory(ctx, k)
}

// waitSettlers waits for every partition.
func (d *Daemon) waitSettlers(ctx context.Context, k uint64) error {
	for _, settler := range d.settlers {
		if err := settler.WaitEffective(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// WaitSettled returns when a partition has settled USAGE up to a position. What
// is still uncut is cut by an idle marker soon after.
func (d *Daemon) WaitSettled(ctx context.Context, p int, position uint64) error {
	if p < 0 || p >= len(d.settlers) {
		return fmt.Errorf("partition %d is not here", p)
	}
	return d.settlers[p].WaitSettled(ctx, position)
}

// publishPoll is how often the relay's watermark is looked at.
const publishPoll = 5 * time.Millisecond

// WaitPublished returns when every journal row that is committed now is in LEDGER
// or PAYOUT, with what else PAYOUT is told.
func (d *Daemon) WaitPublished(ctx context.Context) error {
	for _, settled := range d.settled {
		if err := waitRelayed(ctx, settled); err != nil {
			return err
		}
	}
	return d.waitTold(ctx)
}

// waitTold waits for what PAYOUT is to be told.
func (d *Daemon) waitTold(ctx context.Context) error {
	ticker := time.NewTicker(publishPoll)
	defer ticker.Stop()
	for {
		told, _, err := d.paid.Relayed(ctx)
		if err != nil {
			return err
		}
		untold, err := d.paid.Messages(ctx, told+1, 1)
		if err != nil || len(untold) == 0 {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func waitRelayed(ctx context.Context, settled *store.Settle) error {
	last, err := settled.Last(ctx)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(publishPoll)
	defer ticker.Stop()
	for {
		number, _, err := settled.Relayed(ctx)
		if err != nil || number >= last {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Void says why the decision at a position had no effect.
func (d *Daemon) Void(ctx context.Context, k uint64) (string, error) {
	for _, settler := range d.settlers {
		if reason, err := settler.VoidReason(ctx, k); err != nil || reason != "" {
			return reason, err
		}
	}
	reason, err := d.payer.VoidReason(ctx, k)
	if err != nil || reason != "" {
		return reason, err
	}
	// No service keeps a note of repeats.
	d.Directory(func(known *directory.Directory) {
		voids := known.Voids()
		at, found := slices.BinarySearchFunc(voids, k, func(v directory.Void, k uint64) int { return cmp.Compare(v.Position, k) })
		if found {
			reason = voids[at].Reason
		}
	})
	return reason, nil
}

// Directory calls f with what is declared, as far as it is in effect.
func (d *Daemon) Directory(f func(*directory.Directory)) { d.ingest.Directory(f) }

// Declaration returns a declaration of a distribution that rests on everything
// there is now; it waits until the period is settled.
func (d *Daemon) Declaration(ctx context.Context, id string, token events.TokenDeclared, period events.Period, recordDate time.Time) (events.DistributionDeclared, error) {
	return d.payer.Declaration(ctx, id, token, period, recordDate)
}

// Status is the state of every loop.
func (d *Daemon) Status(ctx context.Context) (api.Status, error) {
	status := api.Status{Healthy: true, Version: api.Version, Effective: d.settlers[0].Effective()}
	var err error
	if status.Control, err = d.streams.control.Last(ctx); err != nil {
		return status, err
	}
	for partition, settler := range d.settlers {
		last, err := d.streams.usage[partition].Last(ctx)
		if err != nil {
			return status, err
		}
		status.Effective = min(status.Effective, settler.Effective())
		status.Partition = append(status.Partition, api.PartitionLoop{Partition: partition, Last: last, Settled: settler.Settled()})
	}
	if status.FreeBytes, err = d.log.Free(); err != nil && !errors.Is(err, eventlog.ErrRemote) {
		return status, err
	}
	if err := d.log.Healthy(); err != nil {
		status.Healthy, status.Reason = false, err.Error()
	}
	if d.keeper != nil && status.Healthy {
		if err := d.keeper.Err(); err != nil {
			status.Healthy, status.Reason = false, err.Error()
		}
	}
	return status, nil
}
