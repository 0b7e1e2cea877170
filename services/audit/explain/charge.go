package explain

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/pricing"
)

// priced is how one event is priced, and what it costs.
type priced struct {
	pricing.Price
	pricing.Charge
	quantity money.Quantity
	fits     bool // a rule matched, and the event has a charge or a quantity that waits
}

// price prices an event in the same way as settle did.
func (w *world) price(book events.Book, u *events.Usage) priced {
	b, _ := w.directory.Book(book)
	node, _ := w.directory.Node(u.Node)
	customer, _ := w.directory.Customer(u.Customer)
	facts := pricing.FactsOf(u, book, b.Asset, node.Attributes, customer.Plan)
	c := priced{Price: w.tariff.Price(&facts), quantity: u.Quantity}
	var err error
	c.Charge, err = c.Price.Charge(u.Quantity)
	c.fits = err == nil
	return c
}

// charge explains how one event is priced, including who declared the card and
// who recorded the quote.
func (e *explainer) charge(book events.Book, meter events.Meter, c *priced, control uint64) (Node, error) {
	n := c.node()
	if c.State == pricing.NoRate {
		return n, nil
	}
	card, err := e.card(book, c.Line.Card, meter)
	if err != nil {
		return n, err
	}
	n.From = append(n.From, card)
	quote, ok, err := e.quote(c.Pair(), c.Quote.ID, control)
	if ok {
		n.From = append(n.From, quote)
	}
	return n, err
}

func (c *priced) node() Node {
	n := Node{Kind: "charge"}
	if c.State == pricing.NoRate {
		n.Summary = "No rule of a card in force matches"
		return n
	}
	n.fact("card", fmt.Sprintf("%s, rule %d", c.Line.Card, c.Line.Rule))
	n.fact("price", c.Line.Terms())
	n.fact("quantity", c.quantity)
	if !c.Line.Granularity.IsZero() {
		n.fact("billed in steps of", c.Line.Granularity)
	}
	n.fact("billed", c.Billed)
	if c.Quote.Held {
		n.Summary = fmt.Sprintf("It had no price: the quote of %s was %s", c.Pair(), c.Quote.Reason)
		n.fact("quote wanted", c.Pair())
		n.fact("held because", c.Quote.Reason)
		if !c.Quote.Seen.IsZero() {
			n.fact("quote seen", c.Quote.Seen)
		}
		return n
	}
	quote := c.Quote.ID
	if quote == "" {
		quote = "none needed"
	}
	n.fact("quote", fmt.Sprintf("%v (%s)", c.Quote.Quote, quote))
	if c.Quote.Warn {
		n.fact("warning", "the quote is off its peg by more than the policy's warning")
	}
	switch {
	case !c.fits:
		n.Summary = "Its charge does not fit 128 bits"
	case c.Waits:
		n.Summary = fmt.Sprintf("It had no price: its charge does not fit 128 bits at the quote of %s", c.Pair())
	default:
		n.Summary = fmt.Sprintf("Charge %v %s = %s", c.Amount, c.Asset, c.Formula(&c.Charge))
		n.fact("charge", fmt.Sprintf("%v %s", c.Amount, c.Asset))
	}
	return n
}

// summed finds the posting that contains an event's charge, and computes the
// whole posting again from its cut. It returns the position of CONTROL that was
// in effect when it was posted, or 0 if it was not posted.
func (e *explainer) summed(writer store.WriterState, w *world, c priced, u *events.Usage, book events.Book, p directory.Posting, before, last uint64) (n Node, under uint64, err error) {
	n = Node{Kind: "entry"}
	if c.Amount.IsZero() {
		n.Summary = "A charge of zero posts nothing"
		return n, 0, nil
	}
	number, err := e.snapshot.FirstAt(writer, before+1)
	if err != nil {
		return n, 0, err
	}
	debit, credit := ledger.CustomerReceivable(u.Customer), ledger.NodeEarned(u.Node)
	for ; number <= writer.Last; number++ {
		row, ok, err := e.snapshot.Row(writer, number)
		if err != nil {
			return n, 0, err
		}
		if !ok || row.Cut > last {
			break
		}
		if row.Book != book {
			continue
		}
		r, err := ledger.DecodeRecord(row.Record)
		if err != nil {
			return n, 0, err
		}
		for i := range r.Entries {
			entry := &r.Entries[i]
			if entry.Kind != ledger.Usage || entry.Period != p.Period || entry.Origin != p.Origin {
				continue
			}
			for j := range entry.Postings {
				q := &entry.Postings[j]
				if q.Debit == debit && q.Credit == credit && q.Card == c.Line.Card && q.Quote == c.Quote.ID && q.Meter == u.Meter {
					n.ID = line{writer, number, i, j}.String()
					n.Summary = fmt.Sprintf("It is one of %d events of the posting of %v %s from %s to %s in the cut at position %d", q.Events, q.Amount, q.Asset, q.Credit, q.Debit, row.Cut)
					n.fact("posting", n.ID)
					n.fact("period", entry.Period)
					n.fact("quantity", q.Quantity)
					n.fact("amount", fmt.Sprintf("%v %s", q.Amount, q.Asset))
					return n, r.Control, e.again(&n, w, c, u, book, p, q, before, row.Cut, nil)
				}
			}
		}
	}
	n.Summary = "No posting of its cut contains it: the journal does not match the streams. Run replay"
	return n, 0, nil
}

