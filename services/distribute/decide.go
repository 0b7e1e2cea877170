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
	"github.com/aliquot-engine/aliquot/pkg/payout"
	"github.com/aliquot-engine/aliquot/pkg/register"
	"github.com/aliquot-engine/aliquot/services/distribute/plan"
)

// voidError is why a decision has no effect.
type voidError struct{ reason string }

func (v voidError) Error() string { return v.reason }

func void(format string, args ...any) error { return voidError{fmt.Sprintf(format, args...)} }

// declared makes a distribution.
func (d *Distributor) declared(ctx context.Context, at uint64, b events.DistributionDeclared) (*distribution.Step, error) {
	token, _ := d.directory.Token(b.Token) // the directory has checked both
	waterfall, _ := d.directory.Waterfall(b.Token)
	if changed := d.changed[b.Token]; changed > b.ControlSeq {
		return nil, void("token %s or its waterfall changed at control position %d, after %d, on which the declaration rests", b.Token, changed, b.ControlSeq)
	}
	if err := d.follow(ctx, b.LedgerSeq); err != nil {
		return nil, err
	}
	settledAt, err := d.config.Store.SettledAt(ctx, token.Book, b.Period)
	if err != nil {
		return nil, err
	}
	if settledAt == 0 || settledAt > b.LedgerSeq {
		return nil, void("period %s of book %s is not settled at ledger position %d", b.Period, token.Book, b.LedgerSeq)
	}
	inbox, err := d.config.Store.Inbox(ctx, b.Token, b.Period, b.LedgerSeq)
	if err != nil {
		return nil, err
	}
	inbox = slices.DeleteFunc(inbox, func(h distribution.Handover) bool { return h.Amount.Sign() <= 0 })
	if len(inbox) == 0 {
		return nil, void("nothing of period %s or before is in the inbox of token %s at ledger position %d", b.Period, b.Token, b.LedgerSeq)
	}
	r, err := d.registerAt(ctx, b.Token, b.RegisterSeq)
	if err != nil {
		return nil, err
	}
	made := &distribution.Distribution{
		ID: b.Distribution, Token: b.Token, Book: token.Book, Period: b.Period, Control: at, Ledger: b.LedgerSeq,
		Register: b.RegisterSeq, RecordDate: b.RecordDate, Rail: Rail, Supply: r.Supply(),
	}
	holdings := r.Holdings()
	made.Holders = len(holdings)
	step := &distribution.Step{Made: made}
	said := events.DistributionMade{
		Distribution: b.Distribution, Token: b.Token, Period: b.Period, Control: at, Holders: uint64(len(holdings)), Supply: made.Supply,
	}
	var entries []ledger.Entry
	var all []distribution.Payout
	for _, h := range inbox {
		p, before, err := d.plan(ctx, made, token, waterfall, h, holdings, r)
		if err != nil {
			return nil, err
		}
		pool, totals, err := sum(p, h, waterfall.FeeBasisPoints)
		if err != nil {
			return nil, void("%v", err)
		}
		made.Pools, said.Totals = append(made.Pools, pool), append(said.Totals, totals)
		step.Shares = append(step.Shares, distribution.Shares{Asset: h.Asset, List: p.Shares})
		step.Owed = append(step.Owed, distribution.Owed{Token: b.Token, Asset: h.Asset, List: differing(before, p.Entitlements)})
		entries = append(entries, d.entry(made, ledger.Distribution, p.Distributed))
		if len(p.PaidOut) > 0 {
			entries = append(entries, d.entry(made, ledger.Payout, p.PaidOut))
		}
		all = append(all, p.Payouts...)
	}
	if err := d.complete(step, at, said, entries, all); err != nil {
		return nil, err
	}
	d.log.InfoContext(ctx, "distribution made", "distribution", b.Distribution, "token", b.Token, "holders", len(holdings), "payouts", len(all))
	return step, nil
}

