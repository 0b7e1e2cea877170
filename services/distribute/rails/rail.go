// Package rails writes payment instructions for rails, and reads their answers.
//
// A rail is one implementation of [Rail] in one file, and one entry in [All]. The
// states of a payout, and what each means for the ledger, are in package payout: a
// rail only writes and reads.
//
// # Invariants
//
//   - Deterministic: equal batches give equal bytes, however often they are
//     written.
//   - Whole: a batch with one payout that cannot be paid gives an error; what was
//     written before the error must be dropped.
package rails

import (
	"fmt"
	"io"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

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

// Rail is a way to pay: the format in which a batch is handed over.
//
// Write writes the instruction to pay a batch. Equal batches give equal bytes,
// so that an instruction can be written again, and a rail that already has it
// can see that it is the same. The order of the batch's payouts means nothing
// to the rail. An error says why the batch cannot be written.
//
// The caller writes only batches that CONTROL says were submitted, so every batch
// that a rail has is known to the ledger. What became of the payouts reaches the
// ledger as [events.PayoutsConfirmed], any number of times and in any order.
type Rail interface {
	Name() events.Rail
	ContentType() string // media type of what Write writes
	Write(w io.Writer, b Batch) error
}

// All returns every rail.
func All() []Rail { return []Rail{CSV{}} }

// Of returns the rail of a name.
func Of(name events.Rail) (Rail, error) {
	for _, r := range All() {
		if r.Name() == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("no rail is called %q", name)
}

// check verifies what every rail requires of a batch.
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
