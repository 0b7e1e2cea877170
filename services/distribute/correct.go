package distribute

import (
	"context"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/payout"
)

// corrected gives a payout the state that a person decided on, whatever the
// rail had answered, and moves its money accordingly. PAYOUT records the
// decision even if the state stays the same, because the state is final from
// then on.
func (d *Distributor) corrected(ctx context.Context, at uint64, b events.PayoutCorrected) (*distribution.Step, error) {
	made, ok, err := d.config.Store.Distribution(ctx, b.Distribution)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, void("distribution %s was declared but not made", b.Distribution)
	}
	found := false
	var p distribution.Payout
	err = d.config.Store.PayoutsOf(ctx, made.ID, []string{b.Payout}, func(one distribution.Payout) error {
		p, found = one, true
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, void("payout %s is not of distribution %s", b.Payout, b.Distribution)
	}
	if string(p.State) != b.From {
		return nil, void("payout %s is %s by now, not %s", p.ID, p.State, b.From)
	}
	to := distribution.State(b.State)
	if err := payout.Correct(p.State, to); err != nil {
		return nil, void("%v", err)
	}
	step := &distribution.Step{}
	t := turn{d: d, made: &made, step: step}
	if err := t.change(ctx, p, to, b.Reference); err != nil {
		return nil, err
	}
	return step, t.finish(at, "", []events.PayoutOutcome{{Payout: p.ID, State: b.State, Reference: b.Reference}})
}
