package posting

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
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

// collectFrom lets what a customer has prepaid cover what it owes: all of it,
// or each node's part in proportion, exact to the atto, ties to the node whose
// name comes first.
func (s *State) collectFrom(book events.Book, customer events.Customer, ref string, period events.Period) error {
	a := s.accounts[customer]
	if a == nil || a.prepaid.Sign() <= 0 || len(a.owed) == 0 {
		return nil
	}
	nodes := slices.Sorted(maps.Keys(a.owed))
	owed := make([]money.Units, len(nodes))
	paid := make([]money.Amount, len(nodes))
	var total money.Amount
	for i, n := range nodes {
		amount := a.owed[n]
		hi, lo := amount.Limbs() // Above zero.
		owed[i], paid[i] = money.Units{Hi: uint64(hi), Lo: lo}, amount
		var err error
		if total, err = total.Add(amount); err != nil {
			return fmt.Errorf("adding up what %s owes: %w", customer, err)
		}
	}
	if a.prepaid.Cmp(total) < 0 {
		total = a.prepaid
		if err := money.Apportion(paid, total, owed); err != nil {
			return fmt.Errorf("dividing what %s has prepaid: %w", customer, err)
		}
	}
	entry := ledger.Entry{Book: book, Kind: "collection", Period: period, Origin: period, Ref: ref, Postings: []ledger.Posting{{
		Debit: ledger.CustomerPrepaid(customer), Credit: ledger.CustomerReceivable(customer), Asset: a.asset, Amount: total,
	}}}
	for i, n := range nodes {
		if paid[i].IsZero() {
			continue
		}
		entry.Postings = append(entry.Postings, ledger.Posting{
			Debit: ledger.NodeEarned(n), Credit: ledger.NodeCollected(n), Asset: a.asset, Amount: paid[i],
		})
		rest, err := a.owed[n].Sub(paid[i])
		if err != nil {
			return fmt.Errorf("collecting from %s for %s: %w", customer, n, err)
		}
		if a.owed[n] = rest; rest.IsZero() {
			delete(a.owed, n)
		}
		s.touch(a, n)
		at := place{n, a.asset}
		if s.collected[at], err = s.collected[at].Add(paid[i]); err != nil {
			return fmt.Errorf("adding to what %s has collected: %w", n, err)
		}
	}
	var err error
	if a.prepaid, err = a.prepaid.Sub(total); err != nil {
		return fmt.Errorf("taking from what %s has prepaid: %w", customer, err)
	}
	s.post(book, entry)
	return nil
}

// handOver moves what the nodes of a book have collected to whom it is for: the
// node's token, or the provider where no token stands for the node.
func (s *State) handOver(name events.Book, ref string, period events.Period) error {
	b := s.book(name)
	if b == nil {
		return fmt.Errorf("handing over for book %s, which is not declared", name)
	}
	entry := ledger.Entry{Book: name, Kind: "handover", Period: period, Origin: period, Ref: ref}
	for _, at := range slices.SortedFunc(maps.Keys(s.collected), place.compare) {
		n, ok := s.directory.Node(at.node)
		if !ok || n.Book != name || s.collected[at].Sign() <= 0 {
			continue
		}
		to := ledger.ProviderPayable(b.Provider)
		if token, ok := s.directory.TokenOf(at.node); ok {
			to = ledger.TokenInbox(token)
		}
		entry.Postings = append(entry.Postings, ledger.Posting{
			Debit: ledger.NodeCollected(at.node), Credit: to, Asset: at.asset, Amount: s.collected[at],
		})
		delete(s.collected, at)
	}
	if len(entry.Postings) > 0 {
		s.post(name, entry)
	}
	return nil
}

func (p place) compare(q place) int {
	if c := strings.Compare(string(p.node), string(q.node)); c != 0 {
		return c
	}
	return strings.Compare(string(p.asset), string(q.asset))
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

// priceHeld returns the charge of a suspense line at a quote, and counts it
// into the book's total; ok is false where it does not fit.
func (s *State) priceHeld(l *settlement.Suspense, b *book, quote money.Amount) (amount money.Amount, ok bool) {
	rate, err := l.Price.Rate(quote)
	if err != nil {
		return amount, false
	}
	if amount, err = rate.Charge(l.Quantity); err != nil {
		return amount, false
	}
	total, err := b.charged.Add(amount)
	if err != nil || total.Cmp(limit) > 0 {
		return amount, false
	}
	*b.charged = total
	return amount, true
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
