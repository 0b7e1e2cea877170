package cockroach

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// payer writes the distributor's steps: a [store.StepWriter].
type payer struct{ db *engine }

// Distributor is [store.Engine].
func (db *engine) Distributor(t store.Tx) (store.StepWriter, error) {
	return &payer{db}, register(t, distributor, store.DistributeWriter)
}

// Commit is [store.StepWriter].
func (p *payer) Commit(ctx context.Context, move store.Statement, step *distribution.Step) error {
	rows := newJournal(distributor)
	for i := range step.Records {
		if err := rows.add(&step.Records[i], step.Encoded[i]); err != nil {
			return err
		}
	}
	return p.db.transact(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var cursor script
		cursor.move(move)
		if err := cursor.run(ctx, tx); err != nil {
			return err
		}
		return write(ctx, tx, step, rows)
	})
}

// write writes a step, except for the cursor.
func write(ctx context.Context, tx pgx.Tx, step *distribution.Step, rows *journal) error {
	var out script
	var last, message int64
	var err error
	if len(rows.records) > 0 || len(step.Messages) > 0 {
		if last, err = newest(ctx, tx, distributor); err != nil {
			return err
		}
	}
	rows.write(&out, last)
	if len(step.Messages) > 0 {
		if err := tx.QueryRow(ctx, "SELECT coalesce(max(number), 0) FROM payout_message").Scan(&message); err != nil {
			return fmt.Errorf("looking for the last message for PAYOUT: %w", err)
		}
		writeMessages(&out, step.Messages, message, last)
	}
	chunks(step.Handovers, func(h *distribution.Handover) int { return len(h.Token) + len(h.Asset) }, func(from, to int) {
		list := step.Handovers[from:to]
		out.add("writing handovers", `INSERT INTO handover (token, asset, position, period, amount)
			SELECT token, asset, position, period, amount::numeric FROM unnest($1::text[], $2::text[], $3::int8[], $4::text[], $5::text[]) AS u (token, asset, position, period, amount)`,
			column(list, func(h *distribution.Handover) string { return string(h.Token) }), column(list, func(h *distribution.Handover) string { return string(h.Asset) }),
			column(list, func(h *distribution.Handover) int64 { return int64(h.Position) }), column(list, func(h *distribution.Handover) string { return string(h.Period) }),
			column(list, func(h *distribution.Handover) string { return h.Amount.String() }))
	})
	chunks(step.Settlements, func(s *distribution.Settlement) int { return len(s.Book) + len(s.Period) }, func(from, to int) {
		list := step.Settlements[from:to]
		out.add("writing settled periods", "INSERT INTO settled_period (book, period, position) SELECT * FROM unnest($1::text[], $2::text[], $3::int8[]) ON CONFLICT (book, period) DO NOTHING",
			column(list, func(s *distribution.Settlement) string { return string(s.Book) }), column(list, func(s *distribution.Settlement) string { return string(s.Period) }),
			column(list, func(s *distribution.Settlement) int64 { return int64(s.Position) }))
	})
	keys, err := controls(ctx, tx, step)
	if err != nil {
		return err
	}
	if step.Made != nil {
		writeMade(&out, step.Made)
		for _, s := range step.Shares {
			writeShares(&out, step.Made.Control, s)
		}
	}
	for _, owed := range step.Owed {
		writeOwed(&out, owed)
	}
	for _, list := range step.Payouts {
		writePayouts(&out, keys[list.Distribution], list.List)
	}
	if b := step.Batch; b != nil {
		out.add("writing batch "+b.Name, "INSERT INTO batch (name, rail, distribution, control) VALUES ($1, $2, $3, $4)",
			b.Name, string(b.Rail), keys[b.Distribution], int64(b.Control))
	}
	writeChanges(&out, keys, step.Changes)
	chunks(step.Voids, func(v *distribution.Void) int { return len(v.Reason) }, func(from, to int) {
		list := step.Voids[from:to]
		out.add("writing void decisions", "INSERT INTO distribute_void (control, partly, reason) SELECT * FROM unnest($1::int8[], $2::int8[], $3::text[])",
			column(list, func(v *distribution.Void) int64 { return int64(v.Control) }),
			column(list, func(v *distribution.Void) int64 {
				if v.Partly {
					return 1
				}
				return 0
			}), column(list, func(v *distribution.Void) string { return v.Reason }))
	})
	return out.run(ctx, tx)
}

