package receipt

import (
	"errors"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

var (
	errRunEvidence = errors.New("a receipt of a payout run cannot show a register or LEDGER")
	errRunPosted   = errors.New("the record shown does not post the payout from what the holder was owed")
)

// runOf finds the decision that declares the payout run to which the payout
// belongs; it returns false if the payout belongs to a distribution.
func (v *verification) runOf(p *Payout) (declared events.PayoutRunDeclared, at uint64, ok bool, err error) {
	for i := range v.decisions {
		d := &v.decisions[i]
		b, is := d.decision.Body.(events.PayoutRunDeclared)
		if !is {
			continue
		}
		if len(v.decisions) > 1 || b.Run != p.Distribution || b.Token != p.Token {
			return b, 0, true, errNoDeclaration
		}
		v.decided(d)
		return b, d.position, true, nil
	}
	return declared, 0, false, nil
}

// payoutOfRun verifies the receipt of a payout of a payout run: who decided it,
// that it was planned, and that the journal takes it from what the holder was
// owed. It has no share: what was owed is in the receipts of earlier payouts.
func (v *verification) payoutOfRun(p *Payout, declared *events.PayoutRunDeclared, at uint64) error {
	if len(v.of(registerLog)) > 0 || len(v.of(ledgerLog)) > 0 || p.Revenue != nil || p.Evidence != NoRegister || !p.Share.IsZero() || !p.Units.IsZero() {
		return errRunEvidence
	}
	payable := ledger.HolderPayable(p.Holder)
	said, err := v.paid(p, at)
	if err != nil {
		return err
	}
	if said.ran == nil {
		return errNotMade
	}
	var posted money.Amount
	for _, m := range v.of(payoutLog) {
		if !ledger.IsRecord(m.data) {
			continue
		}
		r, err := ledger.DecodeRecord(m.data) // it was decoded before
		if err != nil {
			return err
		}
		for i := range r.Entries {
			for j := range r.Entries[i].Postings {
				if q := &r.Entries[i].Postings[j]; q.Asset == p.Asset && q.Debit == payable && q.Credit == ledger.RailInFlight(said.rail) {
					if posted, err = posted.Add(q.Amount); err != nil {
						return err
					}
				}
			}
		}
	}
	if posted != said.planned.Amount || posted != p.Amount {
		return errRunPosted
	}
	v.prove("payout %s of %v %s to %s by rail %s was planned by payout run %s of token %s", p.Payout, posted, p.Asset, p.Holder, said.rail, p.Distribution, p.Token)
	v.prove("payout run %s is declared at CONTROL %d, resting on REGISTER up to %d", p.Distribution, at, declared.RegisterSeq)
	v.prove("the journal takes %v %s from what was payable to %s", posted, p.Asset, p.Holder)
	rests := events.DistributionDeclared{ControlSeq: declared.ControlSeq, RegisterSeq: declared.RegisterSeq, RestsOn: declared.RestsOn}
	if err := v.restedOn(&rests); err != nil {
		return err
	}
	v.state("that the payout was %s when the receipt was made", p.State)
	v.state("what the holder was owed for: the receipts of the holder's earlier payouts prove it")
	return nil
}
