// Package summary adds everything up to the few figures that people ask for
// first: what was used, charged, earned, collected and paid, and what became of
// every event.
//
// The method is one pass over the journal of one snapshot, which gives the
// journal hash and the billed quantities; everything else is a sum of balances
// and tallies.
//
// # Invariants
//
//   - Read only: a summary writes nothing anywhere.
//   - One moment: all figures are of one commit.
//   - Exact: a figure is a sum of what is stored; nothing is rounded here.
package summary

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Summary is the whole store in a few figures. Lists are ascending by their first
// fields, and never null.
type Summary struct {
	Assets []Asset `json:"assets"`
	Meters []Meter `json:"meters"`

	Received  uint64   `json:"received" doc:"Events in the stream, as far as it is settled: the sum of the next four fields."`
	Accepted  uint64   `json:"accepted"`
	Late      uint64   `json:"late" doc:"Accepted after their period had closed."`
	Duplicate uint64   `json:"duplicate"`
	Refused   uint64   `json:"refused"`
	Reasons   []Reason `json:"reasons" doc:"Refused events by reason."`

	Suspended      uint64 `json:"suspended" doc:"Accepted events that wait for a price."`
	SuspendedLines int    `json:"suspended_lines"`
	Waiting        []Wait `json:"waiting"`

	Distributions int    `json:"distributions"`
	PayoutRuns    int    `json:"payout_runs" doc:"Payout runs: payouts of what was owed, without new revenue."`
	JournalHash   string `json:"journal_hash" doc:"SHA-256 of the summed journal, see pkg/ledger."`
}

// Asset is the money in one asset, from the charge to the holder.
type Asset struct {
	Asset         money.Asset  `json:"asset"`
	Charged       money.Amount `json:"charged" doc:"Charged to customers for usage."`
	Earned        money.Amount `json:"earned" doc:"Earned by nodes; equal to charged."`
	Deposited     money.Amount `json:"deposited"`
	Collected     money.Amount `json:"collected" doc:"The part of the charges that was collected."`
	Owed          money.Amount `json:"owed" doc:"Charged but not collected."`
	Prepaid       money.Amount `json:"prepaid" doc:"Customers' money that covers no charge yet."`
	Providers     money.Amount `json:"providers" doc:"Collected for nodes without a token."`
	Undistributed money.Amount `json:"undistributed" doc:"Collected for tokens but not in a distribution yet."`
	Fees          money.Amount `json:"fees" doc:"Fees of the platform."`
	Pool          money.Amount `json:"pool" doc:"Divided among holders."`
	Paid          money.Amount `json:"paid" doc:"Confirmed by a rail."`
	InFlight      money.Amount `json:"in_flight" doc:"Handed over to a rail that has not answered yet."`
	Planned       money.Amount `json:"planned" doc:"Payouts that are not handed over to a rail yet."`
	Held          money.Amount `json:"held" doc:"Owed to holders who may not be paid."`
	Carried       money.Amount `json:"carried" doc:"Owed to holders but not paid yet."`
}

// Meter is what was billed on one meter. An event whose charge is zero posts
// nothing, so its quantity is not included.
type Meter struct {
	Book     events.Book    `json:"book"`
	Meter    events.Meter   `json:"meter"`
	Events   uint64         `json:"events"`
	Quantity money.Quantity `json:"quantity" doc:"The billed quantity, after granularity."`
}

// Wait is the sum of what waits for a price on one meter.
type Wait struct {
	Book     events.Book    `json:"book"`
	Meter    events.Meter   `json:"meter"`
	Pair     events.Pair    `json:"pair"`
	Events   uint64         `json:"events"`
	Quantity money.Quantity `json:"quantity"`
}

// Reason is how many events were refused for one reason.
type Reason struct {
	Reason events.Reason `json:"reason"`
	Events uint64        `json:"events"`
}

// Run summarises the store. Its time grows with the journal.
func Run(ctx context.Context, db *store.DB) (s Summary, err error) {
	err = db.Snapshot(ctx, func(snapshot *store.Snapshot) error {
		s, err = Of(snapshot)
		return err
	})
	if err != nil {
		return Summary{}, fmt.Errorf("summing up: %w", err)
	}
	return s, nil
}

