package tiles

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// testKey is a key that is public knowledge.
func testKey(t testing.TB) *tlog.Key {
	t.Helper()
	key, err := tlog.NewKey(sha256.Sum256([]byte("a key for tests")))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// leavesFrom returns deterministic leaves of many lengths, including an empty
// one.
func leavesFrom(from, to int) [][]byte {
	leaves := make([][]byte, 0, to-from)
	for i := from; i < to; i++ {
		leaves = append(leaves, bytes.Repeat([]byte(fmt.Sprintf("leaf %d ", i)), i%7))
	}
	return leaves
}

// quickDir is a folder in memory, if the system has one: syncing to a disk would
// take most of the time.
func quickDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "tiles")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func rootOf(leaves [][]byte) tlog.Hash {
	var r tlog.Range
	for _, leaf := range leaves {
		r.Append(tlog.LeafHash(leaf))
	}
	return r.Root()
}

func mustOpen(t testing.TB, dir string) *Log {
	t.Helper()
	key := testKey(t)
	l, err := Open(dir, key.Origin("control"), key)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func extend(t testing.TB, l *Log, to int) {
	t.Helper()
	if err := l.Append(leavesFrom(int(l.Size()), to)); err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(); err != nil {
		t.Fatal(err)
	}
}

// snapshot reads all files of a folder.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestALogIsTheSameHoweverItsLeavesWereCommitted(t *testing.T) {
	for _, steps := range [][]int{{1}, {255, 256, 257}, {1, 2, 3, 300, 511, 512}, {70_000}, {65_535, 65_536, 65_537}} {
		dir := quickDir(t)
		l := mustOpen(t, dir)
		for _, to := range steps {
			extend(t, l, to)
			if got, want := l.Published().Root, rootOf(leavesFrom(0, to)); got != want {
				t.Fatalf("root of %d leaves is %v, want %v", to, got, want)
			}
			l = mustOpen(t, dir) // A start after each commit changes nothing.
			if got := l.Size(); got != uint64(to) {
				t.Fatalf("opened with %d leaves, want %d", got, to)
			}
		}
		last := steps[len(steps)-1]
		for i, want := range leavesFrom(0, last) {
			if i%97 != 0 && i < last-300 {
				continue
			}
			if got, err := l.Leaf(uint64(i)); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("leaf %d is %q, %v; want %q", i, got, err, want)
			}
		}
		if err := l.Reader().Check(func(f Fault) { t.Errorf("fault: %v", f) }); err != nil {
			t.Error(err)
		}
	}
}

func TestLeavesAreReadBeforeTheyArePublished(t *testing.T) {
	l := mustOpen(t, quickDir(t))
	if err := l.Append(leavesFrom(0, 600)); err != nil {
		t.Fatal(err)
	}
	for i, want := range leavesFrom(0, 600) {
		if got, err := l.Leaf(uint64(i)); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("leaf %d is %q, %v", i, got, err)
		}
	}
	if _, err := l.Reader().Leaf(0); !errors.Is(err, errBeyond) {
		t.Errorf("an unpublished leaf is read by others: %v", err)
	}
	if _, err := l.Leaf(600); !errors.Is(err, errBeyond) {
		t.Errorf("a leaf beyond the end is read: %v", err)
	}
}

var errCrash = errors.New("crash")

