package export

import (
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Type is the type of a column's values. Each format has one way to write each
// type, and none of them is a float.
type Type uint8

// The types of columns.
const (
	Text    Type = iota + 1 // UTF-8
	Count                   // 0 to 2⁶⁴-1
	Number                  // -2⁶³ to 2⁶³-1
	Decimal                 // attos of an amount or a quantity, 18 decimals
	Wide                    // decimal digits of up to 128 bits, as text
	Instant                 // nanoseconds since 1970 UTC
	Truth                   // true or false
	Bytes                   // not encoded
)

// Column is one column of a report.
type Column struct {
	Name string
	Type Type
	Null bool // may be null
}

// cell is one value of a row. The zero cell is null.
type cell struct {
	kind   Type
	text   string
	number int64 // of Count, Number, Instant, Truth, and the high limb of Decimal
	low    uint64
	bytes  []byte
}

func text[T ~string](s T) cell { return cell{kind: Text, text: string(s)} }

// named is a text, or null if it is empty.
func named[T ~string](s T) cell {
	if s == "" {
		return cell{}
	}
	return text(s)
}

func count[T ~uint64 | ~uint32 | ~int](n T) cell { return cell{kind: Count, number: int64(n)} }

func number[T ~int64 | ~int](n T) cell { return cell{kind: Number, number: int64(n)} }

func amount(a money.Amount) cell {
	high, low := a.Limbs()
	return cell{kind: Decimal, number: high, low: low}
}

func quantity(q money.Quantity) cell {
	high, low := q.Limbs()
	return cell{kind: Decimal, number: high, low: low}
}

func units(u money.Units) cell { return cell{kind: Wide, text: u.String()} }

func instant(nanoseconds int64) cell { return cell{kind: Instant, number: nanoseconds} }

// moment is a time, or null if it is zero.
func moment(t time.Time) cell {
	if t.IsZero() {
		return cell{}
	}
	return instant(t.UnixNano())
}

func truth(b bool) cell {
	if b {
		return cell{kind: Truth, number: 1}
	}
	return cell{kind: Truth}
}

func blob(b []byte) cell { return cell{kind: Bytes, bytes: b} }

// plain appends a value that is not text, in the form that CSV and JSON strings
// have.
func (c *cell) plain(dst []byte) []byte {
	switch c.kind {
	case Count:
		return strconv.AppendUint(dst, uint64(c.number), 10)
	case Number:
		return strconv.AppendInt(dst, c.number, 10)
	case Decimal:
		return append(dst, money.AmountFromLimbs(c.number, c.low).String()...)
	case Wide:
		return append(dst, c.text...)
	case Instant:
		return time.Unix(0, c.number).UTC().AppendFormat(dst, time.RFC3339Nano)
	case Truth:
		return strconv.AppendBool(dst, c.number != 0)
	case Bytes:
		return base64.StdEncoding.AppendEncode(dst, c.bytes)
	}
	return dst
}

// sink receives the rows of one report in one format. It does not keep them.
type sink interface {
	row(cells []cell) error
	close() error // writes the end of the file
}

// table checks rows against their columns and passes them to a sink.
type table struct {
	columns []Column
	sink    sink
	rows    int64
}

func newTable(w io.Writer, name string, columns []Column, format Format) (*table, error) {
	t := &table{columns: columns}
	var err error
	switch format {
	case CSV:
		t.sink, err = newCSV(w, columns)
	case JSON:
		t.sink, err = newJSON(w, columns)
	case Parquet:
		t.sink, err = newParquet(w, name, columns)
	default:
		err = fmt.Errorf("%q is not a format", format)
	}
	return t, err
}

// row writes one row. A cell that does not fit its column is an error of this
// package, and ends the report.
func (t *table) row(cells ...cell) error {
	if len(cells) != len(t.columns) {
		return fmt.Errorf("row %d has %d cells for %d columns", t.rows, len(cells), len(t.columns))
	}
	for i := range cells {
		switch c := &t.columns[i]; {
		case cells[i].kind == 0 && !c.Null:
			return fmt.Errorf("row %d: column %s is null", t.rows, c.Name)
		case cells[i].kind != 0 && cells[i].kind != c.Type:
			return fmt.Errorf("row %d: column %s has a value of another type", t.rows, c.Name)
		}
	}
	t.rows++
	return t.sink.row(cells)
}
