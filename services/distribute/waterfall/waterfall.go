// Package waterfall divides what a token's inbox holds before the holders get
// their shares.
//
// The method of rules version 1 has one tier: a fee in basis points, rounded
// once, half-even, to the atto; the rest is the pool.
//
// # Invariants
//
//   - Exact: fee and pool sum to the inbox.
//   - Bounded: neither is below zero or above the inbox.
package waterfall

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Whole is the whole of an amount, in basis points.
const Whole = 10_000

// Divide splits an inbox. It fails with [money.ErrDomain] if the inbox is
// negative or the fee is not 0 to [Whole] basis points.
func Divide(inbox money.Amount, feeBasisPoints int) (fee, pool money.Amount, err error) {
	if inbox.Sign() < 0 {
		return fee, pool, fmt.Errorf("dividing an inbox of %v: negative: %w", inbox, money.ErrDomain)
	}
	if feeBasisPoints < 0 || feeBasisPoints > Whole {
		return fee, pool, fmt.Errorf("dividing an inbox: fee of %d basis points is not 0 to %d: %w", feeBasisPoints, Whole, money.ErrDomain)
	}
	fee, err = money.MulDiv(inbox, money.UnitsOf(uint64(feeBasisPoints)), money.UnitsOf(Whole))
	if err != nil {
		return fee, pool, fmt.Errorf("taking the fee of %v: %w", inbox, err)
	}
	// The pool is the rest and not a second product, which would be rounded
	// again.
	if pool, err = inbox.Sub(fee); err != nil {
		return fee, pool, fmt.Errorf("taking the fee of %v: %w", inbox, err)
	}
	return fee, pool, nil
}
