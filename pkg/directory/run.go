package directory

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// declareRun checks what follows from CONTROL. Whether anything may be paid is
// decided by distribute.
func (d *Directory) declareRun(b events.PayoutRunDeclared) error {
	if _, ok := d.tokens[b.Token]; !ok {
		return fmt.Errorf("token %q is not declared", b.Token)
	}
	if _, twice := d.PaidFor(b.Run); twice {
		return fmt.Errorf("%q is the id of another distribution or payout run", b.Run)
	}
	if b.ControlSeq >= d.position {
		return fmt.Errorf("control_position %d is not before the declaration's own, %d", b.ControlSeq, d.position)
	}
	d.runs[b.Run] = b
	return nil
}

// PaidFor returns the token whose holders a declared distribution or payout run
// pays. Their ids share one name space, because a payout refers to either of
// them.
func (d *Directory) PaidFor(id string) (events.Token, bool) {
	if b, ok := d.distributions[id]; ok {
		return b.Token, true
	}
	b, ok := d.runs[id]
	return b.Token, ok
}

// NextDistribution returns the id of the next distribution of a token and
// period, and those that were declared before it, in order. There may be
// another one only if all of them are void.
func (d *Directory) NextDistribution(token events.Token, period events.Period) (id string, before []string) {
	for n := 1; ; n++ {
		id = events.DistributionID(token, period, n)
		if _, used := d.PaidFor(id); !used {
			return id, before
		}
		if _, declared := d.distributions[id]; declared {
			before = append(before, id)
		}
	}
}

// NextRun returns the id of the next payout run of a token.
func (d *Directory) NextRun(token events.Token) string {
	for n := 1; ; n++ {
		id := events.RunID(token, n)
		if _, used := d.PaidFor(id); !used {
			return id
		}
	}
}

// Corrected returns the position of the last correction of a payout of a
// distribution or run; 0 if there is none. An answer of a rail after a
// correction is a new answer, even if an equal one came before.
func (d *Directory) Corrected(id string) uint64 { return d.corrected[id] }