// TestACrashAtAnyWriteLosesNothingPublished stops the process before each
// operation in turn, with the data of that operation written completely, half or
// not at all, then opens the log again and continues. Fails when the checkpoint
// is published before its tiles are written, when partial tiles are removed
// before it, or when a log continues after an error.
func TestACrashAtAnyWriteLosesNothingPublished(t *testing.T) {
	key := testKey(t)
	origin := key.Origin("control")
	steps := []int{3, 256, 260, 515}
	whole := quickDir(t)
	l := mustOpen(t, whole)
	for _, to := range steps {
		extend(t, l, to)
	}
	want := snapshot(t, whole)
	for operation := 0; ; operation++ {
		crashed, writing := false, false
		for _, tear := range []string{"nothing", "half", "garbage"} {
			if tear != "nothing" && !writing {
				continue
			}
			dir := quickDir(t)
			count := 0
			d := disk{dir: dir, fault: func(kind, path string, data []byte) error {
				if count++; count-1 < operation {
					return nil
				}
				writing = kind == "write"
				if writing && tear != "nothing" {
					torn := slices.Clone(data[:len(data)/2])
					if tear == "garbage" {
						torn = bytes.Repeat([]byte{0xAA}, len(data))
					}
					if err := os.WriteFile(path, torn, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				return errCrash
			}}
			l, published, err := run(d, origin, key, steps)
			if err == nil {
				break // There are no more operations.
			}
			crashed = true
			if !errors.Is(err, errCrash) {
				t.Fatalf("operation %d: %v", operation, err)
			}
			if l != nil {
				if err := l.Append(leavesFrom(0, 1)); !errors.Is(err, errCrash) {
					t.Fatalf("operation %d: a broken log went on: %v", operation, err)
				}
			}
			again, err := Open(dir, origin, key)
			if err != nil {
				t.Fatalf("operation %d, %s of the write: %v", operation, tear, err)
			}
			for level := entries; level < 2; level++ {
				for index := uint64(0); ; index++ {
					n, ok := covered(level, index, again.Size())
					if !ok {
						break
					}
					if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(n.String()))); err != nil {
						t.Fatalf("operation %d: what is published is not there: %v", operation, err)
					}
				}
			}
			if err := again.Extends(published); err != nil {
				t.Fatalf("operation %d: %v", operation, err)
			}
			if got, want := again.Published().Root, rootOf(leavesFrom(0, int(again.Size()))); got != want {
				t.Fatalf("operation %d: root of %d leaves is %v, want %v", operation, again.Size(), got, want)
			}
			for _, to := range steps {
				if to > int(again.Size()) {
					extend(t, again, to)
				}
			}
			got := snapshot(t, dir)
			for path, data := range want {
				if got[path] != data {
					t.Fatalf("operation %d, %s of the write: %s differs", operation, tear, path)
				}
			}
		}
		if !crashed {
			if operation < 50 {
				t.Errorf("only %d operations were seen", operation)
			}
			return
		}
	}
}

func run(d disk, origin string, key *tlog.Key, steps []int) (l *Log, published tlog.Checkpoint, err error) {
	published = tlog.Checkpoint{Origin: origin, Root: tlog.EmptyRoot()}
	if l, err = open(d, origin, key); err != nil {
		return nil, published, err
	}
	for _, to := range steps {
		if err = l.Append(leavesFrom(int(l.Size()), to)); err != nil {
			return l, published, err
		}
		if err = l.Commit(); err != nil {
			return l, published, err
		}
		published = l.Published()
	}
	return l, published, nil
}

func flip(t testing.TB, path string, at int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[(at+len(data))%len(data)] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestOneFlippedBitIsNamed(t *testing.T) {
	const size = 66_000 // Two levels of full tiles, and a partial one at each of three.
	origin := testKey(t).Origin("control")
	dir := quickDir(t)
	extend(t, mustOpen(t, dir), size)
	tests := []struct {
		path string
		at   int
		tail bool // found when the log is opened, without reading all of it
	}{
		{"tile/0/000", 5, false},
		{"tile/0/100", 8191, false},
		{"tile/0/256", 32, true},
		{"tile/0/257.p/208", 0, true},
		{"tile/1/000", 77, true},
		{"tile/1/001.p/1", 31, true},
		{"tile/2/000.p/1", 3, true},
		{"tile/entries/000", -1, false},
		{"tile/entries/010", 100, false},
		{"tile/entries/010", 0, false}, // a length
		{"tile/entries/256", 900, true},
		{"tile/entries/257.p/208", 900, true},
		{"tile/entries/257.p/208", -1, true},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s at %d", test.path, test.at), func(t *testing.T) {
			path := filepath.Join(dir, filepath.FromSlash(test.path))
			flip(t, path, test.at)
			defer flip(t, path, test.at)
			r, err := OpenReader(dir, origin, testKey(t).Public())
			if err != nil {
				t.Fatal(err)
			}
			var named []string
			if err := r.Check(func(f Fault) { named = append(named, f.Path) }); err != nil {
				t.Fatal(err)
			}
			if len(named) != 1 || named[0] != test.path {
				t.Errorf("named %q", named)
			}
			_, err = Open(dir, origin, testKey(t))
			if (err != nil) != test.tail {
				t.Errorf("opening: %v", err)
			}
		})
	}
	t.Run("checkpoint", func(t *testing.T) {
		path := filepath.Join(dir, checkpointName)
		data, _ := os.ReadFile(path)
		for at := range data {
			flip(t, path, at)
			if _, err := Open(dir, origin, testKey(t)); err == nil {
				t.Errorf("byte %d: a changed checkpoint is opened", at)
			}
			flip(t, path, at)
		}
	})
	for _, missing := range []string{"tile/0/003", "tile/entries/004", "tile/1/000", "tile/entries/257.p/208", "tile/0/257.p/208"} {
		t.Run("missing "+missing, func(t *testing.T) {
			path := filepath.Join(dir, filepath.FromSlash(missing))
			if err := os.Rename(path, path+".away"); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = os.Rename(path+".away", path) }()
			var named []string
			if err := mustReader(t, dir).Check(func(f Fault) { named = append(named, f.Path) }); err != nil {
				t.Fatal(err)
			}
			if len(named) != 1 || named[0] != missing {
				t.Errorf("named %q", named)
			}
		})
	}
}