// controls finds the keys of the distributions that a step names.
func controls(ctx context.Context, tx pgx.Tx, step *distribution.Step) (map[string]int64, error) {
	keys := map[string]int64{}
	if step.Made != nil {
		keys[step.Made.ID] = int64(step.Made.Control)
	}
	find := func(id string) error {
		if _, ok := keys[id]; ok {
			return nil
		}
		control, err := store.ControlOf(&reader{ctx: ctx, conn: tx.Conn().PgConn()}, id)
		keys[id] = control
		return err
	}
	for _, list := range step.Payouts {
		if err := find(list.Distribution); err != nil {
			return nil, err
		}
	}
	if step.Batch != nil {
		if err := find(step.Batch.Distribution); err != nil {
			return nil, err
		}
	}
	for i := range step.Changes {
		if err := find(step.Changes[i].Distribution); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// writeMessages writes the messages for PAYOUT; row is the number of the
// journal row before the step's first one.
func writeMessages(out *script, list []distribution.Message, message, row int64) {
	numbers := make([]int64, len(list))
	journals := make([]*int64, len(list))
	for i := range list {
		numbers[i] = message + int64(i) + 1
		if list[i].Data == nil {
			at := row + 1 + int64(list[i].Record)
			journals[i] = &at
		}
	}
	chunks(list, func(m *distribution.Message) int { return len(m.Token) + len(m.Data) }, func(from, to int) {
		out.add("writing messages for PAYOUT", "INSERT INTO payout_message (number, token, journal, data) SELECT * FROM unnest($1::int8[], $2::text[], $3::int8[], $4::bytea[])",
			numbers[from:to], column(list[from:to], func(m *distribution.Message) string { return string(m.Token) }), journals[from:to],
			column(list[from:to], func(m *distribution.Message) []byte { return m.Data }))
	})
}

func writeMade(out *script, d *distribution.Distribution) {
	out.add("writing distribution "+d.ID, `INSERT INTO distribution (control, id, token, book, period, ledger, register, record_date, rail, holders, supply)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::numeric)`,
		int64(d.Control), d.ID, string(d.Token), string(d.Book), string(d.Period), int64(d.Ledger), int64(d.Register),
		d.RecordDate.UTC().Format(time.RFC3339Nano), string(d.Rail), int64(d.Holders), d.Supply.String())
	for i := range d.Pools {
		p := &d.Pools[i]
		out.add("writing distribution "+d.ID, `INSERT INTO pool (distribution, asset, inbox, basis_points, fee, pool, held, payouts, planned)
			VALUES ($1, $2, $3::text::numeric, $4, $5::text::numeric, $6::text::numeric, $7::text::numeric, $8, $9::text::numeric)`,
			int64(d.Control), string(p.Asset), p.Inbox.String(), int64(p.FeeBasisPoints), p.Fee.String(), p.Pool.String(), p.Held.String(), int64(p.Payouts), p.Planned.String())
	}
}

func writeShares(out *script, control uint64, shares distribution.Shares) {
	chunks(shares.List, func(s *distribution.Share) int { return len(s.Holder) }, func(from, to int) {
		list := shares.List[from:to]
		out.add("writing shares in "+string(shares.Asset), `INSERT INTO share (distribution, asset, holder, units, frozen, amount, held)
			SELECT $1, $2, holder, units::numeric, nullif(frozen, '')::numeric, amount::numeric, nullif(held, '')::numeric
			FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) AS u (holder, units, frozen, amount, held)`,
			int64(control), string(shares.Asset),
			column(list, func(s *distribution.Share) string { return string(s.Holder) }), column(list, func(s *distribution.Share) string { return s.Units.String() }),
			column(list, func(s *distribution.Share) string {
				if s.Frozen.IsZero() {
					return ""
				}
				return s.Frozen.String()
			}),
			column(list, func(s *distribution.Share) string { return s.Amount.String() }), column(list, func(s *distribution.Share) string { return unlessZero(s.Held) }))
	})
}

// unlessZero returns an empty text for zero, which is written as null.
func unlessZero(a money.Amount) string {
	if a.IsZero() {
		return ""
	}
	return a.String()
}

func writeOwed(out *script, owed distribution.Owed) {
	put, gone := apart(owed.List, func(e *distribution.Entitlement) bool { return e.IsZero() })
	holder := func(e *distribution.Entitlement) string { return string(e.Holder) }
	doing := fmt.Sprintf("writing what %s owes in %s", owed.Token, owed.Asset)
	chunks(gone, func(e *distribution.Entitlement) int { return len(e.Holder) }, func(from, to int) {
		out.add(doing, "DELETE FROM entitlement WHERE token = $1 AND asset = $2 AND holder IN (SELECT * FROM unnest($3::text[]))",
			string(owed.Token), string(owed.Asset), column(gone[from:to], holder))
	})
	chunks(put, func(e *distribution.Entitlement) int { return len(e.Holder) }, func(from, to int) {
		list := put[from:to]
		out.add(doing, `INSERT INTO entitlement (token, asset, holder, payable, held)
			SELECT $1, $2, holder, payable::numeric, held::numeric FROM unnest($3::text[], $4::text[], $5::text[]) AS u (holder, payable, held)
			ON CONFLICT (token, asset, holder) DO UPDATE SET payable = excluded.payable, held = excluded.held`,
			string(owed.Token), string(owed.Asset), column(list, holder),
			column(list, func(e *distribution.Entitlement) string { return e.Payable.String() }), column(list, func(e *distribution.Entitlement) string { return e.Held.String() }))
	})
}

func writePayouts(out *script, control int64, all []distribution.Payout) {
	chunks(all, func(p *distribution.Payout) int {
		return len(p.ID) + len(p.Asset) + len(p.Holder) + len(p.State) + len(p.Reference)
	}, func(from, to int) {
		list := all[from:to]
		out.add("writing payouts", `INSERT INTO payout (distribution, id, asset, holder, amount, state, reference)
			SELECT $1, id, asset, holder, amount::numeric, state, reference
			FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) AS u (id, asset, holder, amount, state, reference)`,
			control,
			column(list, func(p *distribution.Payout) string { return p.ID }), column(list, func(p *distribution.Payout) string { return string(p.Asset) }),
			column(list, func(p *distribution.Payout) string { return string(p.Holder) }), column(list, func(p *distribution.Payout) string { return p.Amount.String() }),
			column(list, func(p *distribution.Payout) string { return string(p.State) }), column(list, func(p *distribution.Payout) string { return p.Reference }))
	})
}

// writeChanges writes the new states of payouts, all of which must exist.
func writeChanges(out *script, keys map[string]int64, all []distribution.Change) {
	chunks(all, func(c *distribution.Change) int { return len(c.Payout) + len(c.State) + len(c.Reference) }, func(from, to int) {
		list := all[from:to]
		missing := fmt.Errorf("one of the payouts from %s to %s does not exist", list[0].Payout, list[len(list)-1].Payout)
		out.want("writing the states of payouts", int64(len(list)), missing, `UPDATE payout SET state = u.state, reference = CASE u.reference WHEN '' THEN payout.reference ELSE u.reference END
			FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[]) AS u (distribution, id, state, reference)
			WHERE payout.distribution = u.distribution AND payout.id = u.id`,
			column(list, func(c *distribution.Change) int64 { return keys[c.Distribution] }), column(list, func(c *distribution.Change) string { return c.Payout }),
			column(list, func(c *distribution.Change) string { return string(c.State) }), column(list, func(c *distribution.Change) string { return c.Reference }))
	})
}
