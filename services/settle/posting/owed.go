package posting

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// accounts is the money of customers and nodes: prepaid, owed, and collected.
//
// Invariants: what is owed and what is collected is above zero; what leaves
// prepaid money reaches collected money in the same entry.
type accounts struct {
	of        map[events.Customer]*account
	collected map[place]money.Amount // above zero

	// Since the last cut.
	changed map[events.Customer]*account
	moved   map[place]struct{} // of collected
}

// account is a customer's money in the asset of its book.
type account struct {
	book     events.Book
	customer events.Customer
	asset    money.Asset
	prepaid  money.Amount
	owed     map[debt]money.Amount // above zero
	changed  map[debt]struct{}     // since the last cut
}

// debt is what a customer owes money for.
type debt struct {
	period events.Period // of the charges
	node   events.Node
}

// place identifies collected money until it is handed over.
type place struct {
	book   events.Book
	period events.Period // of the charges
	node   events.Node
	asset  money.Asset
}

func newAccounts() accounts {
	return accounts{
		of: make(map[events.Customer]*account), collected: make(map[place]money.Amount),
		changed: make(map[events.Customer]*account), moved: make(map[place]struct{}),
	}
}

// account returns a customer's account, and creates it if there is none.
func (s *accounts) account(book events.Book, customer events.Customer, asset money.Asset) *account {
	a := s.of[customer]
	if a == nil {
		a = &account{book: book, customer: customer, asset: asset,
			owed: make(map[debt]money.Amount), changed: make(map[debt]struct{})}
		s.of[customer] = a
	}
	return a
}

// restore adds what is owed and collected, as it was committed.
func (s *accounts) restore(owed []settlement.Outstanding, collected []settlement.Collected) {
	for _, o := range owed {
		s.account(o.Book, o.Customer, o.Asset).owed[debt{o.Period, o.Node}] = o.Amount
	}
	for _, c := range collected {
		s.collected[place{c.Book, c.Period, c.Node, c.Asset}] = c.Amount
	}
}

// in returns the customers of a book that have money or owe it, ascending.
func (s *accounts) in(book events.Book) []events.Customer {
	var list []events.Customer
	for _, name := range slices.Sorted(maps.Keys(s.of)) {
		if s.of[name].book == book {
			list = append(list, name)
		}
	}
	return list
}

// owe adds a charge to what the customer owes for a node and period.
func (s *accounts) owe(book events.Book, name events.Customer, asset money.Asset, of debt, amount money.Amount) error {
	a := s.account(book, name, asset)
	owed, err := a.owed[of].Add(amount)
	if err != nil {
		return fmt.Errorf("adding to what %s owes for %s: %w", name, of.node, err)
	}
	a.owed[of] = owed
	s.touch(a, of)
	return nil
}

func (s *accounts) touch(a *account, of debt) {
	a.changed[of] = struct{}{}
	s.changed[a.customer] = a
}

// deposit adds to what a customer has prepaid.
func (s *accounts) deposit(d events.DepositRecorded) error {
	a := s.account(d.Book, d.Customer, d.Asset)
	prepaid, err := a.prepaid.Add(d.Amount)
	if err != nil {
		return fmt.Errorf("adding to what %s has prepaid: %w", d.Customer, err)
	}
	a.prepaid = prepaid
	return nil
}

// reverse takes a deposit back if all of it is still prepaid. Otherwise taken
// is false, and left is the prepaid amount.
func (s *accounts) reverse(d events.DepositReversed) (left money.Amount, taken bool, err error) {
	a := s.of[d.Customer]
	if a == nil {
		return money.Amount{}, false, nil
	}
	if a.prepaid.Cmp(d.Amount) < 0 {
		return a.prepaid, false, nil
	}
	if a.prepaid, err = a.prepaid.Sub(d.Amount); err != nil {
		return a.prepaid, false, fmt.Errorf("taking a deposit of %s back: %w", d.Customer, err)
	}
	return a.prepaid, true, nil
}

// collect pays what a customer owes from what it has prepaid. If the money does
// not cover everything, it pays the oldest period first. The last period that
// it reaches is paid in proportion to each node's part, exact to the atto; the
// atto left over go to the nodes with the largest fractions, ties to the node
// whose name comes first. Each period is an entry of its own, under its own
// name; posted returns the period in which the entry is posted.
func (s *accounts) collect(customer events.Customer, ref string, posted func(origin events.Period) (events.Period, error)) (list []ledger.Entry, err error) {
	a := s.of[customer]
	if a == nil || a.prepaid.Sign() <= 0 || len(a.owed) == 0 {
		return nil, nil
	}
	debts := slices.SortedFunc(maps.Keys(a.owed), debt.compare)
	for len(debts) > 0 && a.prepaid.Sign() > 0 {
		n := 1
		for n < len(debts) && debts[n].period == debts[0].period {
			n++
		}
		entry := ledger.Entry{Book: a.book, Kind: ledger.Collection, Origin: debts[0].period, Ref: ref}
		if entry.Period, err = posted(entry.Origin); err != nil {
			return nil, fmt.Errorf("collecting from %s: %w", customer, err)
		}
		if err := s.cover(a, debts[:n], &entry); err != nil {
			return nil, err
		}
		list = append(list, entry)
		debts = debts[n:]
	}
	return list, nil
}

