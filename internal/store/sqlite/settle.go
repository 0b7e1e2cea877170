package sqlite

import (
	"context"
	"fmt"
	"math"

	"zombiezen.com/go/sqlite"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/relay"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Settle is one partition's settler in the store: what it commits and reads
// back. One goroutine commits; the reading methods may be called from any.
type Settle struct {
	*Writer
	db        *DB
	partition int
	epoch     uint64
	nonce     string

	sources map[settlement.Source]int64 // guarded by db.mu
}

// Settle returns the settler's part of the store, taking it over from whoever
// had it: an earlier settler's next commit fails with [settlement.ErrFenced]. The nonce
// names this one; it is chosen at random by the caller.
func (db *DB) Settle(ctx context.Context, partition int, stream string, created int64, nonce string) (*Settle, settlement.Cursor, error) {
	w, err := db.Writer(ctx, fmt.Sprintf("settle-%d", partition))
	if err != nil {
		return nil, settlement.Cursor{}, err
	}
	s := &Settle{Writer: w, db: db, partition: partition, nonce: nonce, sources: make(map[settlement.Source]int64)}
	var cursor settlement.Cursor
	err = db.Write(ctx, func(conn *sqlite.Conn) error {
		err := query(conn, `INSERT INTO cursor (partition, stream, created, position, hash, control, batches, epoch, nonce)
			VALUES (?, ?, ?, 0, x'', 0, 0, 0, '') ON CONFLICT DO NOTHING`, nil, partition, stream, created)
		if err != nil {
			return err
		}
		if err := query(conn, "UPDATE cursor SET epoch = epoch + 1, nonce = ? WHERE partition = ?", nil, nonce, partition); err != nil {
			return err
		}
		cursor, err = cursorOf(conn, partition)
		return err
	})
	if err != nil {
		return nil, settlement.Cursor{}, fmt.Errorf("taking over partition %d: %w", partition, err)
	}
	s.epoch = cursor.Epoch
	return s, cursor, nil
}

// Cursor returns how far a partition's settler has come; a zero Epoch where
// there never was one.
func (db *DB) Cursor(ctx context.Context, partition int) (c settlement.Cursor, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		c, err = cursorOf(conn, partition)
		return err
	})
	return c, err
}

func cursorOf(conn *sqlite.Conn, partition int) (c settlement.Cursor, err error) {
	c.Partition = partition
	err = query(conn, "SELECT stream, created, position, hash, control, batches, epoch, nonce FROM cursor WHERE partition = ?", func(s *sqlite.Stmt) error {
		c.Stream, c.Created = s.ColumnText(0), s.ColumnInt64(1)
		c.Position, c.Control = uint64(s.ColumnInt64(2)), uint64(s.ColumnInt64(4))
		c.Batches, c.Epoch, c.Nonce = uint64(s.ColumnInt64(5)), uint64(s.ColumnInt64(6)), s.ColumnText(7)
		s.ColumnBytes(3, c.Hash[:])
		return nil
	}, partition)
	return c, err
}

// Commit writes whole cuts, ascending, in one transaction with the cursor. from
// is the position of the cursor that they follow. Where the cursor has moved
// on, settlement.ErrFenced says that somebody else moved it; nil that this settler itself
// did, in a commit whose outcome it had not learned.
//
// The records come encoded beside the cuts: encoded[i][j] is cuts[i].Records[j].
func (s *Settle) Commit(ctx context.Context, from uint64, cuts []*settlement.Cut, encoded [][][]byte) error {
	if len(cuts) == 0 {
		return nil
	}
	err := s.db.Write(ctx, func(conn *sqlite.Conn) error {
		last := cuts[len(cuts)-1]
		batches := uint64(0)
		for _, c := range cuts {
			batches += c.Batches
		}
		err := query(conn, `UPDATE cursor SET position = ?, hash = ?, control = ?, batches = batches + ?
			WHERE partition = ? AND position = ? AND epoch = ? AND nonce = ?`, nil,
			int64(last.Position), last.Hash[:], int64(last.Control), int64(batches), s.partition, int64(from), int64(s.epoch), s.nonce)
		if err != nil {
			return err
		}
		if conn.Changes() == 0 {
			now, err := cursorOf(conn, s.partition)
			switch {
			case err != nil:
				return err
			case now.Epoch == s.epoch && now.Nonce == s.nonce && now.Position == last.Position && now.Hash == last.Hash:
				return nil // The commit before, which failed, had succeeded.
			case now.Epoch != s.epoch || now.Nonce != s.nonce:
				return fmt.Errorf("partition %d: %w: it is owned by settler %d, this is settler %d", s.partition, settlement.ErrFenced, now.Epoch, s.epoch)
			}
			return fmt.Errorf("partition %d: the cursor is at %d, not at %d: %w", s.partition, now.Position, from, settlement.ErrFenced)
		}
		for i, c := range cuts {
			if err := s.cut(conn, c, encoded[i]); err != nil {
				return fmt.Errorf("cut at %d: %w", c.Position, err)
			}
		}
		return nil
	})
	if err != nil {
		s.db.mu.Lock()
		clear(s.sources) // Ids given in the transaction are undone.
		s.db.mu.Unlock()
		return fmt.Errorf("committing settlement: %w", interrupted(err))
	}
	return nil
}

