package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrCursorLost means that a store has rows of a writer after its cursor: the
// cursor was lost or put back. Continuing from there would post everything
// again.
var ErrCursorLost = errors.New("the cursor was lost or put back: put the ledger aside, and it is derived again from the streams (`aliquot log fsck --restore` does so for a folder; a database: an empty one)")

// CursorsWhole compares every cursor with the journal rows of its writer. It
// fails with [ErrCursorLost]. Its cost does not grow with the journal.
func (db *DB) CursorsWhole(ctx context.Context) error {
	return db.cursorsWhole(ctx, func(string) bool { return true })
}

// cursorWhole compares the cursor of a writer that is about to write.
func (db *DB) cursorWhole(ctx context.Context, writer string) error {
	_, err := patiently(ctx, db, func() (struct{}, error) {
		return struct{}{}, db.cursorsWhole(ctx, func(name string) bool { return name == writer })
	})
	return err
}

// cursorsWhole compares the cursors of the selected writers.
func (db *DB) cursorsWhole(ctx context.Context, wanted func(writer string) bool) error {
	return db.Snapshot(ctx, func(s *Snapshot) error {
		type named struct {
			id   int64
			name string
		}
		var writers []named
		err := s.conn.Query("SELECT id, name FROM writer ORDER BY name", func(r Row) error {
			writers = append(writers, named{r.Int64(0), r.Text(1)})
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading who writes the journal: %w", err)
		}
		for _, w := range writers {
			if !wanted(w.name) {
				continue
			}
			if err := s.cursorWhole(w.id, w.name); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Snapshot) cursorWhole(id int64, writer string) error {
	last, cut, err := s.lastRow(id)
	if err != nil || last == 0 {
		return err
	}
	if writer == DistributeWriter {
		c, err := s.DistributeCursor()
		if err == nil && c.Control.Position == 0 && c.Ledger.Position == 0 {
			err = fmt.Errorf("distribution has written %d journal rows, and its cursor is at 0: %w", last, ErrCursorLost)
		}
		return err
	}
	text, ok := strings.CutPrefix(writer, "settle-")
	partition, err := strconv.Atoi(text)
	if !ok || err != nil {
		return nil
	}
	c, err := ReadCursor(s.conn, partition)
	if err == nil && c.Position < cut {
		err = fmt.Errorf("the journal has what was settled of partition %d up to %d, and the partition's cursor is at %d: %w",
			partition, cut, c.Position, ErrCursorLost)
	}
	return err
}

// lastRow returns the number and the cut of a writer's last journal row; zeros
// if it has none.
func (s *Snapshot) lastRow(writer int64) (number, cut uint64, err error) {
	err = s.conn.Query("SELECT id, cut FROM journal WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1", func(r Row) error {
		number, cut = uint64(r.Int64(0)&(1<<NumberBits-1)), uint64(r.Int64(1))
		return nil
	}, rowID(writer, 0), lastID(writer))
	if err != nil {
		return 0, 0, fmt.Errorf("reading the last journal row: %w", err)
	}
	return number, cut, nil
}
