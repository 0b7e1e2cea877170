// Package posting decides what the messages of a partition do to the ledger: the
// heart of settlement, without input or output.
//
// The method is a [State] that takes the messages of USAGE in order, and the
// decisions of CONTROL at the barriers that name them. Each event gets exactly
// one outcome at once; charges are added up per cut by (book, customer, node,
// meter, card, quote, period, origin), and a position that cuts returns
// everything that happened since the cut before as one [settlement.Cut]. The
// same code runs live, after a restart and in replay.
//
// An event passes through once ([State.Batch]): its identity, its admission, the
// price of its combination, and the sums of the cut. Each of these keeps its own
// state in a file of its own, and so do the quantities that wait and the money that
// is owed and collected. The outcome of an event is the first of these that
// applies:
//
//  1. its segment cannot be read, or its book does not belong to the provider:
//     refused;
//  2. its identity was accepted before: duplicate, or refused as a conflict
//     where the content differs;
//  3. there is an objection to it ([events.Objections]), it finds no rate, or its
//     charge does not fit: refused. A refused event does not take its identity: it
//     is accepted if it is sent again after what it lacked was declared;
//  4. accepted; late if its period had closed.
//
// # Invariants
//
//   - Determined: the cuts are a function of the messages and decisions alone,
//     whatever their batches are, and whenever the process restarted.
//   - One outcome: the outcomes of a batch sum to its events.
//   - Rounded once: a charge is what package pricing gives for one event, or for
//     one suspense line where it is released; this package only adds charges up.
//   - Fails closed: usage without a price waits as a quantity and has no amount.
//   - Bounded: memory grows with what is declared, owed and waiting, not with
//     what was settled.
package posting

