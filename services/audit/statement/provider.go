package statement

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// OfProvider is a provider's statement: what its nodes did and earned.
type OfProvider struct {
	Provider events.Provider `json:"provider"`
	Of       events.Period   `json:"of,omitempty" doc:"The period that was asked for; empty means all periods."`
	Books    []events.Book   `json:"books"`
	Nodes    []NodeLine      `json:"nodes"`
	Charges  []Charge        `json:"charges" doc:"By node, meter, card and period."`
	Outcomes []OutcomeLine   `json:"outcomes" doc:"Events by node and period."`
	Waiting  []Waiting       `json:"waiting"`
	Totals   []ProviderTotal `json:"totals" doc:"By asset."`
}

// NodeLine is the money of one node in one asset.
type NodeLine struct {
	Node       events.Node  `json:"node"`
	Asset      money.Asset  `json:"asset"`
	Charged    money.Amount `json:"charged"`
	Collected  money.Amount `json:"collected"`
	Owed       money.Amount `json:"owed" doc:"Charged but not collected."`
	HandedOver money.Amount `json:"handed_over" doc:"To a token, or to the provider if no token stands for the node."`
}

// OutcomeLine is what became of the events of one node and period.
type OutcomeLine struct {
	Book      events.Book   `json:"book"`
	Node      events.Node   `json:"node" doc:"Empty for events that name no node of the book."`
	Period    events.Period `json:"period"`
	Received  uint64        `json:"received" doc:"The sum of the next four fields."`
	Accepted  uint64        `json:"accepted"`
	Late      uint64        `json:"late"`
	Duplicate uint64        `json:"duplicate"`
	Refused   uint64        `json:"refused"`
	Reasons   []ReasonCount `json:"reasons,omitempty"`
}

// ReasonCount is how many events were refused for a reason.
type ReasonCount struct {
	Reason events.Reason `json:"reason"`
	Events uint64        `json:"events"`
}

// ProviderTotal is a provider's money in one asset.
type ProviderTotal struct {
	Asset      money.Asset  `json:"asset"`
	Charged    money.Amount `json:"charged"`
	Collected  money.Amount `json:"collected"`
	Owed       money.Amount `json:"owed"`
	HandedOver money.Amount `json:"handed_over"`
	Payable    money.Amount `json:"payable" doc:"The part that went to the provider itself."`
}

// Provider makes a provider's statement over its books, which the caller knows
// from the directory. If period is empty it covers all periods. Otherwise it
// covers the usage in that period and what was charged, collected and handed over
// for it. What is payable is always the present amount.
func Provider(ctx context.Context, db *store.DB, provider events.Provider, books []events.Book, period events.Period) (s OfProvider, err error) {
	books = slices.Sorted(slices.Values(books))
	err = db.Snapshot(ctx, func(snapshot *store.Snapshot) error {
		s = OfProvider{Provider: provider, Of: period, Books: append([]events.Book{}, books...), Nodes: []NodeLine{}, Charges: []Charge{}, Outcomes: []OutcomeLine{}, Waiting: []Waiting{}, Totals: []ProviderTotal{}}
		nodes, revenue := map[events.Node]bool{}, revenues{}
		for _, book := range books {
			if err := s.book(snapshot, book, nodes, revenue); err != nil {
				return err
			}
		}
		return s.money(snapshot, nodes, revenue)
	})
	if err != nil {
		return OfProvider{}, fmt.Errorf("stating provider %s: %w", provider, err)
	}
	return s, nil
}

// nodeAsset is one node's money in one asset.
type nodeAsset struct {
	node  events.Node
	asset money.Asset
}

func (a nodeAsset) compare(b nodeAsset) int {
	return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.asset, b.asset))
}

// revenues are the lines of the nodes.
type revenues map[nodeAsset]*NodeLine

