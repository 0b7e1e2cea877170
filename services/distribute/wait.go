package distribute

import (
	"context"
	"fmt"
)

// publish tells the waiting callers up to which positions the loop has
// committed.
func (d *Distributor) publish() {
	d.done.Advance(d.committed.Control.Position)
	d.followed.Advance(d.committed.Ledger.Position)
}

// Done is the last position of CONTROL whose decision has taken effect here.
func (d *Distributor) Done() uint64 {
	return d.done.At()
}

// WaitDone waits until the decision at a position of CONTROL has taken effect.
// It fails if ctx ends or the distributor stops first.
func (d *Distributor) WaitDone(ctx context.Context, position uint64) error {
	return waited(ctx, d.done.Wait(ctx, position))
}

// waited adds what was waited for to an error of ctx.
func waited(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("waiting for the distributor: %w", err)
	}
	return err
}

// VoidReason returns why the decision at a position of CONTROL had no effect,
// or only a part of it, on distribution. It is empty if the decision had its
// effect, or does not concern distribution.
func (d *Distributor) VoidReason(ctx context.Context, position uint64) (string, error) {
	v, ok, err := d.config.Store.Void(ctx, position)
	if err != nil || !ok {
		return "", err
	}
	return v.Reason, nil
}
