package posting

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Decided is a decision at its position in CONTROL, or why it cannot be read.
type Decided struct {
	Position uint64
	Decision events.Decision
	Err      error
}

// Barrier cuts at a barrier for the CONTROL position control, and then gives
// the decisions up to it their effect, in order. The decisions begin after
// [State.Control]; a barrier for a position that is already in effect has none.
func (s *State) Barrier(position, control uint64, decisions []Decided) (*settlement.Cut, error) {
	if err := s.next(position); err != nil {
		return nil, err
	}
	if want := max(control, s.control) - s.control; want != uint64(len(decisions)) {
		return nil, fmt.Errorf("barrier at %d for control position %d after %d comes with %d decisions", position, control, s.control, len(decisions))
	}
	return s.cut(decisions)
}

// Redo declares what a decision declared, and posts nothing: for a state that is
// being restored, up to the control position of the commit.
func (s *State) Redo(d Decided) error {
	_, err := s.decide(&d, false)
	s.open.reset() // Voids are already in the store.
	return err
}

// decide gives one decision its effect; post is false while restoring. It
// reports whether names or prices may have changed. An error means that the
// order of decisions or the arithmetic is broken, and stops the settler; a void
// decision is recorded as void.
func (s *State) decide(d *Decided, post bool) (effect bool, err error) {
	if d.Position != s.control+1 {
		return false, fmt.Errorf("it comes after %d", s.control)
	}
	s.control = d.Position
	// An identical declaration is already in effect: its cards are not added
	// twice.
	same := d.Err == nil && d.Decision.Body != nil && s.directory.Same(d.Decision.Body)
	reason := s.directory.Apply(d.Position, d.Decision)
	if d.Err != nil {
		reason = d.Err
	}
	if reason == nil && !same {
		reason = s.tariff.Learn(d.Decision.Body)
	}
	switch {
	case errors.Is(reason, directory.ErrOrder):
		return false, reason
	case errors.Is(reason, directory.ErrRepeat):
		return false, nil
	case reason != nil:
		s.open.void(d.Position, reason)
		return false, nil
	}
	if !post {
		return true, nil
	}
	return true, s.act(d.Position, d.Decision.Body)
}

// act posts the money that a decision moves. It posts nothing for a book of
// another partition, whose settler reads the same decisions.
func (s *State) act(position uint64, body events.Body) error {
	ref := "control:" + strconv.FormatUint(position, 10)
	switch d := body.(type) {
	case events.DepositRecorded:
		if s.here(d.Book) {
			return s.deposit(ref, d)
		}
	case events.CollectionRequested:
		if s.here(d.Book) {
			return s.collect(ref, d.Book, d.Customer, "")
		}
	case events.PeriodClosed:
		if s.here(d.Book) {
			return s.closePeriod(ref, d)
		}
	case events.DepositReversed:
		if s.here(d.Book) {
			return s.reverse(position, ref, d)
		}
	case events.SuspenseReleased:
		return s.release(position, ref, d)
	}
	return nil
}

// here reports whether a book is settled in this partition.
func (s *State) here(name events.Book) bool {
	b, ok := s.directory.Book(name)
	return ok && b.Partition == s.partition
}

// openPeriod returns the period to which postings other than usage belong: the one
// after the last one that was closed. Before the first closing it is empty: the
// wall clock of a decision must not reach the journal, or one input would have two
// hashes.
func (s *State) openPeriod(name events.Book) events.Period {
	b, ok := s.directory.Book(name)
	if !ok {
		return ""
	}
	label, _ := b.Open()
	return label
}

// periodOf returns the period in which charges of origin are posted now.
func (s *State) periodOf(name events.Book, origin events.Period) (events.Period, error) {
	b, ok := s.directory.Book(name)
	if !ok {
		return "", fmt.Errorf("book %s is not declared", name)
	}
	closed, err := b.IsClosed(origin)
	if err != nil {
		return "", fmt.Errorf("period %s of book %s: %w", origin, name, err)
	}
	if closed {
		label, _ := b.Open()
		return label, nil
	}
	return origin, nil
}

func (s *State) deposit(ref string, d events.DepositRecorded) error {
	if err := s.accounts.deposit(d); err != nil {
		return err
	}
	period := s.openPeriod(d.Book)
	s.open.post(d.Book, ledger.Entry{Book: d.Book, Kind: ledger.Deposit, Period: period, Origin: period, Ref: ref, Postings: []ledger.Posting{{
		Debit: ledger.Treasury(d.Asset), Credit: ledger.CustomerPrepaid(d.Customer), Asset: d.Asset, Amount: d.Amount,
	}}})
	return s.collect(ref, d.Book, d.Customer, "")
}

