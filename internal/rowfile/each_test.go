package rowfile

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestEachReportsTheFaultsOfAFileAtOnce(t *testing.T) {
	const broken = "(broken)"
	errBad, errAbort := errors.New("bad"), errors.New("abort")
	for _, c := range []struct {
		name, file string
		read       int // rows that are read
		want       string
	}{
		{"no fault", "a\n1\n2\n", 2, "<nil>"},
		{"a faulty row and a bad one", "a,b\n1,1\n1\nbad,1\n2,2\n", 3, "f: line 3: the row has 1 fields and the header 2\nbad"},
		{"the last error", "a\nbad\nabort\nbad\n", 2, "bad\nabort"},
		{"a disk that breaks", "a\n1\nbad\n" + broken, 2, "bad\nf: line 3: disk"},
		{"too many", "a\n" + strings.Repeat("bad\n", MaxProblems+5), MaxProblems, strings.TrimSuffix(strings.Repeat("bad\n", MaxProblems), "\n")},
	} {
		text, breaks := strings.CutSuffix(c.file, broken)
		from := io.Reader(strings.NewReader(text))
		if breaks {
			from = io.MultiReader(from, iotest.ErrReader(errors.New("disk")))
		}
		rows, err := New(from, Options{Name: "f", Format: CSV})
		if err != nil {
			t.Fatal(err)
		}
		a, err := rows.Column("a")
		if err != nil {
			t.Fatal(err)
		}
		read, faults := 0, 0
		err = rows.Each(func(row *Row, before int) error {
			read++
			if before < faults {
				t.Errorf("%s: %d faults before row %d, want %d or more", c.name, before, read, faults)
			}
			switch row.Text(a) {
			case "bad":
				faults++
				return errBad
			case "abort":
				return End(errAbort)
			}
			return nil
		})
		if got := fmt.Sprint(err); read != c.read || got != c.want {
			t.Errorf("%s: %d rows and\n%v, want %d and\n%s", c.name, read, err, c.read, c.want)
		}
		var end ended
		if errors.As(err, &end) {
			t.Errorf("%s: %T is for Each alone", c.name, end)
		}
	}
}
