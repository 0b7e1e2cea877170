package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// DistributeWriter is the name under which the distributor writes the journal.
const DistributeWriter = "distribute"

// Distribute is the distributor's access to the store: what it commits and
// reads back. One goroutine commits; the reading methods may be called from
// any.
type Distribute struct {
	Writer
	writer StepWriter
	owner  owner
}

// Distribute returns the distributor's part of the store, and takes it over
// from an earlier owner, whose next commit fails with [distribution.ErrFenced].
// The nonce identifies the new owner; the caller chooses it at random.
func (db *DB) Distribute(ctx context.Context, nonce string) (*Distribute, distribution.Cursor, error) {
	if err := db.cursorWhole(ctx, DistributeWriter); err != nil {
		return nil, distribution.Cursor{}, fmt.Errorf("taking over distribution: %w", err)
	}
	var writer StepWriter
	var cursor distribution.Cursor
	err := db.write(ctx, func(tx Tx) (err error) {
		if cursor, err = takeDistribute(tx, nonce); err == nil {
			writer, err = db.engine.Distributor(tx)
		}
		return err
	})
	if err != nil {
		return nil, distribution.Cursor{}, fmt.Errorf("taking over distribution: %w", err)
	}
	return &Distribute{Writer{db, DistributeWriter}, writer, distributorOf(cursor)}, cursor, nil
}

// DistributeCursor returns how far the distributor has come; its Epoch is zero
// if there never was a distributor.
func (db *DB) DistributeCursor(ctx context.Context) (c distribution.Cursor, err error) {
	err = db.whole(ctx, func(conn Conn) error {
		c, err = ReadDistributeCursor(conn)
		return err
	})
	return c, err
}

// DistributeCursor is [DB.DistributeCursor].
func (s *Snapshot) DistributeCursor() (distribution.Cursor, error) {
	return ReadDistributeCursor(s.conn)
}

// ReadDistributeCursor is [DB.DistributeCursor] for engines.
func ReadDistributeCursor(conn Conn) (c distribution.Cursor, err error) {
	err = conn.Query(`SELECT control_created, control, control_hash, ledger_created, ledger, ledger_hash, epoch, nonce
		FROM distribute_cursor`, func(r Row) error {
		c.Control, c.Ledger = mark(r, 0), mark(r, 3)
		c.Epoch, c.Nonce = uint64(r.Int64(6)), r.Text(7)
		return nil
	})
	if err != nil {
		return c, fmt.Errorf("reading the distributor's cursor: %w", err)
	}
	return c, nil
}

func mark(r Row, column int) (m distribution.Mark) {
	m.Created, m.Position = r.Int64(column), uint64(r.Int64(column+1))
	copy(m.Hash[:], r.Bytes(column+2))
	return m
}

// outgoing appends at most limit messages for PAYOUT from a number on. Messages
// that are rows of the journal are read from the journal by a range of
// constants, because a join on a computed number might read the whole journal.
func outgoing(conn Conn, list []distribution.Outgoing, from uint64, limit int) ([]distribution.Outgoing, error) {
	rows := map[int64]int{} // by number of the journal row: index in list
	first, last := int64(math.MaxInt64), int64(0)
	err := conn.Query("SELECT number, token, journal, data FROM payout_message WHERE number >= ?1 ORDER BY number LIMIT ?2", func(r Row) error {
		list = append(list, distribution.Outgoing{Number: uint64(r.Int64(0)), Token: events.Token(r.Text(1)), Data: r.Bytes(3)})
		if r.IsNull(3) {
			row := r.Int64(2)
			rows[row], first, last = len(list)-1, min(first, row), max(last, row)
		}
		return nil
	}, int64(from), int64(limit))
	if err != nil || len(rows) == 0 {
		return list, err
	}
	w, err := (&Snapshot{conn}).writer(DistributeWriter)
	if err != nil {
		return list, err
	}
	err = conn.Query("SELECT id, record FROM journal WHERE id BETWEEN ?1 AND ?2 ORDER BY id", func(r Row) error {
		if at, ok := rows[r.Int64(0)-rowID(w.id, 0)]; ok {
			list[at].Data = r.Bytes(1)
		}
		return nil
	}, rowID(w.id, uint64(first)), rowID(w.id, uint64(last)))
	return list, err
}

