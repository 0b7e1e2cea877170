package statement

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/payout"
)

// OfHolder is a holder's statement: what the holder held, its shares, and what
// became of them.
type OfHolder struct {
	Holder events.Holder `json:"holder"`
	Of     events.Period `json:"of,omitempty" doc:"The period that was asked for; empty means all periods and the payout runs."`
	Shares []ShareLine   `json:"shares" doc:"By distribution, in order."`
	Owed   []HolderOwed  `json:"owed" doc:"By token and asset: amounts that were not paid out."`
	Totals []HolderTotal `json:"totals" doc:"By asset."`
}

// ShareLine is a holder's part of one distribution, and its payment.
type ShareLine struct {
	Distribution string             `json:"distribution" doc:"Id of the distribution, or of a payout run, which has no period and no share."`
	Token        events.Token       `json:"token"`
	Period       events.Period      `json:"period"`
	RecordDate   time.Time          `json:"record_date"`
	Asset        money.Asset        `json:"asset"`
	Units        money.Units        `json:"units" doc:"Held at the record date."`
	Frozen       money.Units        `json:"frozen" doc:"Frozen units, part of the units."`
	Supply       money.Units        `json:"supply"`
	Pool         money.Amount       `json:"pool"`
	Share        money.Amount       `json:"share"`
	Held         money.Amount       `json:"held" doc:"Part of the share that was not made payable."`
	Payout       string             `json:"payout,omitempty"`
	Amount       money.Amount       `json:"amount" doc:"Amount of the payout, including what was carried over."`
	State        distribution.State `json:"state,omitempty"`
	Reference    string             `json:"reference,omitempty"`
}

// HolderOwed is what a token owes a holder.
type HolderOwed struct {
	Token   events.Token `json:"token"`
	Asset   money.Asset  `json:"asset"`
	Carried money.Amount `json:"carried" doc:"Waits for the next payout."`
	Held    money.Amount `json:"held" doc:"Waits until it may be paid."`
}

// HolderTotal is a holder's money in one asset. Shares = paid + in flight +
// planned + carried + held, less what was recovered from another wallet, plus
// what was recovered to one.
type HolderTotal struct {
	Asset    money.Asset  `json:"asset"`
	Shares   money.Amount `json:"shares"`
	Paid     money.Amount `json:"paid"`
	InFlight money.Amount `json:"in_flight" doc:"Handed over to a rail that has not answered yet."`
	Planned  money.Amount `json:"planned" doc:"Not handed over to a rail yet."`
	Carried  money.Amount `json:"carried" doc:"Waits for the next payout; below zero if a payout turned out to be paid twice."`
	Held     money.Amount `json:"held"`
}

// Empty reports whether nothing was ever shared out, paid or owed to the holder.
// A holder who is also in no register is unknown.
func (s *OfHolder) Empty() bool { return len(s.Shares)+len(s.Owed)+len(s.Totals) == 0 }

// Holder makes a holder's statement. If period is empty it covers everything, and
// otherwise the distributions of that period. What is owed, carried and held is
// always the present amount. An unknown holder has an empty statement.
func Holder(ctx context.Context, db *store.DB, holder events.Holder, period events.Period) (s OfHolder, err error) {
	totals := map[money.Asset]*HolderTotal{}
	total := func(asset money.Asset) *HolderTotal {
		if totals[asset] == nil {
			totals[asset] = &HolderTotal{Asset: asset}
		}
		return totals[asset]
	}
	err = db.Snapshot(ctx, func(snapshot *store.Snapshot) error {
		s = OfHolder{Holder: holder, Of: period, Shares: []ShareLine{}, Owed: []HolderOwed{}, Totals: []HolderTotal{}}
		clear(totals)
		made, err := snapshot.Distributions("")
		if err != nil {
			return err
		}
		for i := range made {
			if !within(period, made[i].Period) {
				continue
			}
			for _, p := range made[i].Pools {
				if err := s.share(snapshot, &made[i], p, total); err != nil {
					return err
				}
			}
		}
		err = snapshot.Owed(holder, func(o store.Owed) error {
			s.Owed = append(s.Owed, HolderOwed{o.Token, o.Asset, o.Payable, o.Held})
			return nil
		})
		if err != nil {
			return err
		}
		return s.balances(snapshot, total)
	})
	if err != nil {
		return OfHolder{}, fmt.Errorf("stating holder %s: %w", holder, err)
	}
	for _, asset := range slices.Sorted(maps.Keys(totals)) {
		s.Totals = append(s.Totals, *totals[asset])
	}
	return s, nil
}

// share adds the line of one pool, if the holder has a share or a payout.
func (s *OfHolder) share(snapshot *store.Snapshot, d *distribution.Distribution, pool distribution.Pool, total func(money.Asset) *HolderTotal) error {
	share, has, err := snapshot.ShareOf(d, pool.Asset, s.Holder)
	if err != nil {
		return err
	}
	paid, pays, err := snapshot.Payout(d, payout.ID(d.ID, pool.Asset, s.Holder))
	if err != nil || !has && !pays {
		return err
	}
	s.Shares = append(s.Shares, ShareLine{
		Distribution: d.ID, Token: d.Token, Period: d.Period, RecordDate: d.RecordDate, Asset: pool.Asset,
		Units: share.Units, Frozen: share.Frozen, Supply: d.Supply, Pool: pool.Pool, Share: share.Amount, Held: share.Held,
		Payout: paid.ID, Amount: paid.Amount, State: paid.State, Reference: paid.Reference,
	})
	t := total(pool.Asset)
	sum(&err, &t.Shares, share.Amount)
	switch paid.State {
	case distribution.Planned:
		sum(&err, &t.Planned, paid.Amount)
	case distribution.Submitted:
		sum(&err, &t.InFlight, paid.Amount)
	case distribution.Confirmed:
		sum(&err, &t.Paid, paid.Amount)
	}
	return err
}

// balances reads what is carried and held from the ledger.
func (s *OfHolder) balances(snapshot *store.Snapshot, total func(money.Asset) *HolderTotal) error {
	carried, held := ledger.HolderPayable(s.Holder), ledger.HolderHeld(s.Holder)
	rows, err := snapshot.Balances(ledger.OfHolder.PrefixOf(string(s.Holder)))
	if err != nil {
		return err
	}
	for _, row := range rows {
		switch row.Account {
		case carried:
			total(row.Asset).Carried, err = row.Credit.Sub(row.Debit)
		case held:
			total(row.Asset).Held, err = row.Credit.Sub(row.Debit)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Write writes the statement as text for people, to a writer that keeps its error.
func (s *OfHolder) Write(w io.Writer) {
	title(w, "holder", string(s.Holder), s.Of)
	t := section(w, "Totals", "ASSET", "SHARES", "PAID", "IN FLIGHT", "PLANNED", "CARRIED", "HELD")
	for _, l := range s.Totals {
		t.Row(l.Asset, l.Shares, l.Paid, l.InFlight, l.Planned, l.Carried, l.Held)
	}
	t.End()
	t = section(w, "Distributions", "DISTRIBUTION", "PERIOD", "UNITS", "OF", "POOL", "SHARE", "HELD", "PAYOUT", "ASSET", "STATE", "REFERENCE")
	for _, l := range s.Shares {
		t.Row(l.Distribution, l.Period, l.Units, l.Supply, l.Pool, l.Share, l.Held, l.Amount, l.Asset, l.State, l.Reference)
	}
	t.End()
}
