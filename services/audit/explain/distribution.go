package explain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// payout explains a payment, down to the charges from which it came.
func (e *explainer) payout(d *distribution.Distribution, p distribution.Payout) (Node, error) {
	n := Node{Kind: "payout", ID: p.ID}
	n.Summary = fmt.Sprintf("Payout of %v %s to %s is %s", p.Amount, p.Asset, p.Holder, p.State)
	n.fact("distribution", d.ID)
	n.fact("rail", d.Rail)
	n.fact("state", p.State)
	if p.Reference != "" {
		n.fact("reference", p.Reference)
	}
	known, err := e.decisions()
	if err != nil {
		return n, err
	}
	for _, b := range known.submitted[d.ID] {
		if p.State == distribution.Planned || p.State == distribution.Withheld {
			break
		}
		n.fact("handed over in "+b.name+" by", &b.decided)
		for i := range b.answers {
			n.fact("answers recorded by", &b.answers[i])
		}
	}
	for i := range known.corrected[p.ID] {
		n.fact("corrected by", &known.corrected[p.ID][i])
	}
	carry, err := e.carry(d, p)
	if err != nil {
		return n, err
	}
	n.fact("payable before", fmt.Sprintf("%v (carried in)", carry.before))
	n.fact("became payable", carry.shared)
	if !carry.moved.IsZero() {
		n.fact("moved", fmt.Sprintf("%v (released, held or recovered)", carry.moved))
	}
	n.fact("paid out", fmt.Sprintf("%v, whole minor units of %s", p.Amount, p.Asset))
	n.fact("carried on", carry.after)
	for _, pool := range d.Pools {
		if pool.Asset != p.Asset {
			continue
		}
		share, ok, err := e.snapshot.ShareOf(d, p.Asset, p.Holder)
		if err != nil {
			return n, err
		}
		if ok {
			n.From = append(n.From, shareNode(d, pool, share))
		}
	}
	if !carry.before.IsZero() {
		before, err := e.carriedIn(d, p)
		if err != nil {
			return n, err
		}
		n.From = append(n.From, before...)
	}
	payment, ok, err := e.paymentOf(d, p)
	if err != nil {
		return n, err
	}
	if ok {
		n.From = append(n.From, payment)
	}
	of, err := e.distribution(d)
	n.From = append(n.From, of)
	return n, err
}

// carried is how one declaration changed a holder's payable balance of one
// token.
type carried struct{ before, shared, moved, paid, after money.Amount }