// released finds what happened to a quantity that had no price: it still waits,
// or a decision released its whole line of suspense.
func (e *explainer) released(writer store.WriterState, c priced, u *events.Usage, book events.Book, p directory.Posting, position uint64) (n Node, under uint64, err error) {
	n = Node{Kind: "release"}
	from, err := e.snapshot.FirstAt(writer, position)
	if err != nil {
		return n, 0, err
	}
	debit, credit := ledger.CustomerReceivable(u.Customer), ledger.NodeEarned(u.Node)
	err = e.snapshot.Journal(writer, from, func(row store.Written) error {
		if row.Book != book || n.ID != "" {
			return nil
		}
		r, err := ledger.DecodeRecord(row.Record)
		if err != nil {
			return err
		}
		for i := range r.Entries {
			entry := &r.Entries[i]
			if entry.Kind != ledger.Release || entry.Origin != p.Origin {
				continue
			}
			for j := range entry.Postings {
				q := &entry.Postings[j]
				if n.ID != "" || q.Debit != debit || q.Credit != credit || q.Card != c.Line.Card || q.Meter != u.Meter {
					continue
				}
				n.ID, under = line{writer, row.Number, i, j}.String(), r.Control
				n.Summary = fmt.Sprintf("It was released at %s, one of %d events of the posting of %v %s from %s to %s", q.Quote, q.Events, q.Amount, q.Asset, q.Credit, q.Debit)
				n.fact("posting", n.ID)
				if n.From, err = e.because(entry, q, r.Control); err != nil {
					return err
				}
				n.fact("period", period(entry.Period))
				n.fact("quantity", q.Quantity)
			}
		}
		return nil
	})
	if err != nil || n.ID != "" {
		return n, under, err
	}
	lines, err := e.snapshot.Suspense(book)
	for _, l := range lines {
		if l.Node == u.Node && l.Customer == u.Customer && l.Meter == u.Meter && l.Card == c.Line.Card && l.Rule == c.Line.Rule && l.Period == p.Origin {
			n.Summary = fmt.Sprintf("It waits with a total of %d events of %v %s until a person releases it at a round of %s", l.Events, l.Quantity, l.Meter, l.Pair)
			return n, 0, err
		}
	}
	n.Summary = "It does not wait and was not charged: it was released at a charge of zero, or the journal does not match the streams. Run replay"
	return n, 0, err
}

