package store

import (
	"context"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
)

// NumberBits is how many bits of a journal row's id number it among its
// writer's rows: 10¹² of them. The id is writer << NumberBits | number, so that
// each writer's rows are one run of the primary key.
const NumberBits = 40

// First and last ids of a writer's rows.
func rowID(writer int64, number uint64) int64 { return writer<<NumberBits | int64(number) }

func lastID(writer int64) int64 { return rowID(writer, 1<<NumberBits-1) }

const rowColumns = "id, cut, book, part, record"

// Written is one journal row as it was written.
type Written struct {
	Number uint64 // 1, 2, … among its writer's rows
	Cut    uint64
	Book   events.Book
	Part   int
	Record []byte
}

func written(r Row) Written {
	return Written{
		Number: uint64(r.Int64(0) & (1<<NumberBits - 1)), Cut: uint64(r.Int64(1)), Book: events.Book(r.Text(2)),
		Part: int(r.Int64(3)), Record: r.Bytes(4),
	}
}

// Writer appends journal rows under one name. The balances that the store keeps
// for a writer are the fold of its own rows only.
type Writer struct {
	db   *DB
	name string
}

// Name returns the writer's name.
func (w *Writer) Name() string { return w.name }

// Relayed returns how far the writer's rows are known to be in its stream: the
// number of the last such row, and its position there. Both are 0 before the
// first row. The stream may have more rows than this says, but never fewer.
func (w *Writer) Relayed(ctx context.Context) (number, position uint64, err error) {
	_, err = patiently(ctx, w.db, func() (struct{}, error) {
		return struct{}{}, w.db.whole(ctx, func(conn Conn) error {
			return conn.Query("SELECT relayed, published FROM writer WHERE name = ?1", func(r Row) error {
				number, position = uint64(r.Int64(0)), uint64(r.Int64(1))
				return nil
			}, w.name)
		})
	})
	if err != nil {
		return 0, 0, fmt.Errorf("reading how far %s is relayed: %w", w.name, err)
	}
	return number, position, nil
}

// SetRelayed records what [Writer.Relayed] returns.
func (w *Writer) SetRelayed(ctx context.Context, number, position uint64) error {
	_, err := patiently(ctx, w.db, func() (struct{}, error) {
		return struct{}{}, w.db.engine.Write(ctx, func(tx Tx) error {
			_, err := tx.Exec("UPDATE writer SET relayed = ?1, published = ?2 WHERE name = ?3", int64(number), int64(position), w.name)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("writing how far %s is relayed: %w", w.name, err)
	}
	return nil
}

// Journal calls each for the writer's rows from that number on, in ascending
// order, for at most limit rows (0 means all). It stops at the first error of
// each and returns it.
func (w *Writer) Journal(ctx context.Context, from uint64, limit int, each func(Written) error) error {
	most := int64(limit)
	if limit <= 0 {
		most = all
	}
	return eachPatiently(ctx, w.db, each, func(each func(Written) error) error {
		return passing(ctx, w.db, each, func(conn Conn, each func(Written) error) error {
			s := &Snapshot{conn}
			state, err := s.writer(w.name)
			if err != nil {
				return err
			}
			return s.journal(state, from, most, each)
		})
	})
}

// Last returns the number of the writer's newest row, 0 before the first.
func (w *Writer) Last(ctx context.Context) (number uint64, err error) {
	_, err = patiently(ctx, w.db, func() (struct{}, error) {
		return struct{}{}, w.db.Snapshot(ctx, func(s *Snapshot) error {
			state, err := s.writer(w.name)
			if err != nil {
				return err
			}
			return s.conn.Query("SELECT max(id) FROM journal WHERE id BETWEEN ?1 AND ?2", func(r Row) error {
				number = uint64(r.Int64(0) & (1<<NumberBits - 1))
				return nil
			}, rowID(state.id, 0), lastID(state.id))
		})
	})
	return number, err
}

// Journal calls each for the rows of every writer in ascending order, writer by
// writer in the order of registration.
func (db *DB) Journal(ctx context.Context, each func(writer string, row Written) error) error {
	type named struct {
		writer string
		row    Written
	}
	pass := func(n named) error { return each(n.writer, n.row) }
	return passing(ctx, db, pass, func(conn Conn, pass func(named) error) error {
		names := make(map[int64]string)
		err := conn.Query("SELECT id, name FROM writer", func(r Row) error {
			names[r.Int64(0)] = r.Text(1)
			return nil
		})
		if err != nil {
			return err
		}
		return conn.Query("SELECT "+rowColumns+" FROM journal ORDER BY id", func(r Row) error {
			return pass(named{names[r.Int64(0)>>NumberBits], written(r)})
		})
	})
}

// WriterState is a writer of the journal and how far it has come.
type WriterState struct {
	Name    string
	Rows    uint64 // of the journal
	Last    uint64 // number of the last row: equal to Rows unless some are missing
	Relayed uint64 // number of the last row known to be in its stream

	id int64
}

// writer finds a writer by its name, without counting its rows.
func (s *Snapshot) writer(name string) (w WriterState, err error) {
	w.Name = name
	err = s.conn.Query("SELECT id, relayed FROM writer WHERE name = ?1", func(r Row) error {
		w.id, w.Relayed = r.Int64(0), uint64(r.Int64(1))
		return nil
	}, name)
	if err == nil && w.id == 0 {
		err = fmt.Errorf("the journal has no writer %s", name)
	}
	return w, err
}

// Writers returns every writer, in the order of their registration.
func (s *Snapshot) Writers() (list []WriterState, err error) {
	err = s.conn.Query("SELECT id, name, relayed FROM writer ORDER BY id", func(r Row) error {
		list = append(list, WriterState{Name: r.Text(1), Relayed: uint64(r.Int64(2)), id: r.Int64(0)})
		return nil
	})
	for i := range list {
		if err != nil {
			break
		}
		w := &list[i]
		err = s.conn.Query("SELECT count(*), max(id) FROM journal WHERE id BETWEEN ?1 AND ?2", func(r Row) error {
			w.Rows, w.Last = uint64(r.Int64(0)), uint64(r.Int64(1)&(1<<NumberBits-1))
			return nil
		}, rowID(w.id, 0), lastID(w.id))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the writers of the journal: %w", err)
	}
	return list, nil
}

// Journal calls each for a writer's rows from a number on, ascending.
func (s *Snapshot) Journal(w WriterState, from uint64, each func(Written) error) error {
	if err := s.journal(w, from, all, each); err != nil {
		return fmt.Errorf("reading the journal of %s: %w", w.Name, err)
	}
	return nil
}

func (s *Snapshot) journal(w WriterState, from uint64, limit int64, each func(Written) error) error {
	return s.conn.Query("SELECT "+rowColumns+" FROM journal WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3",
		func(r Row) error { return each(written(r)) }, rowID(w.id, from), lastID(w.id), limit)
}

// Entries calls each for every record of a book ("" selects all books) in
// ascending order, writer by writer in the order of registration.
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

// Row returns one row of a writer; ok is false if it does not exist.
func (s *Snapshot) Row(w WriterState, number uint64) (row Written, ok bool, err error) {
	err = s.conn.Query("SELECT "+rowColumns+" FROM journal WHERE id = ?1", func(r Row) error {
		row, ok = written(r), true
		return nil
	}, rowID(w.id, number))
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
