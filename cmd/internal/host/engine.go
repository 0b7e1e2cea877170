package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/retry"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/distribute"
)

const (
	// publishPoll is how often the relays' watermarks are read.
	publishPoll = 10 * time.Millisecond
	// settledPoll is how often the end of a period is compared with what is
	// settled.
	settledPoll = 50 * time.Millisecond
)

// waits is what ingest needs to know of settlement. Ingest treats decisions as
// in effect when they are in effect for every settler; it does not wait for
// distribution.
type waits struct{ p *Process }

func (w waits) WaitEffective(ctx context.Context, k uint64) error {
	return w.p.waitSettlers(ctx, k)
}

func (w waits) WaitSettled(ctx context.Context, partition int, position uint64) error {
	return w.p.WaitSettled(ctx, partition, position)
}

// WaitEffective implements [api.Engine].
func (p *Process) WaitEffective(ctx context.Context, k uint64) error {
	if k == 0 {
		return nil
	}
	if err := p.waitSettlers(ctx, k); err != nil {
		return err
	}
	if err := p.payer.WaitDone(ctx, k); err != nil {
		return err
	}
	return p.ingest.WaitDirectory(ctx, k)
}

// waitSettlers waits for every partition.
func (p *Process) waitSettlers(ctx context.Context, k uint64) error {
	for _, partition := range p.partitions {
		if err := p.settlers[partition].WaitEffective(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// WaitSettled implements [api.Engine]. If the usage is not cut yet, an idle
// marker cuts it soon.
func (p *Process) WaitSettled(ctx context.Context, partition int, position uint64) error {
	s := p.settlers[partition]
	if s == nil {
		return fmt.Errorf("partition %d does not exist here", partition)
	}
	return s.WaitSettled(ctx, position)
}

// WaitPublished implements [api.Engine].
func (p *Process) WaitPublished(ctx context.Context) error { return published(ctx, p.store) }

// WaitKept returns when everything that is committed now has its second copy
// and is signed. If nothing is kept it returns at once.
func (p *Process) WaitKept(ctx context.Context) error {
	if p.keeper == nil {
		return nil
	}
	return p.keeper.Wait(ctx)
}

// Void implements [api.Engine].
func (p *Process) Void(ctx context.Context, k uint64) (string, error) {
	for _, partition := range p.partitions {
		if reason, found, err := p.store.VoidReason(ctx, partition, k); err != nil || found {
			return reason, err
		}
	}
	void, found, err := p.store.DistributeVoid(ctx, k)
	if err != nil || found {
		return void.Reason, err
	}
	// No service records repetitions.
	reason := ""
	p.Directory(func(known *directory.Directory) {
		voids := known.Voids()
		at, found := slices.BinarySearchFunc(voids, k, func(v directory.Void, k uint64) int { return cmp.Compare(v.Position, k) })
		if found {
			reason = voids[at].Reason
		}
	})
	return reason, nil
}

// Directory implements [api.Engine].
func (p *Process) Directory(f func(*directory.Directory)) { p.ingest.Directory(f) }

// Declaration implements [api.Engine].
func (p *Process) Declaration(ctx context.Context, id string, token events.TokenDeclared, period events.Period, recordDate time.Time) (events.DistributionDeclared, error) {
	b := events.DistributionDeclared{Distribution: id, Token: token.Token, Period: period, RecordDate: recordDate}
	return distribute.Declare(ctx, b, p.streams.control, p.streams.ledger, p.streams.register, func() error {
		err := retry.Until(ctx, settledPoll, func() (bool, error) {
			at, err := p.store.SettledAt(ctx, token.Book, period)
			return at > 0, err
		})
		if err != nil && ctx.Err() != nil {
			return fmt.Errorf("period %s of book %s is not settled: %w", period, token.Book, err)
		}
		return err
	})
}

// Status implements [api.Engine]. A shared process reports a database that does
// not answer, but stays ready: it still accepts usage.
func (p *Process) Status(ctx context.Context) (api.Status, error) {
	status := api.Status{Healthy: true, Version: api.Version}
	if err := p.log.Healthy(); err != nil {
		status.Healthy, status.Reason = false, err.Error()
		if p.config.Shared != nil {
			return status, nil // no other process would answer
		}
	}
	var err error
	if status.Control, err = p.streams.control.Last(ctx); err != nil {
		return status, err
	}
	for i, partition := range p.partitions {
		last, err := p.streams.usage[partition].Last(ctx)
		if err != nil {
			return status, err
		}
		s := p.settlers[partition]
		if effective := s.Effective(); i == 0 || effective < status.Effective {
			status.Effective = effective
		}
		status.Partition = append(status.Partition, api.PartitionLoop{Partition: partition, Last: last, Settled: s.Settled()})
	}
	if status.FreeBytes, err = p.log.Free(); err != nil && !errors.Is(err, eventlog.ErrRemote) {
		return status, err
	}
	if p.failing != nil {
		if err := p.failing(); err != nil {
			status.Reason = "usage is accepted, but settled later: " + err.Error()
		}
	}
	if p.keeper != nil && status.Healthy {
		if err := p.keeper.Err(); err != nil {
			status.Healthy, status.Reason = false, err.Error()
		}
	}
	return status, nil
}