// interrupted marks the errors that trying again may mend.
func interrupted(err error) error {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultBusy, sqlite.ResultLocked, sqlite.ResultFull, sqlite.ResultIOErr, sqlite.ResultInterrupt, sqlite.ResultCantOpen:
		return fmt.Errorf("%w: %w", settlement.ErrInterrupted, err)
	}
	return err
}

func (s *Settle) cut(conn *sqlite.Conn, c *settlement.Cut, encoded [][]byte) error {
	rows := make([]Row, len(c.Records))
	for i := range c.Records {
		r := &c.Records[i]
		rows[i] = Row{Cut: r.Cut, Book: r.Book, Part: r.Part, Record: encoded[i], Posts: r.Entries}
	}
	if _, err := s.Append(conn, rows); err != nil {
		return err
	}
	if err := s.outcomes(conn, c.Outcomes); err != nil {
		return err
	}
	if err := s.tallies(conn, c.Tallies); err != nil {
		return err
	}
	if err := s.progress(conn, c.Sources); err != nil {
		return err
	}
	if err := s.originals(conn, c.Originals); err != nil {
		return err
	}
	if err := suspense(conn, c.Suspense); err != nil {
		return err
	}
	if err := s.outstanding(conn, c.Outstanding); err != nil {
		return err
	}
	for _, v := range c.Voids {
		if err := query(conn, "INSERT INTO void (partition, control, reason) VALUES (?, ?, ?)", nil, s.partition, int64(v.Control), v.Reason); err != nil {
			return err
		}
	}
	return nil
}

func (s *Settle) outcomes(conn *sqlite.Conn, list []settlement.Outcome) error {
	put, err := conn.Prepare("INSERT INTO outcome (partition, position, events, runs) VALUES (?, ?, ?, ?)")
	if err != nil {
		return err
	}
	var bytes []byte
	for i := range list {
		bytes = settlement.AppendRuns(bytes[:0], list[i].Runs)
		put.BindInt64(1, int64(s.partition))
		put.BindInt64(2, int64(list[i].Position))
		put.BindInt64(3, int64(list[i].Events))
		put.BindBytes(4, bytes)
		if err := run(put); err != nil {
			return fmt.Errorf("writing outcomes: %w", err)
		}
	}
	return nil
}

func (s *Settle) tallies(conn *sqlite.Conn, list []settlement.Tally) error {
	put, err := conn.Prepare(`INSERT INTO tally (book, node, period, outcome, reason, events) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET events = events + excluded.events`)
	if err != nil {
		return err
	}
	for i := range list {
		t := &list[i]
		put.BindText(1, string(t.Book))
		put.BindText(2, string(t.Node))
		put.BindText(3, string(t.Period))
		put.BindInt64(4, int64(t.Outcome))
		put.BindText(5, string(t.Reason))
		put.BindInt64(6, int64(t.Events))
		if err := run(put); err != nil {
			return fmt.Errorf("writing a tally: %w", err)
		}
	}
	return nil
}

// ordered stores a sequence so that SQLite's signed order is its own.
func ordered(sequence uint64) int64 { return int64(sequence ^ 1<<63) }

func unordered(stored int64) uint64 { return uint64(stored) ^ 1<<63 }

func (s *Settle) source(conn *sqlite.Conn, source settlement.Source, add bool) (int64, error) {
	if id, ok := s.sources[source]; ok {
		return id, nil
	}
	if add {
		err := query(conn, "INSERT INTO source (provider, source, epoch) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", nil,
			string(source.Provider), source.Source, ordered(source.Epoch))
		if err != nil {
			return 0, err
		}
	}
	id, err := sourceOf(conn, source)
	if err != nil || id == 0 {
		return 0, err
	}
	if len(s.sources) >= cached {
		clear(s.sources)
	}
	s.sources[source] = id
	return id, nil
}

