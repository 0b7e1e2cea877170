package issue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/pricing"
	"github.com/aliquot-engine/aliquot/pkg/quotes"
	"github.com/aliquot-engine/aliquot/pkg/receipt"
)

// mostTables limits the number of tables of cards that are kept: one for each
// book and version of its cards for which receipts were made lately.
const mostTables = 32

// Decisions knows what was declared at every position of CONTROL that it has
// read, and by which decision, so that a receipt need not read decisions that
// were read for another one. Like the settler's own directory and board, it grows
// with the declarations that had an effect, by about 200 bytes for a round of
// quotes. It belongs to one CONTROL, and any goroutine may use it. Make it with
// [NewDecisions].
type Decisions struct {
	mu        sync.Mutex // guards everything below
	directory *directory.Directory
	tariff    pricing.Tariff
	position  uint64 // read up to here

	books     map[events.Book]history[money.Asset]
	nodes     map[events.Node]history[[]events.Attribute]
	customers map[events.Customer]history[string] // the plan
	priced    map[events.Book]history[events.CardDeclared]
	card      map[string]uint64 // by book and card@version
	pairs     map[events.Pair]*observed
	tables    []table // the last one used is at the end
}

// observed is what is known about a pair.
type observed struct {
	policies history[events.QuotePolicyDeclared]
	sources  map[string]history[events.Round] // ascending in time too, because a board accepts no others
	rounds   map[string]uint64                // position, by source#round
	// withdrawn are the rounds that were withdrawn, by source#round, ascending by
	// position.
	withdrawn history[string]
}

// table contains the cards of a book, up to one of its versions.
type table struct {
	book  events.Book
	cards int
	*pricing.Table
}

// history is what was declared under one name, ascending by position.
type history[T any] []declaredAt[T]

type declaredAt[T any] struct {
	position uint64
	what     T
}

// through returns how many entries are at or before a position.
func (h history[T]) through(position uint64) int {
	return sort.Search(len(h), func(i int) bool { return h[i].position > position })
}

// asOf returns the last entry at or before a position, or the zero value.
func (h history[T]) asOf(position uint64) (d declaredAt[T]) {
	if n := h.through(position); n > 0 {
		d = h[n-1]
	}
	return d
}

// NewDecisions returns an empty Decisions.
func NewDecisions() *Decisions {
	return &Decisions{
		directory: directory.New(), books: map[events.Book]history[money.Asset]{}, nodes: map[events.Node]history[[]events.Attribute]{},
		customers: map[events.Customer]history[string]{}, priced: map[events.Book]history[events.CardDeclared]{},
		card: map[string]uint64{}, pairs: map[events.Pair]*observed{},
	}
}

// read reads decisions up to a position and applies them as settle does.
func (d *Decisions) read(ctx context.Context, control *eventlog.Stream, through uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.position >= through {
		return nil
	}
	r, err := control.Read(ctx, d.position+1, "")
	if err != nil {
		return err
	}
	defer r.Stop()
	for d.position < through {
		message, err := r.Next(ctx)
		if err != nil {
			return err
		}
		decision, err := events.DecodeDecision(message.Data)
		if err := d.take(message.Seq, decision, err == nil); err != nil {
			return err
		}
	}
	return nil
}

// take applies the next decision. A decision that cannot be read is void.
func (d *Decisions) take(at uint64, decision events.Decision, readable bool) error {
	same := readable && d.directory.Same(decision.Body)
	applied := d.directory.Apply(at, decision)
	if errors.Is(applied, directory.ErrOrder) {
		return applied
	}
	d.position = at
	if readable && applied == nil && !same {
		d.note(at, decision.Body)
	}
	return nil
}

func (d *Decisions) note(at uint64, body events.Body) {
	switch b := body.(type) {
	case events.BookDeclared:
		now, _ := d.directory.Book(b.Book)
		d.books[b.Book] = append(d.books[b.Book], declaredAt[money.Asset]{at, now.Asset})
	case events.NodeDeclared:
		now, _ := d.directory.Node(b.Node)
		d.nodes[b.Node] = append(d.nodes[b.Node], declaredAt[[]events.Attribute]{at, now.Attributes})
	case events.CustomerDeclared:
		now, _ := d.directory.Customer(b.Customer)
		d.customers[b.Customer] = append(d.customers[b.Customer], declaredAt[string]{at, now.Plan})
	case events.CardDeclared:
		if d.tariff.Learn(b) == nil {
			d.card[string(b.Book)+"\n"+pricing.Ref(b.Card, b.Version)] = at
			d.priced[b.Book] = append(d.priced[b.Book], declaredAt[events.CardDeclared]{at, b})
		}
	case events.QuotePolicyDeclared:
		if d.tariff.Learn(b) == nil {
			p := d.pair(b.Pair)
			p.policies = append(p.policies, declaredAt[events.QuotePolicyDeclared]{at, b})
		}
	case events.RoundWithdrawn:
		id := quotes.RoundID(b.Source, b.Round)
		if p := d.pair(b.Pair); d.tariff.Learn(b) == nil && !p.gone(id, at) {
			p.withdrawn = append(p.withdrawn, declaredAt[string]{at, id})
		}
	case events.QuotesObserved:
		if d.tariff.Learn(b) != nil {
			return
		}
		p := d.pair(b.Pair)
		for _, r := range b.Rounds {
			id := quotes.RoundID(b.Source, r.Round)
			if _, known := p.rounds[id]; !known {
				p.rounds[id] = at
				p.sources[b.Source] = append(p.sources[b.Source], declaredAt[events.Round]{at, r})
			}
		}
	}
}

