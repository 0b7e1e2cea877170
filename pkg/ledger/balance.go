package ledger

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Place is where money is: an account and an asset.
type Place struct {
	Account Account
	Asset   money.Asset
}

// Compare orders places by account and then asset, byte for byte.
func (p Place) Compare(q Place) int {
	if c := strings.Compare(string(p.Account), string(q.Account)); c != 0 {
		return c
	}
	return strings.Compare(string(p.Asset), string(q.Asset))
}

// Balance is the sum of an account's debits and of its credits, each at least
// zero and never netted, so that the fold can be compared side by side.
type Balance struct{ Debit, Credit money.Amount }

// Net returns the debits minus the credits, which cannot overflow because both
// are at least zero.
func (b Balance) Net() money.Amount {
	net, _ := b.Debit.Sub(b.Credit)
	return net
}

// Balances is the fold of postings. The zero value is not usable: see
// [NewBalances].
type Balances struct {
	of map[Place]Balance
}

// NewBalances returns the fold of no postings.
func NewBalances() *Balances { return &Balances{of: map[Place]Balance{}} }

// Add posts p. It fails and changes nothing if p is not valid or a sum does not
// fit 128 bits.
func (b *Balances) Add(p *Posting) error {
	if err := p.Valid(); err != nil {
		return err
	}
	debit, credit := Place{p.Debit, p.Asset}, Place{p.Credit, p.Asset}
	d, c := b.of[debit], b.of[credit]
	var err error
	if d.Debit, err = d.Debit.Add(p.Amount); err == nil {
		c.Credit, err = c.Credit.Add(p.Amount)
	}
	if err != nil {
		return fmt.Errorf("posting from %q to %q: %w", p.Credit, p.Debit, err)
	}
	b.of[debit], b.of[credit] = d, c
	return nil
}

// AddRecord posts all entries of a record; after an error only a part of them
// is posted.
func (b *Balances) AddRecord(r *Record) error {
	for i := range r.Entries {
		for j := range r.Entries[i].Postings {
			if err := b.Add(&r.Entries[i].Postings[j]); err != nil {
				return fmt.Errorf("cut %d: entry %d: %w", r.Cut, i, err)
			}
		}
	}
	return nil
}

// AddRow adds one stored row to a place: the balance of an account is the sum
// over its writers' rows.
func (b *Balances) AddRow(at Place, row Balance) error {
	if row.Debit.Sign() < 0 || row.Credit.Sign() < 0 {
		return fmt.Errorf("balance of %q in %s: a side is negative", at.Account, at.Asset)
	}
	sum := b.of[at]
	var err error
	if sum.Debit, err = sum.Debit.Add(row.Debit); err == nil {
		sum.Credit, err = sum.Credit.Add(row.Credit)
	}
	if err != nil {
		return fmt.Errorf("balance of %q in %s: %w", at.Account, at.Asset, err)
	}
	b.of[at] = sum
	return nil
}

// Of returns the balance of a place, which is zero if nothing was posted there.
func (b *Balances) Of(account Account, asset money.Asset) Balance {
	return b.of[Place{account, asset}]
}

// Len returns how many places were posted to.
func (b *Balances) Len() int { return len(b.of) }

// All yields every place and its balance, ascending.
func (b *Balances) All() iter.Seq2[Place, Balance] {
	places := make([]Place, 0, len(b.of))
	for p := range b.of {
		places = append(places, p)
	}
	slices.SortFunc(places, Place.Compare)
	return func(yield func(Place, Balance) bool) {
		for _, p := range places {
			if !yield(p, b.of[p]) {
				return
			}
		}
	}
}

// CheckBalanced returns an error if the debits of all accounts differ from
// their credits in any asset; it names the first such asset in ascending order.
func (b *Balances) CheckBalanced() error {
	sums := map[money.Asset]Balance{}
	// map order: sums do not depend on it; if several overflow, one of them is
	// named.
	for at, balance := range b.of {
		sum := sums[at.Asset]
		var err error
		if sum.Debit, err = sum.Debit.Add(balance.Debit); err == nil {
			sum.Credit, err = sum.Credit.Add(balance.Credit)
		}
		if err != nil {
			return fmt.Errorf("summing %s over all accounts: %w", at.Asset, err)
		}
		sums[at.Asset] = sum
	}
	assets := make([]money.Asset, 0, len(sums))
	for asset := range sums {
		assets = append(assets, asset)
	}
	slices.Sort(assets)
	for _, asset := range assets {
		if sum := sums[asset]; sum.Debit != sum.Credit {
			return fmt.Errorf("debits of %v %s differ from credits of %v", sum.Debit, asset, sum.Credit)
		}
	}
	return nil
}

// Difference returns the first place at which two folds differ; equal is true
// if there is none. A place with zero on both sides counts as absent.
func (b *Balances) Difference(other *Balances) (at Place, equal bool) {
	equal = true
	consider := func(p Place) {
		if b.of[p] != other.of[p] && (equal || p.Compare(at) < 0) {
			at, equal = p, false
		}
	}
	// map order: the least place wins.
	for p := range b.of {
		consider(p)
	}
	// map order: the least place wins.
	for p := range other.of {
		consider(p)
	}
	return at, equal
}

// Limit bounds what one book may charge in all, and what all deposits may sum
// to: 2¹²⁰ atto, more than 10¹⁸ whole units. No account can overflow below it. An
// event beyond it is refused, a deposit beyond it is void.
func Limit() money.Amount { return money.AmountFromLimbs(1<<56, 0) }