// reverse takes a deposit back if all of it is still prepaid. Otherwise the
// decision is void.
func (s *State) reverse(position uint64, ref string, d events.DepositReversed) error {
	left, taken, err := s.accounts.reverse(d)
	if err != nil {
		return err
	}
	if !taken {
		s.open.void(position, fmt.Errorf("%v %s of what customer %q has prepaid are left: the deposit of %v has covered something", left, d.Asset, d.Customer, d.Amount))
		return nil
	}
	period := s.openPeriod(d.Book)
	s.open.post(d.Book, ledger.Entry{Book: d.Book, Kind: ledger.Reversal, Period: period, Origin: period, Ref: ref, Postings: []ledger.Posting{{
		Debit: ledger.CustomerPrepaid(d.Customer), Credit: ledger.Treasury(d.Asset), Asset: d.Asset, Amount: d.Amount,
	}}})
	return nil
}

// collect collects from a customer of a book, or from all customers if customer
// is empty. A closing posts in its own name what belongs to the period that it
// closes or to an older one; everything else is posted where a charge of its
// period would be posted now.
func (s *State) collect(ref string, book events.Book, customer events.Customer, closing events.Period) error {
	customers := []events.Customer{customer}
	if customer == "" {
		customers = s.accounts.in(book)
	}
	for _, c := range customers {
		list, err := s.accounts.collect(c, ref, func(origin events.Period) (events.Period, error) {
			if closing != "" && origin <= closing { // labels of one calendar sort as their periods do
				return closing, nil
			}
			return s.periodOf(book, origin)
		})
		if err != nil {
			return err
		}
		s.open.post(book, list...)
	}
	return nil
}

// closePeriod collects from all customers, and hands over what is collected of
// charges up to the period that closes: to the node's token, or to the provider
// if the node has no token.
func (s *State) closePeriod(ref string, d events.PeriodClosed) error {
	if err := s.collect(ref, d.Book, "", d.Period); err != nil {
		return err
	}
	b, ok := s.directory.Book(d.Book)
	if !ok {
		return fmt.Errorf("handing over for book %s, which is not declared", d.Book)
	}
	s.open.post(d.Book, s.accounts.handOver(d.Book, ref, d.Period, func(node events.Node) ledger.Account {
		if token, ok := s.directory.TokenOf(node); ok {
			return ledger.TokenInbox(token)
		}
		return ledger.ProviderPayable(b.Provider)
	})...)
	p := s.open.in(d.Book)
	p.settled = append(p.settled, d.Period)
	return nil
}

// release prices the usage that waits for a pair at one round, and rounds once
// per line. A line whose charge does not fit continues to wait.
func (s *State) release(position uint64, ref string, d events.SuspenseReleased) error {
	round, err := s.tariff.Release(d.Pair, d.Source, d.Round)
	if err != nil {
		s.open.void(position, err)
		return nil
	}
	var entry *ledger.Entry
	flush := func() {
		if entry != nil {
			s.open.post(entry.Book, *entry)
		}
	}
	for _, h := range s.suspense.of(d) {
		l := &h.line
		b := s.admission.book(l.Book)
		amount, fits, err := round.Charge(l.Book, l.Meter, l.Card, l.Rule, l.Quantity)
		if err != nil {
			return err
		}
		total, within := b.with(amount)
		if !fits || !within {
			continue
		}
		*b.charged = total
		if !amount.IsZero() {
			period, err := s.periodOf(l.Book, l.Period)
			if err != nil {
				return err
			}
			if entry == nil || entry.Book != l.Book || entry.Period != period || entry.Origin != l.Period {
				flush()
				entry = &ledger.Entry{Book: l.Book, Kind: ledger.Release, Period: period, Origin: l.Period, Ref: ref}
			}
			entry.Postings = append(entry.Postings, ledger.Posting{
				Debit: ledger.CustomerReceivable(l.Customer), Credit: ledger.NodeEarned(l.Node), Asset: b.Asset, Amount: amount,
				Card: l.Card, Quote: round.Quote, Meter: l.Meter, Quantity: l.Quantity, Events: l.Events,
			})
			if err := s.accounts.owe(l.Book, l.Customer, b.Asset, debt{l.Period, l.Node}, amount); err != nil {
				return err
			}
		}
		s.suspense.release(h)
	}
	flush()
	return nil
}
