package cockroach

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// page is how many rows are fetched at once. Cursors whose query has parameters
// need CockroachDB 22.2 (https://github.com/cockroachdb/cockroach/pull/82754).
const page = 256

// reader answers queries in one transaction: a [store.Conn]. Each query is a
// cursor of the database that is fetched page by page, so that one query may
// run while another is being read, and none needs more memory than a page.
type reader struct {
	ctx  context.Context
	conn *pgconn.PgConn
	last int      // number of the newest cursor
	done []string // cursors to close with the next request
}

// Query is [store.Conn].
func (r *reader) Query(text string, each func(store.Row) error, args ...any) error {
	rows, err := r.open(text, args)
	if err != nil {
		return err
	}
	defer r.close(rows)
	for {
		ok, err := rows.Next()
		if err != nil || !ok {
			return err
		}
		err = each(rows)
		if rows.err != nil {
			return rows.err
		}
		if err != nil {
			return err
		}
	}
}

// Walk is [store.Conn].
func (r *reader) Walk(text string) (store.Rows, error) { return r.open(text, nil) }

// Outstanding is [store.Conn].
func (r *reader) Outstanding(list []settlement.Outstanding, q store.Owing) ([]settlement.Outstanding, error) {
	of := "?1 < 0"
	if q.Partition >= 0 {
		of = "partition = ?1"
	}
	type numbered struct{ partition, number int64 }
	names := map[numbered]events.Node{}
	err := r.Query("SELECT partition, number, name FROM node WHERE "+of, func(row store.Row) error {
		names[numbered{row.Int64(0), row.Int64(1)}] = events.Node(row.Text(2))
		return nil
	}, int64(q.Partition))
	if err != nil {
		return nil, err
	}
	err = r.Query(`SELECT partition, book, customer, asset, nodes, lines, period FROM outstanding
		WHERE `+of+` AND (?2 = '' OR book = ?2) AND (?3 = '' OR customer = ?3)`, func(row store.Row) error {
		o := settlement.Outstanding{Book: events.Book(row.Text(1)), Customer: events.Customer(row.Text(2)), Asset: money.Asset(row.Text(3)), Period: events.Period(row.Text(6))}
		first := numbered{row.Int64(0), row.Int64(4) << store.NodeBits}
		return store.Debts(row.Bytes(5), func(d store.Debt) error {
			var ok bool
			if o.Node, ok = names[numbered{first.partition, first.number + int64(d.Node)}]; !ok {
				return fmt.Errorf("node %d of partition %d has no name", first.number+int64(d.Node), first.partition)
			}
			o.Amount = d.Amount
			list = append(list, o)
			return nil
		})
	}, int64(q.Partition), string(q.Book), string(q.Customer))
	return list, err
}

// open declares a cursor and fetches its first page, in one trip.
func (r *reader) open(text string, args []any) (*rows, error) {
	values := make([][]byte, len(args))
	types := make([]uint32, len(args))
	formats := make([]int16, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case int64:
			values[i], types[i], formats[i] = binary.BigEndian.AppendUint64(nil, uint64(v)), pgtype.Int8OID, pgtype.BinaryFormatCode
		case string:
			values[i], types[i], formats[i] = []byte(v), pgtype.TextOID, pgtype.BinaryFormatCode
		case []byte:
			values[i], types[i], formats[i] = v, pgtype.ByteaOID, pgtype.BinaryFormatCode
		default:
			return nil, fmt.Errorf("parameter %d is a %T", i+1, arg)
		}
	}
	r.last++
	rows := &rows{reader: r, cursor: "q" + strconv.Itoa(r.last)}
	pipeline := r.conn.StartPipeline(r.ctx)
	r.closeDone(pipeline)
	pipeline.SendQueryParams("DECLARE "+rows.cursor+" NO SCROLL CURSOR FOR "+dollars(text), values, types, formats, nil)
	if err := rows.fetch(pipeline); err != nil {
		return nil, err
	}
	return rows, nil
}

// dollars writes parameters as PostgreSQL does.
func dollars(text string) string { return strings.ReplaceAll(text, "?", "$") }

func (r *reader) closeDone(pipeline *pgconn.Pipeline) {
	for _, cursor := range r.done {
		pipeline.SendQueryParams("CLOSE "+cursor, nil, nil, nil, nil)
	}
	r.done = r.done[:0]
}