// Of does the same as [Run] for a snapshot.
func Of(snapshot *store.Snapshot) (s Summary, err error) {
	s = Summary{Assets: []Asset{}, Meters: []Meter{}, Reasons: []Reason{}, Waiting: []Wait{}}
	for _, step := range []func(*store.Snapshot) error{s.money, s.usage, s.outcomes, s.waits} {
		if err := step(snapshot); err != nil {
			return Summary{}, err
		}
	}
	made, err := snapshot.Distributions("")
	for i := range made {
		if made[i].Run() {
			s.PayoutRuns++
		} else {
			s.Distributions++
		}
		if err == nil {
			err = s.planned(snapshot, &made[i])
		}
	}
	return s, err
}

// money sums the balances, writer by writer, as they are read: every figure is a
// plain sum of them.
func (s *Summary) money(snapshot *store.Snapshot) error {
	writers, err := snapshot.Writers()
	if err != nil {
		return err
	}
	assets := map[money.Asset]*Asset{}
	for _, w := range writers {
		err := snapshot.BalanceRows(w, func(row store.Balance) error {
			a := assets[row.Asset]
			if a == nil {
				a = &Asset{Asset: row.Asset}
				assets[row.Asset] = a
			}
			if err := a.add(row); err != nil {
				return fmt.Errorf("adding %s in %s: %w", row.Account, row.Asset, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(assets)) {
		s.Assets = append(s.Assets, *assets[name])
	}
	return nil
}

// planned subtracts payouts that no rail has from what is in flight, because the
// ledger keeps both on one account of the rail.
func (s *Summary) planned(snapshot *store.Snapshot, d *distribution.Distribution) error {
	return snapshot.Payouts(d, func(p distribution.Payout) (err error) {
		if p.State != distribution.Planned {
			return nil
		}
		i, ok := slices.BinarySearchFunc(s.Assets, p.Asset, func(a Asset, asset money.Asset) int { return strings.Compare(string(a.Asset), string(asset)) })
		if !ok {
			return fmt.Errorf("payout %s is planned in %s, which the ledger does not have", p.ID, p.Asset)
		}
		a := &s.Assets[i]
		if a.Planned, err = a.Planned.Add(p.Amount); err != nil {
			return err
		}
		a.InFlight, err = a.InFlight.Sub(p.Amount)
		return err
	})
}

// accountOf is a kind of account and a part.
type accountOf struct {
	kind ledger.AccountKind
	part ledger.Part
}

// add adds one writer's balance of an account to the figure to which it belongs.
func (a *Asset) add(row store.Balance) (err error) {
	debit := ledger.Balance{Debit: row.Debit, Credit: row.Credit}.Net()
	credit, err := debit.Neg()
	if err != nil {
		return err
	}
	plus := func(to *money.Amount, what money.Amount) {
		if err == nil {
			*to, err = to.Add(what)
		}
	}
	kind, _, part := row.Account.Split()
	switch (accountOf{kind, part}) {
	case accountOf{ledger.OfCustomer, ledger.Receivable}:
		plus(&a.Charged, row.Debit)
		plus(&a.Owed, debit)
	case accountOf{ledger.OfCustomer, ledger.Prepaid}:
		plus(&a.Prepaid, credit)
	case accountOf{ledger.OfNode, ledger.Earned}:
		plus(&a.Earned, row.Credit)
	case accountOf{ledger.OfNode, ledger.Collected}:
		plus(&a.Collected, row.Credit)
		plus(&a.Undistributed, credit)
	case accountOf{ledger.OfProvider, ledger.Payable}:
		plus(&a.Providers, credit)
	case accountOf{ledger.OfPlatform, ledger.Fees}:
		plus(&a.Fees, credit)
	case accountOf{ledger.OfToken, ledger.Inbox}:
		plus(&a.Undistributed, credit)
	case accountOf{ledger.OfToken, ledger.Pool}:
		plus(&a.Pool, row.Credit)
	case accountOf{ledger.OfHolder, ledger.Payable}:
		plus(&a.Carried, credit)
	case accountOf{ledger.OfHolder, ledger.Held}:
		plus(&a.Held, credit)
	case accountOf{ledger.OfRail, ledger.InFlight}:
		plus(&a.InFlight, credit)
	case accountOf{ledger.OfRail, ledger.Paid}:
		plus(&a.Paid, credit)
	case accountOf{ledger.OfTreasury, ""}:
		plus(&a.Deposited, debit)
	}
	return err
}

type meterKey struct {
	book  events.Book
	meter events.Meter
	pair  events.Pair
}

func (a meterKey) compare(b meterKey) int {
	if c := strings.Compare(string(a.book), string(b.book)); c != 0 {
		return c
	}
	if c := strings.Compare(string(a.meter), string(b.meter)); c != 0 {
		return c
	}
	return strings.Compare(string(a.pair), string(b.pair))
}

type billed struct {
	events   uint64
	quantity money.Quantity
}

func add(sums map[meterKey]billed, k meterKey, n uint64, quantity money.Quantity) error {
	sum := sums[k]
	var err error
	if sum.quantity, err = sum.quantity.Add(quantity); err != nil {
		return fmt.Errorf("adding up %s of book %s: %w", k.meter, k.book, err)
	}
	sum.events += n
	sums[k] = sum
	return nil
}

// usage sums the journal.
func (s *Summary) usage(snapshot *store.Snapshot) error {
	journal := ledger.NewJournal()
	sums := map[meterKey]billed{}
	err := snapshot.Entries("", func(_ string, _ store.Written, r *ledger.Record) error {
		for i := range r.Entries {
			e := &r.Entries[i]
			if !e.Kind.Charges() {
				continue
			}
			for j := range e.Postings {
				p := &e.Postings[j]
				if err := add(sums, meterKey{book: e.Book, meter: p.Meter}, p.Events, p.Quantity); err != nil {
					return err
				}
			}
		}
		return journal.Add(r)
	})
	if err != nil {
		return err
	}
	for _, k := range slices.SortedFunc(maps.Keys(sums), meterKey.compare) {
		s.Meters = append(s.Meters, Meter{k.book, k.meter, sums[k].events, sums[k].quantity})
	}
	hash := journal.Hash()
	s.JournalHash = hex.EncodeToString(hash[:])
	return nil
}

func (s *Summary) outcomes(snapshot *store.Snapshot) error {
	tallies, err := snapshot.Tallies("")
	if err != nil {
		return err
	}
	reasons := map[events.Reason]uint64{}
	for _, t := range tallies {
		s.Received += t.Events
		switch t.Outcome {
		case events.Accepted:
			s.Accepted += t.Events
		case events.Late:
			s.Late += t.Events
		case events.Duplicate:
			s.Duplicate += t.Events
		case events.Refused:
			s.Refused += t.Events
			reasons[t.Reason] += t.Events
		}
	}
	for _, r := range slices.Sorted(maps.Keys(reasons)) {
		s.Reasons = append(s.Reasons, Reason{r, reasons[r]})
	}
	return nil
}

func (s *Summary) waits(snapshot *store.Snapshot) error {
	lines, err := snapshot.Suspense("")
	if err != nil {
		return err
	}
	for _, l := range lines {
		s.Suspended += l.Events
	}
	s.SuspendedLines = len(lines)
	s.Waiting, err = Waits(lines)
	return err
}

// Waits sums suspense lines up by book, meter and pair, ascending. It is never nil.
func Waits(lines []settlement.Suspense) ([]Wait, error) {
	sums := map[meterKey]billed{}
	for _, l := range lines {
		if err := add(sums, meterKey{l.Book, l.Meter, l.Pair}, l.Events, l.Quantity); err != nil {
			return nil, err
		}
	}
	list := []Wait{}
	for _, k := range slices.SortedFunc(maps.Keys(sums), meterKey.compare) {
		list = append(list, Wait{k.book, k.meter, k.pair, sums[k].events, sums[k].quantity})
	}
	return list, nil
}
