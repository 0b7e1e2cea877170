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
// An event is looked at in this order, the first that applies giving its
// outcome:
//
//  1. its segment cannot be read, or its book is not one of the provider:
//     refused;
//  2. its identity was accepted before: duplicate, or refused as a conflict
//     where the content is another;
//  3. there is an objection to it ([events.Objections]), it finds no rate, or its
//     charge does not fit: refused. A refused event does not take its identity:
//     sent again once what it lacked is there, it is accepted;
//  4. accepted; late where its period had closed.
//
// # Invariants
//
//   - Determined: the cuts are a function of the messages and decisions alone,
//     whatever the batches they came in are, whenever the process restarted.
//   - One outcome: the outcomes of a batch sum to its events.
//   - Rounded once: a charge is what pricing.Line.ChargeAt gives for one event,
//     or for one suspense line where it is released; here is nothing but sums.
//   - Fails closed: what has no price waits as a quantity and has no amount.
//   - Bounded: memory grows with what is declared, owed and waiting, not with
//     what was settled.
package posting

import (
	"fmt"
	"maps"
	"slices"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/pricing"
	"github.com/aliquot-engine/aliquot/pkg/quotes"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// CutEvery is how many positions there are between cuts at most: a batch whose
// position is a multiple of it cuts. It is part of the rules.
const CutEvery = 100

// CutEvents is how many events there are between cuts at most, but for those of
// one batch: it bounds what a cut holds where nothing can be added up. It is
// part of the rules.
const CutEvents = 1 << 19

// Rules is the version of the rules in this package, which barriers carry.
const Rules = 1

// Originals answers what was accepted of sequenced sources in cuts that are
// committed. An error is not the event's fault: it stops the settler.
type Originals interface {
	// Spans returns the accepted sequences of a source, ascending. The caller keeps them.
	Spans(source settlement.Source) ([]settlement.Span, error)
	// Original returns where an accepted sequence is.
	Original(source settlement.Source, sequence uint64) (at settlement.Original, ok bool, err error)
	// Segment returns a decoded segment of a message at or before the position
	// being settled, valid until the next call.
	Segment(position uint64, segment int) (*events.Columns, error)
}

// Identities remembers the events of sources that are not sequenced.
type Identities interface {
	// Seen sets found[i] to what was remembered for keys[i], or to the zero identity.
	Seen(keys [][16]byte, found []settlement.Identity) error
	// Remember keeps an identity for each key, replacing what was there.
	Remember(keys [][16]byte, ids []settlement.Identity) error
}

// State is everything that the next message is decided by. Make it with [New].
type State struct {
	partition  int
	originals  Originals
	identities Identities

	directory *directory.Directory
	cards     pricing.Table
	quotes    quotes.Board

	position uint64
	control  uint64

	accounts  map[events.Customer]*account
	collected map[place]money.Amount // above zero
	held      map[settlement.Suspense]*held
	waiting   map[events.Pair]*Waiting
	charged   map[events.Book]*money.Amount

	sources map[settlement.Source]*source
	// refusedHere is what of the segment being read was refused, with a sequence.
	refusedHere map[numbered]struct{}
	caches

	// Since the last cut.
	open cut
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

// place is where collected money lies until it is handed over.
type place struct {
	book   events.Book
	period events.Period // of the charges
	node   events.Node
	asset  money.Asset
}

// held is a line of suspense.
type held struct {
	line    settlement.Suspense
	changed bool
	counted uint64 // of its events, in State.waiting
}

// Waiting is what waits for a price of one pair, as of the last cut.
type Waiting struct {
	Pair   events.Pair
	Lines  int    // of suspense
	Events uint64 // in them
}

// New returns the state before the first message of a partition.
func New(partition int, originals Originals, identities Identities) *State {
	s := &State{
		partition:  partition,
		originals:  originals,
		identities: identities,
		directory:  directory.New(),
		accounts:   make(map[events.Customer]*account),
		collected:  make(map[place]money.Amount),
		held:       make(map[settlement.Suspense]*held),
		waiting:    make(map[events.Pair]*Waiting),
		charged:    make(map[events.Book]*money.Amount),
		sources:    make(map[settlement.Source]*source),

		refusedHere: make(map[numbered]struct{}),
	}
	s.caches.reset()
	s.open.reset()
	return s
}

// Restore brings a new state to a committed cursor: first every decision up to
// the cursor's control position with [State.Redo], then Restore with what was
// committed. Balances are those of customers and nodes.
func (s *State) Restore(position uint64, waits []settlement.Suspense, owed []settlement.Outstanding, collected []settlement.Collected, balances *ledger.Balances) error {
	s.position = position
	for _, l := range waits {
		h := &held{line: l}
		s.held[heldKey(l)] = h
		s.count(h)
	}
	for _, o := range owed {
		s.account(o.Book, o.Customer, o.Asset).owed[debt{o.Period, o.Node}] = o.Amount
	}
	for _, c := range collected {
		s.collected[place{c.Book, c.Period, c.Node, c.Asset}] = c.Amount
	}
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
	case kind == "customer" && part == "prepaid":
		c, ok := s.directory.Customer(events.Customer(id))
		if !ok {
			return fmt.Errorf("the customer is not declared")
		}
		if net.Sign() != 0 {
			s.account(c.Book, c.Customer, at.Asset).prepaid = net
		}
	case kind == "node" && part == "earned":
		n, ok := s.directory.Node(events.Node(id))
		if !ok {
			return fmt.Errorf("the node is not declared")
		}
		total := s.chargedBy(n.Book)
		if *total, err = total.Add(b.Credit); err != nil {
			return err
		}
	}
	return nil
}

func (s *State) account(book events.Book, customer events.Customer, asset money.Asset) *account {
	a := s.accounts[customer]
	if a == nil {
		a = &account{book: book, customer: customer, asset: asset,
			owed: make(map[debt]money.Amount), changed: make(map[debt]struct{})}
		s.accounts[customer] = a
	}
	return a
}

func (s *State) chargedBy(book events.Book) *money.Amount {
	total := s.charged[book]
	if total == nil {
		total = new(money.Amount)
		s.charged[book] = total
	}
	return total
}

// count brings the sums of what waits up to date with one line.
func (s *State) count(h *held) {
	w := s.waiting[h.line.Pair]
	if w == nil {
		w = &Waiting{Pair: h.line.Pair}
		s.waiting[h.line.Pair] = w
	}
	if h.counted == 0 && h.line.Events > 0 {
		w.Lines++
	}
	if h.counted > 0 && h.line.Events == 0 {
		w.Lines--
	}
	w.Events += h.line.Events - h.counted // may wrap in between, and comes out right
	h.counted = h.line.Events
}

// Waiting returns what waits for a price as of the last cut, ascending by pair;
// a pair of which nothing waits any more is among them.
func (s *State) Waiting() []Waiting {
	list := make([]Waiting, 0, len(s.waiting))
	for _, pair := range slices.Sorted(maps.Keys(s.waiting)) {
		list = append(list, *s.waiting[pair])
	}
	return list
}

// Quotes returns the newest observation of every source, ascending by pair and
// source.
func (s *State) Quotes() []quotes.Newest { return s.quotes.Newest() }

// heldKey is a suspense line without what changes.
func heldKey(l settlement.Suspense) settlement.Suspense {
	l.Quantity, l.Events, l.Price = money.Quantity{}, 0, money.Price{}
	return l
}

// Position returns the position of the last message taken.
func (s *State) Position() uint64 { return s.position }

// Control returns the CONTROL position in effect.
func (s *State) Control() uint64 { return s.control }

// Uncut reports whether messages were taken since the last cut whose events
// wait for one.
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

// Committed says that every cut up to and including this position is
// committed: what was kept to answer for them is dropped.
func (s *State) Committed(position uint64) {
	for _, key := range slices.SortedFunc(maps.Keys(s.open.recent), compareSources) {
		src := s.sources[key]
		n := 0
		for n < len(src.recent) && src.recent[n].Position <= position {
			n++
		}
		if src.recent = src.recent[n:]; len(src.recent) == 0 {
			src.recent = nil
			delete(s.open.recent, key)
		}
	}
	if len(s.sources) > maxSources {
		maps.DeleteFunc(s.sources, func(_ settlement.Source, src *source) bool { return src.recent == nil })
	}
}

// maxSources is how many sources are kept in memory. Then those without
// uncommitted events are dropped, and read again when they speak.
const maxSources = 1 << 16
