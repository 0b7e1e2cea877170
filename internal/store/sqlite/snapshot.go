package sqlite

import (
	"context"
	"fmt"
	"math"

	"zombiezen.com/go/sqlite"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Snapshot is the store at one commit, for those who check it: everything read
// from it belongs together, whatever is written meanwhile. It is used by one
// goroutine, and a function that it calls may ask it other questions, but not
// the one that is being answered.
type Snapshot struct {
	conn *sqlite.Conn
}

// Snapshot calls f with the store as it is now. As long as f runs, the WAL
// keeps what is written: an hour under load is some gigabytes.
func (db *DB) Snapshot(ctx context.Context, f func(*Snapshot) error) error {
	return db.Read(ctx, func(conn *sqlite.Conn) error { return f(&Snapshot{conn}) })
}

// WriterState is a writer of the journal and how far it has come.
type WriterState struct {
	Name    string
	Rows    uint64 // of the journal
	Last    uint64 // number of the last one: Rows, unless some are missing
	Relayed uint64 // what of its messages is known to be in its stream

	id int64
}

// Writers returns every writer, in the order of their registration.
func (s *Snapshot) Writers() (list []WriterState, err error) {
	err = query(s.conn, "SELECT id, name, relayed FROM writer ORDER BY id", func(r *sqlite.Stmt) error {
		list = append(list, WriterState{Name: r.ColumnText(1), Relayed: uint64(r.ColumnInt64(2)), id: r.ColumnInt64(0)})
		return nil
	})
	for i := range list {
		if err != nil {
			break
		}
		w := &list[i]
		err = query(s.conn, "SELECT count(*), coalesce(max(id), 0) & ? FROM journal WHERE id BETWEEN ? AND ?", func(r *sqlite.Stmt) error {
			w.Rows, w.Last = uint64(r.ColumnInt64(0)), uint64(r.ColumnInt64(1))
			return nil
		}, int64(1<<numberBits-1), w.id<<numberBits, w.id<<numberBits|(1<<numberBits-1))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the writers of the journal: %w", err)
	}
	return list, nil
}

// Journal calls each for a writer's rows from a number on, ascending.
func (s *Snapshot) Journal(w WriterState, from uint64, each func(Written) error) error {
	err := query(s.conn, "SELECT id, cut, book, part, record FROM journal WHERE id BETWEEN ? AND ? ORDER BY id",
		func(r *sqlite.Stmt) error { return each(written(r)) },
		w.id<<numberBits|int64(from), w.id<<numberBits|(1<<numberBits-1))
	if err != nil {
		return fmt.Errorf("reading the journal of %s: %w", w.Name, err)
	}
	return nil
}

// Entries calls each for every record of a book (every book: ""), writer by
// writer in the order of their registration, ascending.
func (s *Snapshot) Entries(book events.Book, each func(writer string, row Written, record *ledger.Record) error) error {
	writers, err := s.Writers()
	if err != nil {
		return err
	}
	for _, w := range writers {
		err := s.Journal(w, 1, func(row Written) error {
			if book != "" && row.Book != book {
				return nil
			}
			r, err := ledger.DecodeRecord(row.Record)
			if err != nil {
				return fmt.Errorf("row %d of %s: %w", row.Number, w.Name, err)
			}
			return each(w.Name, row, &r)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Row returns one row of a writer; ok is false where there is none.
func (s *Snapshot) Row(w WriterState, number uint64) (row Written, ok bool, err error) {
	err = query(s.conn, "SELECT id, cut, book, part, record FROM journal WHERE id = ?", func(r *sqlite.Stmt) error {
		row, ok = written(r), true
		return nil
	}, w.id<<numberBits|int64(number))
	if err != nil {
		return row, false, fmt.Errorf("reading row %d of %s: %w", number, w.Name, err)
	}
	return row, ok, nil
}

// FirstAt returns the number of a writer's first row cut at or after a
// position, or the number after its last: cuts ascend with the numbers.
func (s *Snapshot) FirstAt(w WriterState, position uint64) (uint64, error) {
	low, high := uint64(1), w.Last+1
	for low < high {
		middle := low + (high-low)/2
		row, ok, err := s.Row(w, middle)
		if err != nil {
			return 0, err
		}
		if !ok {
			return 0, fmt.Errorf("looking for position %d in the journal of %s: row %d is missing", position, w.Name, middle)
		}
		if row.Cut < position {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}

// BalanceRows calls each for the balances that one writer keeps.
func (s *Snapshot) BalanceRows(w WriterState, each func(Balance) error) error {
	err := query(s.conn, `SELECT account.name, asset, debit, credit FROM balance JOIN account ON account.id = account WHERE writer = ?`,
		func(r *sqlite.Stmt) error {
			return each(Balance{ledger.Account(r.ColumnText(0)), money.Asset(r.ColumnText(1)), amount(r, 2), amount(r, 3)})
		}, w.id)
	if err != nil {
		return fmt.Errorf("reading the balances of %s: %w", w.Name, err)
	}
	return nil
}

// Balances is [DB.Balances].
func (s *Snapshot) Balances(prefix string) ([]Balance, error) { return BalancesOf(s.conn, prefix) }

// Tallies is [DB.Tallies].
func (s *Snapshot) Tallies(book events.Book) ([]settlement.Tally, error) {
	return TalliesOf(s.conn, book)
}

// Suspense is [DB.Suspense].
func (s *Snapshot) Suspense(book events.Book) ([]settlement.Suspense, error) {
	return SuspenseOf(s.conn, book)
}

// Outstanding is [DB.Outstanding].
func (s *Snapshot) Outstanding(book events.Book, customer events.Customer) ([]settlement.Outstanding, error) {
	return OutstandingOf(s.conn, book, customer)
}

// Cursors returns the cursor of every partition, ascending.
func (s *Snapshot) Cursors() (list []settlement.Cursor, err error) {
	var partitions []int
	err = query(s.conn, "SELECT partition FROM cursor ORDER BY partition", func(r *sqlite.Stmt) error {
		partitions = append(partitions, r.ColumnInt(0))
		return nil
	})
	for _, p := range partitions {
		if err != nil {
			break
		}
		var c settlement.Cursor
		c, err = cursorOf(s.conn, p)
		list = append(list, c)
	}
	if err != nil {
		return nil, fmt.Errorf("reading cursors: %w", err)
	}
	return list, nil
}

// DistributeCursor is [DB.DistributeCursor].
func (s *Snapshot) DistributeCursor() (distribution.Cursor, error) { return distributeCursor(s.conn) }

// Outcomes calls each for every batch message of a partition, ascending.
func (s *Snapshot) Outcomes(partition int, each func(settlement.Outcome) error) error {
	err := query(s.conn, "SELECT position, events, runs FROM outcome WHERE partition = ? ORDER BY position", func(r *sqlite.Stmt) error {
		runs, err := settlement.DecodeRuns(blob(r, 2))
		if err != nil {
			return fmt.Errorf("position %d: %w", r.ColumnInt64(0), err)
		}
		return each(settlement.Outcome{Position: uint64(r.ColumnInt64(0)), Events: r.ColumnInt(1), Runs: runs})
	}, partition)
	if err != nil {
		return fmt.Errorf("reading outcomes: %w", err)
	}
	return nil
}

// Outcome is [DB.Outcome].
func (s *Snapshot) Outcome(partition int, position uint64) (o settlement.Outcome, ok bool, err error) {
	if position > math.MaxInt64 {
		return o, false, nil
	}
	err = query(s.conn, "SELECT events, runs FROM outcome WHERE partition = ? AND position = ?", func(r *sqlite.Stmt) error {
		runs, err := settlement.DecodeRuns(blob(r, 1))
		o, ok = settlement.Outcome{Position: position, Events: r.ColumnInt(0), Runs: runs}, true
		return err
	}, partition, int64(position))
	if err != nil {
		return o, false, fmt.Errorf("reading the outcomes of position %d: %w", position, err)
	}
	return o, ok, nil
}

// SourceID is a source as the store knows it.
type SourceID struct {
	settlement.Source
	id int64
}

// Sources returns every sequenced source of a name (every one: ""), ascending.
func (s *Snapshot) Sources(name string) (list []SourceID, err error) {
	err = query(s.conn, "SELECT id, provider, source, epoch FROM source WHERE ?1 = '' OR source = ?1 ORDER BY provider, source, epoch", func(r *sqlite.Stmt) error {
		list = append(list, SourceID{settlement.Source{
			Provider: events.Provider(r.ColumnText(1)), Source: r.ColumnText(2), Epoch: unordered(r.ColumnInt64(3)),
		}, r.ColumnInt64(0)})
		return nil
	}, name)
	if err != nil {
		return nil, fmt.Errorf("reading sources: %w", err)
	}
	return list, nil
}

// Spans calls each for the accepted sequences of a source, ascending.
func (s *Snapshot) Spans(source SourceID, each func(settlement.Span) error) error {
	return query(s.conn, "SELECT first, last FROM span WHERE source = ? ORDER BY first", func(r *sqlite.Stmt) error {
		return each(settlement.Span{First: unordered(r.ColumnInt64(0)), Last: unordered(r.ColumnInt64(1))})
	}, source.id)
}

// Originals calls each for where the accepted sequences of a source are,
// ascending by sequence.
func (s *Snapshot) Originals(source SourceID, each func(settlement.Original) error) error {
	return query(s.conn, "SELECT first, last, position, segment, ordinal FROM original WHERE source = ? ORDER BY first", func(r *sqlite.Stmt) error {
		return each(settlement.Original{
			Source: source.Source, Span: settlement.Span{First: unordered(r.ColumnInt64(0)), Last: unordered(r.ColumnInt64(1))},
			Position: uint64(r.ColumnInt64(2)), Segment: r.ColumnInt(3), Ordinal: r.ColumnInt(4),
		})
	}, source.id)
}

// Distributions is [DB.Distributions].
func (s *Snapshot) Distributions(token events.Token) (list []distribution.Distribution, err error) {
	err = query(s.conn, "SELECT "+distributionColumns+" FROM distribution WHERE ?1 = '' OR token = ?1 ORDER BY control", func(r *sqlite.Stmt) error {
		d, err := distributionOf(r)
		list = append(list, d)
		return err
	}, string(token))
	for i := range list {
		if err == nil {
			err = pools(s.conn, &list[i])
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading distributions: %w", err)
	}
	return list, nil
}

// Shares calls each for the shares of a distribution in an asset, ascending by
// holder.
func (s *Snapshot) Shares(d *distribution.Distribution, asset money.Asset, each func(distribution.Share) error) error {
	err := query(s.conn, "SELECT holder, units, frozen, amount, held FROM share WHERE distribution = ? AND asset = ? ORDER BY holder",
		func(r *sqlite.Stmt) error { return each(shareOf(r)) }, int64(d.Control), string(asset))
	if err != nil {
		return fmt.Errorf("reading shares of %s: %w", d.ID, err)
	}
	return nil
}

// ShareOf returns a holder's share of a distribution in an asset.
func (s *Snapshot) ShareOf(d *distribution.Distribution, asset money.Asset, holder events.Holder) (share distribution.Share, ok bool, err error) {
	err = query(s.conn, "SELECT holder, units, frozen, amount, held FROM share WHERE distribution = ? AND asset = ? AND holder = ?", func(r *sqlite.Stmt) error {
		share, ok = shareOf(r), true
		return nil
	}, int64(d.Control), string(asset), string(holder))
	if err != nil {
		return share, false, fmt.Errorf("reading the share of %s in %s: %w", holder, d.ID, err)
	}
	return share, ok, nil
}

// Payouts calls each for the payouts of a distribution, ascending by id.
func (s *Snapshot) Payouts(d *distribution.Distribution, each func(distribution.Payout) error) error {
	err := query(s.conn, "SELECT "+payoutColumns+" FROM payout WHERE distribution = ? ORDER BY id",
		func(r *sqlite.Stmt) error { return each(payoutOf(r)) }, int64(d.Control))
	if err != nil {
		return fmt.Errorf("reading payouts of %s: %w", d.ID, err)
	}
	return nil
}

// Payout returns a payout of a distribution by its id.
func (s *Snapshot) Payout(d *distribution.Distribution, id string) (p distribution.Payout, ok bool, err error) {
	err = query(s.conn, "SELECT "+payoutColumns+" FROM payout WHERE distribution = ? AND id = ?", func(r *sqlite.Stmt) error {
		p, ok = payoutOf(r), true
		return nil
	}, int64(d.Control), id)
	if err != nil {
		return p, false, fmt.Errorf("reading payout %s: %w", id, err)
	}
	return p, ok, nil
}

// Owed is what a token owes one holder in one asset.
type Owed struct {
	Token events.Token
	Asset money.Asset
	distribution.Entitlement
}

// Owed calls each for everything that tokens owe to a holder (every holder:
// ""), ascending by token, asset and holder.
func (s *Snapshot) Owed(holder events.Holder, each func(Owed) error) error {
	err := query(s.conn, "SELECT token, asset, holder, payable, held FROM entitlement WHERE ?1 = '' OR holder = ?1 ORDER BY token, asset, holder", func(r *sqlite.Stmt) error {
		return each(Owed{events.Token(r.ColumnText(0)), money.Asset(r.ColumnText(1)),
			distribution.Entitlement{Holder: events.Holder(r.ColumnText(2)), Payable: amount(r, 3), Held: amount(r, 4)}})
	}, string(holder))
	if err != nil {
		return fmt.Errorf("reading what is owed: %w", err)
	}
	return nil
}

// Handovers calls each for what reached a token's inbox (every token: ""), as
// far as the distributor has read LEDGER, ascending by token, asset and position.
func (s *Snapshot) Handovers(token events.Token, each func(distribution.Handover) error) error {
	err := query(s.conn, "SELECT token, asset, position, amount FROM handover WHERE ?1 = '' OR token = ?1 ORDER BY token, asset, position", func(r *sqlite.Stmt) error {
		return each(distribution.Handover{Token: events.Token(r.ColumnText(0)), Asset: money.Asset(r.ColumnText(1)), Position: uint64(r.ColumnInt64(2)), Amount: amount(r, 3)})
	}, string(token))
	if err != nil {
		return fmt.Errorf("reading handovers: %w", err)
	}
	return nil
}

// PayoutMessages calls each for what goes to PAYOUT, in its order.
func (s *Snapshot) PayoutMessages(each func(distribution.Outgoing) error) error {
	err := query(s.conn, `SELECT number, token, coalesce(data, record) FROM payout_message
		LEFT JOIN journal ON journal.id = (SELECT id FROM writer WHERE name = ?1) << ?2 | payout_message.journal ORDER BY number`, func(r *sqlite.Stmt) error {
		return each(distribution.Outgoing{Number: uint64(r.ColumnInt64(0)), Token: events.Token(r.ColumnText(1)), Data: blob(r, 2)})
	}, DistributeWriter, numberBits)
	if err != nil {
		return fmt.Errorf("reading messages for PAYOUT: %w", err)
	}
	return nil
}

// SharedAccounts returns the accounts that more than one writer has posted to,
// ascending.
func (s *Snapshot) SharedAccounts() (list []ledger.Account, err error) {
	err = query(s.conn, `SELECT name FROM account JOIN balance ON balance.account = account.id
		GROUP BY account.id HAVING count(DISTINCT writer) > 1 ORDER BY name`, func(r *sqlite.Stmt) error {
		list = append(list, ledger.Account(r.ColumnText(0)))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading accounts: %w", err)
	}
	return list, nil
}
