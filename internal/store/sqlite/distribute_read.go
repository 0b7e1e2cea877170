package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// These methods read what distributors committed; a store that no distributor
// has ever opened has none of it.

const distributionColumns = "control, id, token, book, period, ledger, register, record_date, rail, holders, supply"

func distributionOf(s *sqlite.Stmt) (d distribution.Distribution, err error) {
	d.Control, d.ID = uint64(s.ColumnInt64(0)), s.ColumnText(1)
	d.Token, d.Book, d.Period = events.Token(s.ColumnText(2)), events.Book(s.ColumnText(3)), events.Period(s.ColumnText(4))
	d.Ledger, d.Register = uint64(s.ColumnInt64(5)), uint64(s.ColumnInt64(6))
	d.Rail, d.Holders, d.Supply = events.Rail(s.ColumnText(8)), s.ColumnInt(9), units(s, 10)
	d.RecordDate, err = time.Parse(time.RFC3339Nano, s.ColumnText(7))
	return d, err
}

func units(s *sqlite.Stmt, column int) money.Units {
	var b [16]byte // a null leaves zeros
	s.ColumnBytes(column, b[:])
	return money.UnitsFromBytes(b)
}

// amountOr is amount of a column that is null for zero.
func amountOr(s *sqlite.Stmt, column int) money.Amount {
	if s.ColumnIsNull(column) {
		return money.Amount{}
	}
	return amount(s, column)
}

// Distributions returns every distribution of a token (every token: ""), in the
// order of CONTROL, with its pools.
func (db *DB) Distributions(ctx context.Context, token events.Token) (list []distribution.Distribution, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		err := query(conn, "SELECT "+distributionColumns+" FROM distribution WHERE ?1 = '' OR token = ?1 ORDER BY control", func(s *sqlite.Stmt) error {
			d, err := distributionOf(s)
			list = append(list, d)
			return err
		}, string(token))
		for i := range list {
			if err == nil {
				err = pools(conn, &list[i])
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading distributions: %w", err)
	}
	return list, nil
}

// Distribution returns one distribution by its id; ok is false where it was not
// made, or is void.
func (db *DB) Distribution(ctx context.Context, id string) (d distribution.Distribution, ok bool, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		err := query(conn, "SELECT "+distributionColumns+" FROM distribution WHERE id = ?", func(s *sqlite.Stmt) error {
			ok = true
			d, err = distributionOf(s)
			return err
		}, id)
		if err == nil && ok {
			err = pools(conn, &d)
		}
		return err
	})
	if err != nil {
		return d, false, fmt.Errorf("reading distribution %s: %w", id, err)
	}
	return d, ok, nil
}

func pools(conn *sqlite.Conn, d *distribution.Distribution) error {
	return query(conn, "SELECT asset, inbox, basis_points, fee, pool, held, payouts, planned FROM pool WHERE distribution = ? ORDER BY asset", func(s *sqlite.Stmt) error {
		d.Pools = append(d.Pools, distribution.Pool{
			Asset: money.Asset(s.ColumnText(0)), Inbox: amount(s, 1), FeeBasisPoints: s.ColumnInt(2), Fee: amount(s, 3),
			Pool: amount(s, 4), Held: amount(s, 5), Payouts: s.ColumnInt(6), Planned: amount(s, 7),
		})
		return nil
	}, int64(d.Control))
}

func shareOf(s *sqlite.Stmt) distribution.Share {
	return distribution.Share{Holder: events.Holder(s.ColumnText(0)), Units: units(s, 1), Frozen: units(s, 2), Amount: amount(s, 3), Held: amountOr(s, 4)}
}

// Shares calls each for the shares of a distribution in an asset, ascending by
// holder: also the register as it was at the record date.
func (db *DB) Shares(ctx context.Context, id string, asset money.Asset, each func(distribution.Share) error) error {
	err := db.Read(ctx, func(conn *sqlite.Conn) error {
		control, _, err := controlOf(conn, id)
		if err != nil {
			return err
		}
		return query(conn, "SELECT holder, units, frozen, amount, held FROM share WHERE distribution = ? AND asset = ? ORDER BY holder",
			func(s *sqlite.Stmt) error { return each(shareOf(s)) }, control, string(asset))
	})
	if err != nil {
		return fmt.Errorf("reading shares of %s: %w", id, err)
	}
	return nil
}

// ShareOf returns a holder's share of a distribution in an asset; ok is false
// for somebody who was not in the register.
func (db *DB) ShareOf(ctx context.Context, id string, asset money.Asset, holder events.Holder) (share distribution.Share, ok bool, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		control, _, err := controlOf(conn, id)
		if err != nil {
			return err
		}
		return query(conn, "SELECT holder, units, frozen, amount, held FROM share WHERE distribution = ? AND asset = ? AND holder = ?", func(s *sqlite.Stmt) error {
			share, ok = shareOf(s), true
			return nil
		}, control, string(asset), string(holder))
	})
	if err != nil {
		return share, false, fmt.Errorf("reading the share of %s in %s: %w", holder, id, err)
	}
	return share, ok, nil
}

