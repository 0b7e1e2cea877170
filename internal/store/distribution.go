package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// These methods read what distributors committed; a store that no distributor
// has ever opened has no such rows.

const distributionColumns = "control, id, token, book, period, ledger, register, record_date, rail, holders, supply"

func distributionOf(r Row) (d distribution.Distribution, err error) {
	d.Control, d.ID = uint64(r.Int64(0)), r.Text(1)
	d.Token, d.Book, d.Period = events.Token(r.Text(2)), events.Book(r.Text(3)), events.Period(r.Text(4))
	d.Ledger, d.Register = uint64(r.Int64(5)), uint64(r.Int64(6))
	d.Rail, d.Holders, d.Supply = events.Rail(r.Text(8)), int(r.Int64(9)), r.Units(10)
	d.RecordDate, err = time.Parse(time.RFC3339Nano, r.Text(7))
	return d, err
}

// ControlOf finds the key of a distribution's rows. It fails with
// [ErrUnknownDistribution] if the distribution was not made.
func ControlOf(conn Conn, id string) (control int64, err error) {
	err = conn.Query("SELECT control FROM distribution WHERE id = ?1", func(r Row) error {
		control = r.Int64(0)
		return nil
	}, id)
	if err == nil && control == 0 {
		err = fmt.Errorf("distribution %q: %w", id, ErrUnknownDistribution)
	}
	return control, err
}

// Distributions returns every distribution of a token ("" selects all tokens),
// in the order of CONTROL, with its pools.
func (db *DB) Distributions(ctx context.Context, token events.Token) (list []distribution.Distribution, err error) {
	err = db.Snapshot(ctx, func(s *Snapshot) error {
		list, err = s.Distributions(token)
		return err
	})
	return list, err
}

