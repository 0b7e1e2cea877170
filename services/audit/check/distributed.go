package check

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/payout"
	"github.com/aliquot-engine/aliquot/services/distribute/waterfall"
)

// accounts returns one side of the accounts of a kind and part.
func (b *books) accounts(kind ledger.AccountKind, part ledger.Part, side func(ledger.Balance) (money.Amount, error)) (sums[place], error) {
	s := sums[place]{}
	for _, at := range b.sorted {
		if !at.Account.Is(kind, part) {
			continue
		}
		a, err := side(at.Balance)
		if err != nil {
			return nil, err
		}
		if !a.IsZero() {
			s[place(at.Place)] = a
		}
	}
	return s, nil
}

// inboxesAgree: what settle handed over reached the inboxes; what distributions
// took left them; and each distribution took what its period and position allow,
// and divided it by its waterfall.
func (b *books) inboxesAgree() (string, error) {
	reached, err := b.accounts(ledger.OfToken, ledger.Inbox, credit)
	if err != nil {
		return "", err
	}
	if d := difference(side[place]{"credits", reached}, side[place]{"handed over", b.handed}); d != "" {
		return d, nil
	}
	read := sums[place]{}
	var waiting []distribution.Handover // not yet taken
	err = b.snapshot.Handovers("", func(h distribution.Handover) error {
		waiting = append(waiting, h)
		return read.add(place{ledger.TokenInbox(h.Token), h.Asset}, h.Amount)
	})
	if err != nil {
		return "", err
	}
	first := ""
	// map order: the smallest text wins. The distributor may be behind, never
	// ahead.
	for at, a := range read {
		if a.Cmp(b.handed[at]) > 0 {
			if text := fmt.Sprintf("%v: read by the distributor %v, handed over %v", at, a, b.handed[at]); first == "" || text < first {
				first = text
			}
		}
	}
	if first != "" {
		return first, nil
	}
	made, err := b.snapshot.Distributions("")
	if err != nil {
		return "", err
	}
	slices.SortFunc(made, func(a, b distribution.Distribution) int { return cmp.Compare(a.Control, b.Control) })
	taken, fees := sums[place]{}, sums[place]{}
	for _, d := range made {
		due := sums[money.Asset]{}
		waiting = slices.DeleteFunc(waiting, func(h distribution.Handover) bool {
			if !d.Took(&h) {
				return false
			}
			err = errors.Join(err, due.add(h.Asset, h.Amount))
			return true
		})
		if err != nil {
			return "", err
		}
		for _, p := range d.Pools {
			if p.Inbox != due[p.Asset] {
				return fmt.Sprintf("distribution %s took %v %s, but what was handed over for %s and earlier is %v", d.ID, p.Inbox, p.Asset, d.Period, due[p.Asset]), nil
			}
			fee, pool, err := waterfall.Divide(p.Inbox, p.FeeBasisPoints)
			if err != nil || fee != p.Fee || pool != p.Pool {
				return fmt.Sprintf("distribution %s in %s: %v at %d basis points give a fee of %v and a pool of %v, but %v and %v are stored", d.ID, p.Asset, p.Inbox, p.FeeBasisPoints, fee, pool, p.Fee, p.Pool), nil
			}
			if err := taken.add(place{ledger.TokenInbox(d.Token), p.Asset}, p.Inbox); err != nil {
				return "", err
			}
			if err := fees.add(place{ledger.PlatformFees, p.Asset}, p.Fee); err != nil {
				return "", err
			}
		}
	}
	left, err := b.accounts(ledger.OfToken, ledger.Inbox, debit)
	if err != nil {
		return "", err
	}
	if d := difference(side[place]{"debits", left}, side[place]{"distributed", taken}); d != "" {
		return d, nil
	}
	earned, err := b.accounts(ledger.OfPlatform, ledger.Fees, credit)
	if err != nil {
		return "", err
	}
	return difference(side[place]{"credits", earned}, side[place]{"fees of distributions", fees}), nil
}

// poolsEqualShares: every pool is the sum of its shares, held ones included,
// over holdings that sum to the supply.
func (b *books) poolsEqualShares() (string, error) {
	made, err := b.snapshot.Distributions("")
	if err != nil {
		return "", err
	}
	pools := sums[place]{}
	for i := range made {
		d := &made[i]
		for _, p := range d.Pools {
			if detail, err := b.shares(d, p); err != nil || detail != "" {
				return detail, err
			}
			if err := pools.add(place{ledger.TokenPool(d.Token), p.Asset}, p.Pool); err != nil {
				return "", err
			}
		}
	}
	credited, err := b.accounts(ledger.OfToken, ledger.Pool, credit)
	if err != nil {
		return "", err
	}
	return difference(side[place]{"credits", credited}, side[place]{"pools of distributions", pools}), nil
}

