package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// waits is what ingest asks of settlement.
type waits struct{ p *Process }

// WaitEffective waits for every partition, and for no distributor.
func (w waits) WaitEffective(ctx context.Context, k uint64) error {
	return w.p.progress.wait(ctx, func() bool { return w.p.progress.effective() >= k })
}

func (w waits) WaitSettled(ctx context.Context, partition int, position uint64) error {
	return w.p.WaitSettled(ctx, partition, position)
}

// WaitEffective implements [api.Engine].
func (p *Process) WaitEffective(ctx context.Context, k uint64) error {
	if k == 0 {
		return nil
	}
	err := p.progress.wait(ctx, func() bool { return p.progress.effective() >= k && p.progress.done >= k })
	if err != nil {
		return err
	}
	return p.ingest.WaitDirectory(ctx, k)
}

// WaitSettled implements [api.Engine].
func (p *Process) WaitSettled(ctx context.Context, partition int, position uint64) error {
	if !slices.Contains(p.partitions, partition) {
		return fmt.Errorf("partition %d is not here", partition)
	}
	return p.progress.wait(ctx, func() bool { return p.progress.settled[partition].Position >= position })
}

// publishPoll is how often the relays' watermarks are looked at.
const publishPoll = 20 * time.Millisecond

// WaitPublished implements [api.Engine].
func (p *Process) WaitPublished(ctx context.Context) error {
	goal, err := p.store.Relaying(ctx)
	for err == nil && len(goal) > 0 {
		now, e := p.store.Relaying(ctx)
		if e != nil {
			return e
		}
		goal = slices.DeleteFunc(goal, func(g store.Relaying) bool {
			return slices.ContainsFunc(now, func(n store.Relaying) bool { return n.Writer == g.Writer && n.Relayed >= g.Last })
		})
		if len(goal) == 0 {
			break
		}
		select {
		case <-time.After(publishPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
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

// settledPoll is how often it is looked whether a period is settled.
const settledPoll = 100 * time.Millisecond

// Declaration implements [api.Engine].
func (p *Process) Declaration(ctx context.Context, id string, token events.TokenDeclared, period events.Period, recordDate time.Time) (events.DistributionDeclared, error) {
	b := events.DistributionDeclared{Distribution: id, Token: token.Token, Period: period, RecordDate: recordDate}
	for {
		at, err := p.store.SettledAt(ctx, token.Book, period)
		if err != nil {
			return b, err
		}
		if at > 0 {
			break
		}
		select {
		case <-time.After(settledPoll):
		case <-ctx.Done():
			return b, fmt.Errorf("declaring %s: period %s of book %s is not settled: %w", id, period, token.Book, ctx.Err())
		}
	}
	var err error
	if b.LedgerSeq, err = p.streams.ledger.Last(ctx); err != nil {
		return b, fmt.Errorf("declaring %s: %w", id, err)
	}
	if b.RegisterSeq, err = p.streams.register.Last(ctx); err != nil {
		return b, fmt.Errorf("declaring %s: %w", id, err)
	}
	if b.ControlSeq, err = p.streams.control.Last(ctx); err != nil {
		return b, fmt.Errorf("declaring %s: %w", id, err)
	}
	return b, nil
}

// Status implements [api.Engine]. That the database does not answer is said and
// is no ground to send usage elsewhere: it is accepted all the same.
func (p *Process) Status(ctx context.Context) (api.Status, error) {
	status := api.Status{Healthy: true, Version: api.Version}
	if err := p.log.Healthy(); err != nil {
		status.Healthy, status.Reason = false, err.Error()
		return status, nil
	}
	var err error
	if status.Control, err = p.streams.control.Last(ctx); err != nil {
		return status, err
	}
	for _, partition := range p.partitions {
		last, err := p.streams.usage[partition].Last(ctx)
		if err != nil {
			return status, err
		}
		status.Partition = append(status.Partition, api.PartitionLoop{Partition: partition, Last: last})
	}
	p.progress.mu.Lock()
	defer p.progress.mu.Unlock()
	status.Effective = p.progress.effective()
	for i := range status.Partition {
		status.Partition[i].Settled = p.progress.settled[status.Partition[i].Partition].Position
	}
	if p.progress.failing != nil {
		status.Reason = "usage is accepted, and settled later: " + p.progress.failing.Error()
	}
	if p.keeper != nil {
		if err := p.keeper.Err(); err != nil {
			status.Healthy, status.Reason = false, err.Error()
		}
	}
	return status, nil
}
