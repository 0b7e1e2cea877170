package archive

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func TestEveryPositionIsFound(t *testing.T) {
	dir := t.TempDir()
	fill(t, opened(t, dir, 0), 1, 2345)
	f := NewFinder(dir, stream)
	random := rand.New(rand.NewPCG(1, 2))
	for range 4000 {
		p := 1 + random.Uint64N(2345)
		m, err := f.Get(p)
		if err != nil {
			t.Fatal(err)
		}
		if want := message(p); m.Position != p || !bytes.Equal(m.Data, want.Data) || m.ID != want.ID || !m.Intact() {
			t.Fatalf("position %d is %+v", p, m)
		}
	}
	for _, p := range []uint64{0, 2346, 3000, 3001, 1 << 40} {
		var fault *Fault
		if _, err := f.Get(p); !errors.As(err, &fault) {
			t.Errorf("position %d: %v", p, err)
		}
	}
}

// Fails when the finder trusts lengths after damage, or stops there.
func TestWhatFollowsDamageIsFound(t *testing.T) {
	dir := t.TempDir()
	a := opened(t, dir, 0)
	fill(t, a, 1, 60)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	// Damages the length of the second record, and a byte in the body of another.
	file, err := os.Open(fileName(dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	places, err := NewFinder(dir, stream).index(file, 1)
	if err = errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	flip(t, fileName(dir, 1), int(places[1]))
	flip(t, fileName(dir, 1), -2)
	f := NewFinder(dir, stream)
	for p := uint64(1); p <= 60; p++ {
		m, err := f.Get(p)
		var fault *Fault
		switch {
		case p == 2 || p == 60:
			if !errors.As(err, &fault) || fault.First != p {
				t.Errorf("position %d: %v", p, err)
			}
		case err != nil || m.Position != p || !m.Intact():
			t.Errorf("position %d: %+v, %v", p, m, err)
		}
	}
}

// Fails when a copy has a position more or less than was asked for.
func TestACopyOfTheFilesEndsWhereItShould(t *testing.T) {
	dir := t.TempDir()
	fill(t, opened(t, dir, 0), 1, 2345)
	for _, last := range []uint64{0, 1, 999, 1000, 1001, 2000, 2344, 2345} {
		files, err := Files(dir, stream, last)
		if err != nil || len(files) != int((last+PerFile-1)/PerFile) {
			t.Fatalf("up to %d: %v, %v", last, files, err)
		}
		copied := t.TempDir()
		for _, f := range files {
			data, err := os.ReadFile(filepath.Join(dir, f.Name))
			if err == nil {
				err = os.WriteFile(filepath.Join(copied, f.Name), data[:f.Bytes], 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if have, faults := read(t, copied, 1, 0); len(have) != int(last) || len(faults) > 0 {
			t.Errorf("up to %d: %d messages, faults %v", last, len(have), faults)
		}
	}
	var fault *Fault
	if _, err := Files(dir, stream, 3001); !errors.As(err, &fault) || fault.First != 3001 {
		t.Errorf("beyond the end: %v", err)
	}
}

// Whatever the bytes of a file are, a position gives the message that was written
// or a fault that names it.
func FuzzFinder(f *testing.F) {
	whole := f.TempDir()
	fill(f, opened(f, whole, 0), 1, 12)
	data, err := os.ReadFile(fileName(whole, 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, uint8(3))
	f.Add(data[:len(data)-5], uint8(12))
	f.Add(append(bytes.Clone(data[:60]), data[30:]...), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, position uint8) {
		dir := t.TempDir()
		if err := os.WriteFile(fileName(dir, 1), data, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := NewFinder(dir, stream).Get(uint64(position))
		var fault *Fault
		switch {
		case err == nil && m.Position != uint64(position):
			t.Errorf("position %d is %+v", position, m)
		case err != nil && (!errors.As(err, &fault) || position > 0 && fault.First != uint64(position)):
			t.Errorf("position %d: %v", position, err)
		}
	})
}
