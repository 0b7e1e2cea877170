package receipt

import (
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/plain"
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
	stream, writer := "USAGE", fmt.Sprintf("settle-%d", record.Partition)
	if m.Log == payoutLog {
		stream, writer = "CONTROL", "distribute"
	}
	if !isRow(r.Row, writer) {
		return fmt.Errorf("row %.80q: %w", r.Row, errRow)
	}
	v.verdict.ID = fmt.Sprintf("%s/%d", m.Log, m.Position)
	v.prove("position %d of %s is a journal record of book %s, cut at %s position %d with CONTROL in effect up to %d", m.Position, m.Log, record.Book, stream, record.Cut, record.Control)
	if record.Parts > 1 {
		v.prove("it is part %d of %d of its cut", record.Part+1, record.Parts)
	}
	for _, p := range record.Settled {
		v.prove("it settles period %s", p)
	}
	for i := range record.Entries {
		e := &record.Entries[i]
		why := ""
		if e.Ref != "" {
			why = plain.Sentence(", because of %s", e.Ref)
		}
		v.prove("entry %d: %s in period %s, of period %s%s", i+1, e.Kind, e.Period, e.Origin, plain.Phrase(why))
		for j := range e.Postings {
			p := &e.Postings[j]
			if err := p.Valid(); err != nil {
				return err
			}
			v.prove("  %s", plain.Phrase(posting(p)))
		}
	}
	v.state("that the journal calls this row %q", r.Row)
	return nil
}

func posting(p *ledger.Posting) string {
	text := plain.Sentence("debit %s, credit %s: %v %s", p.Debit, p.Credit, p.Amount, p.Asset)
	if p.Meter != "" {
		text += plain.Sentence(" for %v %s (%d events) by %s", p.Quantity, p.Meter, p.Events, p.Card)
	}
	if p.Quote != "" {
		text += plain.Sentence(" at %s", p.Quote)
	}
	return text
}