func (b *books) shares(d *distribution.Distribution, p distribution.Pool) (string, error) {
	var sum, held money.Amount
	var supply money.Units
	holders := 0
	err := b.snapshot.Shares(d, p.Asset, func(s distribution.Share) (err error) {
		if sum, err = sum.Add(s.Amount); err != nil {
			return err
		}
		if held, err = held.Add(s.Held); err != nil {
			return err
		}
		if supply, err = supply.Add(s.Units); err != nil {
			return err
		}
		holders++
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case sum != p.Pool:
		return fmt.Sprintf("distribution %s in %s: the pool is %v, but the shares sum to %v", d.ID, p.Asset, p.Pool, sum), nil
	case held != p.Held:
		return fmt.Sprintf("distribution %s in %s: %v of the pool are held, but held shares sum to %v", d.ID, p.Asset, p.Held, held), nil
	case supply != d.Supply || holders != d.Holders:
		return fmt.Sprintf("distribution %s in %s: a supply of %v units of %d holders, but shares of %v units of %d holders", d.ID, p.Asset, d.Supply, d.Holders, supply, holders), nil
	}
	return "", nil
}

// payoutsEqualPlans: every distribution has the payouts that it planned, each a
// whole number of minor units, with the name that follows from its holder and
// asset.
func (b *books) payoutsEqualPlans() (string, error) {
	made, err := b.snapshot.Distributions("")
	if err != nil {
		return "", err
	}
	for i := range made {
		d := &made[i]
		amounts, counts := sums[money.Asset]{}, map[money.Asset]int{}
		broken := ""
		err := b.snapshot.Payouts(d, func(p distribution.Payout) error {
			whole, _, err := p.Amount.FloorMinor(p.Asset)
			switch {
			case broken != "":
			case err != nil || whole != p.Amount || p.Amount.Sign() <= 0:
				broken = fmt.Sprintf("payout %s of %s: %v %s is not a payment", p.ID, d.ID, p.Amount, p.Asset)
			case p.ID != payout.ID(d.ID, p.Asset, p.Holder):
				broken = fmt.Sprintf("payout %s of %s to %s should be %s", p.ID, d.ID, p.Holder, payout.ID(d.ID, p.Asset, p.Holder))
			case !slices.Contains(distribution.States(), p.State):
				broken = fmt.Sprintf("payout %s of %s is %q, which is not a state", p.ID, d.ID, p.State)
			}
			counts[p.Asset]++
			return amounts.add(p.Asset, p.Amount)
		})
		if err != nil || broken != "" {
			return broken, err
		}
		for _, p := range d.Pools {
			if amounts[p.Asset] != p.Planned || counts[p.Asset] != p.Payouts {
				return fmt.Sprintf("distribution %s in %s: %d payouts of %v were planned, but %d of %v are stored", d.ID, p.Asset, p.Payouts, p.Planned, counts[p.Asset], amounts[p.Asset]), nil
			}
			delete(counts, p.Asset)
		}
		if len(counts) > 0 {
			return fmt.Sprintf("distribution %s has payouts in %d assets that it did not distribute", d.ID, len(counts)), nil
		}
	}
	return "", nil
}

// revenue identifies a token in an asset.
type revenue struct {
	token events.Token
	asset money.Asset
}

func (r revenue) String() string { return fmt.Sprintf("token %s in %s", r.token, r.asset) }

// sharesAccounted: for every token, what was shared out is paid, in flight,
// payable or held. What came back from a rail is payable or held again.
func (b *books) sharesAccounted() (string, error) {
	made, err := b.snapshot.Distributions("")
	if err != nil {
		return "", err
	}
	shared, lies := sums[revenue]{}, sums[revenue]{}
	for i := range made {
		d := &made[i]
		for _, p := range d.Pools {
			if err := shared.add(revenue{d.Token, p.Asset}, p.Pool); err != nil {
				return "", err
			}
		}
		err := b.snapshot.Payouts(d, func(p distribution.Payout) error {
			switch p.State {
			case distribution.Planned, distribution.Submitted, distribution.Confirmed:
				return lies.add(revenue{d.Token, p.Asset}, p.Amount)
			}
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	err = b.snapshot.Owed("", func(o store.Owed) error {
		k := revenue{o.Token, o.Asset}
		if err := lies.add(k, o.Payable); err != nil {
			return err
		}
		return lies.add(k, o.Held)
	})
	if err != nil {
		return "", err
	}
	return difference(side[revenue]{"shares", shared}, side[revenue]{"payouts, payable and held", lies}), nil
}

// payoutsEqualAccounts: the accounts of holders and rails agree with the tables
// of entitlements and payouts.
func (b *books) payoutsEqualAccounts() (string, error) {
	said := sums[place]{}
	add := func(account ledger.Account, asset money.Asset, a money.Amount) error {
		if a.IsZero() {
			return nil
		}
		return said.add(place{account, asset}, a)
	}
	err := b.snapshot.Owed("", func(o store.Owed) error {
		if err := add(ledger.HolderPayable(o.Holder), o.Asset, o.Payable); err != nil {
			return err
		}
		return add(ledger.HolderHeld(o.Holder), o.Asset, o.Held)
	})
	if err != nil {
		return "", err
	}
	made, err := b.snapshot.Distributions("")
	if err != nil {
		return "", err
	}
	for i := range made {
		d := &made[i]
		err := b.snapshot.Payouts(d, func(p distribution.Payout) error {
			at := payout.Account(p.State, p.Holder, d.Rail)
			if kind, _, _ := at.Split(); kind != ledger.OfRail {
				return nil // it belongs to the holder again and is counted above
			}
			return add(at, p.Asset, p.Amount)
		})
		if err != nil {
			return "", err
		}
	}
	have := sums[place]{}
	for _, at := range b.sorted {
		if kind, _, _ := at.Account.Split(); kind != ledger.OfHolder && kind != ledger.OfRail {
			continue
		}
		left, err := rest(at.Balance)
		if err != nil {
			return "", err
		}
		// Accounts that agree are dropped to save memory.
		if k := place(at.Place); said[k] == left {
			delete(said, k)
		} else {
			have[k] = left
		}
	}
	return difference(side[place]{"balance", have}, side[place]{"payouts and entitlements", said}), nil
}