// sourceOf returns 0 for a source that is not known.
func sourceOf(conn *sqlite.Conn, source settlement.Source) (id int64, err error) {
	err = query(conn, "SELECT id FROM source WHERE provider = ? AND source = ? AND epoch = ?", func(s *sqlite.Stmt) error {
		id = s.ColumnInt64(0)
		return nil
	}, string(source.Provider), source.Source, ordered(source.Epoch))
	return id, err
}

func (s *Settle) progress(conn *sqlite.Conn, list []settlement.Progress) error {
	put, err := conn.Prepare("INSERT INTO span (source, first, last) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET last = excluded.last")
	if err != nil {
		return err
	}
	remove, err := conn.Prepare("DELETE FROM span WHERE source = ? AND first = ?")
	if err != nil {
		return err
	}
	for i := range list {
		id, err := s.source(conn, list[i].Source, true)
		if err != nil {
			return err
		}
		for _, first := range list[i].Remove {
			remove.BindInt64(1, id)
			remove.BindInt64(2, ordered(first))
			if err := run(remove); err != nil {
				return fmt.Errorf("joining spans: %w", err)
			}
		}
		for _, span := range list[i].Put {
			put.BindInt64(1, id)
			put.BindInt64(2, ordered(span.First))
			put.BindInt64(3, ordered(span.Last))
			if err := run(put); err != nil {
				return fmt.Errorf("writing a span: %w", err)
			}
		}
	}
	return nil
}

func (s *Settle) originals(conn *sqlite.Conn, list []settlement.Original) error {
	put, err := conn.Prepare("INSERT INTO original (source, first, last, position, segment, ordinal) VALUES (?, ?, ?, ?, ?, ?)")
	if err != nil {
		return err
	}
	for i := range list {
		o := &list[i]
		id, err := s.source(conn, o.Source, true)
		if err != nil {
			return err
		}
		put.BindInt64(1, id)
		put.BindInt64(2, ordered(o.Span.First))
		put.BindInt64(3, ordered(o.Span.Last))
		put.BindInt64(4, int64(o.Position))
		put.BindInt64(5, int64(o.Segment))
		put.BindInt64(6, int64(o.Ordinal))
		if err := run(put); err != nil {
			return fmt.Errorf("writing where events are: %w", err)
		}
	}
	return nil
}

func suspense(conn *sqlite.Conn, list []settlement.Suspense) error {
	put, err := conn.Prepare(`INSERT INTO suspense (book, node, customer, meter, card, rule, pair, period, quantity, events, amount, per)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET quantity = excluded.quantity, events = excluded.events`)
	if err != nil {
		return err
	}
	remove, err := conn.Prepare(`DELETE FROM suspense WHERE book = ? AND node = ? AND customer = ? AND meter = ? AND card = ? AND rule = ? AND pair = ? AND period = ?`)
	if err != nil {
		return err
	}
	for i := range list {
		l := &list[i]
		to := put
		if l.Events == 0 {
			to = remove
		}
		to.BindText(1, string(l.Book))
		to.BindText(2, string(l.Node))
		to.BindText(3, string(l.Customer))
		to.BindText(4, string(l.Meter))
		to.BindText(5, l.Card)
		to.BindInt64(6, int64(l.Rule))
		to.BindText(7, string(l.Pair))
		to.BindText(8, string(l.Period))
		if l.Events > 0 {
			quantity, amount, per := l.Quantity.Bytes(), l.Price.Amount.Bytes(), l.Price.Per.Bytes()
			to.BindBytes(9, quantity[:])
			to.BindInt64(10, int64(l.Events))
			to.BindBytes(11, amount[:])
			to.BindBytes(12, per[:])
		}
		if err := run(to); err != nil {
			return fmt.Errorf("writing suspense: %w", err)
		}
	}
	return nil
}

// Spans returns the accepted sequences of a source, ascending.
func (s *Settle) Spans(ctx context.Context, source settlement.Source) ([]settlement.Span, error) {
	return s.db.Spans(ctx, source)
}

// Original returns where the accepted sequence of a source is; ok is false for
// one that was not accepted.
func (s *Settle) Original(ctx context.Context, source settlement.Source, sequence uint64) (o settlement.Original, ok bool, err error) {
	return s.db.Original(ctx, source, sequence)
}

