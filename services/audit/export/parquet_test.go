package export_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/services/audit/export"
)

// shown formats a value of a Parquet file as in the CSV of the same report.
func shown(t testing.TB, c export.Column, v parquet.Value) string {
	t.Helper()
	if v.IsNull() {
		return ""
	}
	switch c.Type {
	case export.Decimal:
		b := v.ByteArray()
		if len(b) != 16 {
			t.Fatalf("column %s has a decimal of %d bytes", c.Name, len(b))
		}
		return money.AmountFromLimbs(int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:])).String()
	case export.Count, export.Number:
		return v.String()
	case export.Instant:
		return time.Unix(0, v.Int64()).UTC().Format(time.RFC3339Nano)
	case export.Truth:
		return map[bool]string{true: "true", false: "false"}[v.Boolean()]
	case export.Bytes:
		return base64.StdEncoding.EncodeToString(v.ByteArray())
	}
	return string(v.ByteArray())
}

// Every report has the columns, types and values in Parquet that it has in CSV.
// Fails when a value is written into another column, or a decimal in another
// scale.
func TestParquetHoldsWhatCSVHolds(t *testing.T) {
	k := keep(t, world(t))
	k.refuse(t)
	for _, report := range export.Reports() {
		want := k.rows(t, report.Name, export.Options{})
		data := k.file(t, report.Name, export.Parquet, export.Options{})
		file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatalf("%s: %v", report.Name, err)
		}
		columns := report.Columns()
		leaves := file.Schema().Columns()
		if len(leaves) != len(columns) || file.NumRows() != int64(len(want)) {
			t.Fatalf("%s: %d columns and %d rows, want %d and %d", report.Name, len(leaves), file.NumRows(), len(columns), len(want))
		}
		for i, c := range columns {
			leaf, _ := file.Schema().Lookup(leaves[i]...)
			if leaves[i][0] != c.Name || leaf.Node.Optional() != c.Null {
				t.Errorf("%s: column %d is %v (optional: %t), want %+v", report.Name, i, leaves[i], leaf.Node.Optional(), c)
			}
			logical := ""
			if l := leaf.Node.Type().LogicalType(); l != nil {
				logical = l.String()
			}
			want, ok := map[export.Type]string{
				export.Decimal: "DECIMAL(38,18)", export.Instant: "TIMESTAMP(isAdjustedToUTC=true,unit=NANOS)", export.Text: "STRING", export.Wide: "STRING",
				export.Count: "INT(64,false)", export.Number: "INT(64,true)",
			}[c.Type]
			if logical != want && ok {
				t.Errorf("%s: column %s is %q, want %q", report.Name, c.Name, logical, want)
			}
			if kind := leaf.Node.Type().Kind(); kind == parquet.Float || kind == parquet.Double {
				t.Errorf("%s: column %s is a float", report.Name, c.Name)
			}
		}
		reader := parquet.NewReader(file)
		row := make([]parquet.Row, 1)
		for n, line := range want {
			if got, err := reader.ReadRows(row); got != 1 || err != nil && err != io.EOF {
				t.Fatalf("%s row %d: %v", report.Name, n, err)
			}
			for i, c := range columns {
				csvText := line[c.Name]
				if c.Type == export.Text {
					csvText = export.ReadText(csvText)
				}
				if got := shown(t, c, row[0][i]); got != csvText {
					t.Errorf("%s row %d: %s is %q, in CSV %q", report.Name, n, c.Name, got, csvText)
				}
			}
		}
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
