// Package published finds the published data sets that tests compare with. They are
// not part of the repository: a test is skipped where they are absent.
package published

import (
	"os"
	"path/filepath"
	"testing"
)

// Path returns the path of a file or folder of the published data, which name gives
// with slashes. The data is in the folder ALIQUOT_DATA, or in ../shared/data beside
// the repository.
func Path(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(folder(t), filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Skipf("published data absent: %s", path)
	}
	return path
}

// Open opens a file of the published data until the end of the test.
func Open(t testing.TB, name string) *os.File {
	t.Helper()
	f, err := os.Open(Path(t, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func folder(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("ALIQUOT_DATA"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "..", "shared", "data")
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}
