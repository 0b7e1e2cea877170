package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/sqlite"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// errCard means that a card cannot replace another.
var errCard = errors.New("card cannot be replaced")

// was returns the balances at the positions at which a shadow replay ends: those
// of the live store if it is at these positions, or derived ones.
func (r *replay) was(ctx context.Context, until target) (list []Balance, err error) {
	if r.live != nil && r.config.At.zero() {
		return balancesOf(r.live)
	}
	err = r.whole(ctx, until, func(derived *store.Snapshot) (err error) {
		list, err = balancesOf(derived)
		return err
	})
	return list, err
}

// shadow derives what would have happened with other cards, and lists the
// accounts that would differ. The loops read edited streams: CONTROL with the new
// cards inserted, USAGE with its barriers adjusted, and as LEDGER what settle
// derives.
func (r *replay) shadow(ctx context.Context, until target, was []Balance) (err error) {
	r.result.Messages = 0
	control, err := r.edited(ctx)
	if err != nil {
		return err
	}
	fresh, err := sqlite.OpenScratch(filepath.Join(r.folder, "shadow.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fresh.Close()) }()
	created := r.from.Control.Created()
	for _, p := range until.partitions {
		moved := &movedUsage{inner: p.usage, last: p.at.Usage, control: control}
		p.usage = eventlog.Offline(p.usage.Name(), p.usage.Created(), moved)
		p.control = eventlog.Offline(r.from.Control.Name(), created, control)
		p.at.Control = control.outer(p.at.Control)
		if err := r.settle(ctx, "shadow", fresh, p); err != nil {
			return err
		}
	}
	return fresh.Snapshot(ctx, func(settled *store.Snapshot) error {
		made := &madeLedger{settled: settled}
		if control.ledgerAt, err = made.follow(ctx, r.from.Ledger, control.declared); err != nil {
			return err
		}
		from := r.from
		from.Control = eventlog.Offline(r.from.Control.Name(), created, control)
		from.Ledger = eventlog.Offline(r.from.Ledger.Name(), r.from.Ledger.Created(), made)
		if err := r.distribute(ctx, fresh, from, control.outer(until.distributed)); err != nil {
			return err
		}
		return fresh.Snapshot(ctx, func(derived *store.Snapshot) error {
			balances, err := balancesOf(derived)
			if err != nil {
				return err
			}
			if r.config.Balances {
				r.result.Balances = balances
			}
			r.result.Accounts = differingAccounts(was, balances)
			return r.count(derived)
		})
	})
}

// editedControl is CONTROL with some decisions inserted and others made void. It
// is an [eventlog.Source].
type editedControl struct {
	inner    *eventlog.Stream
	last     uint64   // last position of inner
	put      []putIn  // ascending by position
	dropped  []uint64 // positions in inner, ascending
	declared []uint64 // LEDGER positions that distributions rest on, ascending
	ledgerAt map[uint64]uint64
}

// putIn is a decision that is inserted after a position of the original.
type putIn struct {
	after uint64
	body  events.CardDeclared
	data  []byte
}

// nameOf identifies a card in all its versions.
type nameOf struct {
	book events.Book
	card events.Card
}

// edited determines where the cards of the configuration are inserted: each after
// decision Since, or in place of the first card of its name, as the next
// versions. Later declarations of the name have no effect.
func (r *replay) edited(ctx context.Context) (*editedControl, error) {
	last, err := r.from.Control.Last(ctx)
	if err != nil {
		return nil, err
	}
	if r.config.Since > last {
		return nil, fmt.Errorf("%w since decision %d: CONTROL ends at %d", errCard, r.config.Since, last)
	}
	c := &editedControl{inner: r.from.Control, last: last}
	wanted := map[nameOf][]events.CardDeclared{}
	for _, card := range r.config.Cards {
		n := nameOf{card.Book, card.Card}
		wanted[n] = append(wanted[n], card)
	}
	versions, since := map[nameOf]int{}, map[nameOf]uint64{}
	known := directory.New()
	err = decisions(ctx, r.from.Control, last, func(at uint64, d events.Decision) error {
		void := known.Apply(at, d)
		if b, ok := d.Body.(events.DistributionDeclared); ok {
			c.declared = append(c.declared, b.LedgerSeq)
		}
		card, ok := d.Body.(events.CardDeclared)
		if !ok {
			return ordered(void)
		}
		n := nameOf{card.Book, card.Card}
		if _, edit := wanted[n]; !edit {
			return ordered(void)
		}
		switch {
		case r.config.Since > 0 && at <= r.config.Since:
			if void == nil {
				versions[n] = max(versions[n], card.Version)
			}
			return ordered(void)
		case since[n] == 0:
			since[n] = at
		}
		c.dropped = append(c.dropped, at)
		return ordered(void)
	})
	if err != nil {
		return nil, err
	}
	for n, cards := range wanted {
		after := r.config.Since
		if after == 0 {
			after = since[n]
		}
		if after == 0 {
			return nil, fmt.Errorf("%w: no card %q of book %q was declared; say from which decision on it applies", errCard, n.card, n.book)
		}
		slices.SortFunc(cards, func(a, b events.CardDeclared) int { return cmp.Compare(a.Version, b.Version) })
		for i, card := range cards {
			card.Version = versions[n] + i + 1
			c.put = append(c.put, putIn{after: after, body: card})
		}
	}
	slices.SortFunc(c.put, func(a, b putIn) int {
		return cmp.Or(cmp.Compare(a.after, b.after), cmp.Compare(a.body.Book, b.body.Book), cmp.Compare(a.body.Card, b.body.Card), cmp.Compare(a.body.Version, b.body.Version))
	})
	slices.Sort(c.declared)
	return c, c.encode(ctx)
}

// encode makes the inserted decisions, with the time of the decision before each.
func (c *editedControl) encode(ctx context.Context) error {
	for i := range c.put {
		p := &c.put[i]
		m, err := c.inner.Get(ctx, p.after)
		if err != nil {
			return err
		}
		before, err := events.DecodeDecision(m.Data)
		if err != nil {
			return fmt.Errorf("%w after decision %d: %w", errCard, p.after, err)
		}
		p.data, err = events.AppendDecision(nil, events.Decision{
			ID: fmt.Sprintf("shadow:%d", i+1), Actor: before.Actor, At: before.At, Body: p.body,
		})
		if err != nil {
			return fmt.Errorf("%w: %w", errCard, err)
		}
	}
	return nil
}

// outer returns the position in the edited stream of an original position.
func (c *editedControl) outer(position uint64) uint64 {
	n, _ := slices.BinarySearchFunc(c.put, position+1, func(p putIn, position uint64) int { return cmp.Compare(p.after, position) })
	return position + uint64(n)
}

// Last is the last position of the edited stream.
func (c *editedControl) Last() uint64 { return c.last + uint64(len(c.put)) }

// Get finds a message by its position in the edited stream.
func (c *editedControl) Get(ctx context.Context, position uint64) (eventlog.Message, error) {
	for i, p := range c.put {
		at := p.after + uint64(i) + 1
		if position < at {
			return c.original(ctx, position, position-uint64(i))
		}
		if position == at {
			return c.inserted(p, at), nil
		}
	}
	if position > c.Last() {
		return eventlog.Message{}, eventlog.ErrNotFound
	}
	return c.original(ctx, position, position-uint64(len(c.put)))
}

func (c *editedControl) inserted(p putIn, at uint64) eventlog.Message {
	return eventlog.Message{Seq: at, Subject: eventlog.ControlSubject(p.body.Kind()), Data: p.data}
}

func (c *editedControl) original(ctx context.Context, position, inner uint64) (eventlog.Message, error) {
	m, err := c.inner.Get(ctx, inner)
	if err != nil {
		return m, err
	}
	return c.edit(m, position)
}

// edit returns an original message in the form that the edited stream has.
func (c *editedControl) edit(m eventlog.Message, position uint64) (eventlog.Message, error) {
	inner := m.Seq
	m.Seq = position
	if _, drop := slices.BinarySearch(c.dropped, inner); drop {
		m.Data = []byte{} // Not a decision, and therefore void everywhere.
		return m, nil
	}
	d, err := events.DecodeDecision(m.Data)
	if err != nil {
		return m, nil
	}
	switch b := d.Body.(type) {
	case events.DistributionDeclared:
		b.ControlSeq = c.outer(b.ControlSeq)
		if c.ledgerAt != nil {
			b.LedgerSeq = c.ledgerAt[b.LedgerSeq]
		}
		b.RestsOn = nil // No log has signed a state that never existed.
		d.Body = b
	case events.PayoutRunDeclared:
		b.ControlSeq = c.outer(b.ControlSeq)
		b.RestsOn = nil
		d.Body = b
	default:
		return m, nil
	}
	m.Data, err = events.AppendDecision(nil, d)
	return m, err
}

// Messages reads the edited stream in order.
func (c *editedControl) Messages(ctx context.Context, from uint64, each func(eventlog.Message) error) error {
	// The position at which reading the original begins; earlier insertions are
	// skipped.
	inner, at := uint64(1), uint64(0)
	for n := uint64(1); n <= c.last && c.outer(n) < from; n++ {
		inner, at = n+1, c.outer(n)
	}
	if inner > c.last {
		return nil
	}
	r, err := c.inner.Read(ctx, inner, "")
	if err != nil {
		return err
	}
	defer r.Stop()
	next, _ := slices.BinarySearchFunc(c.put, inner, func(p putIn, position uint64) int { return cmp.Compare(p.after, position) })
	for ; inner <= c.last; inner++ {
		m, err := r.Next(ctx)
		if err != nil {
			return err
		}
		at++
		if m, err = c.edit(m, at); err == nil && at >= from {
			err = each(m)
		}
		if err != nil {
			return err
		}
		for ; next < len(c.put) && c.put[next].after == inner; next++ {
			if at++; at < from {
				continue
			}
			if err := each(c.inserted(c.put[next], at)); err != nil {
				return err
			}
		}
	}
	return nil
}
