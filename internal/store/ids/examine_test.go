package ids

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// filled makes an index with tables and a log of its own.
func filled(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ids")
	for round := range 2 {
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Bind(t.Context(), "USAGE-0-0", 7); err != nil {
			t.Fatal(err)
		}
		var keys [][16]byte
		var list []settlement.Identity
		for i := round * n; i < (round+1)*n; i++ {
			keys = append(keys, key(i))
			list = append(list, settlement.Identity{Position: uint64(round + 1), Ordinal: uint32(i), Fingerprint: uint64(i)})
		}
		if err := errors.Join(s.Remember(keys, list), s.Sync(uint64(round+1))); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Whatever bit of whatever file is flipped, and wherever a file is cut: the index
// is named as damaged, or what it has up to its watermark is right. Neither
// examining nor opening it ends the process.
func TestADamagedIndexIsNamedOrComplete(t *testing.T) {
	const n = 2000
	whole := filled(t, n)
	if w, err := Examine(t.Context(), whole); w != 2 || err != nil {
		t.Fatalf("watermark %d, %v", w, err)
	}
	files, err := os.ReadDir(whole)
	if err != nil {
		t.Fatal(err)
	}
	named, tables := 0, 0
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(whole, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		changes := map[string][]byte{"deleted": nil}
		if size := len(data); size > 0 {
			changes["cut"] = data[:size/2]
			for _, at := range []int{0, 5, size / 3, size / 2, size - size/4, size - 9, size - 1} {
				if at >= 0 && at < size {
					flipped := append([]byte(nil), data...)
					flipped[at] ^= 8
					changes["flipped at "+string(rune('a'+len(changes)))] = flipped
				}
			}
		}
		for name, changed := range changes {
			dir := filepath.Join(t.TempDir(), "ids")
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			target := filepath.Join(dir, file.Name())
			if changed == nil {
				err = os.Remove(target)
			} else {
				err = os.WriteFile(target, changed, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			watermark, err := Examine(t.Context(), dir)
			if filepath.Ext(file.Name()) == ".sst" {
				tables++
				if err == nil {
					t.Errorf("%s %s: it is not named", file.Name(), name)
				}
			}
			if errors.Is(err, ErrAbsent) {
				t.Errorf("%s %s: it is called absent", file.Name(), name)
			}
			if err != nil {
				named++
				continue
			}
			complete(t, dir, file.Name()+" "+name, watermark, n)
		}
	}
	if named == 0 || tables == 0 {
		t.Errorf("%d damages are named, %d are of tables", named, tables)
	}
}

// complete asserts that an index that opens has every identity up to its
// watermark.
func complete(t *testing.T, dir, name string, watermark uint64, n int) {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		return // It is named when it is opened.
	}
	defer func() { _ = s.Close() }()
	w, err := s.Bind(context.Background(), "USAGE-0-0", 7)
	if err != nil {
		return
	}
	if w != watermark && w != 0 {
		t.Errorf("%s: the watermark is %d, examined %d", name, w, watermark)
	}
	for i := range int(w) * n {
		id, ok, err := s.Lookup(key(i))
		if err == nil && (!ok || id.Fingerprint != uint64(i)) {
			t.Errorf("%s: identity %d is %+v, %t, below the watermark %d", name, i, id, ok, w)
			return
		}
	}
}

func TestAnIndexThatIsNotThereIsNotMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ids")
	if _, err := Examine(t.Context(), dir); !errors.Is(err, ErrAbsent) {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