// Messages returns at most limit messages for PAYOUT from a number on.
func (d *Distribute) Messages(ctx context.Context, from uint64, limit int) (list []distribution.Outgoing, err error) {
	err = d.read(ctx, func(conn Conn) error {
		list, err = outgoing(conn, nil, from, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading messages for PAYOUT: %w", err)
	}
	return list, nil
}

// PayoutMessages calls each for every message for PAYOUT, in order.
func (s *Snapshot) PayoutMessages(each func(distribution.Outgoing) error) error {
	const page = 256
	var list []distribution.Outgoing
	for from := uint64(0); ; from = list[len(list)-1].Number + 1 {
		var err error
		if list, err = outgoing(s.conn, list[:0], from, page); err != nil {
			return fmt.Errorf("reading messages for PAYOUT: %w", err)
		}
		for _, m := range list {
			if err := each(m); err != nil {
				return fmt.Errorf("reading messages for PAYOUT: %w", err)
			}
		}
		if len(list) < page {
			return nil
		}
	}
}

// Inbox is [DB.Inbox].
func (d *Distribute) Inbox(ctx context.Context, token events.Token, period events.Period, through uint64) ([]distribution.Handover, error) {
	return patiently(ctx, d.db, func() ([]distribution.Handover, error) { return d.db.Inbox(ctx, token, period, through) })
}

// Inbox returns what a distribution of a period, which rests on a position in
// LEDGER, can take from a token's inbox and was not distributed yet, ascending
// by asset. The period in the result is the given one.
func (db *DB) Inbox(ctx context.Context, token events.Token, period events.Period, through uint64) (list []distribution.Handover, err error) {
	err = db.Snapshot(ctx, func(now *Snapshot) error {
		list = nil
		taken, err := takenBy(now.conn, token)
		if err != nil {
			return err
		}
		return now.Handovers(token, func(h distribution.Handover) error {
			if !h.Reaches(period, through) || slices.ContainsFunc(taken, func(d distribution.Distribution) bool { return d.Took(&h) }) {
				return nil
			}
			if n := len(list); n == 0 || list[n-1].Asset != h.Asset {
				list = append(list, distribution.Handover{Token: token, Asset: h.Asset, Position: through, Period: period})
			}
			last := &list[len(list)-1]
			last.Amount, err = last.Amount.Add(h.Amount)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the inbox of %s: %w", token, err)
	}
	return list, nil
}

// takenBy returns the distributions of a token that took from its inbox, the
// newest first, because most handovers were taken by it or by an earlier one.
// Only the fields that [distribution.Distribution.Took] needs are set.
func takenBy(conn Conn, token events.Token) (list []distribution.Distribution, err error) {
	err = conn.Query("SELECT control, period, ledger, asset FROM distribution JOIN pool ON pool.distribution = control WHERE token = ?1 ORDER BY control DESC", func(r Row) error {
		control := uint64(r.Int64(0))
		if n := len(list); n == 0 || list[n-1].Control != control {
			list = append(list, distribution.Distribution{Token: token, Control: control, Period: events.Period(r.Text(1)), Ledger: uint64(r.Int64(2))})
		}
		last := &list[len(list)-1]
		last.Pools = append(last.Pools, distribution.Pool{Asset: money.Asset(r.Text(3))})
		return nil
	}, string(token))
	return list, err
}

// Handovers calls each for every handover to a token's inbox ("" selects all
// tokens), as far as the distributor has read LEDGER, ascending by token,
// asset, position and period.
func (s *Snapshot) Handovers(token events.Token, each func(distribution.Handover) error) error {
	err := s.conn.Query("SELECT token, asset, position, period, amount FROM handover WHERE ?1 = '' OR token = ?1 ORDER BY token, asset, position, period", func(r Row) error {
		return each(distribution.Handover{Token: events.Token(r.Text(0)), Asset: money.Asset(r.Text(1)), Position: uint64(r.Int64(2)), Period: events.Period(r.Text(3)), Amount: r.Amount(4)})
	}, string(token))
	if err != nil {
		return fmt.Errorf("reading handovers: %w", err)
	}
	return nil
}

// SettledAt returns the position in LEDGER at which a period is settled, or 0
// if it is not settled yet. A closing settles every period up to its own, so
// this is the first closing that names this period or a later one: labels of
// one calendar sort as their periods do.
func (d *Distribute) SettledAt(ctx context.Context, book events.Book, period events.Period) (position uint64, err error) {
	err = d.read(ctx, func(conn Conn) error {
		return conn.Query("SELECT position FROM settled_period WHERE book = ?1 AND period >= ?2 ORDER BY period LIMIT 1", func(r Row) error {
			position = uint64(r.Int64(0))
			return nil
		}, string(book), string(period))
	})
	if err != nil {
		return 0, fmt.Errorf("reading where %s of %s is settled: %w", period, book, err)
	}
	return position, nil
}

// DistributeVoids returns the decisions that had no effect, or only a part of
// it, on distribution, ascending by position.
func (db *DB) DistributeVoids(ctx context.Context) (list []distribution.Void, err error) {
	err = db.whole(ctx, func(conn Conn) error {
		list = nil
		return conn.Query("SELECT control, partly, reason FROM distribute_void ORDER BY control", func(r Row) error {
			list = append(list, voidOf(r))
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading void decisions: %w", err)
	}
	return list, nil
}

func voidOf(r Row) distribution.Void {
	return distribution.Void{Control: uint64(r.Int64(0)), Partly: r.Int64(1) != 0, Reason: r.Text(2)}
}

// DistributeVoid returns why the decision at a position had no effect, or only
// a part of it; ok is false if it took effect or has not been read.
func (db *DB) DistributeVoid(ctx context.Context, control uint64) (v distribution.Void, ok bool, err error) {
	err = db.whole(ctx, func(conn Conn) error {
		return conn.Query("SELECT control, partly, reason FROM distribute_void WHERE control = ?1", func(r Row) error {
			v, ok = voidOf(r), true
			return nil
		}, int64(control))
	})
	if err != nil {
		return v, false, fmt.Errorf("reading the decision at %d: %w", control, err)
	}
	return v, ok, nil
}

// read calls the engine's Read until it succeeds or ctx ends; f may be called
// several times.
func (d *Distribute) read(ctx context.Context, f func(Conn) error) error {
	_, err := patiently(ctx, d.db, func() (struct{}, error) { return struct{}{}, d.db.whole(ctx, f) })
	return err
}

// Distribution is [DB.Distribution].
func (d *Distribute) Distribution(ctx context.Context, id string) (made distribution.Distribution, ok bool, err error) {
	_, err = patiently(ctx, d.db, func() (struct{}, error) {
		made, ok, err = d.db.Distribution(ctx, id)
		return struct{}{}, err
	})
	return made, ok, err
}

// Entitlements is [DB.Entitlements].
func (d *Distribute) Entitlements(ctx context.Context, token events.Token, asset money.Asset, each func(distribution.Entitlement) error) error {
	return eachPatiently(ctx, d.db, each, func(each func(distribution.Entitlement) error) error {
		return d.db.Entitlements(ctx, token, asset, each)
	})
}

// Assets is [DB.Assets].
func (d *Distribute) Assets(ctx context.Context, token events.Token) ([]money.Asset, error) {
	return patiently(ctx, d.db, func() ([]money.Asset, error) { return d.db.Assets(ctx, token) })
}

// EntitlementOf is [DB.EntitlementOf].
func (d *Distribute) EntitlementOf(ctx context.Context, token events.Token, asset money.Asset, holder events.Holder) (distribution.Entitlement, error) {
	return patiently(ctx, d.db, func() (distribution.Entitlement, error) {
		return d.db.EntitlementOf(ctx, token, asset, holder)
	})
}

// Payouts is [DB.Payouts].
func (d *Distribute) Payouts(ctx context.Context, id string, state distribution.State, each func(distribution.Payout) error) error {
	return eachPatiently(ctx, d.db, each, func(each func(distribution.Payout) error) error {
		return d.db.Payouts(ctx, id, state, each)
	})
}

// PayoutsOf is [DB.PayoutsOf].
func (d *Distribute) PayoutsOf(ctx context.Context, id string, names []string, each func(distribution.Payout) error) error {
	return eachPatiently(ctx, d.db, each, func(each func(distribution.Payout) error) error {
		return d.db.PayoutsOf(ctx, id, names, each)
	})
}

// Batch is [DB.Batch].
func (d *Distribute) Batch(ctx context.Context, name string) (b distribution.Batch, ok bool, err error) {
	_, err = patiently(ctx, d.db, func() (struct{}, error) {
		b, ok, err = d.db.Batch(ctx, name)
		return struct{}{}, err
	})
	return b, ok, err
}

// Void is [DB.DistributeVoid].
func (d *Distribute) Void(ctx context.Context, control uint64) (v distribution.Void, ok bool, err error) {
	_, err = patiently(ctx, d.db, func() (struct{}, error) {
		v, ok, err = d.db.DistributeVoid(ctx, control)
		return struct{}{}, err
	})
	return v, ok, err
}

// ErrUnknownDistribution means that no distribution with that id was made.
var ErrUnknownDistribution = errors.New("no such distribution")
