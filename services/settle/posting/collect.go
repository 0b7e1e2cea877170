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
	"github.com/aliquot-engine/aliquot/pkg/pricing"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// customersOf returns the customers of a book that have money or owe it, ascending.
func (s *State) customersOf(book events.Book) []events.Customer {
	var list []events.Customer
	for _, name := range slices.Sorted(maps.Keys(s.accounts)) {
		if s.accounts[name].book == book {
			list = append(list, name)
		}
	}
	return list
}

// collectFrom lets what a customer has prepaid cover what it owes: all of it, or
// the oldest period first, and within the last period that the money reaches each
// node's part in proportion, exact to the atto, ties to the node whose name comes
// first. Each period is an entry of its own, under its own name. closing is the
// period that is being closed, or empty.
func (s *State) collectFrom(book events.Book, customer events.Customer, ref string, closing events.Period) error {
	a := s.accounts[customer]
	if a == nil || a.prepaid.Sign() <= 0 || len(a.owed) == 0 {
		return nil
	}
	debts := slices.SortedFunc(maps.Keys(a.owed), debt.compare)
	for len(debts) > 0 && a.prepaid.Sign() > 0 {
		n := 1
		for n < len(debts) && debts[n].period == debts[0].period {
			n++
		}
		posted, err := s.collectedIn(book, debts[0].period, closing)
		if err != nil {
			return fmt.Errorf("collecting from %s: %w", customer, err)
		}
		entry := ledger.Entry{Book: book, Kind: ledger.Collection, Period: posted, Origin: debts[0].period, Ref: ref}
		if err := s.cover(a, debts[:n], &entry); err != nil {
			return err
		}
		s.post(book, entry)
		debts = debts[n:]
	}
	return nil
}

// collectedIn returns the period in which the collection of charges of a period
// is posted: a closing collects in its own name what belongs to it or is older;
// all other money is posted where a charge of that period would be now.
func (s *State) collectedIn(name events.Book, origin, closing events.Period) (events.Period, error) {
	if closing != "" && origin <= closing { // labels of one calendar sort as their periods do
		return closing, nil
	}
	b := s.book(name)
	if b == nil {
		return "", fmt.Errorf("book %s is not declared", name)
	}
	return s.periodOf(b, origin)
}

// cover lets what an account has prepaid, which is above zero, cover debts of one
// period, ascending by node, and adds the postings to an entry.
func (s *State) cover(a *account, debts []debt, entry *ledger.Entry) error {
	owed := make([]money.Units, len(debts))
	paid := make([]money.Amount, len(debts))
	var total money.Amount
	for i, d := range debts {
		amount := a.owed[d]
		hi, lo := amount.Limbs() // Above zero.
		owed[i], paid[i] = money.Units{Hi: uint64(hi), Lo: lo}, amount
		var err error
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
		s.open.collected[at] = struct{}{}
	}
	var err error
	if a.prepaid, err = a.prepaid.Sub(total); err != nil {
		return fmt.Errorf("taking from what %s has prepaid: %w", a.customer, err)
	}
	return nil
}

// handOver moves what the nodes of a book have collected of charges up to the
// period that closes to whom it is for: the node's token, or the provider where no
// token stands for the node. Each period of charges is an entry of its own, under
// its own name; what belongs to a later one stays collected until that closes.
func (s *State) handOver(name events.Book, ref string, closing events.Period) error {
	b := s.book(name)
	if b == nil {
		return fmt.Errorf("handing over for book %s, which is not declared", name)
	}
	var due []place
	for at := range s.collected { // map order: sorted below
		if at.book == name && at.period <= closing { // labels of one calendar sort as their periods do
			due = append(due, at)
		}
	}
	slices.SortFunc(due, place.compare)
	var entry *ledger.Entry
	flush := func() {
		if entry != nil {
			s.post(name, *entry)
		}
	}
	for _, at := range due {
		if entry == nil || entry.Origin != at.period {
			flush()
			entry = &ledger.Entry{Book: name, Kind: ledger.Handover, Period: closing, Origin: at.period, Ref: ref}
		}
		to := ledger.ProviderPayable(b.Provider)
		if token, ok := s.directory.TokenOf(at.node); ok {
			to = ledger.TokenInbox(token)
		}
		entry.Postings = append(entry.Postings, ledger.Posting{
			Debit: ledger.NodeCollected(at.node), Credit: to, Asset: at.asset, Amount: s.collected[at],
		})
		delete(s.collected, at)
		s.open.collected[at] = struct{}{}
	}
	flush()
	return nil
}

func (d debt) compare(e debt) int {
	return cmp.Or(strings.Compare(string(d.period), string(e.period)), strings.Compare(string(d.node), string(e.node)))
}

func (p place) compare(q place) int {
	return cmp.Or(strings.Compare(string(p.book), string(q.book)), strings.Compare(string(p.period), string(q.period)),
		strings.Compare(string(p.node), string(q.node)), strings.Compare(string(p.asset), string(q.asset)))
}

// heldFor returns the suspense lines that a release names, ascending by book
// and origin first, since they make the entry, and then by the rest.
func (s *State) heldFor(d events.SuspenseReleased) []*held {
	var list []*held
	for _, k := range slices.SortedFunc(maps.Keys(s.held), func(a, b settlement.Suspense) int {
		if c := strings.Compare(string(a.Book), string(b.Book)); c != 0 {
			return c
		}
		if c := strings.Compare(string(a.Period), string(b.Period)); c != 0 {
			return c
		}
		return compareHeld(&a, &b)
	}) {
		if h := s.held[k]; k.Pair == d.Pair && (d.Book == "" || k.Book == d.Book) && h.line.Events > 0 {
			list = append(list, h)
		}
	}
	return list
}

// priceHeld returns the charge of a suspense line at a round, and counts it into
// the book's total; fits is false where it does not fit.
func (s *State) priceHeld(l *settlement.Suspense, b *book, round *pricing.Release) (amount money.Amount, fits bool, err error) {
	if amount, fits, err = round.Charge(l.Book, l.Meter, l.Card, l.Rule, l.Quantity); err != nil || !fits {
		return amount, false, err
	}
	total, err := b.charged.Add(amount)
	if err != nil || total.Cmp(ledger.Limit()) > 0 {
		return amount, false, nil
	}
	*b.charged = total
	return amount, true, nil
}

// periodOf returns the period that what belongs to origin is posted in now.
func (s *State) periodOf(b *book, origin events.Period) (events.Period, error) {
	// As declared now, not as cached: a closing may precede in the same cut.
	now, ok := s.directory.Book(b.BookDeclared.Book)
	if !ok {
		return "", fmt.Errorf("book %s is not declared", b.BookDeclared.Book)
	}
	closed, err := now.IsClosed(origin)
	if err != nil {
		return "", fmt.Errorf("period %s of book %s: %w", origin, b.BookDeclared.Book, err)
	}
	if closed {
		label, _ := now.Open()
		return label, nil
	}
	return origin, nil
}
