// Package golden compares bytes that must stay readable with files in testdata.
package golden

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// Update is the flag -update: write the files instead of comparing with them.
var Update = flag.Bool("update", false, "rewrite the golden bytes; review the difference: bytes that were ever written must stay readable")

// Compare compares got with testdata/name, byte for byte.
func Compare(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *Update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s: differs from byte %d\n got %q\nwant %q", name, Difference(got, want), got, want)
	}
}

// Difference returns the first byte at which two texts differ.
func Difference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
