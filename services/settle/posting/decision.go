package posting

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Decided is a decision at its position in CONTROL, or why it cannot be read.
type Decided struct {
	Position uint64
	Decision events.Decision
	Err      error
}

// Barrier cuts at a barrier for the CONTROL position control, and then gives
// the decisions up to it their effect, in order. decisions begin after
// [State.Control]; a barrier for a position that is in effect comes with none.
func (s *State) Barrier(position, control uint64, decisions []Decided) (*settlement.Cut, error) {
	if err := s.next(position); err != nil {
		return nil, err
	}
	if want := max(control, s.control) - s.control; want != uint64(len(decisions)) {
		return nil, fmt.Errorf("barrier at %d for control position %d after %d comes with %d decisions", position, control, s.control, len(decisions))
	}
	return s.cut(decisions)
}

// Redo gives a decision the effect on what is declared that it had, and posts
// nothing: for a state that is being restored. Decisions after
// [State.Control] of the commit are not for it.
func (s *State) Redo(d Decided) error {
	_, err := s.decide(&d, false)
	s.open.reset() // Voids are in the store already.
	return err
}

// decide gives one decision its effect; post is false while restoring. It
// reports whether anything changed that prices are cached by. An error is
// broken order or arithmetic and stops the settler; a decision that is void is
// noted as such.
func (s *State) decide(d *Decided, post bool) (effect bool, err error) {
	if d.Position != s.control+1 {
		return false, fmt.Errorf("it comes after %d", s.control)
	}
	s.control = d.Position
	// Declared before, in the very same words: cards are not added twice.
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
		s.void(d.Position, reason)
		return false, nil
	}
	if !post {
		return true, nil
	}
	return true, s.act(d.Position, d.Decision.Body)
}

func (s *State) void(position uint64, reason error) {
	s.open.voids = append(s.open.voids, settlement.Void{Control: position, Reason: reason.Error()})
}

// act posts what a decision moves.
func (s *State) act(position uint64, body events.Body) error {
	ref := "control:" + strconv.FormatUint(position, 10)
	switch d := body.(type) {
	case events.DepositRecorded:
		if s.elsewhere(d.Book) {
			return nil
		}
		return s.deposit(ref, d)
	case events.CollectionRequested:
		if s.elsewhere(d.Book) {
			return nil
		}
		customers := []events.Customer{d.Customer}
		if d.Customer == "" {
			customers = s.customersOf(d.Book)
		}
		for _, c := range customers {
			if err := s.collectFrom(d.Book, c, ref, ""); err != nil {
				return err
			}
		}
	case events.PeriodClosed:
		if s.elsewhere(d.Book) {
			return nil
		}
		return s.closePeriod(ref, d)
	case events.DepositReversed:
		if s.elsewhere(d.Book) {
			return nil
		}
		return s.reverse(position, ref, d)
	case events.SuspenseReleased:
		return s.release(position, ref, d)
	}
	return nil
}

// elsewhere reports whether a book is settled in another partition, whose
// settler reads the same decisions.
func (s *State) elsewhere(name events.Book) bool {
	b, ok := s.directory.Book(name)
	return !ok || b.Partition != s.partition
}

// openPeriod is the period that what is no usage is posted in: the one after
// the last one closed. Before the first closing there is none: the wall clock
// of a decision must not reach the journal, or one input would have two hashes.
func (s *State) openPeriod(name events.Book) events.Period {
	b, ok := s.directory.Book(name)
	if !ok {
		return ""
	}
	label, _ := b.Open()
	return label
}

func (s *State) deposit(ref string, d events.DepositRecorded) error {
	a := s.account(d.Book, d.Customer, d.Asset)
	prepaid, err := a.prepaid.Add(d.Amount)
	if err != nil {
		return fmt.Errorf("adding to what %s has prepaid: %w", d.Customer, err)
	}
	a.prepaid = prepaid
	period := s.openPeriod(d.Book)
	s.post(d.Book, ledger.Entry{Book: d.Book, Kind: ledger.Deposit, Period: period, Origin: period, Ref: ref, Postings: []ledger.Posting{{
		Debit: ledger.Treasury(d.Asset), Credit: ledger.CustomerPrepaid(d.Customer), Asset: d.Asset, Amount: d.Amount,
	}}})
	return s.collectFrom(d.Book, d.Customer, ref, "")
}

// reverse takes a deposit back if all of it is still prepaid.
func (s *State) reverse(position uint64, ref string, d events.DepositReversed) error {
	a := s.accounts[d.Customer]
	if a == nil || a.prepaid.Cmp(d.Amount) < 0 {
		var left money.Amount
		if a != nil {
			left = a.prepaid
		}
		s.void(position, fmt.Errorf("%v %s of what customer %q has prepaid are left: the deposit of %v has covered something", left, d.Asset, d.Customer, d.Amount))
		return nil
	}
	prepaid, err := a.prepaid.Sub(d.Amount)
	if err != nil {
		return fmt.Errorf("taking a deposit of %s back: %w", d.Customer, err)
	}
	a.prepaid = prepaid
	period := s.openPeriod(d.Book)
	s.post(d.Book, ledger.Entry{Book: d.Book, Kind: ledger.Reversal, Period: period, Origin: period, Ref: ref, Postings: []ledger.Posting{{
		Debit: ledger.CustomerPrepaid(d.Customer), Credit: ledger.Treasury(d.Asset), Asset: d.Asset, Amount: d.Amount,
	}}})
	return nil
}

func (s *State) post(book events.Book, e ledger.Entry) {
	p := s.open.in(book)
	p.entries = append(p.entries, e)
}

// closePeriod collects from everybody, and hands over what is collected of
// charges up to the period that closes.
func (s *State) closePeriod(ref string, d events.PeriodClosed) error {
	for _, c := range s.customersOf(d.Book) {
		if err := s.collectFrom(d.Book, c, ref, d.Period); err != nil {
			return err
		}
	}
	if err := s.handOver(d.Book, ref, d.Period); err != nil {
		return err
	}
	p := s.open.in(d.Book)
	p.settled = append(p.settled, d.Period)
	return nil
}

// release prices what waits for a pair at one round, one rounding a line. A
// line whose charge does not fit goes on waiting.
func (s *State) release(position uint64, ref string, d events.SuspenseReleased) error {
	round, err := s.tariff.Release(d.Pair, d.Source, d.Round)
	if err != nil {
		s.void(position, err)
		return nil
	}
	var entry *ledger.Entry
	flush := func() {
		if entry != nil {
			s.post(entry.Book, *entry)
		}
	}
	for _, h := range s.heldFor(d) {
		l := &h.line
		b := s.book(l.Book)
		amount, fits, err := s.priceHeld(l, b, &round)
		if err != nil {
			return err
		}
		if !fits {
			continue
		}
		if !amount.IsZero() {
			period, err := s.periodOf(b, l.Period)
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
			if err := s.owe(b, l.Customer, debt{l.Period, l.Node}, amount); err != nil {
				return err
			}
		}
		l.Quantity, l.Events = money.Quantity{}, 0
		s.waitingChanged(h)
	}
	flush()
	return nil
}
