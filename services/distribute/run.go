package distribute

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/register"
	"github.com/aliquot-engine/aliquot/services/distribute/plan"
)

// Debts reads what tokens owe; every store does.
type Debts interface {
	Assets(ctx context.Context, token events.Token) ([]money.Asset, error)
	Entitlements(ctx context.Context, token events.Token, asset money.Asset, each func(distribution.Entitlement) error) error
}

// OwedBy reads what a token owes its holders and has not paid out, ascending by
// asset and holder.
func OwedBy(ctx context.Context, store Debts, token events.Token) ([]distribution.Owed, error) {
	assets, err := store.Assets(ctx, token)
	if err != nil {
		return nil, err
	}
	var list []distribution.Owed
	for _, asset := range assets {
		owed := distribution.Owed{Token: token, Asset: asset}
		err := store.Entitlements(ctx, token, asset, func(e distribution.Entitlement) error {
			owed.List = append(owed.List, e)
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(owed.List) > 0 {
			list = append(list, owed)
		}
	}
	return list, nil
}

// payable plans the payouts of a run: one plan for each element of owed. If
// none of them has a payout, the run is void and reason says why.
func payable(run string, token *events.TokenDeclared, owed []distribution.Owed, r *register.Register, listed func(events.Holder) bool) (plans []*plan.Plan, reason string, err error) {
	payouts := 0
	var waits []string
	for _, o := range owed {
		p, err := plan.Pay(plan.Input{
			Distribution: run, Token: token.Token, Asset: o.Asset, Minimum: token.Minimum, Rail: Rail,
			Holdings: r.Holdings(), Recoveries: r.Recoveries(), Entitlements: o.List, Listed: listed, Frozen: r.FrozenWhole,
		})
		if err != nil {
			return nil, "", err
		}
		said, err := ranAsset(o.Asset, p)
		if err != nil {
			return nil, "", err
		}
		plans = append(plans, p)
		payouts += len(p.Payouts)
		waits = append(waits, fmt.Sprintf("%v %s wait for a payout of at least %v, %v %s are held", said.Carried, o.Asset, token.Minimum, said.Held, o.Asset))
	}
	switch {
	case payouts > 0:
		return plans, "", nil
	case len(owed) == 0:
		return plans, fmt.Sprintf("token %s owes nothing", token.Token), nil
	}
	return plans, fmt.Sprintf("nothing that token %s owes may be paid now: %s", token.Token, strings.Join(waits, "; ")), nil
}

// ranAsset adds up what a run does in one asset.
func ranAsset(asset money.Asset, p *plan.Plan) (said events.PayoutRunAsset, err error) {
	said = events.PayoutRunAsset{Asset: asset, Payouts: uint64(len(p.Payouts))}
	for i := range p.Payouts {
		if said.Planned, err = said.Planned.Add(p.Payouts[i].Amount); err != nil {
			return said, err
		}
	}
	for i := range p.Entitlements {
		if said.Carried, err = said.Carried.Add(p.Entitlements[i].Payable); err != nil {
			return said, err
		}
		if said.Held, err = said.Held.Add(p.Entitlements[i].Held); err != nil {
			return said, err
		}
	}
	return said, nil
}

// ran makes a payout run.
func (d *Distributor) ran(ctx context.Context, at uint64, b events.PayoutRunDeclared) (*distribution.Step, error) {
	token, _ := d.directory.Token(b.Token) // the directory has checked it
	if changed := d.changed[b.Token]; changed > b.ControlSeq {
		return nil, void("token %s or its waterfall changed at control position %d, after %d, on which the payout run rests", b.Token, changed, b.ControlSeq)
	}
	owed, err := OwedBy(ctx, d.config.Store, b.Token)
	if err != nil {
		return nil, err
	}
	r, err := d.registerAt(ctx, b.Token, b.RegisterSeq)
	if err != nil {
		return nil, err
	}
	plans, reason, err := payable(b.Run, &token, owed, r, d.listed)
	if err != nil {
		return nil, void("%v", err) // a plan depends only on its input, so its error is final
	}
	if reason != "" {
		return nil, voidError{reason}
	}
	made := &distribution.Distribution{
		ID: b.Run, Token: b.Token, Book: token.Book, Control: at, Register: b.RegisterSeq, RecordDate: d.decidedAt, Rail: Rail,
	}
	step := &distribution.Step{Made: made}
	said := events.PayoutRunMade{Run: b.Run, Token: b.Token, Control: at}
	var entries []ledger.Entry
	var all []distribution.Payout
	for i, p := range plans {
		total, err := ranAsset(owed[i].Asset, p)
		if err != nil {
			return nil, void("%v", err)
		}
		said.Totals = append(said.Totals, total)
		made.Pools = append(made.Pools, distribution.Pool{Asset: total.Asset, Payouts: len(p.Payouts), Planned: total.Planned})
		step.Owed = append(step.Owed, distribution.Owed{Token: b.Token, Asset: total.Asset, List: differing(owed[i].List, p.Entitlements)})
		if postings := append(slices.Clone(p.Distributed), p.PaidOut...); len(postings) > 0 {
			entries = append(entries, d.entry(made, ledger.Payout, postings))
		}
		all = append(all, p.Payouts...)
	}
	if err := d.complete(step, at, said, entries, all); err != nil {
		return nil, err
	}
	d.log.InfoContext(ctx, "a payout run was made", "run", b.Run, "token", b.Token, "payouts", len(all))
	return step, nil
}
