package check

import (
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// sum adds up one side of the accounts of a kind and part, per asset.
func (b *books) sum(kind ledger.AccountKind, part ledger.Part, side func(ledger.Balance) (money.Amount, error)) (sums[money.Asset], error) {
	s := sums[money.Asset]{}
	for _, at := range b.sorted {
		if !at.Account.Is(kind, part) {
			continue
		}
		a, err := side(at.Balance)
		if err != nil {
			return nil, err
		}
		if err := s.add(at.Asset, a); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func debit(b ledger.Balance) (money.Amount, error)  { return b.Debit, nil }
func credit(b ledger.Balance) (money.Amount, error) { return b.Credit, nil }
func rest(b ledger.Balance) (money.Amount, error)   { return b.Credit.Sub(b.Debit) }
func owed(b ledger.Balance) (money.Amount, error)   { return b.Debit.Sub(b.Credit) }

// chargesEqualEarned: what usage and releases charged is what nodes earned and
// what customers were charged.
func (b *books) chargesEqualEarned() (string, error) {
	earned, err := b.sum(ledger.OfNode, ledger.Earned, credit)
	if err != nil {
		return "", err
	}
	asked, err := b.sum(ledger.OfCustomer, ledger.Receivable, debit)
	if err != nil {
		return "", err
	}
	charged := side[money.Asset]{"charged", b.charged}
	if d := difference(charged, side[money.Asset]{"earned", earned}); d != "" {
		return d, nil
	}
	return difference(charged, side[money.Asset]{"receivable", asked}), nil
}

// chargedEventsWithinAccepted: per node and period, no more events are charged or
// wait than were accepted. There may be fewer: a charge of zero posts nothing.
func (b *books) chargedEventsWithinAccepted() (string, error) {
	tallies, err := b.snapshot.Tallies("")
	if err != nil {
		return "", err
	}
	accepted := map[nodePeriod]uint64{}
	for _, t := range tallies {
		if t.Outcome == events.Accepted || t.Outcome == events.Late {
			accepted[nodePeriod{t.Book, string(t.Node), t.Period}] += t.Events
		}
	}
	lines, err := b.snapshot.Suspense("")
	if err != nil {
		return "", err
	}
	used := map[nodePeriod]uint64{}
	for k, n := range b.billed {
		used[k] += n
	}
	for _, l := range lines {
		if l.Events == 0 || l.Quantity.Sign() < 0 {
			return fmt.Sprintf("book %s, node %s, customer %s, meter %s: %d events wait with a quantity of %v", l.Book, l.Node, l.Customer, l.Meter, l.Events, l.Quantity), nil
		}
		used[nodePeriod{l.Book, string(l.Node), l.Period}] += l.Events
	}
	first := ""
	// map order: the smallest text wins.
	for k, n := range used {
		if n > accepted[k] {
			if text := fmt.Sprintf("%s: %d events are charged or wait, but %d were accepted", k, n, accepted[k]); first == "" || text < first {
				first = text
			}
		}
	}
	return first, nil
}

// outstandingEqualsReceivables: per customer, node and period, what is
// outstanding is what was charged less what was collected; its sum per customer
// is the receivable, and per node what is earned and not collected.
func (b *books) outstandingEqualsReceivables() (string, error) {
	list, err := b.snapshot.Outstanding("", "")
	if err != nil {
		return "", err
	}
	stored, customers, nodes := sums[debt]{}, sums[place]{}, sums[place]{}
	for _, o := range list {
		err := errors.Join(
			stored.add(debt{string(o.Book), string(o.Customer), string(o.Node), o.Period, o.Asset}, o.Amount),
			customers.add(place{ledger.CustomerReceivable(o.Customer), o.Asset}, o.Amount),
			nodes.add(place{ledger.NodeEarned(o.Node), o.Asset}, o.Amount))
		if err != nil {
			return "", err
		}
	}
	if d := difference(side[debt]{"charged less collected", b.owed}, side[debt]{"outstanding", stored}); d != "" {
		return d, nil
	}
	receivable, earned := sums[place]{}, sums[place]{}
	for _, at := range b.sorted {
		to := receivable
		switch {
		case at.Account.Is(ledger.OfCustomer, ledger.Receivable):
		case at.Account.Is(ledger.OfNode, ledger.Earned):
			to = earned
		default:
			continue
		}
		left, err := net(at.Place, at.Balance)
		if err != nil {
			return "", err
		}
		if err := to.add(place(at.Place), left); err != nil {
			return "", err
		}
	}
	if d := difference(side[place]{"balance", receivable}, side[place]{"outstanding", customers}); d != "" {
		return d, nil
	}
	return difference(side[place]{"balance", earned}, side[place]{"outstanding", nodes}), nil
}

// collectedEqualsNotHandedOver: per node and period, what is stored as collected
// is what was collected less what was handed over; its sum per node is the
// balance.
func (b *books) collectedEqualsNotHandedOver() (string, error) {
	list, err := b.snapshot.Collected()
	if err != nil {
		return "", err
	}
	stored, nodes := sums[earning]{}, sums[place]{}
	for _, c := range list {
		err := errors.Join(
			stored.add(earning{string(c.Book), string(c.Node), c.Period, c.Asset}, c.Amount),
			nodes.add(place{ledger.NodeCollected(c.Node), c.Asset}, c.Amount))
		if err != nil {
			return "", err
		}
	}
	if d := difference(side[earning]{"collected less handed over", b.kept}, side[earning]{"kept as collected", stored}); d != "" {
		return d, nil
	}
	balances, err := b.accounts(ledger.OfNode, ledger.Collected, rest)
	if err != nil {
		return "", err
	}
	return difference(side[place]{"balance", balances}, side[place]{"kept as collected", nodes}), nil
}

// depositsEqualCollectedAndPrepaid: a customer's money is either still the
// customer's or has covered a charge.
func (b *books) depositsEqualCollectedAndPrepaid() (string, error) {
	deposits, err := b.sum(ledger.OfTreasury, "", owed) // less what was reversed
	if err != nil {
		return "", err
	}
	kept, err := b.sum(ledger.OfCustomer, ledger.Prepaid, rest)
	if err != nil {
		return "", err
	}
	covered, err := b.sum(ledger.OfCustomer, ledger.Receivable, credit)
	if err != nil {
		return "", err
	}
	if d := difference(side[money.Asset]{"receivables covered", covered}, side[money.Asset]{"collected for nodes", b.collected}); d != "" {
		return d, nil
	}
	for asset, a := range covered {
		if err := kept.add(asset, a); err != nil {
			return "", err
		}
	}
	return difference(side[money.Asset]{"deposited", deposits}, side[money.Asset]{"collected and prepaid", kept}), nil
}

// collectedAccounted: what was collected is with the platform, with providers, in
// pools that were divided, or on its way to these.
func (b *books) collectedAccounted() (string, error) {
	collected, err := b.sum(ledger.OfNode, ledger.Collected, credit)
	if err != nil {
		return "", err
	}
	lies := sums[money.Asset]{}
	for _, of := range []struct {
		kind ledger.AccountKind
		part ledger.Part
		side func(ledger.Balance) (money.Amount, error)
	}{
		{ledger.OfPlatform, ledger.Fees, rest}, {ledger.OfProvider, ledger.Payable, rest}, {ledger.OfToken, ledger.Pool, credit},
		{ledger.OfNode, ledger.Collected, rest}, {ledger.OfToken, ledger.Inbox, rest},
	} {
		part, err := b.sum(of.kind, of.part, of.side)
		if err != nil {
			return "", err
		}
		for asset, a := range part {
			if err := lies.add(asset, a); err != nil {
				return "", err
			}
		}
	}
	return difference(side[money.Asset]{"collected", collected}, side[money.Asset]{"fees, providers, pools and undistributed", lies}), nil
}