// Load returns what the settler's core needs to go on from the cursor: what
// waits, what is owed, and the balances of customers, nodes and the treasury.
func (s *Settle) Load(ctx context.Context) (held []settlement.Suspense, owed []settlement.Outstanding, balances *ledger.Balances, err error) {
	balances = ledger.NewBalances()
	err = s.db.Read(ctx, func(conn *sqlite.Conn) error {
		if held, err = SuspenseOf(conn, ""); err != nil {
			return err
		}
		if owed, err = OutstandingOf(conn, "", ""); err != nil {
			return err
		}
		for _, prefix := range []string{"customer:", "node:", "treasury:"} {
			list, err := BalancesOf(conn, prefix)
			if err != nil {
				return err
			}
			for _, b := range list {
				if err := balances.AddRow(ledger.Place{Account: b.Account, Asset: b.Asset}, ledger.Balance{Debit: b.Debit, Credit: b.Credit}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, nil, fmt.Errorf("loading what is settled: %w", err)
	}
	return held, owed, balances, nil
}

// Outcomes is [DB.Outcomes] of the settler's partition.
func (s *Settle) Outcomes(ctx context.Context, from, to uint64, each func(settlement.Outcome) error) error {
	return s.db.Outcomes(ctx, s.partition, from, to, each)
}

// Void is [DB.VoidReason] of the settler's partition.
func (s *Settle) Void(ctx context.Context, control uint64) (reason string, ok bool, err error) {
	return s.db.VoidReason(ctx, s.partition, control)
}

// Rows returns journal rows as LEDGER has them, for the relay.
func (s *Settle) Rows(ctx context.Context, from uint64, limit int) (rows []relay.Row, err error) {
	err = s.Journal(ctx, from, limit, func(w Written) error {
		rows = append(rows, relay.Row{Number: w.Number, Subject: eventlog.LedgerSubject(string(w.Book)), Data: w.Record})
		return nil
	})
	return rows, err
}

// Spans returns the accepted sequences of a source, ascending; see dedup.Gaps
// for what is missing between them.
func (db *DB) Spans(ctx context.Context, source settlement.Source) (spans []settlement.Span, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		return query(conn, `SELECT first, last FROM span WHERE source = (SELECT id FROM source WHERE provider = ? AND source = ? AND epoch = ?) ORDER BY first`,
			func(s *sqlite.Stmt) error {
				spans = append(spans, settlement.Span{First: unordered(s.ColumnInt64(0)), Last: unordered(s.ColumnInt64(1))})
				return nil
			}, string(source.Provider), source.Source, ordered(source.Epoch))
	})
	return spans, err
}

// Sources returns every source and epoch of a provider, ascending.
func (db *DB) Sources(ctx context.Context, provider events.Provider) (list []settlement.Source, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		return query(conn, "SELECT source, epoch FROM source WHERE provider = ? ORDER BY source, epoch", func(s *sqlite.Stmt) error {
			list = append(list, settlement.Source{Provider: provider, Source: s.ColumnText(0), Epoch: unordered(s.ColumnInt64(1))})
			return nil
		}, string(provider))
	})
	return list, err
}

// Original returns where the accepted sequence of a source is; ok is false for
// one that was not accepted.
func (db *DB) Original(ctx context.Context, source settlement.Source, sequence uint64) (o settlement.Original, ok bool, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		return query(conn, `SELECT first, last, position, segment, ordinal FROM original
			WHERE source = (SELECT id FROM source WHERE provider = ? AND source = ? AND epoch = ?) AND first <= ? ORDER BY first DESC LIMIT 1`,
			func(s *sqlite.Stmt) error {
				o = settlement.Original{
					Source:   source,
					Span:     settlement.Span{First: unordered(s.ColumnInt64(0)), Last: unordered(s.ColumnInt64(1))},
					Position: uint64(s.ColumnInt64(2)), Segment: s.ColumnInt(3), Ordinal: s.ColumnInt(4),
				}
				ok = sequence <= o.Span.Last
				return nil
			}, string(source.Provider), source.Source, ordered(source.Epoch), ordered(sequence))
	})
	return o, ok, err
}

// Outcome returns the outcomes of one batch message; ok is false for a position
// that is not settled yet or is no batch.
func (db *DB) Outcome(ctx context.Context, partition int, position uint64) (o settlement.Outcome, ok bool, err error) {
	if position > math.MaxInt64 {
		return o, false, nil
	}
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		return query(conn, "SELECT events, runs FROM outcome WHERE partition = ? AND position = ?", func(s *sqlite.Stmt) error {
			runs, err := settlement.DecodeRuns(blob(s, 1))
			o, ok = settlement.Outcome{Position: position, Events: s.ColumnInt(0), Runs: runs}, true
			return err
		}, partition, int64(position))
	})
	return o, ok && err == nil, err
}

