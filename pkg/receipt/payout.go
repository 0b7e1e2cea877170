package receipt

import (
	"errors"
	"fmt"
	"slices"

	"github.com/aliquot-engine/aliquot/pkg/apportion"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/payout"
	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/pkg/register"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

var (
	errNoDeclaration = errors.New("the declaration of the distribution is not shown")
	errNotMade       = errors.New("the result of the distribution is not shown")
	errNotPlanned    = errors.New("the payout is in none of the plans shown")
	errNotPosted     = errors.New("the record shown does not post the share")
	errState         = errors.New("the state of the payout is unknown")
	errPayoutID      = errors.New("the id is not that of the distribution, asset and holder")
	errSupply        = errors.New("the register shown does not add up to the supply")
	errIncomplete    = errors.New("the register shown is not complete")
	errExtent        = errors.New("the extent of the register is unknown")
	errBeyond        = errors.New("a movement is shown on which the distribution does not rest")
)

// paid is what the messages of PAYOUT say about a payout.
type paid struct {
	made    *events.DistributionMade
	ran     *events.PayoutRunMade // for a payout run, instead of made
	planned *events.PlannedPayout
	rail    events.Rail
	share   money.Amount // posted to the holder from the pool
}

// payout verifies a payout's receipt.
func (v *verification) payout(p *Payout) error {
	if p.Payout != payout.ID(p.Distribution, p.Asset, p.Holder) {
		return errPayoutID
	}
	if !slices.Contains(distribution.States(), distribution.State(p.State)) {
		return fmt.Errorf("%.40q: %w", p.State, errState)
	}
	v.verdict.ID = plain.Word(p.Payout)
	if run, at, ok, err := v.runOf(p); ok {
		if err != nil {
			return err
		}
		return v.payoutOfRun(p, &run, at)
	}
	declared, at, err := v.declaration(p)
	if err != nil {
		return err
	}
	said, err := v.paid(p, at)
	if err != nil {
		return err
	}
	if said.made == nil {
		return errNotMade
	}
	v.prove("payout %s of %v %s to %s by rail %s was planned by distribution %s of token %s", p.Payout, said.planned.Amount, p.Asset, p.Holder, said.rail, p.Distribution, p.Token)
	v.prove("distribution %s is declared for period %s at CONTROL %d, resting on LEDGER up to %d and REGISTER up to %d", p.Distribution, declared.Period, at, declared.LedgerSeq, declared.RegisterSeq)
	var pool, inbox money.Amount
	for _, total := range said.made.Totals {
		if total.Asset == p.Asset {
			pool, inbox = total.Pool, total.Inbox
			v.prove("its pool is %v %s: %v in the inbox less a fee of %v, for %d holders of %v units", total.Pool, total.Asset, total.Inbox, total.Fee, said.made.Holders, said.made.Supply)
		}
	}
	v.prove("the journal posts a share of %v %s to %s", said.share, p.Asset, p.Holder)
	if p.Share != said.share || p.Amount != said.planned.Amount {
		return fmt.Errorf("share and payout are %v and %v, not %v and %v", said.share, said.planned.Amount, p.Share, p.Amount)
	}
	if err := v.restedOn(&declared); err != nil {
		return err
	}
	if err := v.holding(p, declared, said.made, pool); err != nil {
		return err
	}
	v.state("that the payout was %s when the receipt was made", p.State)
	v.state("that payout and share differ by what was carried: earlier distributions are not shown")
	return v.revenue(p, &declared, inbox)
}

// restedOn compares the trees shown with the roots in the declaration.
func (v *verification) restedOn(b *events.DistributionDeclared) error {
	for _, at := range []struct {
		log      string
		position uint64
	}{{controlLog, b.ControlSeq}, {ledgerLog, b.LedgerSeq}, {registerLog, b.RegisterSeq}} {
		state, ok := events.StateOf(b.RestsOn, at.log)
		if !ok {
			continue
		}
		if state.Size != at.position {
			return fmt.Errorf("%s: %w", at.log, errOtherSize)
		}
		carried, err := v.carries(at.log, state.Size, tlog.Hash(state.Root))
		if err == nil && !carried {
			err = fmt.Errorf("%s: %w", at.log, errNoTree)
		}
		if err != nil {
			return err
		}
		v.prove("the declaration carries the root of %s up to %d, and the log continues that tree", at.log, at.position)
	}
	return nil
}

// declaration finds the decision that declares the distribution.
func (v *verification) declaration(p *Payout) (events.DistributionDeclared, uint64, error) {
	var declared events.DistributionDeclared
	at := uint64(0)
	for i := range v.decisions {
		d := &v.decisions[i]
		b, ok := d.decision.Body.(events.DistributionDeclared)
		if !ok {
			continue // The revenue rests on these: see revenue.
		}
		if at > 0 || b.Distribution != p.Distribution || b.Token != p.Token {
			return b, 0, errNoDeclaration
		}
		v.decided(d)
		declared, at = b, d.position
	}
	if at == 0 {
		return declared, 0, errNoDeclaration
	}
	return declared, at, nil
}

// paid reads the messages of PAYOUT.
func (v *verification) paid(p *Payout, control uint64) (f paid, err error) {
	pool := ledger.TokenPool(p.Token)
	for _, m := range v.of(payoutLog) {
		if ledger.IsRecord(m.data) {
			r, err := ledger.DecodeRecord(m.data)
			if err != nil {
				return f, err
			}
			if r.Cut != control {
				return f, fmt.Errorf("PAYOUT %d: %w", m.Position, errNotPosted)
			}
			for i := range r.Entries {
				for j := range r.Entries[i].Postings {
					q := &r.Entries[i].Postings[j]
					if q.Asset != p.Asset || q.Debit != pool || q.Credit != ledger.HolderPayable(p.Holder) && q.Credit != ledger.HolderHeld(p.Holder) {
						continue
					}
					if f.share, err = f.share.Add(q.Amount); err != nil {
						return f, err
					}
				}
			}
			continue
		}
		message, err := events.DecodePaid(m.data)
		if err != nil {
			return f, fmt.Errorf("PAYOUT %d: %w", m.Position, err)
		}
		switch b := message.(type) {
		case events.DistributionMade:
			if b.Distribution == p.Distribution && b.Token == p.Token && b.Control == control && b.Void == "" {
				f.made = &b
			}
		case events.PayoutRunMade:
			if b.Run == p.Distribution && b.Token == p.Token && b.Control == control && b.Void == "" {
				f.ran = &b
			}
		case events.PayoutsPlanned:
			if b.Distribution != p.Distribution || b.Token != p.Token || b.Control != control {
				continue
			}
			for i := range b.Payouts {
				if q := &b.Payouts[i]; q.Payout == p.Payout && q.Holder == p.Holder && q.Asset == p.Asset {
					f.planned, f.rail = q, b.Rail
				}
			}
		}
	}
	switch {
	case f.made == nil && f.ran == nil:
		return f, errNotMade
	case f.planned == nil:
		return f, errNotPlanned
	}
	return f, nil
}

// holding proves, as far as the register is shown, what the holder held and that
// the share is its part of the pool.
func (v *verification) holding(p *Payout, declared events.DistributionDeclared, made *events.DistributionMade, pool money.Amount) error {
	var r register.Register
	expected := uint64(1)
	whole := p.Evidence == WholeRegister
	if !whole && p.Evidence != OwnMovements {
		return fmt.Errorf("%.40q: %w", string(p.Evidence), errExtent)
	}
	for _, m := range v.of(registerLog) {
		if m.Position > declared.RegisterSeq {
			return fmt.Errorf("REGISTER %d: %w", m.Position, errBeyond)
		}
		if whole && m.Position != expected {
			return fmt.Errorf("REGISTER %d: %w", expected, errIncomplete)
		}
		expected++
		movements, err := events.DecodeMovements(m.data)
		if err != nil || movements.Token != p.Token {
			continue // belongs to another token, or is void for every reader
		}
		// A movement that is void, or a message that is a repetition, has no effect.
		_, _ = r.Apply(&movements)
	}
	if !whole {
		v.prove("%d messages of REGISTER that name %s", expected-1, p.Holder)
		v.state("that the holder held %v of %v units: this receipt does not have the whole register", p.Units, made.Supply)
		return v.quota(p, made, pool)
	}
	switch {
	case expected != declared.RegisterSeq+1:
		return fmt.Errorf("REGISTER %d: %w", expected, errIncomplete)
	case r.Supply() != made.Supply:
		return errSupply
	case r.Units(p.Holder) != p.Units:
		return fmt.Errorf("the holder held %v units, not %v", r.Units(p.Holder), p.Units)
	}
	v.prove("%s held %v of %v units at REGISTER %d: the whole register is shown", p.Holder, p.Units, made.Supply, declared.RegisterSeq)
	var holdings []apportion.Holding
	for _, h := range r.Holdings() {
		holdings = append(holdings, apportion.Holding{Holder: string(h.Holder), Units: h.Units})
	}
	shares, err := apportion.Divide(pool, holdings)
	if err != nil {
		return err
	}
	for _, s := range shares {
		if s.Holder == string(p.Holder) {
			if s.Amount != p.Share {
				return fmt.Errorf("the share is %v, not %v", s.Amount, p.Share)
			}
			v.prove("the share is %v = %v × %v ÷ %v, by largest remainder among all holders, computed again", s.Amount, pool, p.Units, made.Supply)
			return nil
		}
	}
	if !p.Share.IsZero() {
		return fmt.Errorf("the holder has no units, and a share of %v", p.Share)
	}
	return nil
}

// quota checks that a share differs by less than one atto from its part of the
// pool: it is that part rounded down or up to a whole atto.
func (v *verification) quota(p *Payout, made *events.DistributionMade, pool money.Amount) error {
	if made.Supply.IsZero() {
		return errSupply
	}
	floor, err := money.MulDivFloor(pool, p.Units, made.Supply)
	if err != nil {
		return err
	}
	above, err := ceiling(pool, p.Units, made.Supply)
	if err != nil {
		return err
	}
	if p.Share != floor && p.Share != above {
		return fmt.Errorf("the share is %v, but its part of the pool is %v", p.Share, floor)
	}
	v.prove("with that many units, the share is %v × %v ÷ %v to the atto, computed again", pool, p.Units, made.Supply)
	return nil
}

// ceiling returns pool × units ÷ supply, rounded up to the atto.
func ceiling(pool money.Amount, units, supply money.Units) (money.Amount, error) {
	below, err := pool.Neg()
	if err != nil {
		return below, err
	}
	if below, err = money.MulDivFloor(below, units, supply); err != nil {
		return below, err
	}
	return below.Neg()
}
