package check

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// sums are amounts by key.
type sums[K comparable] map[K]money.Amount

func (s sums[K]) add(k K, a money.Amount) error {
	sum, err := s[k].Add(a)
	if err != nil {
		return fmt.Errorf("adding up %v: %w", k, err)
	}
	s[k] = sum
	return nil
}

func (s sums[K]) sub(k K, a money.Amount) error {
	sum, err := s[k].Sub(a)
	if err != nil {
		return fmt.Errorf("adding up %v: %w", k, err)
	}
	s[k] = sum
	return nil
}

// side is one of two sums that should be equal, with its name.
type side[K comparable] struct {
	name string
	sums sums[K]
}

// difference returns the first key, in the order of its text, whose sums differ,
// or "". A key without a sum has a sum of zero.
func difference[K comparable](left, right side[K]) string {
	var first string
	var at K
	consider := func(k K) {
		if left.sums[k] == right.sums[k] {
			return
		}
		if text := fmt.Sprint(k); first == "" || text < first {
			first, at = text, k
		}
	}
	// map order: the smallest text wins, in both loops.
	for k := range left.sums {
		consider(k)
	}
	for k := range right.sums {
		consider(k)
	}
	if first == "" {
		return ""
	}
	return fmt.Sprintf("%s: %s %v, %s %v", first, left.name, left.sums[at], right.name, right.sums[at])
}

// debt is what a customer owes for a node's usage of a period.
type debt struct {
	book, customer, node string
	period               events.Period
	asset                money.Asset
}

func (d debt) String() string {
	return fmt.Sprintf("book %s, customer %s, node %s, period %s, %s", d.book, d.customer, d.node, d.period, d.asset)
}

// earning is what was collected for a node's usage of a period.
type earning struct {
	book, node string
	period     events.Period
	asset      money.Asset
}

func (e earning) String() string {
	return fmt.Sprintf("book %s, node %s, period %s, %s", e.book, e.node, e.period, e.asset)
}

// place is an account in an asset that has a text.
type place ledger.Place

func (p place) String() string { return fmt.Sprintf("%s in %s", p.Account, p.Asset) }

// net is the balance of an account on its usual side: debit for receivables and
// accounts outside the books, credit for all others.
func net(at ledger.Place, b ledger.Balance) (money.Amount, error) {
	kind, _, part := at.Account.Split()
	if kind == ledger.OfTreasury || part == ledger.Receivable {
		return b.Debit.Sub(b.Credit)
	}
	return b.Credit.Sub(b.Debit)
}