// Outcomes calls each for the batch messages from one position to another, both
// included, ascending.
func (db *DB) Outcomes(ctx context.Context, partition int, from, to uint64, each func(settlement.Outcome) error) error {
	return db.Read(ctx, func(conn *sqlite.Conn) error {
		return query(conn, "SELECT position, events, runs FROM outcome WHERE partition = ? AND position BETWEEN ? AND ? ORDER BY position", func(s *sqlite.Stmt) error {
			runs, err := settlement.DecodeRuns(blob(s, 2))
			if err != nil {
				return err
			}
			return each(settlement.Outcome{Position: uint64(s.ColumnInt64(0)), Events: s.ColumnInt(1), Runs: runs})
		}, partition, int64(from), int64(min(to, math.MaxInt64)))
	})
}

// Tallies returns the tallies of a book (every book: ""), ascending by their key.
func (db *DB) Tallies(ctx context.Context, book events.Book) (list []settlement.Tally, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		list, err = TalliesOf(conn, book)
		return err
	})
	return list, err
}

// TalliesOf is [DB.Tallies] within a [DB.Read] that reads more.
func TalliesOf(conn *sqlite.Conn, book events.Book) (list []settlement.Tally, err error) {
	err = query(conn, `SELECT book, node, period, outcome, reason, events FROM tally WHERE ?1 = '' OR book = ?1 ORDER BY book, node, period, outcome, reason`,
		func(s *sqlite.Stmt) error {
			list = append(list, settlement.Tally{
				Book: events.Book(s.ColumnText(0)), Node: events.Node(s.ColumnText(1)), Period: events.Period(s.ColumnText(2)),
				Outcome: events.Outcome(s.ColumnInt(3)), Reason: events.Reason(s.ColumnText(4)), Events: uint64(s.ColumnInt64(5)),
			})
			return nil
		}, string(book))
	return list, err
}

// Suspense returns what waits for a price in a book (every book: ""), ascending
// by its key.
func (db *DB) Suspense(ctx context.Context, book events.Book) (list []settlement.Suspense, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		list, err = SuspenseOf(conn, book)
		return err
	})
	return list, err
}

// SuspenseOf is [DB.Suspense] within a [DB.Read] that reads more.
func SuspenseOf(conn *sqlite.Conn, book events.Book) (list []settlement.Suspense, err error) {
	err = query(conn, `SELECT book, node, customer, meter, card, rule, pair, period, quantity, events, amount, per
		FROM suspense WHERE ?1 = '' OR book = ?1 ORDER BY book, node, customer, meter, card, rule, pair, period`,
		func(s *sqlite.Stmt) error {
			list = append(list, settlement.Suspense{
				Book: events.Book(s.ColumnText(0)), Node: events.Node(s.ColumnText(1)), Customer: events.Customer(s.ColumnText(2)),
				Meter: events.Meter(s.ColumnText(3)), Card: s.ColumnText(4), Rule: s.ColumnInt(5), Pair: events.Pair(s.ColumnText(6)),
				Period: events.Period(s.ColumnText(7)), Quantity: quantity(s, 8), Events: uint64(s.ColumnInt64(9)),
				Price: money.Price{Amount: amount(s, 10), Per: quantity(s, 11)},
			})
			return nil
		}, string(book))
	return list, err
}

// quantity reads a column of 16 bytes.
func quantity(s *sqlite.Stmt, column int) money.Quantity {
	var b [16]byte
	s.ColumnBytes(column, b[:])
	return money.QuantityFromBytes(b)
}

// VoidReason returns why a decision had no effect in a partition; ok is false
// where it had one or has not come up yet.
func (db *DB) VoidReason(ctx context.Context, partition int, control uint64) (reason string, ok bool, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		return query(conn, "SELECT reason FROM void WHERE partition = ? AND control = ?", func(s *sqlite.Stmt) error {
			reason, ok = s.ColumnText(0), true
			return nil
		}, partition, int64(control))
	})
	return reason, ok, err
}

// Voids returns the decisions without effect in a partition, ascending.
func (db *DB) Voids(ctx context.Context, partition int) (list []settlement.Void, err error) {
	err = db.Read(ctx, func(conn *sqlite.Conn) error {
		return query(conn, "SELECT control, reason FROM void WHERE partition = ? ORDER BY control", func(s *sqlite.Stmt) error {
			list = append(list, settlement.Void{Control: uint64(s.ColumnInt64(0)), Reason: s.ColumnText(1)})
			return nil
		}, partition)
	})
	return list, err
}
