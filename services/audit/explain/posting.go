package explain

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// How many items of a long list are shown. The others are counted, and can be
// explained by their ids.
const (
	shownEvents   = 50 // of the posting in question
	pathEvents    = 3  // of a posting on the way down from a payout
	shownPostings = 3  // of a line of charges
	pathPostings  = 3  // of an explanation that are followed down to their events
	shownPayouts  = 10 // of a distribution
)

// line is where a posting is: a row of a writer, an entry and a posting in it.
type line struct {
	writer         store.WriterState
	number         uint64
	entry, posting int
}

func (l line) String() string {
	return fmt.Sprintf("%s-%d/%d/%d", l.writer.Name, l.number, l.entry, l.posting)
}

// parseRow reads <number> or <number>/<entry>/<posting> after a writer's name.
func parseRow(w store.WriterState, text string) (l line, whole, ok bool) {
	l.writer = w
	parts := strings.Split(text, "/")
	if len(parts) != 1 && len(parts) != 3 {
		return l, false, false
	}
	var err error
	if l.number, err = strconv.ParseUint(parts[0], 10, 40); err != nil {
		return l, false, false
	}
	if len(parts) == 1 {
		return l, true, true
	}
	entry, errEntry := strconv.ParseUint(parts[1], 10, 31)
	posting, errPosting := strconv.ParseUint(parts[2], 10, 31)
	l.entry, l.posting = int(entry), int(posting)
	return l, false, errEntry == nil && errPosting == nil
}

// record reads a row of the journal.
func (e *explainer) record(w store.WriterState, number uint64) (store.Written, ledger.Record, error) {
	row, ok, err := e.snapshot.Row(w, number)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %s has %d rows", ErrUnknown, w.Name, w.Last)
	}
	if err != nil {
		return row, ledger.Record{}, err
	}
	r, err := ledger.DecodeRecord(row.Record)
	return row, r, err
}

// posting explains one posting: its accounts, the card, quote and events of a
// charge, the decision behind anything else.
func (e *explainer) posting(l line, most int) (Node, error) {
	row, r, err := e.record(l.writer, l.number)
	if err != nil {
		return Node{}, err
	}
	if l.entry >= len(r.Entries) || l.posting >= len(r.Entries[l.entry].Postings) {
		return Node{}, fmt.Errorf("%w: row %s-%d has no posting %d/%d", ErrUnknown, l.writer.Name, l.number, l.entry, l.posting)
	}
	entry := &r.Entries[l.entry]
	p := &entry.Postings[l.posting]
	n := Node{Kind: "posting", ID: l.String(), Summary: l.text(entry, p)}
	n.fact("period", period(entry.Period))
	if entry.Origin != entry.Period {
		n.fact("belongs to", period(entry.Origin))
	}
	n.fact("debit", p.Debit)
	n.fact("credit", p.Credit)
	cause, ok, err := e.cause(entry.Ref)
	if err != nil {
		return n, err
	}
	if ok {
		n.From = append(n.From, cause)
	} else if entry.Ref != "" {
		n.fact("because of", entry.Ref)
	}
	if p.Card == "" {
		return n, nil
	}
	n.fact("quantity", p.Quantity)
	return n, e.charged(&n, row, &r, entry, p, l.writer, most)
}

// text says what a posting is in one line.
func (l line) text(entry *ledger.Entry, p *ledger.Posting) string {
	if p.Card == "" {
		return fmt.Sprintf("Posting %v of %v %s (%s): debit %s, credit %s", l, p.Amount, p.Asset, entry.Kind, p.Debit, p.Credit)
	}
	text := fmt.Sprintf("Posting %v of %v %s for %v %s (%d events) by %s", l, p.Amount, p.Asset, p.Quantity, p.Meter, p.Events, p.Card)
	if p.Quote != "" {
		text += " at " + p.Quote
	}
	return text
}

