// Package plan turns what a token's inbox holds in one asset into shares,
// entitlements and payouts, as journal postings.
//
// The method, in this order, each step posted:
//
//  1. Recovered wallets hand what they are owed to their successors.
//  2. The waterfall divides the inbox into fee and pool.
//  3. The pool is apportioned over the holdings, exact to the atto. A share
//     becomes payable; of a holder who is screened out or wholly frozen it
//     becomes held, and of a holder frozen in part so much of it as is frozen,
//     rounded down.
//  4. What is payable to a holder who is screened out or wholly frozen becomes
//     held; what is held for one who is neither, and has nothing frozen, becomes
//     payable.
//  5. Of every payable balance that reaches the minimum, the whole minor units
//     become a payout. The rest is the holder's carry.
//
// Entitlements are kept per token: one token's minimum, freezes and recoveries do
// not affect what a holder is owed for another token.
//
// # Invariants
//
//   - Exact: inbox = fee + pool, pool = Σ shares, and of every holder
//     before + share = after + payout.
//   - Screened: no payout goes to a holder who is screened out, or to the
//     successor of one.
//   - Whole: a payout is a whole number of minor units and at least the minimum.
//   - Netted: a holder who was paid twice, as a correction found, owes the second
//     payment, as a payable below zero; amounts that become payable cover it
//     first.
//   - Carried: what stays payable is below the minimum or below one minor unit.
//   - Deterministic: everything is in ascending order of the holder.
package plan

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/apportion"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/payout"
	"github.com/aliquot-engine/aliquot/pkg/register"
	"github.com/aliquot-engine/aliquot/services/distribute/waterfall"
)

// Input is everything on which a plan depends.
type Input struct {
	Distribution   string
	Token          events.Token
	Asset          money.Asset
	Inbox          money.Amount // above zero
	FeeBasisPoints int
	Minimum        money.Amount // smallest payout; zero means one minor unit
	Rail           events.Rail

	Holdings     []register.Holding // at the record position, ascending by holder
	Recoveries   []register.Recovery
	Entitlements []distribution.Entitlement // before, ascending by holder
	Listed       func(events.Holder) bool
	// Frozen says who is frozen as a whole, including holders without units. If
	// it is nil, only the holdings say so.
	Frozen func(events.Holder) bool
}

// Plan is the result.
type Plan struct {
	Fee, Pool    money.Amount
	Shares       []distribution.Share       // one for each holding, ascending by holder
	Entitlements []distribution.Entitlement // after, for every holder in Entitlements before and in the holdings
	Payouts      []distribution.Payout      // ascending by holder

	Distributed []ledger.Posting // steps 1 to 4
	PaidOut     []ledger.Posting // step 5
}

// New makes the plan. It fails if the token has no holders, if the asset has no
// known minor unit, and on overflow: such a distribution is void.
func New(in Input) (*Plan, error) {
	if len(in.Holdings) == 0 {
		return nil, fmt.Errorf("distributing to nobody: the register of %s has no holder", in.Token)
	}
	if _, err := in.Asset.Decimals(); err != nil {
		return nil, fmt.Errorf("distributing %s: %w", in.Asset, err)
	}
	p := &planner{in: in, blocked: Screen(in.Recoveries, in.Listed)}
	for _, step := range []func() error{p.recover, p.divide, p.apportion, p.settle} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("distributing %v %s of %s: %w", in.Inbox, in.Asset, in.Token, err)
		}
	}
	return &p.plan, nil
}

// Screen returns who may not be paid: listed holders, and holders to whom the
// wallet of a listed one was recovered, because a new wallet does not make
// another person.
func Screen(recoveries []register.Recovery, listed func(events.Holder) bool) func(events.Holder) bool {
	tainted := map[events.Holder]bool{}
	for _, r := range recoveries {
		if listed(r.Old) || tainted[r.Old] {
			tainted[r.New] = true
		}
	}
	return func(h events.Holder) bool { return tainted[h] || listed(h) }
}

