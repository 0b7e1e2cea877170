package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// Relation is one part of the store that is a function of the streams, as rows
// that can be compared between two stores: names instead of the numbers that a
// store gives them, ascending by Key columns.
type Relation struct {
	Name    string
	Key     int    // how many of the columns identify a row
	Settled bool   // written only by settle
	query   string // empty for the journal: that of the settlers if Settled, otherwise that of the distributor
}

// Relations returns every part of the store that is a function of the streams
// up to the cursors, in the best order for finding a difference: causes come
// before their effects. Of what the distributor has read of LEDGER, only what
// is at or before the position ledger is included, because how far it has read
// depends on timing.
func Relations(ledger uint64) []Relation {
	return []Relation{
		{"cursor", 1, true, "SELECT partition, position, hash, control, batches FROM cursor ORDER BY 1"},
		{"outcome", 2, true, "SELECT partition, position, events, runs FROM outcome ORDER BY 1, 2"},
		{"void", 2, true, "SELECT partition, control, reason FROM void ORDER BY 1, 2"},
		{"journal of settle", 2, true, ""},
		{"tally", 5, true, "SELECT book, node, period, outcome, reason, events FROM tally ORDER BY 1, 2, 3, 4, 5"},
		{"suspense", 8, true, "SELECT book, node, customer, meter, card, rule, pair, period, quantity, events FROM suspense ORDER BY 1, 2, 3, 4, 5, 6, 7, 8"},
		{"outstanding", 5, true, "SELECT book, customer, asset, period, node, amount FROM owed ORDER BY 1, 2, 3, 4, 5"},
		{"collected", 4, true, "SELECT book, period, node, asset, amount FROM collected ORDER BY 1, 2, 3, 4"},
		{"span", 5, true, "SELECT provider, source.source, epoch, partition, first, last FROM source JOIN span ON span.source = source.id ORDER BY 1, 2, 3, 4, 5"},
		{"original", 5, true, "SELECT provider, source.source, epoch, partition, first, last, position, segment, ordinal FROM source JOIN original ON original.source = source.id ORDER BY 1, 2, 3, 4, 5"},
		{"distribute cursor", 0, false, "SELECT control, control_hash FROM distribute_cursor"},
		{"handover", 4, false, fmt.Sprintf("SELECT token, asset, position, period, amount FROM handover WHERE position <= %d ORDER BY 1, 2, 3, 4", ledger)},
		{"settled period", 2, false, fmt.Sprintf("SELECT book, period, position FROM settled_period WHERE position <= %d ORDER BY 1, 2", ledger)},
		{"distribute void", 1, false, "SELECT control, partly, reason FROM distribute_void ORDER BY 1"},
		{"distribution", 1, false, "SELECT control, id, token, book, period, ledger, register, record_date, rail, holders, supply FROM distribution ORDER BY 1"},
		{"pool", 2, false, "SELECT distribution, asset, inbox, basis_points, fee, pool, held, payouts, planned FROM pool ORDER BY 1, 2"},
		{"share", 3, false, "SELECT distribution, asset, holder, units, frozen, amount, held FROM share ORDER BY 1, 2, 3"},
		{"journal of distribute", 2, false, ""},
		{"entitlement", 3, false, "SELECT token, asset, holder, payable, held FROM entitlement ORDER BY 1, 2, 3"},
		{"payout", 2, false, "SELECT distribution, id, asset, holder, amount, state, reference FROM payout ORDER BY 1, 2"},
		{"batch", 1, false, "SELECT name, rail, distribution, control FROM batch ORDER BY 1"},
		{"message for PAYOUT", 1, false, "SELECT number, token, journal, data FROM payout_message ORDER BY 1"},
		{"balance", 3, false, "SELECT account, name AS writer, asset, debit, credit FROM posted ORDER BY 1, 2, 3"},
	}
}

// Field is one value of a row: an int64, a string, a []byte or nil. An amount or
// a number of units is its 16 bytes.
type Field struct {
	Name  string
	Value any
}

// Unequal is the first row in which two stores differ; Here or There is empty
// if that store does not have the row.
type Unequal struct {
	Here, There []Field
}

// Compare walks a relation in two stores side by side and returns the first
// difference; equal is true if there is none. rows is the number of equal rows.
// each, if it is not nil, is called with every equal row, which it must neither
// keep nor change.
func (s *Snapshot) Compare(other *Snapshot, relation Relation, each func(row []Field) error) (first Unequal, rows uint64, equal bool, err error) {
	first, rows, equal, err = s.compare(other, relation, each)
	if err != nil {
		return first, rows, false, fmt.Errorf("comparing %s: %w", relation.Name, err)
	}
	return first, rows, equal, nil
}

