// Package rails hands planned payouts over to those who pay them, and reads
// what they answer.
//
// A rail is one implementation of [Rail] a file. The states of a payout, and
// what each means for the ledger, are in package payout: a rail only carries.
//
// # Invariants
//
//   - Once: a batch is handed over as one and the same instruction, however
//     often it is asked for; another instruction under its name is refused.
//   - Deterministic: equal batches give equal bytes.
//   - Whole: a batch arrives complete or not at all.
package rails

import (
	"context"
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// ErrDiffers means that the batch was handed over before with other payouts,
// or that something else has its place.
var ErrDiffers = errors.New("batch was handed over differently")

// Payout is one instruction to pay.
type Payout struct {
	ID     string // the rail never pays an id twice
	Holder events.Holder
	Asset  money.Asset
	Amount money.Amount // whole minor units, above zero
}

// Batch is what is handed over at once: payouts of one distribution, ascending
// by id.
type Batch struct {
	Name         string
	Distribution string
	Payouts      []Payout
}

// Rail is a way to pay.
//
// Submit hands a batch over and returns where it is now, for people: a file
// name, a message id. When it returns nil the batch is with the rail for good,
// across a crash of either side. Submitting an equal batch of the same name
// again returns nil and pays nothing twice; another one returns [ErrDiffers].
// Any other error leaves the outcome open: the caller submits the same batch
// again. The order of the batch's payouts means nothing.
//
// The caller submits only what CONTROL says was submitted, so that a batch
// that a rail has is always known to the ledger, and never the reverse.
//
// What became of the payouts reaches the ledger as [events.PayoutsConfirmed],
// any number of times and in any order.
type Rail interface {
	Name() events.Rail
	Submit(ctx context.Context, b Batch) (place string, err error)
}

// check is what every rail asks of a batch.
func (b Batch) check() error {
	if err := events.CheckName(b.Name); err != nil {
		return fmt.Errorf("batch %q: %w", b.Name, err)
	}
	if len(b.Payouts) == 0 {
		return fmt.Errorf("batch %q has no payouts", b.Name)
	}
	for i, p := range b.Payouts {
		if i > 0 && b.Payouts[i-1].ID >= p.ID {
			return fmt.Errorf("batch %q: payout %s is not after %s", b.Name, p.ID, b.Payouts[i-1].ID)
		}
		if p.Amount.Sign() <= 0 {
			return fmt.Errorf("batch %q: payout %s of %v", b.Name, p.ID, p.Amount)
		}
	}
	return nil
}
