package acceptance

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// madeFolders is where the folders lie that several tests copy. It is deleted
// after the last test.
var madeFolders string

// madeFolder is a data folder that is made once, by the first test that needs
// it. Tests work on copies of it.
type madeFolder struct {
	name string
	make func(t *testing.T, dir string)

	once  sync.Once
	whole bool // false if the test that made it failed
}

// copy returns a copy of the folder.
func (m *madeFolder) copy(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(madeFolders, m.name)
	m.once.Do(func() {
		m.make(t, dir)
		m.whole = true
	})
	if !m.whole {
		t.Fatalf("the folder %q could not be made: see the first test that failed", m.name)
	}
	return copied(t, dir)
}

var (
	livedFolder = &madeFolder{name: "lived", make: live}
	agedFolder  = &madeFolder{name: "aged", make: age}
)

// lived returns a folder with usage, closings, a distribution and an export.
func lived(t *testing.T) string {
	t.Helper()
	return livedFolder.copy(t)
}

// aged returns a folder like that of lived, which was started a second time, and
// has refused a message.
func aged(t *testing.T) string {
	t.Helper()
	return agedFolder.copy(t)
}

func live(t *testing.T, dir string) {
	t.Helper()
	s := up(t, dir)
	sources, nodes, customers := newSources(7)
	s.declare(declarations(nodes, customers))
	s.ask("POST", "/v1/registers/T1/import?file=r.csv", "text/csv", "holder,units\na,1\nb,2\nc,4\n", nil)
	for _, source := range sources {
		kind, body := source.encode(t, source.more(t, 200))
		for range 2 {
			if _, err := s.send(kind, body); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.settled()
	distribute(t, s)
	s.ask("POST", "/v1/payouts/export", "application/json", fmt.Sprintf(`{"distribution":"T1:%s"}`, period(days-1)), nil)
	s.clean(true)
	s.stop()
}

func age(t *testing.T, dir string) {
	t.Helper()
	copyFolder(t, lived(t), dir)
	s := up(t, dir)
	if _, err := s.send(batched, []byte(`[{"specversion":"1.0"}]`)); err == nil {
		t.Fatal("it is accepted")
	}
	s.settled()
	s.stop()
}

// copied returns a copy of a folder.
func copied(t *testing.T, whole string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	copyFolder(t, whole, dir)
	return dir
}

// copyFolder copies a folder. Blocks of zeros become holes: the index of
// identities reserves 36 MB for its log, of which it has written almost nothing.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		name = filepath.Join(to, name)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(name, info.Mode().Perm())
		}
		return copySparsely(path, name, info)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func copySparsely(from, to string, info fs.FileInfo) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	defer func() { _ = target.Close() }()
	block, zeros := make([]byte, 1<<16), make([]byte, 1<<16)
	for at := int64(0); at < info.Size(); {
		n, err := io.ReadFull(source, block[:min(int64(len(block)), info.Size()-at)])
		if err != nil {
			return err
		}
		if !bytes.Equal(block[:n], zeros[:n]) {
			if _, err := target.WriteAt(block[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
	}
	return target.Truncate(info.Size())
}
