package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// settler writes the cuts of a partition: a [store.CutWriter].
type settler struct {
	*writer
	db        *engine
	partition int

	sources map[settlement.Source]int64 // guarded by db.mu
	debtors map[debtor]int64            // guarded by db.mu
}

// Settler is [store.Engine].
func (db *engine) Settler(t store.Tx, partition int) (store.CutWriter, error) {
	w, err := db.writer(t.(*tx).conn, store.SettleWriter(partition))
	if err != nil {
		return nil, err
	}
	return &settler{writer: w, db: db, partition: partition, sources: make(map[settlement.Source]int64), debtors: make(map[debtor]int64)}, nil
}

// Commit is [store.CutWriter].
func (s *settler) Commit(ctx context.Context, to store.Statement, cuts []*settlement.Cut, encoded [][][]byte) error {
	err := s.db.write(ctx, func(conn *sqlite.Conn) error {
		if err := move(conn, to); err != nil {
			return err
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
		clear(s.sources) // Ids assigned in the transaction are undone.
		clear(s.debtors)
		s.db.mu.Unlock()
	}
	return interrupted(err)
}

func (s *settler) cut(conn *sqlite.Conn, c *settlement.Cut, encoded [][]byte) error {
	rows := make([]entry, len(c.Records))
	for i := range c.Records {
		r := &c.Records[i]
		rows[i] = entry{Cut: r.Cut, Book: r.Book, Part: r.Part, Record: encoded[i], Posts: r.Entries}
	}
	if _, err := s.append(conn, rows); err != nil {
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
	if err := s.suspense(conn, c.Suspense); err != nil {
		return err
	}
	if err := s.outstanding(conn, c.Outstanding); err != nil {
		return err
	}
	if err := s.collected(conn, c.Collected); err != nil {
		return err
	}
	for _, v := range c.Voids {
		if err := query(conn, "INSERT INTO void (partition, control, reason) VALUES (?, ?, ?)", nil, s.partition, int64(v.Control), v.Reason); err != nil {
			return err
		}
	}
	return nil
}

func (s *settler) outcomes(conn *sqlite.Conn, list []settlement.Outcome) error {
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

func (s *settler) tallies(conn *sqlite.Conn, list []settlement.Tally) error {
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

func (s *settler) source(conn *sqlite.Conn, source settlement.Source, add bool) (int64, error) {
	if id, ok := s.sources[source]; ok {
		return id, nil
	}
	if add {
		err := query(conn, "INSERT INTO source (partition, provider, source, epoch) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", nil,
			s.partition, string(source.Provider), source.Source, store.Ordered(source.Epoch))
		if err != nil {
			return 0, err
		}
	}
	id, err := sourceOf(conn, s.partition, source)
	if err != nil || id == 0 {
		return 0, err
	}
	if len(s.sources) >= cached {
		clear(s.sources)
	}
	s.sources[source] = id
	return id, nil
}

// sourceOf returns the id of a source, or 0 if it is not known.
func sourceOf(conn *sqlite.Conn, partition int, source settlement.Source) (id int64, err error) {
	err = query(conn, "SELECT id FROM source WHERE partition = ? AND provider = ? AND source = ? AND epoch = ?", func(s *sqlite.Stmt) error {
		id = s.ColumnInt64(0)
		return nil
	}, partition, string(source.Provider), source.Source, store.Ordered(source.Epoch))
	return id, err
}

func (s *settler) progress(conn *sqlite.Conn, list []settlement.Progress) error {
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
			remove.BindInt64(2, store.Ordered(first))
			if err := run(remove); err != nil {
				return fmt.Errorf("joining spans: %w", err)
			}
		}
		for _, span := range list[i].Put {
			put.BindInt64(1, id)
			put.BindInt64(2, store.Ordered(span.First))
			put.BindInt64(3, store.Ordered(span.Last))
			if err := run(put); err != nil {
				return fmt.Errorf("writing a span: %w", err)
			}
		}
	}
	return nil
}

func (s *settler) originals(conn *sqlite.Conn, list []settlement.Original) error {
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
		put.BindInt64(2, store.Ordered(o.Span.First))
		put.BindInt64(3, store.Ordered(o.Span.Last))
		put.BindInt64(4, int64(o.Position))
		put.BindInt64(5, int64(o.Segment))
		put.BindInt64(6, int64(o.Ordinal))
		if err := run(put); err != nil {
			return fmt.Errorf("writing where events are: %w", err)
		}
	}
	return nil
}

func (s *settler) suspense(conn *sqlite.Conn, list []settlement.Suspense) error {
	put, err := conn.Prepare(`INSERT INTO suspense (book, node, customer, meter, card, rule, pair, period, quantity, events, partition)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
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
			quantity := l.Quantity.Bytes()
			to.BindBytes(9, quantity[:])
			to.BindInt64(10, int64(l.Events))
			to.BindInt64(11, int64(s.partition))
		}
		if err := run(to); err != nil {
			return fmt.Errorf("writing suspense: %w", err)
		}
	}
	return nil
}
