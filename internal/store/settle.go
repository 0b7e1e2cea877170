package store

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// SettleWriter is the name under which the settler of a partition writes the
// journal.
func SettleWriter(partition int) string { return fmt.Sprintf("settle-%d", partition) }

// Settle is a settler's access to the store for one partition: what it commits
// and reads back. One goroutine commits; the reading methods may be called from
// any.
type Settle struct {
	Writer
	writer    CutWriter
	owner     owner
	partition int
}

// Settle returns the settler's part of the store, and takes it over from an
// earlier owner, whose next commit fails with [settlement.ErrFenced]. It fails
// with [ErrCursorLost] if the cursor contradicts the journal. The nonce
// identifies the new owner; the caller chooses it at random.
func (db *DB) Settle(ctx context.Context, partition int, stream string, created int64, nonce string) (*Settle, settlement.Cursor, error) {
	if err := db.cursorWhole(ctx, SettleWriter(partition)); err != nil {
		return nil, settlement.Cursor{}, fmt.Errorf("taking over partition %d: %w", partition, err)
	}
	var writer CutWriter
	var cursor settlement.Cursor
	err := db.write(ctx, func(tx Tx) (err error) {
		if cursor, err = takeSettle(tx, partition, stream, created, nonce); err == nil {
			writer, err = db.engine.Settler(tx, partition)
		}
		return err
	})
	if err != nil {
		return nil, settlement.Cursor{}, fmt.Errorf("taking over partition %d: %w", partition, err)
	}
	return &Settle{Writer{db, SettleWriter(partition)}, writer, settlerOf(cursor), partition}, cursor, nil
}

// Spans returns the accepted sequences of a source, ascending.
func (s *Settle) Spans(ctx context.Context, source settlement.Source) ([]settlement.Span, error) {
	return patiently(ctx, s.db, func() (spans []settlement.Span, err error) {
		err = s.db.whole(ctx, func(conn Conn) error {
			spans, err = spansOf(conn, s.partition, source)
			return err
		})
		return spans, err
	})
}

// Original returns where the accepted sequence of a source is; ok is false if
// the sequence was not accepted.
func (s *Settle) Original(ctx context.Context, source settlement.Source, sequence uint64) (o settlement.Original, ok bool, err error) {
	_, err = patiently(ctx, s.db, func() (struct{}, error) {
		return struct{}{}, s.db.whole(ctx, func(conn Conn) error {
			o, ok, err = findOriginal(conn, s.partition, source, sequence)
			return err
		})
	})
	return o, ok, err
}

// Load returns what the settler's core needs to continue from the cursor: what
// waits, what is owed, what is collected, and the balances of customers, nodes
// and the treasury, all of its partition.
func (s *Settle) Load(ctx context.Context) (held []settlement.Suspense, owed []settlement.Outstanding, collected []settlement.Collected, balances *ledger.Balances, err error) {
	_, err = patiently(ctx, s.db, func() (struct{}, error) {
		return struct{}{}, s.db.Snapshot(ctx, func(now *Snapshot) error {
			if held, err = now.suspense(s.partition, ""); err != nil {
				return err
			}
			if owed, err = now.outstanding(Owing{Partition: s.partition}); err != nil {
				return err
			}
			if collected, err = now.collected(s.partition); err != nil {
				return err
			}
			balances, err = now.own(s.Name(), ledger.OfCustomer.Prefix(), ledger.OfNode.Prefix(), ledger.OfTreasury.Prefix())
			return err
		})
	})
	if err != nil {
		return nil, nil, nil, nil, fmt.Errorf("loading what is settled: %w", err)
	}
	return held, owed, collected, balances, nil
}

// own returns the balances that a writer keeps of accounts with these prefixes.
func (s *Snapshot) own(writer string, prefixes ...string) (*ledger.Balances, error) {
	w, err := s.writer(writer)
	if err != nil {
		return nil, err
	}
	balances := ledger.NewBalances()
	for _, prefix := range prefixes {
		err := s.conn.Query("SELECT account, asset, debit, credit FROM posted WHERE writer = ?1 AND account >= ?2 AND account < ?3", func(r Row) error {
			b := balanceOf(r)
			return balances.AddRow(ledger.Place{Account: b.Account, Asset: b.Asset}, ledger.Balance{Debit: b.Debit, Credit: b.Credit})
		}, w.id, prefix, prefix+"\U0010ffff")
		if err != nil {
			return nil, err
		}
	}
	return balances, nil
}

// Outcomes is [DB.Outcomes] of the settler's partition.
func (s *Settle) Outcomes(ctx context.Context, from, to uint64, each func(settlement.Outcome) error) error {
	return eachPatiently(ctx, s.db, each, func(each func(settlement.Outcome) error) error {
		return s.db.Outcomes(ctx, s.partition, from, to, each)
	})
}

// Void is [DB.VoidReason] of the settler's partition.
func (s *Settle) Void(ctx context.Context, control uint64) (reason string, ok bool, err error) {
	_, err = patiently(ctx, s.db, func() (struct{}, error) {
		reason, ok, err = s.db.VoidReason(ctx, s.partition, control)
		return struct{}{}, err
	})
	return reason, ok, err
}