// charged adds how a charge was priced, and its events.
func (e *explainer) charged(n *Node, row store.Written, r *ledger.Record, entry *ledger.Entry, p *ledger.Posting, writer store.WriterState, most int) error {
	card, err := e.card(entry.Book, p.Card, p.Meter)
	if err != nil {
		return err
	}
	n.From = append(n.From, card)
	known, err := e.decisions()
	if err != nil {
		return err
	}
	quote, ok, err := e.quote(known.pair(entry.Book, p), p.Quote, r.Control)
	if err != nil {
		return err
	}
	if ok {
		n.From = append(n.From, quote)
	}
	if entry.Kind != ledger.Usage {
		n.fact("events", fmt.Sprintf("%d, which had waited for a price: explain each of them by its source and id", p.Events))
		return nil
	}
	u := &events.Usage{Meter: p.Meter}
	for _, a := range []ledger.Account{p.Debit, p.Credit} {
		switch kind, id, _ := a.Split(); kind {
		case ledger.OfCustomer:
			u.Customer = events.Customer(id)
		case ledger.OfNode:
			u.Node = events.Node(id)
		}
	}
	if err := e.choose(r.Partition); err != nil {
		return err
	}
	w, err := e.fold(r.Control)
	if err != nil {
		return err
	}
	_, before, _, err := e.around(writer, row.Cut)
	if err != nil {
		return err
	}
	c := priced{}
	c.Line.Card, c.Quote.ID = p.Card, p.Quote
	where := directory.Posting{Period: entry.Period, Origin: entry.Origin}
	hidden := 0
	err = e.again(n, w, c, u, entry.Book, where, p, before, row.Cut, func(at handle, other *events.Usage, o *priced) {
		if len(n.From) > most+2 {
			hidden++
			return
		}
		n.From = append(n.From, Node{Kind: "event", ID: at.String(), Summary: fmt.Sprintf("Event %s: %v %s until %s, by rule %d, was charged %v %s",
			nameOf(other), other.Quantity, other.Meter, stamp(other.End), o.Line.Rule, o.Amount, o.Asset)})
	})
	if hidden > 0 {
		n.From = append(n.From, Node{Kind: "more", Summary: fmt.Sprintf("… and %d more events", hidden)})
	}
	return err
}

// nameOf returns the name that a source gave an event.
func nameOf(u *events.Usage) string {
	if u.Sequenced {
		return fmt.Sprintf("%s#%d/%d", u.Source, u.Epoch, u.Sequence)
	}
	return u.Source + "#" + u.ID
}

// postings are the postings of one line of charges, the first of them by name.
type postings struct {
	first []shownPosting
	count int
	sum   money.Amount // of the postings that are not in first
}

type shownPosting struct {
	line
	text string
}

func (s *postings) add(l line, entry *ledger.Entry, p *ledger.Posting) (err error) {
	if s.count++; len(s.first) < shownPostings {
		s.first = append(s.first, shownPosting{l, l.text(entry, p)})
		return nil
	}
	s.sum, err = s.sum.Add(p.Amount)
	return err
}

// listed lists the postings of a line: some down to their events, until the
// limit of the explanation is reached, and the others by id.
func (e *explainer) listed(s *postings, asset money.Asset) (list []Node, err error) {
	for _, l := range s.first {
		n := Node{Kind: "posting", ID: l.String(), Summary: l.text}
		if e.followed < pathPostings {
			e.followed++
			if n, err = e.posting(l.line, pathEvents); err != nil {
				return nil, err
			}
		}
		list = append(list, n)
	}
	if more := s.count - len(s.first); more > 0 {
		list = append(list, Node{Kind: "more", Summary: fmt.Sprintf("… and %d more postings of %v %s", more, s.sum, asset)})
	}
	return list, nil
}

// because explains a release: its decision, and the round that it names.
func (e *explainer) because(entry *ledger.Entry, p *ledger.Posting, control uint64) (list []Node, err error) {
	cause, ok, err := e.cause(entry.Ref)
	if err != nil {
		return nil, err
	}
	if ok {
		list = append(list, cause)
	}
	known, err := e.decisions()
	if err != nil {
		return nil, err
	}
	quote, ok, err := e.quote(known.pair(entry.Book, p), p.Quote, control)
	if ok {
		list = append(list, quote)
	}
	return list, err
}