// again sums a posting from the events of its cut, and calls each for them
// unless it is nil.
func (e *explainer) again(n *Node, w *world, c priced, u *events.Usage, book events.Book, p directory.Posting, q *ledger.Posting, before, cut uint64, each func(handle, *events.Usage, *priced)) error {
	var amount money.Amount
	var quantity money.Quantity
	count := uint64(0)
	partition, _ := eventlog.PartitionOf(e.usage.Name())
	for position := before + 1; position <= cut; position++ {
		raw, err := e.usage.Get(e.ctx, position)
		if err != nil {
			// It is unknown whether the posting is right, so it is not called
			// wrong.
			n.fact("computed again", fmt.Sprintf("not possible: position %d of %s could not be read: %v", position, e.usage.Name(), err))
			return nil
		}
		m, err := decode(position, raw.Data)
		if err != nil || m.Kind != events.Batch {
			continue // A message that cannot be decoded has no events, and neither has any other kind.
		}
		ordinal := 0
		for _, s := range m.segments {
			if s.columns == nil {
				continue
			}
			for i := range s.columns.N {
				at := handle{partition, position, ordinal}
				ordinal++
				if s.Book != book || !same(s.columns, i, u) {
					continue
				}
				outcome, _, err := e.outcome(at)
				if err != nil {
					return err
				}
				if outcome.Outcome != events.Accepted && outcome.Outcome != events.Late {
					continue
				}
				other := s.columns.Event(i)
				if where, _ := w.directory.Posting(book, other.LastInstant()); where.Period != p.Period || where.Origin != p.Origin {
					continue
				}
				o := w.price(book, &other)
				if !o.fits || o.Waits || o.Line.Card != c.Line.Card || o.Quote.ID != c.Quote.ID {
					continue
				}
				if amount, err = amount.Add(o.Amount); err != nil {
					return err
				}
				if quantity, err = quantity.Add(o.Billed); err != nil {
					return err
				}
				count++
				if each != nil {
					each(at, &other, &o)
				}
			}
		}
	}
	verdict := "equal to the posting"
	if amount != q.Amount || quantity != q.Quantity || count != q.Events {
		verdict = "NOT equal to the posting"
	}
	n.fact("computed again", fmt.Sprintf("%d events of %v, charges of %v: %s", count, quantity, amount, verdict))
	return nil
}

// same reports whether an event is of the same node, customer and meter.
func same(c *packed.Columns, i int, u *events.Usage) bool {
	return string(c.Strings[c.Node[i]]) == string(u.Node) && string(c.Strings[c.Customer[i]]) == string(u.Customer) && string(c.Strings[c.Meter[i]]) == string(u.Meter)
}

// after explains where the money went after it was posted; under is the
// position of CONTROL that was in effect then.
func (e *explainer) after(n *Node, book events.Book, u *events.Usage, under uint64) error {
	owed, err := e.snapshot.Outstanding(book, u.Customer)
	if err != nil {
		return err
	}
	left := "nothing: all of these charges are collected"
	for _, o := range owed {
		if o.Node == u.Node {
			left = fmt.Sprintf("%v %s", o.Amount, o.Asset)
		}
	}
	n.fact("customer owes for the node", left)
	last, err := e.Control.Last(e.ctx)
	if err != nil {
		return err
	}
	now, err := e.fold(last)
	if err != nil {
		return err
	}
	token, ok := now.directory.TokenOf(u.Node)
	if !ok {
		n.fact("revenue goes to", "the provider, because the node has no token")
		return nil
	}
	n.fact("revenue goes to", "token "+string(token))
	return e.followUp(n, token, u.Node, under)
}

// row explains one journal row.
func (e *explainer) row(w store.WriterState, number uint64) (Node, error) {
	_, r, err := e.record(w, number)
	if err != nil {
		return Node{}, err
	}
	stream := "USAGE"
	if w.Name == store.DistributeWriter {
		stream = "CONTROL"
	}
	n := Node{Kind: "row", ID: fmt.Sprintf("%s-%d", w.Name, number)}
	n.Summary = fmt.Sprintf("Row %d of %s: %d entries of book %s, cut at %s position %d", number, w.Name, len(r.Entries), r.Book, stream, r.Cut)
	n.fact("decisions in force", fmt.Sprintf("CONTROL up to %d", r.Control))
	if r.Parts > 1 {
		n.fact("part", fmt.Sprintf("%d of %d", r.Part+1, r.Parts))
	}
	for _, p := range r.Settled {
		n.fact("settles", p)
	}
	for i := range r.Entries {
		entry := &r.Entries[i]
		child := Node{Kind: "entry", Summary: fmt.Sprintf("Entry of %s in %s", entry.Kind, period(entry.Period))}
		if entry.Origin != entry.Period {
			child.fact("belongs to", entry.Origin)
		}
		if entry.Ref != "" {
			child.fact("because of", entry.Ref)
		}
		for j := range entry.Postings {
			p := &entry.Postings[j]
			text := fmt.Sprintf("debit %s, credit %s: %v %s", p.Debit, p.Credit, p.Amount, p.Asset)
			if p.Meter != "" {
				text += fmt.Sprintf(" for %v %s (%d events) by %s", p.Quantity, p.Meter, p.Events, p.Card)
			}
			if p.Quote != "" {
				text += " at " + p.Quote
			}
			child.fact(fmt.Sprintf("%s-%d/%d/%d", w.Name, number, i, j), text)
		}
		n.From = append(n.From, child)
	}
	return n, nil
}

func period(p events.Period) string {
	if p == "" {
		return "no period: before the first closing"
	}
	return string(p)
}