type planner struct {
	in      Input
	plan    Plan
	blocked func(events.Holder) bool
	before  []distribution.Entitlement // after step 1
}

func (p *planner) post(debit, credit ledger.Account, amount money.Amount) {
	if amount.Sign() <= 0 {
		return
	}
	p.plan.Distributed = append(p.plan.Distributed, ledger.Posting{Debit: debit, Credit: credit, Asset: p.in.Asset, Amount: amount})
}

// recover is step 1. It goes through every recovery that ever happened: a payout
// that came back to a lost wallet follows it at the next distribution.
func (p *planner) recover() error {
	p.before = append([]distribution.Entitlement(nil), p.in.Entitlements...)
	for i := 1; i < len(p.before); i++ {
		if p.before[i-1].Holder >= p.before[i].Holder {
			return fmt.Errorf("entitlements are not ascending at %q", p.before[i].Holder)
		}
	}
	for _, r := range p.in.Recoveries {
		at, ok := find(p.before, r.Old)
		if !ok || p.before[at].Payable.IsZero() && p.before[at].Held.IsZero() {
			continue
		}
		old := p.before[at]
		p.before[at] = distribution.Entitlement{Holder: r.Old}
		to, ok := find(p.before, r.New)
		if !ok {
			p.before = append(p.before, distribution.Entitlement{})
			copy(p.before[to+1:], p.before[to:])
			p.before[to] = distribution.Entitlement{Holder: r.New}
		}
		var err error
		if p.before[to].Payable, err = p.before[to].Payable.Add(old.Payable); err != nil {
			return fmt.Errorf("recovering %q to %q: %w", r.Old, r.New, err)
		}
		if p.before[to].Held, err = p.before[to].Held.Add(old.Held); err != nil {
			return fmt.Errorf("recovering %q to %q: %w", r.Old, r.New, err)
		}
		if old.Payable.Sign() < 0 { // paid twice: the debt moves to the successor too
			owing, err := old.Payable.Neg()
			if err != nil {
				return fmt.Errorf("recovering %q to %q: %w", r.Old, r.New, err)
			}
			p.post(ledger.HolderPayable(r.New), ledger.HolderPayable(r.Old), owing)
		}
		p.post(ledger.HolderPayable(r.Old), ledger.HolderPayable(r.New), old.Payable)
		p.post(ledger.HolderHeld(r.Old), ledger.HolderHeld(r.New), old.Held)
	}
	return nil
}

