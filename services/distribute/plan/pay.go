package plan

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
)

// Pay makes the plan of a payout run: only steps 1, 4 and 5, from what is owed.
// The input has no inbox and no fee. Its holdings only say who is frozen, and may
// be empty. The plan has no shares, no fee and no pool.
func Pay(in Input) (*Plan, error) {
	if _, err := in.Asset.Decimals(); err != nil {
		return nil, fmt.Errorf("paying %s: %w", in.Asset, err)
	}
	p := &planner{in: in, blocked: Screen(in.Recoveries, in.Listed)}
	if err := p.recover(); err != nil {
		return nil, fmt.Errorf("paying what %s owes in %s: %w", in.Token, in.Asset, err)
	}
	p.plan.Shares = make([]distribution.Share, len(in.Holdings)) // shares of nothing: they only say what is frozen
	for i, h := range in.Holdings {
		p.plan.Shares[i] = distribution.Share{Holder: h.Holder, Units: h.Units, Frozen: h.Frozen}
	}
	if err := p.settle(); err != nil {
		return nil, fmt.Errorf("paying what %s owes in %s: %w", in.Token, in.Asset, err)
	}
	p.plan.Shares = nil
	return &p.plan, nil
}
