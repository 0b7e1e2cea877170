package receipt

import (
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/ledger"
)

var errOneMessage = errors.New("wants one message, of LEDGER or PAYOUT")

// record verifies a journal record's receipt.
func (v *verification) record(r *Record) error {
	if len(v.messages) != 1 || v.messages[0].Log != ledgerLog && v.messages[0].Log != payoutLog {
		return errOneMessage
	}
	m := v.messages[0]
	record, err := ledger.DecodeRecord(m.data)
	if err != nil {
		return err
	}
	stream := "USAGE"
	if m.Log == payoutLog {
		stream = "CONTROL"
	}
	v.prove("position %d of %s is a journal record of book %s, cut at %s position %d with CONTROL in effect up to %d", m.Position, m.Log, record.Book, stream, record.Cut, record.Control)
	if record.Parts > 1 {
		v.prove("it is part %d of %d of its cut", record.Part+1, record.Parts)
	}
	for _, p := range record.Settled {
		v.prove("with it period %s is settled", p)
	}
	for i := range record.Entries {
		e := &record.Entries[i]
		why := ""
		if e.Ref != "" {
			why = ", because of " + e.Ref
		}
		v.prove("entry %d: %s in period %s, of period %s%s", i+1, e.Kind, e.Period, e.Origin, why)
		for j := range e.Postings {
			p := &e.Postings[j]
			if err := p.Valid(); err != nil {
				return err
			}
			v.prove("  %s", posting(p))
		}
	}
	v.state("that the journal calls this row %s", r.Row)
	return nil
}

func posting(p *ledger.Posting) string {
	text := fmt.Sprintf("debit %s, credit %s: %v %s", p.Debit, p.Credit, p.Amount, p.Asset)
	if p.Meter != "" {
		text += fmt.Sprintf(" for %v %s (%d events) by %s", p.Quantity, p.Meter, p.Events, p.Card)
	}
	if p.Quote != "" {
		text += " at " + p.Quote
	}
	return text
}
