package sqlite

import (
	"context"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
)

// distributor is the distributor in the store.
type distributor struct {
	*writer
	db    *engine
	epoch uint64
	nonce string
}

// Distribute is [store.Engine].
func (db *engine) Distribute(ctx context.Context, nonce string) (store.DistributeCommitter, distribution.Cursor, error) {
	var cursor distribution.Cursor
	w, err := db.writer(ctx, store.DistributeWriter)
	if err != nil {
		return nil, cursor, err
	}
	err = db.write(ctx, func(conn *sqlite.Conn) error {
		err := query(conn, `INSERT INTO distribute_cursor VALUES (1, 0, 0, zeroblob(32), 0, 0, zeroblob(32), 0, '') ON CONFLICT DO NOTHING`, nil)
		if err != nil {
			return err
		}
		if err := query(conn, "UPDATE distribute_cursor SET epoch = epoch + 1, nonce = ?", nil, nonce); err != nil {
			return err
		}
		cursor, err = store.ReadDistributeCursor(&reader{conn})
		return err
	})
	if err != nil {
		return nil, cursor, err
	}
	return &distributor{writer: w, db: db, epoch: cursor.Epoch, nonce: nonce}, cursor, nil
}

// Commit is [store.DistributeCommitter].
func (d *distributor) Commit(ctx context.Context, control, read distribution.Mark, step *distribution.Step) error {
	err := d.db.write(ctx, func(conn *sqlite.Conn) error {
		to := step
		err := query(conn, `UPDATE distribute_cursor SET control_created = ?, control = ?, control_hash = ?,
			ledger_created = ?, ledger = ?, ledger_hash = ? WHERE control = ? AND ledger = ? AND epoch = ? AND nonce = ?`, nil,
			to.Control.Created, int64(to.Control.Position), to.Control.Hash[:],
			to.Ledger.Created, int64(to.Ledger.Position), to.Ledger.Hash[:],
			int64(control.Position), int64(read.Position), int64(d.epoch), d.nonce)
		if err != nil {
			return err
		}
		if conn.Changes() == 0 {
			now, err := store.ReadDistributeCursor(&reader{conn})
			switch {
			case err != nil:
				return err
			case now.Epoch != d.epoch || now.Nonce != d.nonce:
				return fmt.Errorf("%w: distribution is owned by distributor %d, this is %d", distribution.ErrFenced, now.Epoch, d.epoch)
			case now.Control == to.Control && now.Ledger == to.Ledger:
				return nil // the commit before, whose answer was lost, had succeeded
			}
			return fmt.Errorf("%w: the cursor is at control %d and ledger %d, not at %d and %d", distribution.ErrFenced,
				now.Control.Position, now.Ledger.Position, control.Position, read.Position)
		}
		return d.write(conn, step)
	})
	if err != nil {
		return fmt.Errorf("committing distribution: %w", err)
	}
	return nil
}

func (d *distributor) write(conn *sqlite.Conn, step *distribution.Step) error {
	rows := make([]entry, len(step.Records))
	for i := range step.Records {
		r := &step.Records[i]
		rows[i] = entry{Cut: r.Cut, Book: r.Book, Part: r.Part, Record: step.Encoded[i], Posts: r.Entries}
	}
	last, err := d.append(conn, rows)
	if err != nil {
		return err
	}
	if err := messages(conn, step.Messages, last-uint64(len(rows))+1); err != nil {
		return err
	}
	for _, h := range step.Handovers {
		amount := h.Amount.Bytes()
		if err := query(conn, "INSERT INTO handover VALUES (?, ?, ?, ?, ?)", nil, string(h.Token), string(h.Asset), int64(h.Position), string(h.Period), amount[:]); err != nil {
			return fmt.Errorf("writing a handover: %w", err)
		}
	}
	for _, s := range step.Settlements {
		if err := query(conn, "INSERT INTO settled_period VALUES (?, ?, ?) ON CONFLICT DO NOTHING", nil, string(s.Book), string(s.Period), int64(s.Position)); err != nil {
			return fmt.Errorf("writing a settled period: %w", err)
		}
	}
	if step.Made != nil {
		if err := made(conn, step.Made); err != nil {
			return fmt.Errorf("writing distribution %s: %w", step.Made.ID, err)
		}
	}
	for _, list := range step.Shares {
		if err := shares(conn, step.Made.Control, list); err != nil {
			return err
		}
	}
	for _, owed := range step.Owed {
		if err := entitlements(conn, owed); err != nil {
			return err
		}
	}
	for _, list := range step.Payouts {
		if err := payouts(conn, list); err != nil {
			return err
		}
	}
	if b := step.Batch; b != nil {
		if err := query(conn, "INSERT INTO batch SELECT ?, ?, control, ? FROM distribution WHERE id = ?", nil,
			b.Name, string(b.Rail), int64(b.Control), b.Distribution); err != nil {
			return fmt.Errorf("writing batch %s: %w", b.Name, err)
		}
	}
	if err := changes(conn, step.Changes); err != nil {
		return err
	}
	for _, v := range step.Voids {
		if err := query(conn, "INSERT INTO distribute_void VALUES (?, ?, ?)", nil, int64(v.Control), v.Partly, v.Reason); err != nil {
			return fmt.Errorf("writing a void decision: %w", err)
		}
	}
	return nil
}

