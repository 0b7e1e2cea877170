package tiles

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// A rebuilt log has the same bytes as the one that was lost, whatever its size,
// and can be continued. It is refused if a leaf, or an older root, differs.
func TestARebuiltLogIsTheOneThatWasSigned(t *testing.T) {
	for _, size := range []int{0, 1, 2, 255, 256, 257, 600, 256*3 + 1} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			dir, key := t.TempDir(), testKey(t)
			l, err := Open(dir, key.Origin("control"), key)
			if err != nil {
				t.Fatal(err)
			}
			var leaves [][]byte
			var before []tlog.Checkpoint
			for i := range size {
				leaves = append(leaves, fmt.Appendf(nil, "leaf %d", i))
				if err := l.Append(leaves[i:]); err != nil {
					t.Fatal(err)
				}
				if i == size/2 || i == size-1 {
					if err := l.Commit(); err != nil {
						t.Fatal(err)
					}
					before = append(before, l.Published())
				}
			}
			c, signed, err := l.Reader().Checkpoint()
			if err != nil {
				t.Fatal(err)
			}
			leaf := func(i uint64) ([]byte, error) { return leaves[i], nil }
			made := filepath.Join(t.TempDir(), "made")
			if err := Rebuild(made, signed, c, before, leaf); err != nil {
				t.Fatal(err)
			}
			covers := func(path string, data []byte) error {
				have, err := os.ReadFile(filepath.Join(made, path))
				if err == nil && !bytes.Equal(have, data) {
					err = errors.New("has other bytes")
				}
				if err != nil {
					t.Errorf("%s: %v", path, err)
				}
				return nil
			}
			if err := l.Reader().Files(c.Size, covers); err != nil {
				t.Fatal(err)
			}
			again, err := Open(made, key.Origin("control"), key)
			if err != nil {
				t.Fatal(err)
			}
			if err := again.Append([][]byte{[]byte("next")}); err != nil {
				t.Fatal(err)
			}
			if err := again.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := Rebuild(made, signed, c, nil, leaf); !errors.Is(err, fs.ErrExist) {
				t.Errorf("over another log: %v", err)
			}
			if size == 0 {
				return
			}
			other := func(i uint64) ([]byte, error) {
				if int(i) == size/2 {
					return []byte("another"), nil
				}
				return leaves[i], nil
			}
			refused := filepath.Join(t.TempDir(), "refused")
			if err := Rebuild(refused, signed, c, nil, other); !errors.Is(err, ErrOtherRoot) {
				t.Errorf("another leaf: %v", err)
			}
			if _, err := OpenReader(refused, c.Origin, key.Public()); err == nil {
				t.Error("what does not hash to the signed root is a log")
			}
			history := []tlog.Checkpoint{{Origin: c.Origin, Size: uint64(size+1) / 2, Root: tlog.LeafHash([]byte("another history"))}}
			if err := Rebuild(filepath.Join(t.TempDir(), "history"), signed, c, history, leaf); !errors.Is(err, ErrOtherRoot) {
				t.Errorf("another history: %v", err)
			}
		})
	}
}

// What is left of a damaged log is read file by file.
func TestRemainsAreReadFileByFile(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	l, err := Open(dir, key.Origin("control"), key)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if err := l.Append([][]byte{fmt.Appendf(nil, "leaf %d", i)}); err != nil {
			t.Fatal(err)
		}
		if i == 279 {
			if err := l.Commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "checkpoint")); err != nil {
		t.Fatal(err)
	}
	r := NewRemains(dir)
	for i, want := range map[uint64]int{0: 1, 255: 1, 256: 2, 279: 2, 280: 1, 299: 1, 300: 0, 1000: 0} {
		found, hashes := r.Leaves(i), r.Hashes(i)
		if len(found) != want || len(hashes) != want {
			t.Errorf("leaf %d stands %d times with %d hashes, not %d", i, len(found), len(hashes), want)
		}
		for k := range found {
			if string(found[k]) != fmt.Sprintf("leaf %d", i) || hashes[k] != tlog.LeafHash(found[k]) {
				t.Errorf("leaf %d is %q", i, found[k])
			}
		}
	}
	if err := os.Truncate(filepath.Join(dir, "tile/entries/001.p/44"), 20); err != nil {
		t.Fatal(err)
	}
	r = NewRemains(dir)
	if found := r.Leaves(299); len(found) != 0 {
		t.Errorf("cut off, and there: %q", found)
	}
	if found := r.Leaves(256); len(found) != 2 {
		t.Errorf("before the cut: %q", found)
	}
}
