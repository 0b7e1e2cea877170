// Package statement tells a provider, a customer or a holder what happened to
// their money: what was used, charged, collected and paid, and what is left.
//
// The method is one snapshot of the store: the journal gives the lines, the
// balances give the totals. The invariants that package check verifies make the
// two agree.
//
// # Invariants
//
//   - Read only: a statement writes nothing anywhere.
//   - One moment: all figures are of one commit.
//   - Exact: a total is the sum of its lines, and equal to a balance of the
//     ledger.
package statement

import (
	"fmt"
	"io"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

// Charge is what was charged on one line: for one node, meter, card and period.
type Charge struct {
	Book     events.Book    `json:"book"`
	Period   events.Period  `json:"period" doc:"The period in which it was posted."`
	Origin   events.Period  `json:"origin" doc:"The period of the usage: another one if the usage was late."`
	Node     events.Node    `json:"node"`
	Meter    events.Meter   `json:"meter"`
	Card     string         `json:"card"`
	Asset    money.Asset    `json:"asset"`
	Events   uint64         `json:"events" doc:"Events with a charge above zero."`
	Quantity money.Quantity `json:"quantity" doc:"The billed quantity, after granularity."`
	Charged  money.Amount   `json:"charged"`
}

// chargeKey is a charge without its sums.
type chargeKey struct {
	book           events.Book
	period, origin events.Period
	node           events.Node
	meter          events.Meter
	card           string
	asset          money.Asset
}

func (a chargeKey) compare(b chargeKey) int {
	return compareTexts(
		[]string{string(a.book), string(a.period), string(a.origin), string(a.node), string(a.meter), a.card, string(a.asset)},
		[]string{string(b.book), string(b.period), string(b.origin), string(b.node), string(b.meter), b.card, string(b.asset)})
}

func compareTexts(a, b []string) int {
	for i := range a {
		if c := strings.Compare(a[i], b[i]); c != 0 {
			return c
		}
	}
	return 0
}

// charges adds up the charges of entries.
type charges map[chargeKey]*Charge

func (c charges) add(e *ledger.Entry, p *ledger.Posting) error {
	_, node, _ := p.Credit.Split()
	k := chargeKey{e.Book, e.Period, e.Origin, events.Node(node), p.Meter, p.Card, p.Asset}
	line := c[k]
	if line == nil {
		line = &Charge{Book: k.book, Period: k.period, Origin: k.origin, Node: k.node, Meter: k.meter, Card: k.card, Asset: k.asset}
		c[k] = line
	}
	var err error
	if line.Quantity, err = line.Quantity.Add(p.Quantity); err != nil {
		return fmt.Errorf("adding up the %s of %s: %w", p.Meter, p.Credit, err)
	}
	if line.Charged, err = line.Charged.Add(p.Amount); err != nil {
		return fmt.Errorf("adding up the charges of %s: %w", p.Credit, err)
	}
	line.Events += p.Events
	return nil
}

// Waiting is usage that waits for a price.
type Waiting struct {
	Book     events.Book     `json:"book"`
	Node     events.Node     `json:"node"`
	Customer events.Customer `json:"customer"`
	Meter    events.Meter    `json:"meter"`
	Card     string          `json:"card"`
	Pair     events.Pair     `json:"pair"`
	Period   events.Period   `json:"period"`
	Events   uint64          `json:"events"`
	Quantity money.Quantity  `json:"quantity"`
}

// within reports whether a line of one period belongs in a statement of period;
// an empty period includes all lines.
func within(period, line events.Period) bool { return period == "" || line == period }

func title(w io.Writer, kind, of string, period events.Period) {
	if period == "" {
		plain.Fprintf(w, "Statement of %s %s\n", kind, of)
		return
	}
	plain.Fprintf(w, "Statement of %s %s, period %s\n", kind, of, period)
}

// section begins a table below a title.
func section(w io.Writer, title string, columns ...string) *plain.Table {
	plain.Fprintf(w, "\n%s\n", title)
	return plain.NewTable(w, columns...)
}

// sum adds to an amount and keeps the first error.
func sum(err *error, to *money.Amount, a money.Amount) {
	if *err == nil {
		*to, *err = to.Add(a)
	}
}
