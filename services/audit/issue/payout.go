package issue

import (
	"slices"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/receipt"
	"github.com/aliquot-engine/aliquot/services/audit/explain"
)

// A register with at most this number of messages and bytes is shown whole.
const (
	wholeMessages = 256
	wholeBytes    = 1 << 20
)

// payout makes a payout's receipt.
func (m *maker) payout(p *explain.Payout) error {
	d := &p.Of
	m.made.Kind = receipt.OfPayout
	m.made.Payout = &receipt.Payout{
		Payout: p.ID, Distribution: d.ID, Token: d.Token, Holder: p.Holder, Asset: p.Asset, Amount: p.Amount,
		Units: p.Share.Units, Share: p.Share.Amount, State: string(p.State),
	}
	if err := m.declared(d.Control); err != nil {
		return err
	}
	planned := false
	err := m.scan(m.Payout, d.Control, controlOf, func(message eventlog.Message) (bool, error) {
		of, is := concerns(message.Data, p)
		if !of {
			return true, nil
		}
		planned = is
		return !planned, m.show(payoutLog, message)
	})
	if err != nil {
		return err
	}
	if d.Run() {
		m.made.Payout.Evidence = receipt.NoRegister
		return nil
	}
	if err := m.revenue(p); err != nil {
		return err
	}
	return m.register(p)
}

// declared adds the declaration at a position, and has what it rests on proved
// under the roots that it contains.
func (m *maker) declared(position uint64) error {
	message, err := m.Control.Get(m.ctx, position)
	if err != nil {
		return err
	}
	decision, err := events.DecodeDecision(message.Data)
	if err != nil {
		return err
	}
	var rests []events.LogState
	switch b := decision.Body.(type) {
	case events.DistributionDeclared:
		rests = b.RestsOn
	case events.PayoutRunDeclared:
		rests = b.RestsOn
	}
	for _, state := range rests {
		if err := m.rest(state); err != nil {
			return err
		}
	}
	return m.show(controlLog, message)
}

// concerns reports whether a message of PAYOUT is evidence for a payout, and
// whether it is its plan, which is the last such message.
func concerns(data []byte, p *explain.Payout) (of, planned bool) {
	if ledger.IsRecord(data) {
		r, err := ledger.DecodeRecord(data)
		if err != nil {
			return false, false
		}
		pool, payable := ledger.TokenPool(p.Of.Token), ledger.HolderPayable(p.Holder)
		for i := range r.Entries {
			for j := range r.Entries[i].Postings {
				q := &r.Entries[i].Postings[j]
				if p.Of.Run() && q.Asset == p.Asset && q.Debit == payable && q.Credit == ledger.RailInFlight(p.Of.Rail) {
					return true, false
				}
				if q.Debit == pool && q.Asset == p.Asset && (q.Credit == ledger.HolderPayable(p.Holder) || q.Credit == ledger.HolderHeld(p.Holder)) {
					return true, false
				}
			}
		}
		return false, false
	}
	message, err := events.DecodePaid(data)
	if err != nil {
		return false, false
	}
	switch b := message.(type) {
	case events.DistributionMade, events.PayoutRunMade:
		return true, false
	case events.PayoutsPlanned:
		has := slices.ContainsFunc(b.Payouts, func(q events.PlannedPayout) bool { return q.Payout == p.ID })
		return has, has
	}
	return false, false
}

// register adds the register: the whole of it if it is short, and otherwise the
// messages that name the holder.
func (m *maker) register(p *explain.Payout) error {
	var all, own []eventlog.Message
	size := 0
	if p.Of.Register > 0 {
		r, err := m.Register.Read(m.ctx, 1, "")
		if err != nil {
			return err
		}
		defer r.Stop()
		for at := uint64(0); at < p.Of.Register; {
			message, err := r.Next(m.ctx)
			if err != nil {
				return err
			}
			at = message.Seq
			if size += len(message.Data); size <= wholeBytes && at <= wholeMessages {
				all = append(all, message)
			}
			if names(message.Data, p) {
				own = append(own, message)
			}
		}
	}
	list := own
	m.made.Payout.Evidence = receipt.OwnMovements
	if size <= wholeBytes && p.Of.Register <= wholeMessages {
		list = all
		m.made.Payout.Evidence = receipt.WholeRegister
	}
	for _, message := range list {
		if err := m.show(registerLog, message); err != nil {
			return err
		}
	}
	return nil
}

func names(data []byte, p *explain.Payout) bool {
	movements, err := events.DecodeMovements(data)
	return err == nil && movements.Token == p.Of.Token && slices.ContainsFunc(movements.Movements, func(one events.Movement) bool {
		return one.From == p.Holder || one.To == p.Holder
	})
}