func (r *reader) close(rows *rows) {
	if !slices.Contains(r.done, rows.cursor) {
		r.done = append(r.done, rows.cursor)
	}
}

// rows is the state of a query: [store.Rows], and a [store.Row].
type rows struct {
	reader *reader
	cursor string
	fields []pgconn.FieldDescription
	page   [][][]byte
	at     [][]byte
	ended  bool
	err    error // the error of a column with an unexpected value
}

// fetch reads the next page at the end of a pipeline.
func (r *rows) fetch(pipeline *pgconn.Pipeline) (err error) {
	pipeline.SendQueryParams("FETCH FORWARD "+strconv.Itoa(page)+" FROM "+r.cursor, nil, nil, nil, []int16{pgtype.BinaryFormatCode})
	if err := pipeline.Sync(); err != nil {
		_ = pipeline.Close()
		return err
	}
	r.page = r.page[:0]
	for {
		result, e := pipeline.GetResults()
		if e != nil {
			err = e
			break
		}
		if _, ok := result.(*pgconn.PipelineSync); ok || result == nil {
			break
		}
		answer, ok := result.(*pgconn.ResultReader)
		if !ok {
			continue
		}
		// CLOSE and DECLARE return nothing to read.
		read := answer.Read()
		if read.Err != nil && err == nil {
			err = read.Err
		}
		if len(read.FieldDescriptions) > 0 {
			r.fields, r.page = read.FieldDescriptions, read.Rows
		}
	}
	if e := pipeline.Close(); err == nil {
		err = e
	}
	r.ended = len(r.page) < page
	return err
}

// Next is [store.Rows].
func (r *rows) Next() (bool, error) {
	if len(r.page) == 0 && !r.ended {
		pipeline := r.reader.conn.StartPipeline(r.reader.ctx)
		r.reader.closeDone(pipeline)
		if err := r.fetch(pipeline); err != nil {
			return false, err
		}
	}
	if len(r.page) == 0 {
		return false, nil
	}
	r.at, r.page = r.page[0], r.page[1:]
	return true, nil
}

// Close is [store.Rows].
func (r *rows) Close() error {
	r.reader.close(r)
	return nil
}

func (r *rows) fail(column int, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("column %s: %w", r.fields[column].Name, err)
	}
}

func (r *rows) IsNull(column int) bool { return r.at[column] == nil }
func (r *rows) Text(column int) string { return string(r.at[column]) }

func (r *rows) Bytes(column int) []byte {
	// The page belongs to the row.
	return r.at[column][:len(r.at[column]):len(r.at[column])]
}

func (r *rows) Int64(column int) int64 {
	switch data := r.at[column]; len(data) {
	case 0:
		return 0
	case 2:
		return int64(int16(binary.BigEndian.Uint16(data)))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(data)))
	case 8:
		return int64(binary.BigEndian.Uint64(data))
	}
	r.fail(column, errNumber)
	return 0
}

func (r *rows) Amount(column int) money.Amount {
	if r.IsNull(column) {
		return money.Amount{}
	}
	a, err := amountOf(r.at[column])
	if err != nil {
		r.fail(column, err)
	}
	return a
}

func (r *rows) Units(column int) money.Units {
	if r.IsNull(column) {
		return money.Units{}
	}
	u, err := unitsOf(r.at[column])
	if err != nil {
		r.fail(column, err)
	}
	return u
}

// Fields is [store.Rows].
func (r *rows) Fields() []store.Field {
	list := make([]store.Field, len(r.fields))
	for i, f := range r.fields {
		list[i].Name = f.Name
		if r.IsNull(i) {
			continue
		}
		switch f.DataTypeOID {
		case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
			list[i].Value = r.Int64(i)
		case pgtype.ByteaOID:
			list[i].Value = r.Bytes(i)
		case pgtype.NumericOID:
			list[i].Value = r.sixteen(i, f.TypeModifier)
		default:
			list[i].Value = r.Text(i)
		}
	}
	return list
}

// sixteen reads an amount or a number of units: the type modifier has the
// decimals in its lower half, plus 4.
func (r *rows) sixteen(column int, modifier int32) []byte {
	var b [16]byte
	if modifier >= 4 && (modifier-4)&0xffff == 0 {
		b = r.Units(column).Bytes()
	} else {
		b = r.Amount(column).Bytes()
	}
	return b[:]
}
