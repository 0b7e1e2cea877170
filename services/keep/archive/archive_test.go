package archive

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const stream = "CONTROL"

func message(position uint64) Message {
	data := bytes.Repeat([]byte(fmt.Sprintf("message %d;", position)), int(position%7)+1)
	if position%5 == 0 {
		data = nil
	}
	m := Message{Position: position, Time: time.Unix(1700000000, int64(position)*1000).UTC(), Subject: "control.Something", SHA256: sha256.Sum256(data), Data: data}
	if position%3 == 0 {
		m.ID = fmt.Sprintf("settle-0-%d", position)
	}
	return m
}

// fill writes positions first to last and syncs.
func fill(t testing.TB, a *Archive, first, last uint64) {
	t.Helper()
	for p := first; p <= last; p++ {
		if err := a.Append(message(p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
}

func opened(t testing.TB, dir string, synced uint64) *Archive {
	t.Helper()
	a, err := Open(dir, stream, synced)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// read lists what an archive returns: positions, and faults as text.
func read(t testing.TB, dir string, from, to uint64) (have []uint64, faults []string) {
	t.Helper()
	r, err := Read(dir, stream, from, to)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 10_000 {
		m, err := r.Next()
		if err == io.EOF {
			return have, faults
		}
		if fault := (*Fault)(nil); errors.As(err, &fault) {
			faults = append(faults, fmt.Sprintf("%d-%d", fault.First, fault.Last))
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		want := message(m.Position)
		if m.Subject != want.Subject || m.ID != want.ID || !m.Time.Equal(want.Time) || !bytes.Equal(m.Data, want.Data) || !m.Intact() {
			t.Fatalf("position %d reads as %+v, want %+v", m.Position, m, want)
		}
		have = append(have, m.Position)
	}
	t.Fatal("the reader does not end")
	return nil, nil
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	dir := t.TempDir()
	a := opened(t, dir, 0)
	fill(t, a, 1, 2500)
	if err := a.Append(message(2502)); err == nil {
		t.Error("a position is left out")
	}
	for _, from := range []uint64{0, 1, 2, 1000, 1001, 2400, 2500, 2501} {
		have, faults := read(t, dir, from, 0)
		if want := int(2500 - max(from, 1) + 1); len(have) != want || len(faults) > 0 {
			t.Errorf("from %d: %d messages, want %d; faults %v", from, len(have), want, faults)
		}
	}
	if have, faults := read(t, dir, 990, 1010); len(have) != 21 || len(faults) > 0 {
		t.Errorf("%v %v", have, faults)
	}
	if have, faults := read(t, dir, 2499, 2510); len(have) != 2 || fmt.Sprint(faults) != "[2501-2510]" {
		t.Errorf("%v %v", have, faults)
	}
	if last, err := Last(dir, stream); err != nil || last != 2500 {
		t.Errorf("last %d, %v", last, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = opened(t, dir, 2500)
	fill(t, a, 2501, 3001)
	if have, faults := read(t, dir, 1, 0); len(have) != 3001 || len(faults) > 0 {
		t.Errorf("%d messages, faults %v", len(have), faults)
	}
}

// Fails when tail() cuts at the end of the file instead of after the last whole
// record.
func TestATornTailIsCutOffAndWrittenAgain(t *testing.T) {
	whole := t.TempDir()
	fill(t, opened(t, whole, 0), 1, 1003)
	name := filepath.Base(fileName(whole, 1001))
	data, err := os.ReadFile(filepath.Join(whole, name))
	if err != nil {
		t.Fatal(err)
	}
	for size := 0; size < len(data); size += 3 {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, name), int64(size)); err != nil {
			t.Fatal(err)
		}
		a, err := Open(dir, stream, 1000)
		if err != nil {
			t.Fatalf("cut at %d: %v", size, err)
		}
		if a.Last() < 1000 || a.Last() > 1002 {
			t.Fatalf("cut at %d: last %d", size, a.Last())
		}
		fill(t, a, a.Last()+1, 1003)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("cut at %d: the file is written otherwise: %v", size, err)
		}
	}
}

// Fails when Open removes what a checkpoint covers.
func TestWhatWasSyncedIsNeverCutOff(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(*testing.T, string)
	}{
		{"a flipped bit", func(t *testing.T, file string) { flip(t, file, -3) }},
		{"a cut file", func(t *testing.T, file string) { cut(t, file, 3) }},
		{"a damaged head", func(t *testing.T, file string) { flip(t, file, 5) }},
		{"an empty file", func(t *testing.T, file string) { cut(t, file, 1<<30) }},
		{"a file that is gone", func(t *testing.T, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			a := opened(t, dir, 0)
			fill(t, a, 1, 1010)
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			test.damage(t, fileName(dir, 1010))
			_, err := Open(dir, stream, 1010)
			var fault *Fault
			if !errors.As(err, &fault) || fault.First < 1001 || fault.First > 1010 {
				t.Fatalf("%v", err)
			}
			t.Log(err)
		})
	}
}

func flip(t testing.TB, file string, at int) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if at < 0 {
		at += len(data)
	}
	data[at] ^= 4
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func cut(t testing.TB, file string, bytes int64) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, max(0, info.Size()-bytes)); err != nil {
		t.Fatal(err)
	}
}

// Every flipped bit is a fault of one position, or of the file whose head it is
// in, and every other message can still be read.
func TestAFlippedBitIsOnePosition(t *testing.T) {
	whole := t.TempDir()
	fill(t, opened(t, whole, 0), 1, 40)
	name := filepath.Base(fileName(whole, 1))
	data, err := os.ReadFile(filepath.Join(whole, name))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for bit := range 8 * len(data) {
		if bit%13 != 0 {
			continue
		}
		changed := bytes.Clone(data)
		changed[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(filepath.Join(dir, name), changed, 0o600); err != nil {
			t.Fatal(err)
		}
		have, faults := read(t, dir, 1, 40)
		switch {
		case bit/8 < len(head(stream, 1)):
			if len(have) != 0 || len(faults) != 1 {
				t.Fatalf("byte %d: %v %v", bit/8, have, faults)
			}
		case len(have) != 39 || len(faults) != 1:
			t.Fatalf("byte %d: %v %v", bit/8, have, faults)
		}
	}
}

func TestAMissingFileIsAGap(t *testing.T) {
	dir := t.TempDir()
	a := opened(t, dir, 0)
	fill(t, a, 1, 3100)
	if err := os.Remove(fileName(dir, 1500)); err != nil {
		t.Fatal(err)
	}
	have, faults := read(t, dir, 1, 0)
	if len(have) != 2100 || fmt.Sprint(faults) != "[1001-2000]" {
		t.Errorf("%d %v", len(have), faults)
	}
	have, faults = read(t, dir, 1900, 0)
	if len(have) != 1100 || fmt.Sprint(faults) != "[1900-2000]" {
		t.Errorf("%d %v", len(have), faults)
	}
}

// Fails when messages after damage are searched in only one part of the file, or
// when a gap also loses the record after it.
func TestWhatFollowsLongDamageIsRead(t *testing.T) {
	dir := t.TempDir()
	big := func(position uint64) Message {
		m := message(position)
		m.Data = bytes.Repeat([]byte{byte(position)}, 1<<20)
		m.SHA256 = sha256.Sum256(m.Data)
		return m
	}
	a := opened(t, dir, 0)
	for p := uint64(1); p <= 14; p++ {
		if err := a.Append(big(p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	places, data := placesOf(t, dir)
	for _, i := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10} {
		data[places[i]+20] ^= 1
	}
	without := append(bytes.Clone(data[:places[11]]), data[places[12]:]...) // and the twelfth is cut out
	if err := os.WriteFile(fileName(dir, 1), without, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Read(dir, stream, 1, 14)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var have []uint64
	var faults []string
	for {
		m, err := r.Next()
		if err == io.EOF {
			break
		}
		if fault := (*Fault)(nil); errors.As(err, &fault) {
			faults = append(faults, fmt.Sprintf("%d-%d", fault.First, fault.Last))
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		have = append(have, m.Position)
	}
	if fmt.Sprint(have, faults) != "[1 13 14] [2-12]" {
		t.Errorf("%v %v", have, faults)
	}
}

// placesOf returns where the records of the first file begin, and the bytes of
// the file.
func placesOf(t *testing.T, dir string) ([]int64, []byte) {
	t.Helper()
	file, err := os.Open(fileName(dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	places, err := NewFinder(dir, stream).index(file, 1)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return places, data
}

func FuzzReader(f *testing.F) {
	dir := f.TempDir()
	fill(f, opened(f, dir, 0), 1, 12)
	data, err := os.ReadFile(fileName(dir, 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)-1])
	f.Add(append(bytes.Clone(data[:60]), data[30:]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := scan(bytes.NewReader(append(head(stream, 1), data...)), stream, 1)
		if err != nil {
			t.Fatal(err)
		}
		last := uint64(0)
		for range len(data) + 2 {
			m, err := s.next()
			if err == io.EOF {
				return
			}
			if fault := (*Fault)(nil); errors.As(err, &fault) {
				if fault.First != last+1 || fault.Last < fault.First {
					t.Fatalf("%v follows %d", fault, last)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.Position <= last || m.Position > PerFile {
				t.Fatalf("position %d follows %d", m.Position, last)
			}
			last = m.Position
		}
		t.Fatal("the reader does not end")
	})
}
