package tiles

import (
	"bytes"
	"testing"
)

// Fails when partial files of the later tree are returned for those of the
// earlier one.
func TestTheFilesOfAnEarlierTreeAreGiven(t *testing.T) {
	for _, sizes := range [][2]int{{0, 3}, {1, 2}, {3, 255}, {255, 256}, {256, 257}, {300, 700}, {511, 513}, {770, 770}} {
		was, dir := quickDir(t), quickDir(t)
		extend(t, mustOpen(t, was), sizes[0])
		l := mustOpen(t, dir)
		extend(t, l, sizes[0])
		extend(t, l, sizes[1])
		want := snapshot(t, was)
		delete(want, "checkpoint")
		err := l.Reader().Files(uint64(sizes[0]), func(path string, data []byte) error {
			if have, ok := want[path]; !ok || have != string(data) {
				t.Errorf("%v: %s has %d bytes, and had %d", sizes, path, len(data), len(have))
			}
			delete(want, path)
			return nil
		})
		if err != nil || len(want) > 0 {
			t.Errorf("%v: %v; not given: %d files", sizes, err, len(want))
		}
		at := 0
		for index := uint64(0); index*256 < uint64(sizes[0]); index++ {
			leaves, err := l.Reader().Bundle(index, uint64(sizes[0]))
			if err != nil {
				t.Fatal(err)
			}
			for _, leaf := range leaves {
				if !bytes.Equal(leaf, leavesFrom(at, at+1)[0]) {
					t.Errorf("%v: leaf %d is %q", sizes, at, leaf)
				}
				at++
			}
		}
		if at != sizes[0] {
			t.Errorf("%v: %d leaves", sizes, at)
		}
	}
}