func mustReader(t testing.TB, dir string) *Reader {
	t.Helper()
	r, err := OpenReader(dir, testKey(t).Origin("control"), testKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Fails when a log signs without comparing with what is on disk, does not check
// that the checkpoint there is its own, or begins again over tiles.
func TestALogNeverSignsASecondHistory(t *testing.T) {
	origin := testKey(t).Origin("control")
	t.Run("a log without its checkpoint is not begun anew", func(t *testing.T) {
		dir := quickDir(t)
		extend(t, mustOpen(t, dir), 10)
		if err := os.Remove(filepath.Join(dir, checkpointName)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, origin, testKey(t)); !errors.Is(err, errNoCheckpoint) {
			t.Error(err)
		}
	})
	// Fails when opening does not compare the tiles with the signed root.
	t.Run("a checkpoint of another history is not taken for this one's", func(t *testing.T) {
		dir := quickDir(t)
		l := mustOpen(t, dir)
		extend(t, l, 10)
		other := l.Published()
		other.Root[0] ^= 1
		signed, err := other.Sign(testKey(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, checkpointName), signed, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, origin, testKey(t)); !errors.Is(err, errTail) {
			t.Error(err)
		}
		var named []string
		if err := mustReader(t, dir).Check(func(f Fault) { named = append(named, f.Path) }); err != nil {
			t.Fatal(err)
		}
		if len(named) != 1 || named[0] != checkpointName {
			t.Errorf("named %q", named)
		}
	})
	t.Run("a second writer stops the first", func(t *testing.T) {
		dir := quickDir(t)
		first, second := mustOpen(t, dir), mustOpen(t, dir)
		extend(t, second, 10)
		if err := first.Append([][]byte{[]byte("another history")}); err != nil {
			t.Fatal(err)
		}
		if err := first.Commit(); !errors.Is(err, ErrMoved) {
			t.Error(err)
		}
		if err := first.Commit(); !errors.Is(err, ErrMoved) {
			t.Errorf("it went on: %v", err)
		}
	})
	t.Run("a tile that changed under a running log is not signed over", func(t *testing.T) {
		dir := quickDir(t)
		l := mustOpen(t, dir)
		extend(t, l, 300)
		flip(t, filepath.Join(dir, "tile/0/000"), 9)
		if err := l.Append(leavesFrom(300, 301)); err != nil {
			t.Fatal(err)
		}
		// No root needs tile/0/000 any more, so the log continues from what was
		// signed; Check names the tile.
		if err := l.Commit(); err != nil {
			t.Fatal(err)
		}
		flip(t, filepath.Join(dir, "tile/1/000.p/1"), 9)
		if err := l.Append(leavesFrom(301, 302)); err != nil {
			t.Fatal(err)
		}
		if err := l.Commit(); err == nil {
			t.Error("signed over a changed tile")
		}
	})
	t.Run("a log restored from an old copy does not go on from what was signed since", func(t *testing.T) {
		dir := quickDir(t)
		l := mustOpen(t, dir)
		extend(t, l, 10)
		old := quickDir(t)
		if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		extend(t, l, 20)
		restored := mustOpen(t, old)
		if err := restored.Extends(l.Published()); err == nil {
			t.Error("an old copy passes for the log")
		}
		other := l.Published()
		other.Root[0] ^= 1
		if err := l.Extends(other); err == nil {
			t.Error("a checkpoint with another root passes")
		}
		other = l.Published()
		other.Origin = "another/log"
		if err := l.Extends(other); !errors.Is(err, errOtherLog) {
			t.Error(err)
		}
	})
	t.Run("a log of another origin or key is not opened", func(t *testing.T) {
		dir := quickDir(t)
		extend(t, mustOpen(t, dir), 10)
		if _, err := Open(dir, testKey(t).Origin("ledger"), testKey(t)); err == nil {
			t.Error("opened under another name")
		}
		other, err := tlog.NewKey(sha256.Sum256([]byte("another key")))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, origin, other); err == nil {
			t.Error("opened with another key")
		}
	})
	t.Run("a leaf longer than a bundle can hold stops the log", func(t *testing.T) {
		l := mustOpen(t, quickDir(t))
		if err := l.Append([][]byte{make([]byte, tlog.MaxLeaf+1)}); !errors.Is(err, errLongLeaf) {
			t.Error(err)
		}
		if err := l.Commit(); !errors.Is(err, errLongLeaf) {
			t.Error(err)
		}
	})
}

func TestPathsAreThoseOfTheSpecification(t *testing.T) {
	tests := []struct {
		n    name
		want string
	}{
		{name{0, 0, 256}, "tile/0/000"},
		{name{3, 1234067, 256}, "tile/3/x001/x234/067"},
		{name{1, 1000, 17}, "tile/1/x001/000.p/17"},
		{name{entries, 999, 255}, "tile/entries/999.p/255"},
	}
	for _, test := range tests {
		if got := test.n.String(); got != test.want {
			t.Errorf("%v: want %s", got, test.want)
		}
		if got, err := parseName(test.want); err != nil || got != test.n {
			t.Errorf("%s is read as %v, %v", test.want, got, err)
		}
	}
	for _, bad := range []string{
		"", "tile", "tile/0", "tile/8/000", "tile/-1/000", "tile/00/000", "tile/0/0", "tile/0/0000", "tile/0/x000/001",
		"tile/0/001/002", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p", "tile/0/../0/000",
		"tile/entries/x001", "tile/0/x001/x002/x003/x004/x005/x006/x007/008", "tile/0/000/", "checkpoint", "tile/0/+01",
	} {
		if n, err := parseName(bad); err == nil {
			t.Errorf("%q is read as %v", bad, n)
		}
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("tile/0/x001/234.p/5")
	f.Add("tile/entries/000")
	f.Fuzz(func(t *testing.T, path string) {
		if n, err := parseName(path); err == nil && n.String() != path {
			t.Errorf("%q is read as %v", path, n)
		}
	})
}

func FuzzSplitBundle(f *testing.F) {
	f.Add([]byte{0, 1, 'a', 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		leaves, err := splitBundle(data)
		length := 0
		for _, leaf := range leaves {
			length += 2 + len(leaf)
		}
		if length > len(data) || (err == nil) != (length == len(data)) {
			t.Errorf("%d of %d bytes, %v", length, len(data), err)
		}
	})
}

func TestTheLogIsServedAsFarAsItIsPublished(t *testing.T) {
	dir := quickDir(t)
	l := mustOpen(t, dir)
	extend(t, l, 300)
	server := http.StripPrefix("/tlog/control", l.Handler())
	get := func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequest(method, "/tlog/control"+path, nil))
		return w
	}
	tests := []struct {
		path  string
		code  int
		bytes int // -1: any
	}{
		{"/checkpoint", 200, -1},
		{"/tile/0/000", 200, 8192},
		{"/tile/0/000.p/3", 200, 96}, // requested by owners of older checkpoints
		{"/tile/0/001.p/44", 200, 44 * 32},
		{"/tile/0/001.p/45", 404, -1},
		{"/tile/0/001", 404, -1},
		{"/tile/1/000.p/1", 200, 32},
		{"/tile/entries/000", 200, -1},
		{"/tile/entries/000.p/1", 200, 2},
		{"/tile/entries/001.p/44", 200, -1},
		{"/tile/2/000.p/1", 404, -1},
		{"/tile/0/../../checkpoint", 404, -1},
		{"/checkpoint.next", 404, -1},
		{"/", 404, -1},
	}
	for _, test := range tests {
		w := get(http.MethodGet, test.path)
		if w.Code != test.code || test.bytes >= 0 && w.Body.Len() != test.bytes {
			t.Errorf("%s: %d with %d bytes, want %d with %d", test.path, w.Code, w.Body.Len(), test.code, test.bytes)
		}
		immutable := strings.Contains(w.Header().Get("Cache-Control"), "immutable")
		if immutable != (w.Code == 200 && test.path != "/checkpoint") {
			t.Errorf("%s: cached by %q", test.path, w.Header().Get("Cache-Control"))
		}
	}
	if w := get(http.MethodPost, "/checkpoint"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
	// The log has written these leaves but not published them yet.
	if err := l.Append(leavesFrom(300, 600)); err != nil {
		t.Fatal(err)
	}
	if w := get(http.MethodGet, "/tile/0/001"); w.Code != 404 {
		t.Errorf("an unpublished tile is served: %d", w.Code)
	}
}
