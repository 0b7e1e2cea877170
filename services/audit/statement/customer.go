package statement

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// OfCustomer is a customer's statement: what the customer used, paid and owes.
type OfCustomer struct {
	Customer events.Customer `json:"customer"`
	Of       events.Period   `json:"of,omitempty" doc:"The period that was asked for; empty means all periods."`
	Charges  []Charge        `json:"charges" doc:"By node, meter, card and period."`
	Money    []CustomerMoney `json:"money" doc:"Deposits and collections, in order."`
	Owed     []OwedLine      `json:"owed" doc:"By period and node."`
	Waiting  []Waiting       `json:"waiting"`
	Totals   []CustomerTotal `json:"totals" doc:"By asset."`
}

// CustomerMoney is one deposit or collection.
type CustomerMoney struct {
	Kind   ledger.EntryKind `json:"kind" enum:"deposit,collection"`
	Book   events.Book      `json:"book"`
	Period events.Period    `json:"period,omitempty" doc:"The period in which it was posted; empty for a deposit before the first closing."`
	Origin events.Period    `json:"origin,omitempty" doc:"For a collection: the period of the charges that it pays."`
	Ref    string           `json:"ref" doc:"The decision that caused it."`
	Asset  money.Asset      `json:"asset"`
	Amount money.Amount     `json:"amount"`
}

// OwedLine is what a customer owes for one node's usage of one period.
type OwedLine struct {
	Book   events.Book   `json:"book"`
	Period events.Period `json:"period" doc:"Period of the charges."`
	Node   events.Node   `json:"node"`
	Asset  money.Asset   `json:"asset"`
	Amount money.Amount  `json:"amount"`
}

// CustomerTotal is a customer's money in one asset. Charged = collected + owed.
// Over all periods, also deposited = collected + prepaid.
type CustomerTotal struct {
	Asset     money.Asset  `json:"asset"`
	Charged   money.Amount `json:"charged"`
	Deposited money.Amount `json:"deposited"`
	Collected money.Amount `json:"collected"`
	Prepaid   money.Amount `json:"prepaid" doc:"What is left of all deposits at present, whatever the period."`
	Owed      money.Amount `json:"owed" doc:"Charged but not collected."`
}

// Customer makes a customer's statement. If period is empty it covers all
// periods. Otherwise it covers the usage in that period, whenever it was charged
// and collected, and the deposits posted in it. A customer without usage and
// deposits has an empty statement.
func Customer(ctx context.Context, db *store.DB, customer events.Customer, period events.Period) (s OfCustomer, err error) {
	err = db.Snapshot(ctx, func(snapshot *store.Snapshot) error {
		s = OfCustomer{Customer: customer, Of: period, Charges: []Charge{}, Money: []CustomerMoney{}, Owed: []OwedLine{}, Waiting: []Waiting{}, Totals: []CustomerTotal{}}
		if err := s.journal(snapshot); err != nil {
			return err
		}
		owed, err := snapshot.Outstanding("", customer)
		if err != nil {
			return err
		}
		for _, o := range owed {
			if !within(period, o.Period) {
				continue
			}
			s.Owed = append(s.Owed, OwedLine{o.Book, o.Period, o.Node, o.Asset, o.Amount})
		}
		waiting, err := snapshot.Suspense("")
		if err != nil {
			return err
		}
		for _, l := range waiting {
			if l.Customer == customer && within(period, l.Period) {
				s.Waiting = append(s.Waiting, Waiting{l.Book, l.Node, l.Customer, l.Meter, l.Card, l.Pair, l.Period, l.Events, l.Quantity})
			}
		}
		return s.totals(snapshot)
	})
	if err != nil {
		return OfCustomer{}, fmt.Errorf("stating customer %s: %w", customer, err)
	}
	return s, nil
}