const payoutColumns = "id, asset, holder, amount, state, reference"

func payoutOf(s *sqlite.Stmt) distribution.Payout {
	return distribution.Payout{
		ID: s.ColumnText(0), Asset: money.Asset(s.ColumnText(1)), Holder: events.Holder(s.ColumnText(2)),
		Amount: amount(s, 3), State: distribution.State(s.ColumnText(4)), Reference: s.ColumnText(5),
	}
}

// Payouts calls each for the payouts of a distribution that are in a state
// (every state: ""), ascending by id.
func (db *DB) Payouts(ctx context.Context, id string, state distribution.State, each func(distribution.Payout) error) error {
	err := db.Read(ctx, func(conn *sqlite.Conn) error {
		control, _, err := controlOf(conn, id)
		if err != nil {
			return err
		}
		return query(conn, "SELECT "+payoutColumns+" FROM payout WHERE distribution = ?1 AND (?2 = '' OR state = ?2) ORDER BY id",
			func(s *sqlite.Stmt) error { return each(payoutOf(s)) }, control, string(state))
	})
	if err != nil {
		return fmt.Errorf("reading payouts of %s: %w", id, err)
	}
	return nil
}

// PayoutOf returns a payout of a distribution by its id; ok is false where there
// is none.
func (db *DB) PayoutOf(ctx context.Context, id, payout string) (p distribution.Payout, ok bool, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		control, _, err := controlOf(conn, id)
		if err != nil {
			return err
		}
		return query(conn, "SELECT "+payoutColumns+" FROM payout WHERE distribution = ? AND id = ?", func(s *sqlite.Stmt) error {
			p, ok = payoutOf(s), true
			return nil
		}, control, payout)
	})
	if err != nil {
		return p, false, fmt.Errorf("reading payout %s of %s: %w", payout, id, err)
	}
	return p, ok, nil
}

// FindPayout looks for a payout in every distribution.
func (db *DB) FindPayout(ctx context.Context, payout string) (p distribution.Payout, of string, ok bool, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		return query(conn, "SELECT payout.id, asset, holder, amount, state, reference, distribution.id FROM distribution CROSS JOIN payout ON distribution = control AND payout.id = ?", func(s *sqlite.Stmt) error {
			p, of, ok = payoutOf(s), s.ColumnText(6), true
			return nil
		}, payout)
	})
	if err != nil {
		return p, "", false, fmt.Errorf("looking for payout %s: %w", payout, err)
	}
	return p, of, ok, nil
}

// StateTotal is how many payouts of a distribution are in a state, and their sum.
type StateTotal struct {
	Asset  money.Asset
	State  distribution.State
	Count  int
	Amount money.Amount
}

// PayoutTotals returns the payouts of a distribution by asset and state,
// ascending by asset, in the order of [distribution.States]; it reads every one.
func (db *DB) PayoutTotals(ctx context.Context, id string) (list []StateTotal, err error) {
	type key struct {
		asset money.Asset
		state distribution.State
	}
	sums := map[key]StateTotal{}
	var assets []money.Asset
	err = db.Payouts(ctx, id, "", func(p distribution.Payout) error {
		k := key{p.Asset, p.State}
		sum, ok := sums[k]
		if !ok {
			sum.Asset, sum.State = p.Asset, p.State
			assets = insert(assets, p.Asset)
		}
		sum.Count++
		var err error
		sum.Amount, err = sum.Amount.Add(p.Amount)
		sums[k] = sum
		return err
	})
	for _, asset := range assets {
		for _, state := range distribution.States() {
			if sum, ok := sums[key{asset, state}]; ok {
				list = append(list, sum)
			}
		}
	}
	return list, err
}

// insert keeps a short list ascending and without repetitions.
func insert(list []money.Asset, a money.Asset) []money.Asset {
	i := 0
	for i < len(list) && list[i] < a {
		i++
	}
	if i < len(list) && list[i] == a {
		return list
	}
	list = append(list, "")
	copy(list[i+1:], list[i:])
	list[i] = a
	return list
}

// Entitlements calls each for what a token owes in an asset, ascending by holder.
func (db *DB) Entitlements(ctx context.Context, token events.Token, asset money.Asset, each func(distribution.Entitlement) error) error {
	err := db.Read(ctx, func(conn *sqlite.Conn) error {
		return query(conn, "SELECT holder, payable, held FROM entitlement WHERE token = ? AND asset = ? ORDER BY holder", func(s *sqlite.Stmt) error {
			return each(distribution.Entitlement{Holder: events.Holder(s.ColumnText(0)), Payable: amount(s, 1), Held: amount(s, 2)})
		}, string(token), string(asset))
	})
	if err != nil {
		return fmt.Errorf("reading what %s owes: %w", token, err)
	}
	return nil
}