// find returns where a holder is, or where it would be inserted.
func find(list []distribution.Entitlement, h events.Holder) (int, bool) {
	low, high := 0, len(list)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if list[middle].Holder < h {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, low < len(list) && list[low].Holder == h
}

// divide is step 2.
func (p *planner) divide() (err error) {
	p.plan.Fee, p.plan.Pool, err = waterfall.Divide(p.in.Inbox, p.in.FeeBasisPoints)
	if err != nil {
		return err
	}
	inbox := ledger.TokenInbox(p.in.Token)
	p.post(inbox, ledger.PlatformFees, p.plan.Fee)
	p.post(inbox, p.pool(), p.plan.Pool)
	return nil
}

func (p *planner) pool() ledger.Account { return ledger.TokenPool(p.in.Token) }

// apportion is step 3, without the postings.
func (p *planner) apportion() error {
	holdings := make([]apportion.Holding, len(p.in.Holdings))
	for i, h := range p.in.Holdings {
		holdings[i] = apportion.Holding{Holder: string(h.Holder), Units: h.Units}
	}
	shares, err := apportion.Divide(p.plan.Pool, holdings)
	if err != nil {
		return err
	}
	p.plan.Shares = make([]distribution.Share, len(shares))
	for i, s := range shares {
		h := p.in.Holdings[i]
		share := distribution.Share{Holder: h.Holder, Units: h.Units, Frozen: h.Frozen, Amount: s.Amount}
		switch {
		case p.blocked(h.Holder) || h.Frozen == h.Units:
			share.Held = share.Amount
		case !h.Frozen.IsZero():
			if share.Held, err = money.MulDivFloor(share.Amount, h.Frozen, h.Units); err != nil {
				return fmt.Errorf("holding the frozen part of %q: %w", h.Holder, err)
			}
		}
		p.plan.Shares[i] = share
	}
	return nil
}

// settle walks through holders and entitlements side by side, in ascending order.
// It makes the postings of step 3, and does steps 4 and 5.
func (p *planner) settle() error {
	p.plan.Entitlements = make([]distribution.Entitlement, 0, max(len(p.before), len(p.plan.Shares)))
	s, e := 0, 0
	for s < len(p.plan.Shares) || e < len(p.before) {
		var share distribution.Share
		var owed distribution.Entitlement
		switch {
		case e == len(p.before) || s < len(p.plan.Shares) && p.plan.Shares[s].Holder < p.before[e].Holder:
			share = p.plan.Shares[s]
			owed.Holder = share.Holder
			s++
		case s == len(p.plan.Shares) || p.before[e].Holder < p.plan.Shares[s].Holder:
			owed = p.before[e]
			e++
		default:
			share, owed = p.plan.Shares[s], p.before[e]
			s, e = s+1, e+1
		}
		if err := p.holder(share, owed); err != nil {
			return fmt.Errorf("holder %q: %w", owed.Holder, err)
		}
	}
	return nil
}

func (p *planner) holder(share distribution.Share, owed distribution.Entitlement) error {
	h := owed.Holder
	free, err := share.Amount.Sub(share.Held)
	if err != nil {
		return err
	}
	p.post(p.pool(), ledger.HolderPayable(h), free)
	p.post(p.pool(), ledger.HolderHeld(h), share.Held)
	if owed.Payable, err = owed.Payable.Add(free); err != nil {
		return err
	}
	if owed.Held, err = owed.Held.Add(share.Held); err != nil {
		return err
	}
	frozen := !share.Frozen.IsZero()
	whole := frozen && share.Frozen == share.Units || p.in.Frozen != nil && p.in.Frozen(h)
	switch blocked := p.blocked(h) || whole; {
	case blocked && owed.Payable.Sign() < 0:
		// The holder was paid twice: its next shares cover that debt, once they
		// may be paid.
	case blocked:
		p.post(ledger.HolderPayable(h), ledger.HolderHeld(h), owed.Payable)
		if owed.Held, err = owed.Held.Add(owed.Payable); err != nil {
			return err
		}
		owed.Payable = money.Amount{}
	case !frozen:
		p.post(ledger.HolderHeld(h), ledger.HolderPayable(h), owed.Held)
		if owed.Payable, err = owed.Payable.Add(owed.Held); err != nil {
			return err
		}
		owed.Held = money.Amount{}
	}
	if err := p.pay(&owed); err != nil {
		return err
	}
	p.plan.Entitlements = append(p.plan.Entitlements, owed)
	return nil
}

// pay is step 5.
func (p *planner) pay(owed *distribution.Entitlement) error {
	whole, rest, err := owed.Payable.FloorMinor(p.in.Asset)
	if err != nil {
		return err
	}
	if whole.Sign() <= 0 || whole.Cmp(p.in.Minimum) < 0 {
		return nil
	}
	owed.Payable = rest
	p.plan.Payouts = append(p.plan.Payouts, distribution.Payout{
		ID: payout.ID(p.in.Distribution, p.in.Asset, owed.Holder), Asset: p.in.Asset, Holder: owed.Holder, Amount: whole, State: distribution.Planned,
	})
	p.plan.PaidOut = append(p.plan.PaidOut, ledger.Posting{
		Debit: ledger.HolderPayable(owed.Holder), Credit: ledger.RailInFlight(p.in.Rail),
		Asset: p.in.Asset, Amount: whole,
	})
	return nil
}