func (d *Distributor) plan(ctx context.Context, made *distribution.Distribution, token events.TokenDeclared, w events.WaterfallDeclared, inbox distribution.Handover, holdings []register.Holding, r *register.Register) (*plan.Plan, []distribution.Entitlement, error) {
	var before []distribution.Entitlement
	err := d.config.Store.Entitlements(ctx, made.Token, inbox.Asset, func(e distribution.Entitlement) error {
		before = append(before, e)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	p, err := plan.New(plan.Input{
		Distribution: made.ID, Token: made.Token, Asset: inbox.Asset, Inbox: inbox.Amount,
		FeeBasisPoints: w.FeeBasisPoints, Minimum: token.Minimum, Rail: made.Rail,
		Holdings: holdings, Recoveries: r.Recoveries(), Entitlements: before, Listed: d.listed, Frozen: r.FrozenWhole,
	})
	if err != nil {
		return nil, nil, void("%v", err) // a plan depends only on its input, so its error is final
	}
	return p, before, nil
}

func (d *Distributor) listed(h events.Holder) bool {
	_, ok := d.directory.Listed(h)
	return ok
}

// sum adds up what a plan did.
func sum(p *plan.Plan, inbox distribution.Handover, basisPoints int) (pool distribution.Pool, said events.DistributedAsset, err error) {
	var held, planned, carried money.Amount
	for i := range p.Shares {
		if held, err = held.Add(p.Shares[i].Held); err != nil {
			return pool, said, err
		}
	}
	for i := range p.Payouts {
		if planned, err = planned.Add(p.Payouts[i].Amount); err != nil {
			return pool, said, err
		}
	}
	for i := range p.Entitlements {
		if carried, err = carried.Add(p.Entitlements[i].Payable); err != nil {
			return pool, said, err
		}
	}
	payable, err := p.Pool.Sub(held)
	if err != nil {
		return pool, said, err
	}
	pool = distribution.Pool{
		Asset: inbox.Asset, Inbox: inbox.Amount, FeeBasisPoints: basisPoints, Fee: p.Fee, Pool: p.Pool,
		Held: held, Payouts: len(p.Payouts), Planned: planned,
	}
	said = events.DistributedAsset{
		Asset: inbox.Asset, Inbox: inbox.Amount, Fee: p.Fee, Pool: p.Pool, Payable: payable, Held: held, Planned: planned, Carried: carried,
	}
	return pool, said, nil
}

// differing returns the entitlements of after that differ from those in before;
// both are ascending, and after has every holder of before.
func differing(before, after []distribution.Entitlement) []distribution.Entitlement {
	var list []distribution.Entitlement
	b := 0
	for _, e := range after {
		for b < len(before) && before[b].Holder < e.Holder {
			b++
		}
		if b < len(before) && before[b] == e || (b == len(before) || before[b].Holder != e.Holder) && e.IsZero() {
			continue
		}
		list = append(list, e)
	}
	return list
}

// submitted hands the planned payouts of a distribution to its rail, except
// those of holders who are screened out by now.
func (d *Distributor) submitted(ctx context.Context, at uint64, b events.PayoutsSubmitted) (*distribution.Step, error) {
	made, ok, err := d.config.Store.Distribution(ctx, b.Distribution)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, void("distribution %s was declared but not made", b.Distribution)
	}
	if b.Rail != made.Rail {
		return nil, void("the payouts of %s are planned for rail %s, not %s", b.Distribution, made.Rail, b.Rail)
	}
	if _, again, err := d.config.Store.Batch(ctx, b.Batch); err != nil || again {
		return &distribution.Step{}, err // the directory has checked that it is the same batch
	}
	r, err := d.registerAt(ctx, made.Token, made.Register)
	if err != nil {
		return nil, err
	}
	blocked := plan.Screen(r.Recoveries(), d.listed)
	step := &distribution.Step{Batch: &distribution.Batch{Name: b.Batch, Rail: b.Rail, Distribution: b.Distribution, Control: at}}
	t := turn{d: d, made: &made, step: step}
	var results []events.PayoutOutcome
	var waiting []distribution.Payout
	err = d.config.Store.Payouts(ctx, b.Distribution, distribution.Planned, func(p distribution.Payout) error {
		waiting = append(waiting, p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(waiting) == 0 {
		return nil, void("distribution %s has no planned payouts left", b.Distribution)
	}
	for _, p := range waiting {
		to := distribution.Submitted
		if blocked(p.Holder) {
			to = distribution.Withheld
		}
		results = append(results, events.PayoutOutcome{Payout: p.ID, State: string(to)})
		if err := t.change(ctx, p, to, ""); err != nil {
			return nil, err
		}
	}
	return step, t.finish(at, b.Batch, results)
}

// confirmed applies a rail's answer. A line that is not possible has no effect
// and is named in the reason; the other lines take effect.
func (d *Distributor) confirmed(ctx context.Context, at uint64, b events.PayoutsConfirmed) (*distribution.Step, error) {
	batch, ok, err := d.config.Store.Batch(ctx, b.Batch)
	if err != nil {
		return nil, err
	}
	if !ok || batch.Rail != b.Rail {
		return nil, void("batch %s was not submitted to rail %s", b.Batch, b.Rail)
	}
	made, _, err := d.config.Store.Distribution(ctx, batch.Distribution)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(b.Results))
	for i, result := range b.Results {
		names[i] = result.Payout
	}
	slices.Sort(names) // neighbouring payouts are read in one request
	names = slices.Compact(names)
	payouts := make(map[string]distribution.Payout, len(names))
	err = d.config.Store.PayoutsOf(ctx, made.ID, names, func(p distribution.Payout) error {
		payouts[p.ID] = p
		return nil
	})
	if err != nil {
		return nil, err
	}
	step := &distribution.Step{}
	t := turn{d: d, made: &made, step: step}
	var results []events.PayoutOutcome
	var refused []string
	for _, result := range b.Results {
		p, ok := payouts[result.Payout]
		if !ok {
			refused = append(refused, fmt.Sprintf("payout %s is not of batch %s", result.Payout, b.Batch))
			continue
		}
		to := distribution.State(result.State)
		changes, err := payout.Answer(&p, &result)
		if err != nil {
			refused = append(refused, fmt.Sprintf("payout %s: %v", p.ID, err))
			continue
		}
		if !changes {
			continue
		}
		results = append(results, events.PayoutOutcome{Payout: p.ID, State: result.State, Reference: result.Reference})
		if err := t.change(ctx, p, to, result.Reference); err != nil {
			return nil, err
		}
		p.State = to // for a second line about the same payout
		if result.Reference != "" {
			p.Reference = result.Reference
		}
		payouts[p.ID] = p
	}
	if len(refused) > 0 {
		reason := fmt.Sprintf("%d of %d lines have no effect: %s", len(refused), len(b.Results), strings.Join(refused[:min(len(refused), 5)], "; "))
		if len(results) == 0 && len(refused) == len(b.Results) {
			return nil, voidError{reason}
		}
		step.Voids = append(step.Voids, distribution.Void{Control: at, Partly: true, Reason: reason})
	}
	if len(results) == 0 {
		return step, nil
	}
	return step, t.finish(at, b.Batch, results)
}
