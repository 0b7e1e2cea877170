package export

import (
	"encoding/binary"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/snappy"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// A row group ends at this number of rows or bytes, which limits the memory of a
// writer.
const (
	groupRows  = 50_000
	groupBytes = 16 << 20
)

// parquetSink writes Apache Parquet: decimals as DECIMAL(38, 18) in 16 bytes,
// instants as TIMESTAMP in nanoseconds UTC, text and wide numbers as STRING.
type parquetSink struct {
	writer *parquet.GenericWriter[any]
	null   []bool
	values parquet.Row
	rows   int
	bytes  int
}

// The largest and the smallest number of attos with 38 digits: ±(10³⁸-1).
var (
	mostDecimal  = money.AmountFromLimbs(0x4b3b4ca85a86c47a, 0x098a223fffffffff)
	leastDecimal = money.AmountFromLimbs(^0x4b3b4ca85a86c47a, 0xf675ddc000000001)
)

func newParquet(w io.Writer, name string, columns []Column) (*parquetSink, error) {
	s := &parquetSink{null: make([]bool, len(columns))}
	g := ordered{Group: parquet.Group{}}
	options := []parquet.WriterOption{parquet.CreatedBy("aliquot", "1", ""), parquet.MaxRowsPerRowGroup(2 * groupRows)}
	for i, c := range columns {
		if c.Type == Bytes {
			// Page bounds would contain whole values and more than double the
			// file.
			options = append(options, parquet.SkipPageBounds(c.Name), parquet.SkipPageStatistics(c.Name))
		}
		node, err := node(c.Type)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		if c.Null {
			node, s.null[i] = parquet.Optional(node), true
		}
		g.Group[c.Name] = node
		g.fields = append(g.fields, column{node, c.Name})
	}
	s.writer = parquet.NewGenericWriter[any](w, append(options, parquet.NewSchema(strings.ReplaceAll(name, "-", "_"), g))...)
	return s, nil
}

// node returns how a type is stored. Equal texts are stored once per row group.
func node(t Type) (parquet.Node, error) {
	var n parquet.Node
	switch t {
	case Text, Wide:
		n = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
	case Count:
		n = parquet.Uint(64)
	case Number:
		n = parquet.Int(64)
	case Decimal:
		n = parquet.Decimal(18, 38, parquet.FixedLenByteArrayType(16))
	case Instant:
		n = parquet.Timestamp(parquet.Nanosecond)
	case Truth:
		n = parquet.Leaf(parquet.BooleanType)
	case Bytes:
		n = parquet.Encoded(parquet.Leaf(parquet.ByteArrayType), &parquet.Plain)
	default:
		return nil, fmt.Errorf("type %d is unknown", t)
	}
	return parquet.Compressed(n, &snappy.Codec{}), nil
}

func (s *parquetSink) row(cells []cell) error {
	s.values = s.values[:0]
	for i := range cells {
		v, err := s.value(&cells[i])
		if err != nil {
			return err
		}
		defined := 0
		if s.null[i] && cells[i].kind != 0 {
			defined = 1
		}
		s.values = append(s.values, v.Level(0, defined, i))
		s.bytes += 16 + len(cells[i].text) + len(cells[i].bytes)
	}
	if _, err := s.writer.WriteRows([]parquet.Row{s.values}); err != nil {
		return fmt.Errorf("writing Parquet: %w", err)
	}
	if s.rows++; s.rows < groupRows && s.bytes < groupBytes {
		return nil
	}
	s.rows, s.bytes = 0, 0
	if err := s.writer.Flush(); err != nil {
		return fmt.Errorf("writing Parquet: %w", err)
	}
	return nil
}

func (s *parquetSink) value(c *cell) (parquet.Value, error) {
	switch c.kind {
	case Text:
		return parquet.ByteArrayValue([]byte(strings.ToValidUTF8(c.text, "\uFFFD"))), nil
	case Wide:
		return parquet.ByteArrayValue([]byte(c.text)), nil
	case Count, Number, Instant:
		return parquet.Int64Value(c.number), nil
	case Decimal:
		a := money.AmountFromLimbs(c.number, c.low)
		if a.Cmp(mostDecimal) > 0 || a.Cmp(leastDecimal) < 0 {
			return parquet.Value{}, fmt.Errorf("writing Parquet: %v does not fit DECIMAL(38,18)", a)
		}
		b := binary.BigEndian.AppendUint64(make([]byte, 0, 16), uint64(c.number))
		return parquet.FixedLenByteArrayValue(binary.BigEndian.AppendUint64(b, c.low)), nil
	case Truth:
		return parquet.BooleanValue(c.number != 0), nil
	case Bytes:
		return parquet.ByteArrayValue(c.bytes), nil
	}
	return parquet.NullValue(), nil
}

func (s *parquetSink) close() error {
	if err := s.writer.Close(); err != nil {
		return fmt.Errorf("writing Parquet: %w", err)
	}
	return nil
}

// ordered is a group whose fields are in the order of the columns; those of
// [parquet.Group] are in the order of their names.
type ordered struct {
	parquet.Group
	fields []parquet.Field
}

// Fields implements [parquet.Node].
func (g ordered) Fields() []parquet.Field { return g.fields }

type column struct {
	parquet.Node
	name string
}

// Name implements [parquet.Field].
func (c column) Name() string { return c.name }

// Value implements [parquet.Field]. Rows are written value by value, so it is
// never called for a whole row.
func (c column) Value(base reflect.Value) reflect.Value { return base.FieldByName(c.name) }