const cursorColumns = "partition, stream, created, position, hash, control, batches, epoch, nonce"

func cursorOf(r Row) (c settlement.Cursor) {
	c = settlement.Cursor{
		Partition: int(r.Int64(0)), Stream: r.Text(1), Created: r.Int64(2), Position: uint64(r.Int64(3)),
		Control: uint64(r.Int64(5)), Batches: uint64(r.Int64(6)), Epoch: uint64(r.Int64(7)), Nonce: r.Text(8),
	}
	copy(c.Hash[:], r.Bytes(4))
	return c
}

// ReadCursor returns how far a partition's settler has come; its Epoch is zero
// if there never was a settler.
func ReadCursor(conn Conn, partition int) (c settlement.Cursor, err error) {
	c.Partition = partition
	err = conn.Query("SELECT "+cursorColumns+" FROM cursor WHERE partition = ?1", func(r Row) error {
		c = cursorOf(r)
		return nil
	}, int64(partition))
	if err != nil {
		return c, fmt.Errorf("reading the cursor of partition %d: %w", partition, err)
	}
	return c, nil
}

// Cursor returns the last committed cursor of a partition, see [ReadCursor].
func (db *DB) Cursor(ctx context.Context, partition int) (c settlement.Cursor, err error) {
	err = db.whole(ctx, func(conn Conn) error {
		c, err = ReadCursor(conn, partition)
		return err
	})
	return c, err
}