// carry follows a holder's payable account through the distributions of the
// token, up to and including this one.
func (e *explainer) carry(d *distribution.Distribution, p distribution.Payout) (c carried, err error) {
	made, err := e.snapshot.Distributions(d.Token)
	if err != nil {
		return c, err
	}
	ours := map[string]bool{}
	for i := range made {
		ours[made[i].Ref()] = true
	}
	w, err := e.distributeWriter()
	if err != nil {
		return c, err
	}
	account, pool := ledger.HolderPayable(p.Holder), ledger.TokenPool(d.Token)
	err = e.snapshot.Journal(w, 1, func(row store.Written) error {
		if row.Cut > d.Control {
			return nil
		}
		r, err := ledger.DecodeRecord(row.Record)
		if err != nil {
			return err
		}
		for i := range r.Entries {
			if !ours[r.Entries[i].Ref] {
				continue
			}
			for j := range r.Entries[i].Postings {
				if q := &r.Entries[i].Postings[j]; q.Asset == p.Asset && (q.Debit == account || q.Credit == account) {
					if err := c.add(q, account, pool, row.Cut == d.Control); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	return c, err
}

func (c *carried) add(q *ledger.Posting, account, pool ledger.Account, now bool) (err error) {
	amount := q.Amount
	if q.Debit == account {
		if amount, err = amount.Neg(); err != nil {
			return err
		}
	}
	to := &c.before
	if now {
		switch {
		case q.Debit == pool:
			to = &c.shared
		case strings.HasPrefix(string(q.Credit), ledger.OfRail.Prefix()):
			to = &c.paid
		default:
			to = &c.moved
		}
	}
	if *to, err = to.Add(amount); err != nil {
		return err
	}
	c.after, err = c.after.Add(amount)
	return err
}

func shareNode(d *distribution.Distribution, pool distribution.Pool, s distribution.Share) Node {
	n := Node{Kind: "share"}
	n.Summary = fmt.Sprintf("Share of %v %s = %v × %v units ÷ %v units", s.Amount, pool.Asset, pool.Pool, s.Units, d.Supply)
	n.fact("units", fmt.Sprintf("%v at REGISTER position %d", s.Units, d.Register))
	if !s.Frozen.IsZero() {
		n.fact("frozen", s.Frozen)
	}
	n.fact("supply", fmt.Sprintf("%v of %d holders", d.Supply, d.Holders))
	n.fact("pool", fmt.Sprintf("%v %s", pool.Pool, pool.Asset))
	if whole, err := money.MulDivFloor(pool.Pool, s.Units, d.Supply); err == nil {
		switch rest, err := s.Amount.Sub(whole); {
		case err == nil && rest.IsZero():
			n.fact("computed again", fmt.Sprintf("%v, rounded down: equal to the share", whole))
		case err == nil && rest == money.Atto(1):
			n.fact("computed again", fmt.Sprintf("%v, rounded down, and one atto by largest remainder: equal to the share", whole))
		default:
			n.fact("computed again", fmt.Sprintf("%v, rounded down: NOT equal to the share", whole))
		}
	}
	if !s.Held.IsZero() {
		n.fact("held", fmt.Sprintf("%v: the holder may not be paid, or its units are frozen", s.Held))
	}
	return n
}

// distribution explains a distribution, down to the charges of its period.
func (e *explainer) distribution(d *distribution.Distribution) (Node, error) {
	if d.Run() {
		return e.payoutRun(d)
	}
	n := Node{Kind: "distribution", ID: d.ID}
	n.Summary = fmt.Sprintf("Distribution %s of token %s for %s to %d holders of %v units", d.ID, d.Token, d.Period, d.Holders, d.Supply)
	n.fact("declared at", fmt.Sprintf("CONTROL position %d", d.Control))
	known, err := e.decisions()
	if err != nil {
		return n, err
	}
	if by, ok := known.at(d.Control); ok {
		n.fact("declared by", &by)
	}
	n.fact("rests on", fmt.Sprintf("LEDGER up to %d, REGISTER up to %d", d.Ledger, d.Register))
	n.fact("record date", d.RecordDate.UTC().Format("2006-01-02T15:04:05Z07:00"))
	revenue, err := e.revenue(d)
	if err != nil {
		return n, err
	}
	for _, p := range d.Pools {
		pool := Node{Kind: "pool"}
		pool.Summary = fmt.Sprintf("Pool of %v %s = %v in the inbox less a fee of %v (%d basis points)", p.Pool, p.Asset, p.Inbox, p.Fee, p.FeeBasisPoints)
		pool.fact("held", p.Held)
		pool.fact("payouts", fmt.Sprintf("%d of %v in all", p.Payouts, p.Planned))
		if pool.From, err = e.tiers(d, &p); err != nil {
			return n, err
		}
		pool.From = append(pool.From, revenue[p.Asset]...)
		n.From = append(n.From, pool)
	}
	return n, nil
}

// source is one node's revenue of one period in one asset.
type source struct {
	asset  money.Asset
	node   string
	period events.Period // of the charges
}

func (s source) compare(t source) int {
	return cmp.Or(strings.Compare(s.node, t.node), strings.Compare(string(s.period), string(t.period)), strings.Compare(string(s.asset), string(t.asset)))
}

// usage is the charges for one node's usage on one meter.
type usage struct {
	source
	meter, card string
	now         bool // posted in the distribution's own period
}

type charged struct {
	amount   money.Amount
	quantity money.Quantity
	events   uint64
	postings postings
}

// handed finds what a distribution took from the inbox, by node and period.
func (e *explainer) handed(d *distribution.Distribution) (map[source]money.Amount, error) {
	made, err := e.snapshot.Distributions(d.Token)
	if err != nil {
		return nil, err
	}
	made = slices.DeleteFunc(made, func(other distribution.Distribution) bool { return other.Control >= d.Control })
	inbox := ledger.TokenInbox(d.Token)
	handed := map[source]money.Amount{}
	var positions []uint64
	took := map[distribution.Handover]bool{} // without amounts
	err = e.snapshot.Handovers(d.Token, func(h distribution.Handover) error {
		if !d.Took(&h) || slices.ContainsFunc(made, func(before distribution.Distribution) bool { return before.Took(&h) }) {
			return nil
		}
		took[distribution.Handover{Token: h.Token, Asset: h.Asset, Position: h.Position, Period: h.Period}] = true
		if !slices.Contains(positions, h.Position) {
			positions = append(positions, h.Position)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, position := range positions {
		m, err := e.Ledger.Get(e.ctx, position)
		if err != nil {
			return nil, err
		}
		r, err := ledger.DecodeRecord(m.Data)
		if err != nil {
			return nil, fmt.Errorf("LEDGER position %d: %w", position, err)
		}
		for i := range r.Entries {
			for j := range r.Entries[i].Postings {
				p := &r.Entries[i].Postings[j]
				origin := r.Entries[i].Origin
				if p.Credit != inbox || !took[distribution.Handover{Token: d.Token, Asset: p.Asset, Position: position, Period: origin}] {
					continue
				}
				_, node, _ := p.Debit.Split()
				k := source{p.Asset, node, origin}
				if handed[k], err = handed[k].Add(p.Amount); err != nil {
					return nil, err
				}
			}
		}
	}
	return handed, nil
}

// revenue is [explainer.handed] with the charges for the nodes' usage in those
// periods.
func (e *explainer) revenue(d *distribution.Distribution) (map[money.Asset][]Node, error) {
	handed, err := e.handed(d)
	if err != nil {
		return nil, err
	}
	uses, err := e.charges(d, handed)
	if err != nil {
		return nil, err
	}
	list := map[money.Asset][]Node{}
	for _, k := range slices.SortedFunc(maps.Keys(handed), source.compare) {
		n := Node{Kind: "revenue", ID: k.node}
		n.Summary = fmt.Sprintf("%v %s were collected for node %s and handed over", handed[k], k.asset, k.node)
		if k.period != d.Period {
			n.Summary += ", late, for " + string(k.period)
		}
		n.From = uses[k]
		list[k.asset] = append(list[k.asset], n)
	}
	return list, nil
}

// charges sums the charges for nodes' usage in the periods whose revenue a
// distribution took. It sums the charges that were posted in the distribution's
// own period. If there are none, older charges were paid late, and it sums
// those that were posted before.
func (e *explainer) charges(d *distribution.Distribution, of map[source]money.Amount) (map[source][]Node, error) {
	sums := map[usage]*charged{}
	posted := map[source]bool{}
	writers, err := e.writersByName()
	if err != nil {
		return nil, err
	}
	err = e.snapshot.Entries(d.Book, func(writer string, row store.Written, r *ledger.Record) error {
		for i := range r.Entries {
			entry := &r.Entries[i]
			if entry.Period > d.Period || !entry.Kind.Charges() {
				continue
			}
			for j := range entry.Postings {
				p := &entry.Postings[j]
				_, node, _ := p.Credit.Split()
				from := source{p.Asset, node, entry.Origin}
				if _, ok := of[from]; !ok {
					continue
				}
				k := usage{from, string(p.Meter), p.Card, entry.Period == d.Period}
				posted[from] = posted[from] || k.now
				sum := sums[k]
				if sum == nil {
					sum = &charged{}
					sums[k] = sum
				}
				var err error
				if sum.amount, err = sum.amount.Add(p.Amount); err != nil {
					return err
				}
				if sum.quantity, err = sum.quantity.Add(p.Quantity); err != nil {
					return err
				}
				sum.events += p.Events
				if err := sum.postings.add(line{writers[writer], row.Number, i, j}, entry, p); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(sums, func(k usage, _ *charged) bool { return posted[k.source] != k.now })
	list := map[source][]Node{}
	for _, k := range slices.SortedFunc(maps.Keys(sums), func(a, b usage) int {
		return cmp.Or(a.compare(b.source), strings.Compare(a.meter, b.meter), strings.Compare(a.card, b.card))
	}) {
		sum := sums[k]
		n := Node{Kind: "usage", Summary: fmt.Sprintf("%v %s (%d events) were charged %v %s by %s in %s", sum.quantity, events.Meter(k.meter), sum.events, sum.amount, k.asset, k.card, k.period)}
		if n.From, err = e.listed(&sum.postings, k.asset); err != nil {
			return nil, err
		}
		list[k.source] = append(list[k.source], n)
	}
	return list, nil
}

func (e *explainer) writersByName() (map[string]store.WriterState, error) {
	writers, err := e.snapshot.Writers()
	named := make(map[string]store.WriterState, len(writers))
	for _, w := range writers {
		named[w.Name] = w
	}
	return named, err
}
