package sqlite

import (
	"context"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
)

// distributor writes the distributor's steps: a [store.StepWriter].
type distributor struct {
	*writer
	db *engine
}

// Distributor is [store.Engine].
func (db *engine) Distributor(t store.Tx) (store.StepWriter, error) {
	w, err := db.writer(t.(*tx).conn, store.DistributeWriter)
	if err != nil {
		return nil, err
	}
	return &distributor{w, db}, nil
}

// Commit is [store.StepWriter].
func (d *distributor) Commit(ctx context.Context, to store.Statement, step *distribution.Step) error {
	return interrupted(d.db.write(ctx, func(conn *sqlite.Conn) error {
		if err := move(conn, to); err != nil {
			return err
		}
		return d.write(conn, step)
	}))
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

// messages writes the messages for PAYOUT; first is the journal number of the
// step's first record. OR FAIL: see insertRows.
func messages(conn *sqlite.Conn, list []distribution.Message, first uint64) error {
	put, err := conn.Prepare(`INSERT OR FAIL INTO payout_message (number, token, journal, data)
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