// Cursors returns the cursor of every partition, ascending.
func (s *Snapshot) Cursors() (list []settlement.Cursor, err error) {
	err = s.conn.Query("SELECT "+cursorColumns+" FROM cursor ORDER BY partition", func(r Row) error {
		list = append(list, cursorOf(r))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading cursors: %w", err)
	}
	return list, nil
}

const outcomeColumns = "position, events, runs"

func outcomeOf(r Row) (settlement.Outcome, error) {
	runs, err := settlement.DecodeRuns(r.Bytes(2))
	if err != nil {
		err = fmt.Errorf("position %d: %w", r.Int64(0), err)
	}
	return settlement.Outcome{Position: uint64(r.Int64(0)), Events: int(r.Int64(1)), Runs: runs}, err
}

// Outcome returns the outcomes of one batch message; ok is false if the
// position is not settled yet or is not a batch.
func (db *DB) Outcome(ctx context.Context, partition int, position uint64) (o settlement.Outcome, ok bool, err error) {
	err = db.Snapshot(ctx, func(s *Snapshot) error {
		o, ok, err = s.Outcome(partition, position)
		return err
	})
	return o, ok && err == nil, err
}

// Outcome is [DB.Outcome].
func (s *Snapshot) Outcome(partition int, position uint64) (o settlement.Outcome, ok bool, err error) {
	err = s.outcomes(partition, position, position, func(found settlement.Outcome) error {
		o, ok = found, true
		return nil
	})
	if err != nil {
		return o, false, fmt.Errorf("reading the outcomes of position %d: %w", position, err)
	}
	return o, ok, nil
}

// Outcomes calls each for the batch messages from one position to another, both
// included, ascending.
func (db *DB) Outcomes(ctx context.Context, partition int, from, to uint64, each func(settlement.Outcome) error) error {
	return passing(ctx, db, each, func(conn Conn, each func(settlement.Outcome) error) error {
		return (&Snapshot{conn}).outcomes(partition, from, to, each)
	})
}

// Outcomes calls each for every batch message of a partition, ascending.
func (s *Snapshot) Outcomes(partition int, each func(settlement.Outcome) error) error {
	if err := s.outcomes(partition, 0, math.MaxInt64, each); err != nil {
		return fmt.Errorf("reading outcomes: %w", err)
	}
	return nil
}

func (s *Snapshot) outcomes(partition int, from, to uint64, each func(settlement.Outcome) error) error {
	if from > math.MaxInt64 {
		return nil
	}
	return s.conn.Query("SELECT "+outcomeColumns+" FROM outcome WHERE partition = ?1 AND position BETWEEN ?2 AND ?3 ORDER BY position", func(r Row) error {
		o, err := outcomeOf(r)
		if err != nil {
			return err
		}
		return each(o)
	}, int64(partition), int64(from), int64(min(to, math.MaxInt64)))
}

// Tallies returns the tallies of a book ("" selects all books), ascending by
// their key.
func (db *DB) Tallies(ctx context.Context, book events.Book) (list []settlement.Tally, err error) {
	err = db.Snapshot(ctx, func(s *Snapshot) error {
		list, err = s.Tallies(book)
		return err
	})
	return list, err
}

// Tallies is [DB.Tallies].
func (s *Snapshot) Tallies(book events.Book) (list []settlement.Tally, err error) {
	err = s.conn.Query("SELECT book, node, period, outcome, reason, events FROM tally WHERE ?1 = '' OR book = ?1 ORDER BY book, node, period, outcome, reason", func(r Row) error {
		list = append(list, settlement.Tally{
			Book: events.Book(r.Text(0)), Node: events.Node(r.Text(1)), Period: events.Period(r.Text(2)),
			Outcome: events.Outcome(r.Int64(3)), Reason: events.Reason(r.Text(4)), Events: uint64(r.Int64(5)),
		})
		return nil
	}, string(book))
	if err != nil {
		return nil, fmt.Errorf("reading tallies: %w", err)
	}
	return list, nil
}

// Suspense returns the lines of suspense of a book ("" selects all books),
// ascending by their key.
func (db *DB) Suspense(ctx context.Context, book events.Book) (list []settlement.Suspense, err error) {
	err = db.Snapshot(ctx, func(s *Snapshot) error {
		list, err = s.Suspense(book)
		return err
	})
	return list, err
}

// Suspense is [DB.Suspense].
func (s *Snapshot) Suspense(book events.Book) ([]settlement.Suspense, error) {
	return s.suspense(everywhere, book)
}

func (s *Snapshot) suspense(partition int, book events.Book) (list []settlement.Suspense, err error) {
	of := "?1 < 0"
	if partition != everywhere {
		of = "partition = ?1"
	}
	err = s.conn.Query(`SELECT book, node, customer, meter, card, rule, pair, period, quantity, events
		FROM suspense WHERE `+of+` AND (?2 = '' OR book = ?2) ORDER BY book, node, customer, meter, card, rule, pair, period`, func(r Row) error {
		list = append(list, settlement.Suspense{
			Book: events.Book(r.Text(0)), Node: events.Node(r.Text(1)), Customer: events.Customer(r.Text(2)),
			Meter: events.Meter(r.Text(3)), Card: r.Text(4), Rule: int(r.Int64(5)), Pair: events.Pair(r.Text(6)),
			Period: events.Period(r.Text(7)), Quantity: quantity(r, 8), Events: uint64(r.Int64(9)),
		})
		return nil
	}, int64(partition), string(book))
	if err != nil {
		return nil, fmt.Errorf("reading suspense: %w", err)
	}
	return list, nil
}

// Outstanding returns what a customer ("" selects all customers) of a book (""
// selects all books) owes, ascending by its key.
func (db *DB) Outstanding(ctx context.Context, book events.Book, customer events.Customer) (list []settlement.Outstanding, err error) {
	err = db.Snapshot(ctx, func(s *Snapshot) error {
		list, err = s.Outstanding(book, customer)
		return err
	})
	return list, err
}

// Outstanding is [DB.Outstanding].
func (s *Snapshot) Outstanding(book events.Book, customer events.Customer) ([]settlement.Outstanding, error) {
	return s.outstanding(Owing{everywhere, book, customer})
}

func (s *Snapshot) outstanding(q Owing) ([]settlement.Outstanding, error) {
	list, err := s.conn.Outstanding(nil, q)
	if err != nil {
		return nil, fmt.Errorf("reading what is owed: %w", err)
	}
	slices.SortFunc(list, func(a, b settlement.Outstanding) int {
		return cmp.Or(strings.Compare(string(a.Book), string(b.Book)), strings.Compare(string(a.Customer), string(b.Customer)),
			strings.Compare(string(a.Asset), string(b.Asset)), strings.Compare(string(a.Period), string(b.Period)), strings.Compare(string(a.Node), string(b.Node)))
	})
	return list, nil
}

// Collected returns what was collected and not handed over yet, ascending by its
// key.
func (s *Snapshot) Collected() ([]settlement.Collected, error) { return s.collected(everywhere) }

func (s *Snapshot) collected(partition int) (list []settlement.Collected, err error) {
	err = s.conn.Query("SELECT book, period, node, asset, amount FROM collected WHERE ?1 < 0 OR partition = ?1 ORDER BY book, period, node, asset", func(r Row) error {
		list = append(list, settlement.Collected{
			Book: events.Book(r.Text(0)), Period: events.Period(r.Text(1)), Node: events.Node(r.Text(2)), Asset: money.Asset(r.Text(3)), Amount: r.Amount(4),
		})
		return nil
	}, int64(partition))
	if err != nil {
		return nil, fmt.Errorf("reading what is collected: %w", err)
	}
	return list, nil
}

// VoidReason returns why a decision had no effect in a partition; ok is false
// if it had an effect or has not been settled yet.
func (db *DB) VoidReason(ctx context.Context, partition int, control uint64) (reason string, ok bool, err error) {
	err = db.whole(ctx, func(conn Conn) error {
		return conn.Query("SELECT reason FROM void WHERE partition = ?1 AND control = ?2", func(r Row) error {
			reason, ok = r.Text(0), true
			return nil
		}, int64(partition), int64(control))
	})
	return reason, ok, err
}

// Voids returns the decisions without effect in a partition, ascending.
func (db *DB) Voids(ctx context.Context, partition int) (list []settlement.Void, err error) {
	err = db.whole(ctx, func(conn Conn) error {
		list = nil
		return conn.Query("SELECT control, reason FROM void WHERE partition = ?1 ORDER BY control", func(r Row) error {
			list = append(list, settlement.Void{Control: uint64(r.Int64(0)), Reason: r.Text(1)})
			return nil
		}, int64(partition))
	})
	return list, err
}