// EntitlementOf returns what a token owes one holder in an asset; zeros where
// nothing is owed.
func (db *DB) EntitlementOf(ctx context.Context, token events.Token, asset money.Asset, holder events.Holder) (e distribution.Entitlement, err error) {
	e.Holder = holder
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		return query(conn, "SELECT payable, held FROM entitlement WHERE token = ? AND asset = ? AND holder = ?", func(s *sqlite.Stmt) error {
			e.Payable, e.Held = amount(s, 0), amount(s, 1)
			return nil
		}, string(token), string(asset), string(holder))
	})
	if err != nil {
		return e, fmt.Errorf("reading what %s owes %s: %w", token, holder, err)
	}
	return e, nil
}

// Batch returns a batch of payouts by its name.
func (db *DB) Batch(ctx context.Context, name string) (b distribution.Batch, ok bool, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		return query(conn, "SELECT batch.rail, distribution.id, batch.control FROM batch JOIN distribution ON distribution.control = batch.distribution WHERE name = ?", func(s *sqlite.Stmt) error {
			b, ok = distribution.Batch{Name: name, Rail: events.Rail(s.ColumnText(0)), Distribution: s.ColumnText(1), Control: uint64(s.ColumnInt64(2))}, true
			return nil
		}, name)
	})
	if err != nil {
		return b, false, fmt.Errorf("reading batch %s: %w", name, err)
	}
	return b, ok, nil
}

// Batches returns every batch of a distribution (every distribution: ""), in
// the order of CONTROL.
func (db *DB) Batches(ctx context.Context, id string) (list []distribution.Batch, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		return query(conn, `SELECT name, batch.rail, distribution.id, batch.control FROM batch JOIN distribution ON distribution.control = batch.distribution
			WHERE ?1 = '' OR distribution.id = ?1 ORDER BY batch.control`, func(s *sqlite.Stmt) error {
			list = append(list, distribution.Batch{Name: s.ColumnText(0), Rail: events.Rail(s.ColumnText(1)), Distribution: s.ColumnText(2), Control: uint64(s.ColumnInt64(3))})
			return nil
		}, id)
	})
	if err != nil {
		return nil, fmt.Errorf("reading batches: %w", err)
	}
	return list, nil
}

// DistributeVoids returns the decisions that had no effect, or not all of it,
// on distribution, ascending by position.
func (db *DB) DistributeVoids(ctx context.Context) (list []distribution.Void, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		return query(conn, "SELECT control, partly, reason FROM distribute_void ORDER BY control", func(s *sqlite.Stmt) error {
			list = append(list, distribution.Void{Control: uint64(s.ColumnInt64(0)), Partly: s.ColumnBool(1), Reason: s.ColumnText(2)})
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading void decisions: %w", err)
	}
	return list, nil
}

// DistributeVoid returns why the decision at a position had no effect, or not
// all of it; ok is false where it took effect or has not been read.
func (db *DB) DistributeVoid(ctx context.Context, control uint64) (v distribution.Void, ok bool, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		return query(conn, "SELECT control, partly, reason FROM distribute_void WHERE control = ?", func(s *sqlite.Stmt) error {
			v, ok = distribution.Void{Control: uint64(s.ColumnInt64(0)), Partly: s.ColumnBool(1), Reason: s.ColumnText(2)}, true
			return nil
		}, int64(control))
	})
	if err != nil {
		return v, false, fmt.Errorf("reading the decision at %d: %w", control, err)
	}
	return v, ok, nil
}

// Distribution is [DB.Distribution].
func (d *Distribute) Distribution(ctx context.Context, id string) (distribution.Distribution, bool, error) {
	return d.db.Distribution(ctx, id)
}

// Entitlements is [DB.Entitlements].
func (d *Distribute) Entitlements(ctx context.Context, token events.Token, asset money.Asset, each func(distribution.Entitlement) error) error {
	return d.db.Entitlements(ctx, token, asset, each)
}

// EntitlementOf is [DB.EntitlementOf].
func (d *Distribute) EntitlementOf(ctx context.Context, token events.Token, asset money.Asset, holder events.Holder) (distribution.Entitlement, error) {
	return d.db.EntitlementOf(ctx, token, asset, holder)
}

// Payouts is [DB.Payouts].
func (d *Distribute) Payouts(ctx context.Context, id string, state distribution.State, each func(distribution.Payout) error) error {
	return d.db.Payouts(ctx, id, state, each)
}

// PayoutsOf is [DB.PayoutsOf].
func (d *Distribute) PayoutsOf(ctx context.Context, id string, names []string, each func(distribution.Payout) error) error {
	return d.db.PayoutsOf(ctx, id, names, each)
}

// Batch is [DB.Batch].
func (d *Distribute) Batch(ctx context.Context, name string) (distribution.Batch, bool, error) {
	return d.db.Batch(ctx, name)
}

// Void is [DB.DistributeVoid].
func (d *Distribute) Void(ctx context.Context, control uint64) (distribution.Void, bool, error) {
	return d.db.DistributeVoid(ctx, control)
}

// IsUnknownDistribution tells whether an error says that there is no such
// distribution.
func IsUnknownDistribution(err error) bool { return errors.Is(err, errUnknown) }
