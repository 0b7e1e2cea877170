// Package rails hands over planned payouts to those who pay them, and reads their
// answers.
//
// Each rail is one implementation of [Rail] in a file of its own. Package payout
// defines the states of a payout and what each of them means for the ledger; a
// rail only carries.
//
// # Invariants
//
//   - Once: a batch is always handed over as the same instruction, however often
//     it is submitted; another instruction with its name is refused.
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

// ErrDiffers means that the batch was handed over before with other payouts, or
// that something else is in its place.
var ErrDiffers = errors.New("the batch was already handed over with another content")

// Payout is one instruction to pay.
type Payout struct {
	ID     string // the rail never pays an id twice
	Holder events.Holder
	Asset  money.Asset
	Amount money.Amount // whole minor units, above zero
}

// Batch is what is handed over at once: payouts of one distribution, ascending by
// id.
type Batch struct {
	Name         string
	Distribution string
	Payouts      []Payout
}

// Rail is a way to pay.
//
// Submit hands over a batch and returns where it is now, for people: a file name
// or a message id. When it returns nil the rail keeps the batch, whatever crashes
// afterwards. Submitting an equal batch of the same name again returns nil and
// pays nothing twice; a different one returns [ErrDiffers]. Any other error
// leaves the outcome open, and the caller submits the same batch again. The order
// of the payouts in a batch has no meaning.
//
// The caller submits only what CONTROL says was submitted, so the ledger knows
// every batch that a rail has.
//
// The outcomes of the payouts reach the ledger as [events.PayoutsConfirmed], any
// number of times and in any order.
type Rail interface {
	Name() events.Rail
	Submit(ctx context.Context, b Batch) (place string, err error)
}

// check checks what every rail requires of a batch.
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