func (s *OfCustomer) journal(snapshot *store.Snapshot) error {
	lines := charges{}
	owes, has := ledger.CustomerReceivable(s.Customer), ledger.CustomerPrepaid(s.Customer)
	err := snapshot.Entries("", func(_ string, _ store.Written, r *ledger.Record) error {
		for i := range r.Entries {
			e := &r.Entries[i]
			for j := range e.Postings {
				p := &e.Postings[j]
				switch {
				case e.Kind.Charges() && p.Debit == owes:
					if !within(s.Of, e.Origin) {
						continue
					}
					if err := lines.add(e, p); err != nil {
						return err
					}
				case p.Credit == has || p.Debit == has:
					m := CustomerMoney{Kind: e.Kind, Book: e.Book, Period: e.Period, Ref: e.Ref, Asset: p.Asset, Amount: p.Amount}
					if e.Kind == ledger.Collection {
						m.Origin = e.Origin
					}
					if of := cmp.Or(m.Origin, m.Period); !within(s.Of, of) {
						continue
					}
					s.Money = append(s.Money, m)
				}
			}
		}
		return nil
	})
	for _, k := range slices.SortedFunc(maps.Keys(lines), chargeKey.compare) {
		s.Charges = append(s.Charges, *lines[k])
	}
	return err
}

func (s *OfCustomer) totals(snapshot *store.Snapshot) error {
	owes, has := ledger.CustomerReceivable(s.Customer), ledger.CustomerPrepaid(s.Customer)
	totals := map[money.Asset]*CustomerTotal{}
	rows, err := snapshot.Balances(ledger.OfCustomer.PrefixOf(string(s.Customer)))
	if err != nil {
		return err
	}
	for _, row := range rows {
		t := totals[row.Asset]
		if t == nil {
			t = &CustomerTotal{Asset: row.Asset}
		}
		switch row.Account {
		case owes:
			t.Charged, t.Collected = row.Debit, row.Credit
			t.Owed, err = row.Debit.Sub(row.Credit)
		case has:
			t.Deposited = row.Credit
			t.Prepaid, err = row.Credit.Sub(row.Debit)
			for _, m := range s.Money { // A reversed deposit does not count.
				if m.Kind == ledger.Reversal && m.Asset == row.Asset && err == nil {
					t.Deposited, err = t.Deposited.Sub(m.Amount)
				}
			}
		default:
			continue // another customer, whose id begins with this one's and a colon
		}
		if err != nil {
			return err
		}
		totals[row.Asset] = t
	}
	if s.Of != "" {
		if err := s.ofPeriod(totals); err != nil {
			return err
		}
	}
	for _, asset := range slices.Sorted(maps.Keys(totals)) {
		s.Totals = append(s.Totals, *totals[asset])
	}
	return nil
}

// ofPeriod replaces the totals by the sums of the period's lines, except for what
// is prepaid at present.
func (s *OfCustomer) ofPeriod(totals map[money.Asset]*CustomerTotal) error {
	for asset, t := range totals {
		totals[asset] = &CustomerTotal{Asset: asset, Prepaid: t.Prepaid}
	}
	var err error
	for _, l := range s.Charges {
		sum(&err, &totals[l.Asset].Charged, l.Charged)
	}
	for _, l := range s.Owed {
		sum(&err, &totals[l.Asset].Owed, l.Amount)
	}
	for _, l := range s.Money {
		switch t := totals[l.Asset]; l.Kind {
		case ledger.Deposit:
			sum(&err, &t.Deposited, l.Amount)
		case ledger.Collection:
			sum(&err, &t.Collected, l.Amount)
		}
	}
	return err
}

// Write writes the statement as text for people, to a writer that keeps its error.
func (s *OfCustomer) Write(w io.Writer) {
	title(w, "customer", string(s.Customer), s.Of)
	t := section(w, "Totals", "ASSET", "CHARGED", "DEPOSITED", "COLLECTED", "PREPAID", "OWED")
	for _, l := range s.Totals {
		t.Row(l.Asset, l.Charged, l.Deposited, l.Collected, l.Prepaid, l.Owed)
	}
	t.End()
	writeCharges(w, s.Charges)
	t = section(w, "Deposits and collections", "KIND", "PERIOD", "FOR USAGE IN", "AMOUNT", "ASSET", "DECISION")
	for _, l := range s.Money {
		t.Row(l.Kind, l.Period, l.Origin, l.Amount, l.Asset, l.Ref)
	}
	t.End()
	if len(s.Owed) > 0 {
		t = section(w, "Owed", "PERIOD", "NODE", "AMOUNT", "ASSET")
		for _, l := range s.Owed {
			t.Row(l.Period, l.Node, l.Amount, l.Asset)
		}
		t.End()
	}
	writeWaiting(w, s.Waiting)
}