// Distributions is [DB.Distributions].
func (s *Snapshot) Distributions(token events.Token) (list []distribution.Distribution, err error) {
	err = s.conn.Query("SELECT "+distributionColumns+" FROM distribution WHERE ?1 = '' OR token = ?1 ORDER BY control", func(r Row) error {
		d, err := distributionOf(r)
		list = append(list, d)
		return err
	}, string(token))
	for i := range list {
		if err == nil {
			err = s.pools(&list[i])
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading distributions: %w", err)
	}
	return list, nil
}

// Distribution returns one distribution by its id; ok is false if it was not
// made or is void.
func (db *DB) Distribution(ctx context.Context, id string) (d distribution.Distribution, ok bool, err error) {
	err = db.Snapshot(ctx, func(s *Snapshot) error {
		d, ok = distribution.Distribution{}, false
		err := s.conn.Query("SELECT "+distributionColumns+" FROM distribution WHERE id = ?1", func(r Row) error {
			ok = true
			d, err = distributionOf(r)
			return err
		}, id)
		if err == nil && ok {
			err = s.pools(&d)
		}
		return err
	})
	if err != nil {
		return d, false, fmt.Errorf("reading distribution %s: %w", id, err)
	}
	return d, ok, nil
}

func (s *Snapshot) pools(d *distribution.Distribution) error {
	return s.conn.Query("SELECT asset, inbox, basis_points, fee, pool, held, payouts, planned FROM pool WHERE distribution = ?1 ORDER BY asset", func(r Row) error {
		d.Pools = append(d.Pools, distribution.Pool{
			Asset: money.Asset(r.Text(0)), Inbox: r.Amount(1), FeeBasisPoints: int(r.Int64(2)), Fee: r.Amount(3),
			Pool: r.Amount(4), Held: r.Amount(5), Payouts: int(r.Int64(6)), Planned: r.Amount(7),
		})
		return nil
	}, int64(d.Control))
}

// Assets returns the assets of a token's distributions so far, ascending. These
// are the only assets in which the token can owe anything.
func (db *DB) Assets(ctx context.Context, token events.Token) (list []money.Asset, err error) {
	err = db.engine.Read(ctx, func(conn Conn) error {
		list = nil
		return conn.Query(`SELECT DISTINCT pool.asset FROM distribution JOIN pool ON pool.distribution = distribution.control
			WHERE distribution.token = ?1 ORDER BY pool.asset`, func(r Row) error {
			list = append(list, money.Asset(r.Text(0)))
			return nil
		}, string(token))
	})
	if err != nil {
		return nil, fmt.Errorf("reading the assets of token %s: %w", token, err)
	}
	return list, nil
}

const shareColumns = "holder, units, frozen, amount, held"

func shareOf(r Row) distribution.Share {
	return distribution.Share{Holder: events.Holder(r.Text(0)), Units: r.Units(1), Frozen: r.Units(2), Amount: r.Amount(3), Held: r.Amount(4)}
}

// Shares calls each for the shares of a distribution in an asset, ascending by
// holder. Together they are also the register at the record date.
func (db *DB) Shares(ctx context.Context, id string, asset money.Asset, each func(distribution.Share) error) error {
	return passing(ctx, db, each, func(conn Conn, each func(distribution.Share) error) error {
		s := &Snapshot{conn}
		control, err := ControlOf(conn, id)
		if err != nil {
			return err
		}
		return s.Shares(&distribution.Distribution{ID: id, Control: uint64(control)}, asset, each)
	})
}

// Shares is [DB.Shares].
func (s *Snapshot) Shares(d *distribution.Distribution, asset money.Asset, each func(distribution.Share) error) error {
	err := s.conn.Query("SELECT "+shareColumns+" FROM share WHERE distribution = ?1 AND asset = ?2 ORDER BY holder",
		func(r Row) error { return each(shareOf(r)) }, int64(d.Control), string(asset))
	if err != nil {
		return fmt.Errorf("reading shares of %s: %w", d.ID, err)
	}
	return nil
}

// ShareOf returns a holder's share of a distribution in an asset; ok is false
// for a holder who was not in the register.
func (db *DB) ShareOf(ctx context.Context, id string, asset money.Asset, holder events.Holder) (share distribution.Share, ok bool, err error) {
	err = db.Snapshot(ctx, func(s *Snapshot) error {
		control, err := ControlOf(s.conn, id)
		if err != nil {
			return err
		}
		share, ok, err = s.ShareOf(&distribution.Distribution{ID: id, Control: uint64(control)}, asset, holder)
		return err
	})
	return share, ok, err
}

// ShareOf is [DB.ShareOf].
func (s *Snapshot) ShareOf(d *distribution.Distribution, asset money.Asset, holder events.Holder) (share distribution.Share, ok bool, err error) {
	err = s.conn.Query("SELECT "+shareColumns+" FROM share WHERE distribution = ?1 AND asset = ?2 AND holder = ?3", func(r Row) error {
		share, ok = shareOf(r), true
		return nil
	}, int64(d.Control), string(asset), string(holder))
	if err != nil {
		return share, false, fmt.Errorf("reading the share of %s in %s: %w", holder, d.ID, err)
	}
	return share, ok, nil
}

const payoutColumns = "id, asset, holder, amount, state, reference"

func payoutOf(r Row) distribution.Payout {
	return distribution.Payout{
		ID: r.Text(0), Asset: money.Asset(r.Text(1)), Holder: events.Holder(r.Text(2)),
		Amount: r.Amount(3), State: distribution.State(r.Text(4)), Reference: r.Text(5),
	}
}

// Payouts calls each for the payouts of a distribution that are in a state (""
// selects all states), ascending by id.
func (db *DB) Payouts(ctx context.Context, id string, state distribution.State, each func(distribution.Payout) error) error {
	err := passing(ctx, db, each, func(conn Conn, each func(distribution.Payout) error) error {
		control, err := ControlOf(conn, id)
		if err != nil {
			return err
		}
		return conn.Query("SELECT "+payoutColumns+" FROM payout WHERE distribution = ?1 AND (?2 = '' OR state = ?2) ORDER BY id",
			func(r Row) error { return each(payoutOf(r)) }, control, string(state))
	})
	if err != nil {
		return fmt.Errorf("reading payouts of %s: %w", id, err)
	}
	return nil
}

// Payouts calls each for the payouts of a distribution, ascending by id.
func (s *Snapshot) Payouts(d *distribution.Distribution, each func(distribution.Payout) error) error {
	err := s.conn.Query("SELECT "+payoutColumns+" FROM payout WHERE distribution = ?1 ORDER BY id",
		func(r Row) error { return each(payoutOf(r)) }, int64(d.Control))
	if err != nil {
		return fmt.Errorf("reading payouts of %s: %w", d.ID, err)
	}
	return nil
}

// PayoutOf returns a payout of a distribution by its id; ok is false if there
// is none.
func (db *DB) PayoutOf(ctx context.Context, id, payout string) (p distribution.Payout, ok bool, err error) {
	err = db.Snapshot(ctx, func(s *Snapshot) error {
		control, err := ControlOf(s.conn, id)
		if err != nil {
			return err
		}
		p, ok, err = s.Payout(&distribution.Distribution{ID: id, Control: uint64(control)}, payout)
		return err
	})
	return p, ok, err
}

// Payout returns a payout of a distribution by its id.
func (s *Snapshot) Payout(d *distribution.Distribution, id string) (p distribution.Payout, ok bool, err error) {
	err = s.conn.Query("SELECT "+payoutColumns+" FROM payout WHERE distribution = ?1 AND id = ?2", func(r Row) error {
		p, ok = payoutOf(r), true
		return nil
	}, int64(d.Control), id)
	if err != nil {
		return p, false, fmt.Errorf("reading payout %s: %w", id, err)
	}
	return p, ok, nil
}

// FindPayout looks for a payout in every distribution.
func (db *DB) FindPayout(ctx context.Context, payout string) (p distribution.Payout, of string, ok bool, err error) {
	err = db.whole(ctx, func(conn Conn) error {
		return conn.Query(`SELECT payout.id, asset, holder, amount, state, reference, distribution.id FROM distribution CROSS JOIN payout
			WHERE payout.distribution = distribution.control AND payout.id = ?1`, func(r Row) error {
			p, of, ok = payoutOf(r), r.Text(6), true
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
// ascending by asset, then in the order of [distribution.States]. It reads
// every payout.
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
			if at, found := slices.BinarySearch(assets, p.Asset); !found {
				assets = slices.Insert(assets, at, p.Asset)
			}
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

// Owed is what a token owes one holder in one asset.
type Owed struct {
	Token events.Token
	Asset money.Asset
	distribution.Entitlement
}

// Owed calls each for everything that tokens owe to a holder ("" selects all
// holders), ascending by token, asset and holder.
func (s *Snapshot) Owed(holder events.Holder, each func(Owed) error) error {
	err := s.conn.Query("SELECT token, asset, holder, payable, held FROM entitlement WHERE ?1 = '' OR holder = ?1 ORDER BY token, asset, holder", func(r Row) error {
		return each(Owed{events.Token(r.Text(0)), money.Asset(r.Text(1)),
			distribution.Entitlement{Holder: events.Holder(r.Text(2)), Payable: r.Amount(3), Held: r.Amount(4)}})
	}, string(holder))
	if err != nil {
		return fmt.Errorf("reading what is owed: %w", err)
	}
	return nil
}

// Entitlements calls each for what a token owes in an asset, ascending by holder.
func (db *DB) Entitlements(ctx context.Context, token events.Token, asset money.Asset, each func(distribution.Entitlement) error) error {
	err := passing(ctx, db, each, func(conn Conn, each func(distribution.Entitlement) error) error {
		return conn.Query("SELECT holder, payable, held FROM entitlement WHERE token = ?1 AND asset = ?2 ORDER BY holder", func(r Row) error {
			return each(distribution.Entitlement{Holder: events.Holder(r.Text(0)), Payable: r.Amount(1), Held: r.Amount(2)})
		}, string(token), string(asset))
	})
	if err != nil {
		return fmt.Errorf("reading what %s owes: %w", token, err)
	}
	return nil
}

// EntitlementOf returns what a token owes one holder in an asset; zeros if
// nothing is owed.
func (db *DB) EntitlementOf(ctx context.Context, token events.Token, asset money.Asset, holder events.Holder) (e distribution.Entitlement, err error) {
	e.Holder = holder
	err = db.whole(ctx, func(conn Conn) error {
		return conn.Query("SELECT payable, held FROM entitlement WHERE token = ?1 AND asset = ?2 AND holder = ?3", func(r Row) error {
			e.Payable, e.Held = r.Amount(0), r.Amount(1)
			return nil
		}, string(token), string(asset), string(holder))
	})
	if err != nil {
		return e, fmt.Errorf("reading what %s owes %s: %w", token, holder, err)
	}
	return e, nil
}

const batchQuery = `SELECT batch.name, batch.rail, distribution.id, batch.control
	FROM batch JOIN distribution ON distribution.control = batch.distribution `

func batchOf(r Row) distribution.Batch {
	return distribution.Batch{Name: r.Text(0), Rail: events.Rail(r.Text(1)), Distribution: r.Text(2), Control: uint64(r.Int64(3))}
}

// Batch returns a batch of payouts by its name.
func (db *DB) Batch(ctx context.Context, name string) (b distribution.Batch, ok bool, err error) {
	err = db.whole(ctx, func(conn Conn) error {
		b, ok = distribution.Batch{}, false
		return conn.Query(batchQuery+"WHERE batch.name = ?1", func(r Row) error {
			b, ok = batchOf(r), true
			return nil
		}, name)
	})
	if err != nil {
		return b, false, fmt.Errorf("reading batch %s: %w", name, err)
	}
	return b, ok, nil
}

// Batches returns every batch of a distribution ("" selects all distributions),
// in the order of CONTROL.
func (db *DB) Batches(ctx context.Context, id string) (list []distribution.Batch, err error) {
	err = db.whole(ctx, func(conn Conn) error {
		list = nil
		return conn.Query(batchQuery+"WHERE ?1 = '' OR distribution.id = ?1 ORDER BY batch.control", func(r Row) error {
			list = append(list, batchOf(r))
			return nil
		}, id)
	})
	if err != nil {
		return nil, fmt.Errorf("reading batches: %w", err)
	}
	return list, nil
}
