package sqlite

import (
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// reader answers queries on one connection: a [store.Conn].
type reader struct {
	conn *sqlite.Conn
}

// Query is [store.Conn].
func (r *reader) Query(text string, each func(store.Row) error, args ...any) error {
	at := new(row)
	return query(r.conn, text, func(s *sqlite.Stmt) error {
		at.s = s
		return each(at)
	}, args...)
}

// Walk is [store.Conn].
func (r *reader) Walk(text string) (store.Rows, error) {
	s, err := r.conn.Prepare(text)
	if err != nil {
		return nil, err
	}
	return &row{s}, nil
}

// row is the state of a statement: a [store.Row], and [store.Rows].
type row struct {
	s *sqlite.Stmt
}

func (r *row) IsNull(column int) bool  { return r.s.ColumnIsNull(column) }
func (r *row) Int64(column int) int64  { return r.s.ColumnInt64(column) }
func (r *row) Text(column int) string  { return r.s.ColumnText(column) }
func (r *row) Next() (bool, error)     { return r.s.Step() }
func (r *row) Close() error            { return r.s.Reset() }
func (r *row) Units(i int) money.Units { return money.UnitsFromBytes(r.sixteen(i)) }

func (r *row) Bytes(column int) []byte {
	b := make([]byte, r.s.ColumnLen(column))
	r.s.ColumnBytes(column, b)
	return b
}

func (r *row) Amount(column int) money.Amount {
	if r.s.ColumnIsNull(column) {
		return money.Amount{}
	}
	return money.AmountFromBytes(r.sixteen(column))
}

func (r *row) sixteen(column int) (b [16]byte) {
	r.s.ColumnBytes(column, b[:])
	return b
}

// Fields is [store.Rows]. Values that do not fit the schema, for example after
// an edit by hand, are returned as they are.
func (r *row) Fields() []store.Field {
	list := make([]store.Field, r.s.ColumnCount())
	for i := range list {
		list[i].Name = r.s.ColumnName(i)
		switch r.s.ColumnType(i) {
		case sqlite.TypeInteger:
			list[i].Value = r.Int64(i)
		case sqlite.TypeText:
			list[i].Value = r.Text(i)
		case sqlite.TypeBlob:
			list[i].Value = r.Bytes(i)
		case sqlite.TypeFloat:
			list[i].Value = fmt.Sprint(r.s.ColumnFloat(i))
		}
	}
	return list
}
