// Package apportion divides a pool of revenue among token holders.
//
// The method is largest remainder: every holder receives the whole part of pool ×
// units ÷ supply in attos, and the attos left over go one each to the holders
// with the largest fractions, ties in ascending order of the holder's id.
// [money.Apportion] does the arithmetic and breaks ties by index; this package
// requires the holders in ascending order, so that the index is the order of the
// ids.
//
// # Invariants
//
//   - Exact: the shares sum to the pool.
//   - Fair: no share differs from its quota by one atto or more, and a holder
//     without units has no share.
//   - Deterministic: equal inputs give equal outputs, on any machine, forever.
//     Another rule is a new function beside this one, never an edit to it.
//
// Not an invariant: a larger pool may give a holder one atto less (the Alabama
// paradox). Every largest-remainder method has this property.
package apportion

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Holding is what one holder has at the record date.
type Holding struct {
	Holder string // Unique in a register; its bytes give the order of ties.
	Units  money.Units
}

// Share is a holding and what it receives.
type Share struct {
	Holder string
	Units  money.Units
	Amount money.Amount // Of the pool's asset, ≥ 0.
}

// Divide returns one share for each holding, in the same order. The holders must
// ascend strictly by the bytes of their ids. It fails with [money.ErrDomain] if
// they do not, if the pool is negative, or if there is something to divide and
// nobody has units. It fails with [money.ErrOverflow] if the supply exceeds 128
// bits.
func Divide(pool money.Amount, holders []Holding) ([]Share, error) {
	weights := make([]money.Units, len(holders))
	for i, h := range holders {
		if i > 0 && holders[i-1].Holder >= h.Holder {
			return nil, fmt.Errorf("dividing %v among %d holders: %.80q at %d does not ascend: %w",
				pool, len(holders), h.Holder, i, money.ErrDomain)
		}
		weights[i] = h.Units
	}
	amounts := make([]money.Amount, len(holders))
	if err := money.Apportion(amounts, pool, weights); err != nil {
		return nil, fmt.Errorf("dividing among %d holders: %w", len(holders), err)
	}
	shares := make([]Share, len(holders))
	for i, h := range holders {
		shares[i] = Share{h.Holder, h.Units, amounts[i]}
	}
	return shares, nil
}
