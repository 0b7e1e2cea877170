package export

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func reconciliationColumns() []Column {
	list := []Column{
		{"distribution", Text, false}, // or payout run
		{"token", Text, false},
		{"book", Text, true},
		{"period", Text, true},
		{"rail", Text, false},
		{"asset", Text, false},
		{"payouts", Count, false},
		{"amount", Decimal, false}, // of all payouts, as planned
	}
	for _, s := range distribution.States() {
		list = append(list, Column{string(s) + "_payouts", Count, false}, Column{string(s) + "_amount", Decimal, false})
	}
	return append(list, []Column{
		{"answered_confirmed", Decimal, false}, // according to the rail's files
		{"answered_failed", Decimal, false},
		{"answered_returned", Decimal, false},
		{"ledger_in_flight", Decimal, false}, // according to the ledger
		{"ledger_paid", Decimal, false},
		{"in_flight_difference", Decimal, false}, // planned and submitted less the ledger's
		{"paid_difference", Decimal, false},      // confirmed less the ledger's
		{"conflicts", Count, false},              // payouts with an answer that had no effect and that nobody has resolved
		{"disagreeing", Count, false},            // payouts whose state differs from the rail's answer, and those in conflict
		{"agrees", Truth, false},
	}...)
}

// lane is the payouts of one distribution in one asset on one rail.
type lane struct {
	made  string
	rail  events.Rail
	asset money.Asset
}

func (a lane) compare(b lane) int {
	return cmp.Or(strings.Compare(a.made, b.made), strings.Compare(string(a.rail), string(b.rail)), strings.Compare(string(a.asset), string(b.asset)))
}

// reckoning is what the three sides say about a lane.
type reckoning struct {
	of             *made
	token          events.Token
	all            tally
	states         map[distribution.State]*tally
	answers        map[distribution.State]money.Amount
	inFlight, paid money.Amount // according to the ledger
	conflicts      uint64
	disagreeing    uint64
}

type tally struct {
	payouts uint64
	amount  money.Amount
}

func (t *tally) add(a money.Amount) (err error) {
	t.payouts++
	t.amount, err = t.amount.Add(a)
	return err
}

// reconciliation compares the payouts of each distribution, rail and asset with
// the ledger and with the answers in the rail's files.
func (r *run) reconciliation() error {
	lanes := map[lane]*reckoning{}
	at := func(k lane, of *made) *reckoning {
		if lanes[k] == nil {
			lanes[k] = &reckoning{of: of, token: of.Token, states: map[distribution.State]*tally{}, answers: map[distribution.State]money.Amount{}}
			for _, s := range distribution.States() {
				lanes[k].states[s] = &tally{}
			}
		}
		return lanes[k]
	}
	var distributions map[string]*made
	err := r.lives(func(found map[string]*made) { distributions = found }, func(l *life, of *made) error {
		return at(lane{l.plan.Distribution, l.plan.Rail, l.plan.Asset}, of).payout(l)
	})
	if err != nil {
		return err
	}
	err = r.entries(func(_ *message, _ string, record *ledger.Record) error {
		for i := range record.Entries {
			id, ok := distribution.OfRef(record.Entries[i].Ref)
			of := distributions[id]
			if !ok || of == nil || !r.wanted(of.book, of.Period) || r.Token != "" && r.Token != of.Token {
				continue
			}
			for j := range record.Entries[i].Postings {
				p := &record.Entries[i].Postings[j]
				for _, account := range []ledger.Account{p.Debit, p.Credit} {
					kind, rail, part := account.Split()
					if kind != ledger.OfRail {
						continue
					}
					if err := at(lane{id, events.Rail(rail), p.Asset}, of).post(part, p.Amount, account == p.Credit); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range slices.SortedFunc(maps.Keys(lanes), lane.compare) {
		if err := r.reckoned(k, lanes[k]); err != nil {
			return err
		}
	}
	return nil
}

func (c *reckoning) payout(l *life) error {
	if err := c.all.add(l.plan.Amount); err != nil {
		return err
	}
	if t := c.states[l.state]; t != nil {
		if err := t.add(l.plan.Amount); err != nil {
			return err
		}
	}
	if l.conflict != "" {
		c.conflicts++
	}
	if !l.agrees() {
		c.disagreeing++
	}
	sum, err := c.answers[l.answer.State].Add(l.plan.Amount)
	c.answers[l.answer.State] = sum
	return err
}

// post adds what the ledger says: credits of a rail's accounts less their debits.
func (c *reckoning) post(part ledger.Part, a money.Amount, credit bool) (err error) {
	to := &c.inFlight
	if part == ledger.Paid {
		to = &c.paid
	}
	if credit {
		*to, err = to.Add(a)
	} else {
		*to, err = to.Sub(a)
	}
	return err
}

func (r *run) reckoned(k lane, c *reckoning) error {
	open, err := c.states[distribution.Planned].amount.Add(c.states[distribution.Submitted].amount)
	if err != nil {
		return err
	}
	flying, err := open.Sub(c.inFlight)
	if err != nil {
		return err
	}
	paid, err := c.states[distribution.Confirmed].amount.Sub(c.paid)
	if err != nil {
		return err
	}
	cells := []cell{text(k.made), text(c.token), named(c.of.book), named(c.of.Period), text(k.rail), text(k.asset), count(c.all.payouts), amount(c.all.amount)}
	for _, s := range distribution.States() {
		cells = append(cells, count(c.states[s].payouts), amount(c.states[s].amount))
	}
	cells = append(cells, amount(c.answers[distribution.Confirmed]), amount(c.answers[distribution.Failed]), amount(c.answers[distribution.Returned]),
		amount(c.inFlight), amount(c.paid), amount(flying), amount(paid), count(c.conflicts), count(c.disagreeing),
		truth(flying.IsZero() && paid.IsZero() && c.disagreeing == 0))
	return r.emit(r.payout, c.of.position, cells...)
}
