package export_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/services/audit/export"
)

// stored converts a CSV value to the integer or text that Parquet stores.
func stored(t testing.TB, c export.Column, value string) string {
	t.Helper()
	switch c.Type {
	case export.Text:
		return export.ReadText(value)
	case export.Decimal:
		high, low := amountOf(t, value).Limbs()
		n := new(big.Int).Lsh(big.NewInt(high), 64)
		return n.Add(n, new(big.Int).SetUint64(low)).String()
	case export.Instant:
		at, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			t.Fatal(err)
		}
		return big.NewInt(at.UnixNano()).String()
	}
	return value
}

// An independent reader, npm hyparquet, which is not written in Go, reads the
// same values from every report as its CSV has.
func TestAnotherReaderReadsOurParquet(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node absent")
	}
	if _, err := os.Stat("testdata/peer/node_modules/hyparquet"); err != nil {
		t.Skip("hyparquet absent: npm ci in testdata/peer installs it")
	}
	k := keep(t, world(t))
	k.refuse(t)
	for _, name := range []string{"journal", "trial-balance", "exceptions", "focus", "refused", "trail"} {
		file := filepath.Join(t.TempDir(), name+".parquet")
		if err := os.WriteFile(file, k.file(t, name, export.Parquet, export.Options{}), 0o600); err != nil {
			t.Fatal(err)
		}
		command := exec.Command(node, "testdata/peer/read.mjs", file)
		var complaint bytes.Buffer
		command.Stderr = &complaint
		output, err := command.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, complaint.String())
		}
		report, err := export.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		want := k.rows(t, name, export.Options{})
		lines := bufio.NewScanner(bytes.NewReader(output))
		lines.Buffer(nil, 8<<20)
		lines.Scan() // the header
		n := 0
		for ; lines.Scan(); n++ {
			var got []*string
			if err := json.Unmarshal(lines.Bytes(), &got); err != nil || n >= len(want) || len(got) != len(report.Columns()) {
				t.Fatalf("%s row %d of %d: %v, %d columns", name, n, len(want), err, len(got))
			}
			for i, c := range report.Columns() {
				value := want[n][c.Name]
				switch {
				case got[i] == nil && value == "":
				case got[i] == nil:
					t.Errorf("%s row %d: %s is null, in CSV %q", name, n, c.Name, value)
				case *got[i] != stored(t, c, value):
					t.Errorf("%s row %d: %s is %q, in CSV %q", name, n, c.Name, *got[i], value)
				}
			}
		}
		if n != len(want) {
			t.Errorf("%s: %d rows, want %d", name, n, len(want))
		}
	}
}