// gone reports whether a round is withdrawn at a position.
func (p *observed) gone(id string, position uint64) bool {
	for _, w := range p.withdrawn[:p.withdrawn.through(position)] {
		if w.what == id {
			return true
		}
	}
	return false
}

func (d *Decisions) pair(name events.Pair) *observed {
	p := d.pairs[name]
	if p == nil {
		p = &observed{sources: map[string]history[events.Round]{}, rounds: map[string]uint64{}}
		d.pairs[name] = p
	}
	return p
}

// table returns the cards of a book at a position.
func (d *Decisions) table(book events.Book, position uint64) *pricing.Table {
	n := d.priced[book].through(position)
	for i, t := range d.tables {
		if t.book == book && t.cards == n {
			d.tables = append(slices.Delete(d.tables, i, i+1), t)
			return t.Table
		}
	}
	made := new(pricing.Table)
	for _, c := range d.priced[book][:n] {
		_ = made.Add(c.what) // It succeeded before, after the same cards of its book.
	}
	if len(d.tables) >= mostTables {
		d.tables = slices.Delete(d.tables, 0, 1)
	}
	d.tables = append(d.tables, table{book, n, made})
	return made
}

// board returns the board from which the verdict on events with this last instant
// follows, at a position: the policy, and the latest round of each source.
func (d *Decisions) board(pair events.Pair, at int64, position uint64) *quotes.Board {
	board := new(quotes.Board)
	p := d.pairs[pair]
	if p == nil {
		return board
	}
	if policy := p.policies.asOf(position); policy.position > 0 {
		_ = board.SetPolicy(policy.what) // It succeeded before.
	}
	// map order: a board keeps its sources ascending by name.
	for source, rounds := range p.sources {
		rounds = rounds[:rounds.through(position)]
		n := sort.Search(len(rounds), func(i int) bool { return rounds[i].what.Time.UnixNano() > at })
		for n > 0 && p.gone(quotes.RoundID(source, rounds[n-1].what.Round), position) {
			n--
		}
		if n > 0 {
			_ = board.Observe(events.QuotesObserved{Pair: pair, Source: source, Rounds: []events.Round{rounds[n-1].what}}) // This also succeeded before.
		}
	}
	return board
}

// world is what is declared at a position of CONTROL, and by which decisions.
type world struct {
	*Decisions
	through uint64
}

// fold reads decisions up to a position and returns the world there.
func (m *maker) fold(through uint64) (*world, error) {
	known := m.Decisions
	if known == nil {
		known = NewDecisions()
	}
	if err := known.read(m.ctx, m.Control, through); err != nil {
		return nil, err
	}
	return &world{known, through}, nil
}

// For implements [pricing.Quoter] as of the world's position. The caller holds the
// lock.
func (w *world) For(asset, currency money.Asset, at int64) quotes.Verdict {
	return w.board(quotes.PairOf(asset, currency), at, w.through).For(asset, currency, at)
}

// price prices an event, and names the decisions on which the price rests. It
// returns false for an event without a price.
func (w *world) price(book events.Book, u *events.Usage) (*receipt.Charge, []uint64, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	in, node, customer := w.books[book].asOf(w.through), w.nodes[u.Node].asOf(w.through), w.customers[u.Customer].asOf(w.through)
	facts := pricing.FactsOf(u, book, in.what, node.what, customer.what)
	price := w.table(book, w.through).Price(w, &facts)
	charge, err := price.Charge(u.Quantity)
	if err != nil || charge.Waits {
		return nil, nil, false
	}
	pair, line, verdict := price.Pair(), price.Line, price.Quote
	c := &receipt.Charge{Asset: in.what, Card: line.Card, Rule: line.Rule, Quote: verdict.ID, Rate: verdict.Quote, Billed: charge.Billed, Amount: charge.Amount}
	from := []uint64{in.position, node.position, customer.position, w.card[string(book)+"\n"+line.Card]}
	if verdict.ID == "" {
		return c, from, true
	}
	from = append(from, w.pairs[pair].policies.asOf(w.through).position)
	if verdict.ID == quotes.Fixed {
		return c, from, true
	}
	for _, round := range quotes.Rounds(verdict.ID) {
		from = append(from, w.pairs[pair].rounds[round])
	}
	for _, gone := range w.pairs[pair].withdrawn[:w.pairs[pair].withdrawn.through(w.through)] {
		from = append(from, gone.position, w.pairs[pair].rounds[gone.what])
	}
	return c, from, true
}

// declared returns the positions of a card and of rounds of quotes, or nil if one
// of them is not known.
func (w *world) declared(book, asset string, sources []string) []uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := func(position uint64) bool { return position > 0 && position <= w.through }
	var list []uint64
	for i, source := range sources {
		if i == 0 {
			position := w.card[fmt.Sprintf("%s\n%s", book, source)]
			if !known(position) {
				return nil
			}
			list = append(list, position)
			continue
		}
		found := false
		// map order: the positions are sorted.
		for pair, p := range w.pairs {
			if position := p.rounds[source]; strings.HasPrefix(string(pair), asset+"/") && known(position) {
				list, found = append(list, position), true
			}
		}
		if !found {
			return nil
		}
	}
	return list
}