import (
	"fmt"
	"maps"
	"slices"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/pricing"
	"github.com/aliquot-engine/aliquot/pkg/quotes"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// CutEvery is the largest number of positions between cuts: a batch whose
// position is a multiple of it cuts. It is part of the rules.
const CutEvery = 100

// CutEvents is the largest number of events between cuts, not counting the last
// batch: it bounds the size of a cut whose events cannot be added up. It is
// part of the rules.
const CutEvents = 1 << 19

// Rules is the version of the rules in this package, which barriers carry.
const Rules = 1

// Originals finds the events of sequenced sources that committed cuts accepted.
// An error is not the fault of an event: it stops the settler.
type Originals interface {
	// Spans returns the accepted sequences of a source, ascending. The caller keeps them.
	Spans(source settlement.Source) ([]settlement.Span, error)
	// Original returns where an accepted sequence is.
	Original(source settlement.Source, sequence uint64) (at settlement.Original, ok bool, err error)
	// Segment returns a decoded segment of a message at or before the position
	// being settled, valid until the next call.
	Segment(position uint64, segment int) (*packed.Columns, error)
}

// Identities remembers the events of sources that are not sequenced.
type Identities interface {
	// Seen sets found[i] to what was remembered for keys[i], or to the zero identity.
	Seen(keys [][16]byte, found []settlement.Identity) error
	// Remember keeps an identity for each key, replacing what was there.
	Remember(keys [][16]byte, ids []settlement.Identity) error
}

// State is everything that decides what the next message does. Make it with
// [New].
type State struct {
	partition int
	position  uint64 // of the last message
	control   uint64 // of the last decision

	directory *directory.Directory
	tariff    pricing.Tariff

	identity  identity
	admission admission
	prices    prices
	suspense  suspense
	accounts  accounts
	open      sums // since the last cut
}

// New returns the state before the first message of a partition.
func New(partition int, originals Originals, identities Identities) *State {
	s := &State{
		partition: partition,
		directory: directory.New(),
		identity:  identity{newSequences(originals), foreigners{identities: identities, first: make(map[[16]byte]int)}},
		suspense:  suspense{held: make(map[settlement.Suspense]*held), waiting: make(map[events.Pair]*Waiting)},
		accounts:  newAccounts(),
	}
	s.admission.books = books{directory: s.directory, charged: make(map[events.Book]*money.Amount)}
	s.prices = prices{names: &s.admission, tariff: &s.tariff, suspense: &s.suspense}
	s.forget()
	s.open.reset()
	return s
}

// forget empties the caches.
func (s *State) forget() {
	s.admission.reset()
	s.prices.reset()
}

// Restore brings a new state to a committed cursor: first every decision up to
// the cursor's control position with [State.Redo], then Restore with what was
// committed. Balances are those of customers and nodes.
func (s *State) Restore(position uint64, waits []settlement.Suspense, owed []settlement.Outstanding, collected []settlement.Collected, balances *ledger.Balances) error {
	s.position = position
	for _, l := range waits {
		s.suspense.restore(l)
	}
	s.accounts.restore(owed, collected)
	for at, b := range balances.All() {
		if err := s.restore(at, b); err != nil {
			return fmt.Errorf("restoring the state at %d: balance of %s: %w", position, at.Account, err)
		}
	}
	return nil
}

func (s *State) restore(at ledger.Place, b ledger.Balance) error {
	kind, id, part := at.Account.Split()
	net, err := b.Credit.Sub(b.Debit)
	if err != nil {
		return err
	}
	switch {
	case kind == ledger.OfCustomer && part == ledger.Prepaid:
		c, ok := s.directory.Customer(events.Customer(id))
		if !ok {
			return fmt.Errorf("the customer is not declared")
		}
		if net.Sign() != 0 {
			s.accounts.account(c.Book, c.Customer, at.Asset).prepaid = net
		}
	case kind == ledger.OfNode && part == ledger.Earned:
		n, ok := s.directory.Node(events.Node(id))
		if !ok {
			return fmt.Errorf("the node is not declared")
		}
		total := s.admission.chargedBy(n.Book)
		if *total, err = total.Add(b.Credit); err != nil {
			return err
		}
	}
	return nil
}

// Waiting returns what waits for a price as of the last cut, ascending by pair.
// A pair for which nothing waits any more is also in the list.
func (s *State) Waiting() []Waiting {
	list := make([]Waiting, 0, len(s.suspense.waiting))
	for _, pair := range slices.Sorted(maps.Keys(s.suspense.waiting)) {
		list = append(list, *s.suspense.waiting[pair])
	}
	return list
}

// Quotes returns the newest observation of every source, ascending by pair and
// source.
func (s *State) Quotes() []quotes.Newest { return s.tariff.Quotes.Newest() }

// Position returns the position of the last message taken.
func (s *State) Position() uint64 { return s.position }

// Control returns the CONTROL position in effect.
func (s *State) Control() uint64 { return s.control }

// Uncut reports whether batches were taken since the last cut.
func (s *State) Uncut() bool { return s.open.batches > 0 }

// Directory returns what is declared, as of [State.Control]. Read only.
func (s *State) Directory() *directory.Directory { return s.directory }

// Marker cuts at a marker.
func (s *State) Marker(position uint64) (*settlement.Cut, error) {
	if err := s.next(position); err != nil {
		return nil, err
	}
	return s.cut(nil)
}

// next asserts that positions follow each other.
func (s *State) next(position uint64) error {
	if position != s.position+1 {
		return fmt.Errorf("settling position %d after %d", position, s.position)
	}
	s.position = position
	return nil
}

// Committed says that every cut up to and including this position is committed,
// so that what was kept in memory for uncommitted cuts can be dropped.
func (s *State) Committed(position uint64) { s.identity.committed(position) }

// cut ends the open sums, applies the decisions after them, and returns both as
// one cut.
func (s *State) cut(decisions []Decided) (*settlement.Cut, error) {
	if err := s.postUsage(); err != nil {
		return nil, err
	}
	forget := s.admission.full() || s.prices.full()
	for i := range decisions {
		effect, err := s.decide(&decisions[i], true)
		if err != nil {
			return nil, fmt.Errorf("decision %d of CONTROL: %w", decisions[i].Position, err)
		}
		forget = forget || effect
	}
	out := s.open.cut(s.partition, s.position, s.control)
	out.Originals, out.Sources = s.identity.cut()
	out.Suspense = s.suspense.cut()
	out.Outstanding, out.Collected = s.accounts.cut()
	if forget {
		s.forget()
	}
	return out, nil
}