func (s *Snapshot) compare(other *Snapshot, relation Relation, each func(row []Field) error) (first Unequal, rows uint64, equal bool, err error) {
	here, err := s.walk(relation)
	if err != nil {
		return first, 0, false, err
	}
	defer func() { _ = here.Close() }()
	there, err := other.walk(relation)
	if err != nil {
		return first, 0, false, err
	}
	defer func() { _ = there.Close() }()
	for {
		x, err := next(here)
		if err != nil {
			return first, rows, false, err
		}
		y, err := next(there)
		if err != nil {
			return first, rows, false, err
		}
		if x == nil && y == nil {
			return first, rows, true, nil
		}
		at := differs(x, y)
		if at < 0 {
			rows++
			if each != nil {
				if err := each(y); err != nil {
					return first, rows, false, err
				}
			}
			continue
		}
		// If the keys differ, the smaller row is missing in the other store.
		if x != nil && y != nil && at < relation.Key {
			if less(x[at].Value, y[at].Value) {
				y = nil
			} else {
				x = nil
			}
		}
		return Unequal{x, y}, rows, false, nil
	}
}

// walk begins to walk a relation.
func (s *Snapshot) walk(relation Relation) (Rows, error) {
	if relation.query != "" {
		return s.conn.Walk(relation.query)
	}
	var texts []string
	err := s.conn.Query("SELECT id, name FROM writer ORDER BY name", func(r Row) error {
		if id, name := r.Int64(0), r.Text(1); relation.Settled == (name != DistributeWriter) {
			// The limits are constants, because a join of two tables on
			// variable limits may be planned as their product.
			texts = append(texts, fmt.Sprintf(`SELECT '%s' AS writer, id - %d AS number, cut, book, part, record FROM journal
				WHERE id BETWEEN %d AND %d ORDER BY id`, strings.ReplaceAll(name, "'", "''"), rowID(id, 0), rowID(id, 0), lastID(id)))
		}
		return nil
	})
	return &rowsOf{conn: s.conn, texts: texts}, err
}

// rowsOf is the rows of several queries, one after the other: [Rows].
type rowsOf struct {
	conn  Conn
	texts []string // queries that have not begun
	Rows           // rows of the query that has begun; nil if none
}

func (r *rowsOf) Next() (ok bool, err error) {
	for {
		if r.Rows == nil {
			if len(r.texts) == 0 {
				return false, nil
			}
			if r.Rows, err = r.conn.Walk(r.texts[0]); err != nil {
				return false, err
			}
			r.texts = r.texts[1:]
		}
		if ok, err = r.Rows.Next(); ok || err != nil {
			return ok, err
		}
		err, r.Rows = r.Rows.Close(), nil
		if err != nil {
			return false, err
		}
	}
}

func (r *rowsOf) Close() error {
	if r.Rows == nil {
		return nil
	}
	return r.Rows.Close()
}

// next returns nil after the last row.
func next(rows Rows) ([]Field, error) {
	ok, err := rows.Next()
	if err != nil || !ok {
		return nil, err
	}
	return rows.Fields(), nil
}

// Walk calls each for the rows of a relation, in its order.
func (s *Snapshot) Walk(relation Relation, each func([]Field) error) (err error) {
	rows, err := s.walk(relation)
	if err != nil {
		return fmt.Errorf("reading %s: %w", relation.Name, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for {
		row, err := next(rows)
		if err != nil {
			return fmt.Errorf("reading %s: %w", relation.Name, err)
		}
		if row == nil {
			return nil
		}
		if err := each(row); err != nil {
			return err
		}
	}
}

// differs returns the index of the first field that differs, or -1.
func differs(a, b []Field) int {
	if len(a) != len(b) {
		return 0
	}
	for i := range a {
		x, isBytes := a[i].Value.([]byte)
		y, areBytes := b[i].Value.([]byte)
		if isBytes && areBytes {
			if !bytes.Equal(x, y) {
				return i
			}
		} else if isBytes != areBytes || a[i].Value != b[i].Value {
			return i
		}
	}
	return -1
}

func less(a, b any) bool {
	switch x := a.(type) {
	case int64:
		y, ok := b.(int64)
		return ok && x < y
	case string:
		y, ok := b.(string)
		return ok && x < y
	}
	return false
}

// Rows calls each for the rows of a relation, in their order. each must neither
// keep nor change the row.
func (s *Snapshot) Rows(relation Relation, each func(row []Field) error) error {
	if err := s.rows(relation, each); err != nil {
		return fmt.Errorf("reading %s: %w", relation.Name, err)
	}
	return nil
}

func (s *Snapshot) rows(relation Relation, each func(row []Field) error) error {
	rows, err := s.walk(relation)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for {
		row, err := next(rows)
		if err != nil || row == nil {
			return err
		}
		if err := each(row); err != nil {
			return err
		}
	}
}