// messages writes what PAYOUT is to say; first is the journal number of the
// step's first record.
func messages(conn *sqlite.Conn, list []distribution.Message, first uint64) error {
	put, err := conn.Prepare(`INSERT INTO payout_message (number, token, journal, data)
		SELECT coalesce(max(number), 0) + 1, ?, ?, ? FROM payout_message`)
	if err != nil {
		return err
	}
	for _, m := range list {
		put.BindText(1, string(m.Token))
		if m.Data == nil {
			put.BindInt64(2, int64(first)+int64(m.Record))
			put.BindNull(3)
		} else {
			put.BindNull(2)
			put.BindBytes(3, m.Data)
		}
		if err := run(put); err != nil {
			return fmt.Errorf("writing a message for PAYOUT: %w", err)
		}
	}
	return nil
}

func made(conn *sqlite.Conn, d *distribution.Distribution) error {
	supply := d.Supply.Bytes()
	err := query(conn, "INSERT INTO distribution VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", nil,
		int64(d.Control), d.ID, string(d.Token), string(d.Book), string(d.Period), int64(d.Ledger), int64(d.Register),
		d.RecordDate.UTC().Format(time.RFC3339Nano), string(d.Rail), d.Holders, supply[:])
	if err != nil {
		return err
	}
	for _, p := range d.Pools {
		inbox, fee, pool, held, planned := p.Inbox.Bytes(), p.Fee.Bytes(), p.Pool.Bytes(), p.Held.Bytes(), p.Planned.Bytes()
		err := query(conn, "INSERT INTO pool VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", nil, int64(d.Control), string(p.Asset),
			inbox[:], p.FeeBasisPoints, fee[:], pool[:], held[:], p.Payouts, planned[:])
		if err != nil {
			return err
		}
	}
	return nil
}

func shares(conn *sqlite.Conn, control uint64, list distribution.Shares) error {
	err := insertRows(conn, "share", 7, "", len(list.List), func(put *sqlite.Stmt, at, i int) {
		s := &list.List[i]
		units, frozen, amount, held := s.Units.Bytes(), s.Frozen.Bytes(), s.Amount.Bytes(), s.Held.Bytes()
		put.BindInt64(at+1, int64(control))
		put.BindText(at+2, string(list.Asset))
		put.BindText(at+3, string(s.Holder))
		put.BindBytes(at+4, units[:])
		bindUnless(put, at+5, s.Frozen.IsZero(), &frozen)
		put.BindBytes(at+6, amount[:])
		bindUnless(put, at+7, s.Held.IsZero(), &held)
	})
	if err != nil {
		return fmt.Errorf("writing shares in %s: %w", list.Asset, err)
	}
	return nil
}

func bindUnless(s *sqlite.Stmt, at int, null bool, b *[16]byte) {
	if null {
		s.BindNull(at)
		return
	}
	s.BindBytes(at, b[:])
}

func entitlements(conn *sqlite.Conn, owed distribution.Owed) error {
	drop, err := conn.Prepare("DELETE FROM entitlement WHERE token = ? AND asset = ? AND holder = ?")
	if err != nil {
		return err
	}
	list := make([]*distribution.Entitlement, 0, len(owed.List))
	for i := range owed.List {
		e := &owed.List[i]
		if !e.IsZero() {
			list = append(list, e)
			continue
		}
		drop.BindText(1, string(owed.Token))
		drop.BindText(2, string(owed.Asset))
		drop.BindText(3, string(e.Holder))
		if err := run(drop); err != nil {
			return fmt.Errorf("writing that nothing is owed to %s: %w", e.Holder, err)
		}
	}
	const replace = " ON CONFLICT DO UPDATE SET payable = excluded.payable, held = excluded.held"
	err = insertRows(conn, "entitlement", 5, replace, len(list), func(put *sqlite.Stmt, at, i int) {
		payable, held := list[i].Payable.Bytes(), list[i].Held.Bytes()
		put.BindText(at+1, string(owed.Token))
		put.BindText(at+2, string(owed.Asset))
		put.BindText(at+3, string(list[i].Holder))
		put.BindBytes(at+4, payable[:])
		put.BindBytes(at+5, held[:])
	})
	if err != nil {
		return fmt.Errorf("writing what %s owes in %s: %w", owed.Token, owed.Asset, err)
	}
	return nil
}

func payouts(conn *sqlite.Conn, list distribution.Payouts) error {
	control, err := store.ControlOf(&reader{conn}, list.Distribution)
	if err != nil {
		return err
	}
	err = insertRows(conn, "payout", 7, "", len(list.List), func(put *sqlite.Stmt, at, i int) {
		p := &list.List[i]
		amount := p.Amount.Bytes()
		put.BindInt64(at+1, control)
		put.BindText(at+2, p.ID)
		put.BindText(at+3, string(p.Asset))
		put.BindText(at+4, string(p.Holder))
		put.BindBytes(at+5, amount[:])
		put.BindText(at+6, string(p.State))
		put.BindText(at+7, p.Reference)
	})
	if err != nil {
		return fmt.Errorf("writing payouts of %s: %w", list.Distribution, err)
	}
	return nil
}