// add adds an entry other than usage that concerns a node's charges of a period.
func (r revenues) add(e *ledger.Entry) (err error) {
	for i := range e.Postings {
		p := &e.Postings[i]
		switch e.Kind {
		case ledger.Collection:
			if kind, node, part := p.Credit.Split(); kind == ledger.OfNode && part == ledger.Collected {
				sum(&err, &r.of(node, p.Asset).Collected, p.Amount)
			}
		case ledger.Handover:
			if kind, node, part := p.Debit.Split(); kind == ledger.OfNode && part == ledger.Collected {
				sum(&err, &r.of(node, p.Asset).HandedOver, p.Amount)
			}
		}
	}
	return err
}

func (r revenues) of(node string, asset money.Asset) *NodeLine {
	k := nodeAsset{events.Node(node), asset}
	if r[k] == nil {
		r[k] = &NodeLine{Node: k.node, Asset: asset}
	}
	return r[k]
}

// balances reads the lines of all periods from the ledger.
func (r revenues) balances(snapshot *store.Snapshot, nodes map[events.Node]bool) error {
	rows, err := snapshot.Balances(ledger.OfNode.Prefix())
	if err != nil {
		return err
	}
	for _, row := range rows {
		_, id, part := row.Account.Split()
		if !nodes[events.Node(id)] {
			continue
		}
		l := r.of(id, row.Asset)
		switch part {
		case ledger.Earned:
			l.Charged = row.Credit
			l.Owed, err = row.Credit.Sub(row.Debit)
		case ledger.Collected:
			l.Collected, l.HandedOver = row.Credit, row.Debit
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// book adds the lines of one book, and records which nodes are in it.
func (s *OfProvider) book(snapshot *store.Snapshot, book events.Book, nodes map[events.Node]bool, revenue revenues) error {
	lines := charges{}
	err := snapshot.Entries(book, func(_ string, _ store.Written, r *ledger.Record) error {
		for i := range r.Entries {
			e := &r.Entries[i]
			switch {
			case !e.Kind.Charges():
				if s.Of == "" || e.Origin != s.Of {
					continue
				}
				if err := revenue.add(e); err != nil {
					return err
				}
				continue
			case !within(s.Of, e.Origin):
				continue
			}
			for j := range e.Postings {
				if err := lines.add(e, &e.Postings[j]); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range slices.SortedFunc(maps.Keys(lines), chargeKey.compare) {
		s.Charges = append(s.Charges, *lines[k])
		nodes[k.node] = true
		if s.Of != "" {
			sum(&err, &revenue.of(string(k.node), k.asset).Charged, lines[k].Charged)
		}
	}
	if err != nil {
		return err
	}
	tallies, err := snapshot.Tallies(book)
	if err != nil {
		return err
	}
	for _, t := range tallies {
		if !within(s.Of, t.Period) {
			continue
		}
		n := len(s.Outcomes) - 1
		if n < 0 || s.Outcomes[n].Book != t.Book || s.Outcomes[n].Node != t.Node || s.Outcomes[n].Period != t.Period {
			s.Outcomes = append(s.Outcomes, OutcomeLine{Book: t.Book, Node: t.Node, Period: t.Period})
			n++
		}
		line := &s.Outcomes[n]
		line.Received += t.Events
		switch t.Outcome {
		case events.Accepted:
			line.Accepted += t.Events
		case events.Late:
			line.Late += t.Events
		case events.Duplicate:
			line.Duplicate += t.Events
		case events.Refused:
			line.Refused += t.Events
			line.Reasons = append(line.Reasons, ReasonCount{t.Reason, t.Events})
		}
		if t.Node != "" {
			nodes[t.Node] = true
		}
	}
	waiting, err := snapshot.Suspense(book)
	for _, l := range waiting {
		if !within(s.Of, l.Period) {
			continue
		}
		s.Waiting = append(s.Waiting, Waiting{l.Book, l.Node, l.Customer, l.Meter, l.Card, l.Pair, l.Period, l.Events, l.Quantity})
	}
	return err
}

// money makes the nodes' lines and the totals, from the balances or from the
// journal of one period.
func (s *OfProvider) money(snapshot *store.Snapshot, nodes map[events.Node]bool, lines revenues) error {
	var err error
	if s.Of == "" {
		err = lines.balances(snapshot, nodes)
	} else {
		for _, l := range lines {
			if err == nil {
				l.Owed, err = l.Charged.Sub(l.Collected)
			}
		}
	}
	if err != nil {
		return err
	}
	totals := map[money.Asset]*ProviderTotal{}
	total := func(asset money.Asset) *ProviderTotal {
		if totals[asset] == nil {
			totals[asset] = &ProviderTotal{Asset: asset}
		}
		return totals[asset]
	}
	for _, k := range slices.SortedFunc(maps.Keys(lines), nodeAsset.compare) {
		l := *lines[k]
		s.Nodes = append(s.Nodes, l)
		t := total(l.Asset)
		sum(&err, &t.Charged, l.Charged)
		sum(&err, &t.Collected, l.Collected)
		sum(&err, &t.Owed, l.Owed)
		sum(&err, &t.HandedOver, l.HandedOver)
	}
	account := ledger.ProviderPayable(s.Provider)
	rows, e := snapshot.Balances(string(account))
	if err == nil {
		err = e
	}
	for _, row := range rows {
		if row.Account == account && err == nil {
			total(row.Asset).Payable, err = row.Credit.Sub(row.Debit)
		}
	}
	for _, asset := range slices.Sorted(maps.Keys(totals)) {
		s.Totals = append(s.Totals, *totals[asset])
	}
	return err
}

// Write writes the statement as text for people, to a writer that keeps its error.
func (s *OfProvider) Write(w io.Writer) {
	title(w, "provider", string(s.Provider), s.Of)
	t := section(w, "Totals", "ASSET", "CHARGED", "COLLECTED", "OWED", "HANDED OVER", "OF THAT TO THE PROVIDER")
	for _, l := range s.Totals {
		t.Row(l.Asset, l.Charged, l.Collected, l.Owed, l.HandedOver, l.Payable)
	}
	t.End()
	t = section(w, "Nodes", "NODE", "ASSET", "CHARGED", "COLLECTED", "OWED", "HANDED OVER")
	for _, l := range s.Nodes {
		t.Row(l.Node, l.Asset, l.Charged, l.Collected, l.Owed, l.HandedOver)
	}
	t.End()
	writeCharges(w, s.Charges)
	t = section(w, "Events", "PERIOD", "NODE", "RECEIVED", "ACCEPTED", "LATE", "DUPLICATE", "REFUSED", "BECAUSE")
	for _, l := range s.Outcomes {
		var reasons []string
		for _, r := range l.Reasons {
			reasons = append(reasons, fmt.Sprintf("%s %d", r.Reason, r.Events))
		}
		t.Row(l.Period, l.Node, l.Received, l.Accepted, l.Late, l.Duplicate, l.Refused, strings.Join(reasons, ", "))
	}
	t.End()
	writeWaiting(w, s.Waiting)
}

func writeCharges(w io.Writer, list []Charge) {
	t := section(w, "Charges", "PERIOD", "USED IN", "NODE", "METER", "CARD", "EVENTS", "QUANTITY", "CHARGED", "ASSET")
	for _, l := range list {
		t.Row(l.Period, l.Origin, l.Node, l.Meter, l.Card, l.Events, l.Quantity, l.Charged, l.Asset)
	}
	t.End()
}

func writeWaiting(w io.Writer, list []Waiting) {
	if len(list) == 0 {
		return
	}
	t := section(w, "Waiting for a price", "PERIOD", "NODE", "CUSTOMER", "METER", "CARD", "QUOTE", "EVENTS", "QUANTITY")
	for _, l := range list {
		t.Row(l.Period, l.Node, l.Customer, l.Meter, l.Card, l.Pair, l.Events, l.Quantity)
	}
	t.End()
}
