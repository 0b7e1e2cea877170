package issue

import (
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/receipt"
	"github.com/aliquot-engine/aliquot/services/audit/explain"
)

// A section of LEDGER is shown if it has at most this number of messages and
// bytes, and its charges rest on at most this number of decisions.
const (
	revenueMessages  = 64
	revenueBytes     = 256 << 10
	revenueDecisions = 64
)

// revenue adds what LEDGER says about the token since the previous distribution,
// with the cards and rounds that its charges name, if that is short and rests on
// roots that the declaration contains. For a long period it adds nothing: the
// receipts of its records and events prove it.
func (m *maker) revenue(p *explain.Payout) error {
	if _, ok := m.trees[ledgerLog]; !ok || m.trees[controlLog].Size == 0 {
		return nil
	}
	earlier, err := m.Store.Distributions(m.ctx, p.Of.Token)
	if err != nil {
		return err
	}
	first := uint64(1)
	for _, d := range earlier {
		if d.Control < p.Of.Control {
			first = max(first, d.Ledger+1)
		}
	}
	if first > p.Of.Ledger || p.Of.Ledger-first >= revenueMessages {
		return nil
	}
	var shown []eventlog.Message
	size := 0
	for at := first; at <= p.Of.Ledger; at++ {
		message, err := m.Ledger.Get(m.ctx, at)
		if err != nil {
			return err
		}
		if size += len(message.Data); size > revenueBytes {
			return nil
		}
		shown = append(shown, message)
	}
	amount, from, err := m.sources(p, shown)
	if err != nil || from == nil || len(from) > revenueDecisions {
		return err
	}
	for _, message := range shown {
		if err := m.show(ledgerLog, message); err != nil {
			return err
		}
	}
	for _, position := range from {
		if err := m.showAt(controlLog, m.Control, position); err != nil {
			return err
		}
	}
	m.made.Payout.Revenue = &receipt.Revenue{First: first, Last: p.Of.Ledger, Amount: amount}
	return nil
}

// sources returns what is handed over to the token, and the positions of the
// decisions that priced its charges; none if one of them is not found.
func (m *maker) sources(p *explain.Payout, shown []eventlog.Message) (sum money.Amount, from []uint64, err error) {
	w, err := m.fold(m.trees[controlLog].Size)
	if err != nil {
		return sum, nil, err
	}
	var records []ledger.Record
	nodes := map[string]bool{}
	inbox := ledger.TokenInbox(p.Of.Token)
	for _, message := range shown {
		r, err := ledger.DecodeRecord(message.Data)
		if err != nil {
			return sum, nil, err
		}
		records = append(records, r)
		for i := range r.Entries {
			for j := range r.Entries[i].Postings {
				q := &r.Entries[i].Postings[j]
				if q.Credit != inbox || q.Asset != p.Asset {
					continue
				}
				nodes[strings.TrimSuffix(string(q.Debit), ":collected")] = true
				if sum, err = sum.Add(q.Amount); err != nil {
					return sum, nil, err
				}
			}
		}
	}
	from = []uint64{}
	for _, r := range records {
		for i := range r.Entries {
			for j := range r.Entries[i].Postings {
				q := &r.Entries[i].Postings[j]
				node, earned := strings.CutSuffix(string(q.Credit), ledger.Earned.Suffix())
				if q.Card == "" || !earned || !nodes[node] {
					continue
				}
				list := w.declared(string(r.Entries[i].Book), string(q.Asset), receipt.SourcesOf(q))
				if list == nil {
					return sum, nil, nil
				}
				from = append(from, list...)
			}
		}
	}
	slices.Sort(from)
	return sum, slices.Compact(from), nil
}
