package receipt

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/pricing"
	"github.com/aliquot-engine/aliquot/pkg/quotes"
)

var (
	errLedgerShown = errors.New("LEDGER is shown, but the receipt does not say why")
	errNoRoots     = errors.New("the declaration has no roots with which the revenue can be proved")
	errLedgerGap   = errors.New("LEDGER is not shown completely from the first to the last position")
	errNoSource    = errors.New("a charge names a card or a round of a quote that is not shown")
)

// revenue proves what the journal hands over to the token, and that the cards
// and quotes that its charges name are in CONTROL up to the position on which
// the declaration rests. inbox is the amount that the distribution says it
// found.
func (v *verification) revenue(p *Payout, declared *events.DistributionDeclared, inbox money.Amount) error {
	messages := v.of(ledgerLog)
	if p.Revenue == nil {
		if len(messages) > 0 || len(v.decisions) > 1 {
			return errLedgerShown
		}
		v.state("how much the inbox held: the receipts of LEDGER records prove it")
		return nil
	}
	_, ofLedger := events.StateOf(declared.RestsOn, ledgerLog)
	_, ofControl := events.StateOf(declared.RestsOn, controlLog)
	if !ofLedger || !ofControl {
		return errNoRoots
	}
	if p.Revenue.Last != declared.LedgerSeq || p.Revenue.First == 0 || p.Revenue.First > p.Revenue.Last || uint64(len(messages)) != p.Revenue.Last-p.Revenue.First+1 {
		return errLedgerGap
	}
	var records []ledger.Record
	for i, m := range messages {
		if m.Position != p.Revenue.First+uint64(i) {
			return errLedgerGap
		}
		r, err := ledger.DecodeRecord(m.data)
		if err != nil {
			return fmt.Errorf("LEDGER %d: %w", m.Position, err)
		}
		records = append(records, r)
	}
	amount, earned, err := handedOver(records, p)
	if err != nil {
		return err
	}
	if amount != p.Revenue.Amount {
		return fmt.Errorf("LEDGER %d to %d hand over %v, not %v", p.Revenue.First, p.Revenue.Last, amount, p.Revenue.Amount)
	}
	v.prove("LEDGER %d to %d, which are shown whole, hand %v %s over to the token", p.Revenue.First, p.Revenue.Last, amount, p.Asset)
	if amount == inbox {
		v.prove("that is exactly what the distribution found in the inbox")
	} else {
		v.state("that the inbox also held %v %s from earlier handovers", inbox, p.Asset)
	}
	return v.priceSources(records, earned, declared.ControlSeq)
}

// handedOver sums what is credited to the token's inbox, and lists the earnings
// accounts of the nodes from which it comes.
func handedOver(records []ledger.Record, p *Payout) (sum money.Amount, earned []ledger.Account, err error) {
	inbox := ledger.TokenInbox(p.Token)
	for i := range records {
		for j := range records[i].Entries {
			for k := range records[i].Entries[j].Postings {
				q := &records[i].Entries[j].Postings[k]
				if q.Credit != inbox || q.Asset != p.Asset {
					continue
				}
				if sum, err = sum.Add(q.Amount); err != nil {
					return sum, nil, err
				}
				if node, ok := strings.CutSuffix(string(q.Debit), ledger.Collected.Suffix()); ok {
					earned = append(earned, ledger.Account(node+ledger.Earned.Suffix()))
				}
			}
		}
	}
	return sum, earned, nil
}

// priceSources verifies that every card and round that the charges of these
// accounts name is shown, among the decisions that were in effect.
func (v *verification) priceSources(records []ledger.Record, earned []ledger.Account, effective uint64) error {
	used := make([]bool, len(v.decisions))
	charges, counted := 0, uint64(0)
	for i := range records {
		for j := range records[i].Entries {
			e := &records[i].Entries[j]
			for k := range e.Postings {
				q := &e.Postings[k]
				if q.Card == "" || !slices.Contains(earned, q.Credit) {
					continue
				}
				charges++
				counted += q.Events
				for _, source := range SourcesOf(q) {
					if !v.uses(used, e.Book, source, effective) {
						return fmt.Errorf("%s of book %s: %w", source, e.Book, errNoSource)
					}
				}
			}
		}
	}
	for i := range v.decisions {
		if used[i] {
			v.decided(&v.decisions[i])
		} else if _, ok := v.decisions[i].decision.Body.(events.DistributionDeclared); !ok {
			return fmt.Errorf("CONTROL %d: %w", v.decisions[i].position, errNoSource)
		}
	}
	v.prove("the %d charges (%d events) in it of the nodes that it comes from name these cards and quotes, which are in CONTROL as the declaration rests on it", charges, counted)
	return nil
}

// SourcesOf lists the card of a charge and the rounds of its quote.
func SourcesOf(q *ledger.Posting) []string {
	return append([]string{q.Card}, quotes.Rounds(q.Quote)...)
}

// uses marks the decisions that declare a card or observe a round; it returns
// false if there is none.
func (v *verification) uses(used []bool, book events.Book, source string, effective uint64) (found bool) {
	for i := range v.decisions {
		d := &v.decisions[i]
		if d.position > effective {
			continue
		}
		has := false
		switch b := d.decision.Body.(type) {
		case events.CardDeclared:
			has = b.Book == book && pricing.Ref(b.Card, b.Version) == source
		case events.QuotesObserved:
			for _, r := range b.Rounds {
				has = has || quotes.RoundID(b.Source, r.Round) == source
			}
		}
		used[i] = used[i] || has
		found = found || has
	}
	return found
}