// cover lets what an account has prepaid, which is above zero, cover debts of one
// period, ascending by node, and adds the postings to an entry.
func (s *accounts) cover(a *account, debts []debt, entry *ledger.Entry) error {
	owed := make([]money.Units, len(debts))
	paid := make([]money.Amount, len(debts))
	var total money.Amount
	for i, d := range debts {
		amount := a.owed[d]
		var err error
		if owed[i], err = amount.Units(); err != nil {
			return fmt.Errorf("dividing among what %s owes: %w", a.customer, err)
		}
		paid[i] = amount
		if total, err = total.Add(amount); err != nil {
			return fmt.Errorf("adding up what %s owes: %w", a.customer, err)
		}
	}
	if a.prepaid.Cmp(total) < 0 {
		total = a.prepaid
		if err := money.Apportion(paid, total, owed); err != nil {
			return fmt.Errorf("dividing what %s has prepaid: %w", a.customer, err)
		}
	}
	entry.Postings = append(entry.Postings, ledger.Posting{
		Debit: ledger.CustomerPrepaid(a.customer), Credit: ledger.CustomerReceivable(a.customer), Asset: a.asset, Amount: total,
	})
	for i, d := range debts {
		if paid[i].IsZero() {
			continue
		}
		entry.Postings = append(entry.Postings, ledger.Posting{
			Debit: ledger.NodeEarned(d.node), Credit: ledger.NodeCollected(d.node), Asset: a.asset, Amount: paid[i],
		})
		rest, err := a.owed[d].Sub(paid[i])
		if err != nil {
			return fmt.Errorf("collecting from %s for %s: %w", a.customer, d.node, err)
		}
		if a.owed[d] = rest; rest.IsZero() {
			delete(a.owed, d)
		}
		s.touch(a, d)
		at := place{a.book, d.period, d.node, a.asset}
		if s.collected[at], err = s.collected[at].Add(paid[i]); err != nil {
			return fmt.Errorf("adding to what %s has collected: %w", d.node, err)
		}
		s.moved[at] = struct{}{}
	}
	var err error
	if a.prepaid, err = a.prepaid.Sub(total); err != nil {
		return fmt.Errorf("taking from what %s has prepaid: %w", a.customer, err)
	}
	return nil
}

// handOver hands over what the nodes of a book have collected of charges up to
// the period that closes; to returns the account that a node's money goes to.
// Each period of charges is an entry of its own, under its own name; charges of
// a later period stay collected until that period closes.
func (s *accounts) handOver(book events.Book, ref string, closing events.Period, to func(events.Node) ledger.Account) (list []ledger.Entry) {
	var due []place
	for at := range s.collected { // map order: sorted below
		if at.book == book && at.period <= closing { // labels of one calendar sort as their periods do
			due = append(due, at)
		}
	}
	slices.SortFunc(due, place.compare)
	for _, at := range due {
		if n := len(list); n == 0 || list[n-1].Origin != at.period {
			list = append(list, ledger.Entry{Book: book, Kind: ledger.Handover, Period: closing, Origin: at.period, Ref: ref})
		}
		entry := &list[len(list)-1]
		entry.Postings = append(entry.Postings, ledger.Posting{
			Debit: ledger.NodeCollected(at.node), Credit: to(at.node), Asset: at.asset, Amount: s.collected[at],
		})
		delete(s.collected, at)
		s.moved[at] = struct{}{}
	}
	return list
}

// cut returns what changed since the last cut, ascending.
func (s *accounts) cut() (owed []settlement.Outstanding, collected []settlement.Collected) {
	for _, name := range slices.Sorted(maps.Keys(s.changed)) {
		a := s.changed[name]
		for _, d := range slices.SortedFunc(maps.Keys(a.changed), debt.compare) {
			owed = append(owed, settlement.Outstanding{Book: a.book, Customer: a.customer, Asset: a.asset, Period: d.period, Node: d.node, Amount: a.owed[d]})
		}
		clear(a.changed)
	}
	slices.SortStableFunc(owed, func(a, b settlement.Outstanding) int { return strings.Compare(string(a.Book), string(b.Book)) })
	for _, at := range slices.SortedFunc(maps.Keys(s.moved), place.compare) {
		collected = append(collected, settlement.Collected{Book: at.book, Period: at.period, Node: at.node, Asset: at.asset, Amount: s.collected[at]})
	}
	s.changed, s.moved = make(map[events.Customer]*account), make(map[place]struct{})
	return owed, collected
}

func (d debt) compare(e debt) int {
	return cmp.Or(strings.Compare(string(d.period), string(e.period)), strings.Compare(string(d.node), string(e.node)))
}

func (p place) compare(q place) int {
	return cmp.Or(strings.Compare(string(p.book), string(q.book)), strings.Compare(string(p.period), string(q.period)),
		strings.Compare(string(p.node), string(q.node)), strings.Compare(string(p.asset), string(q.asset)))
}
