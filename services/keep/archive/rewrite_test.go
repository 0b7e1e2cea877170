package archive

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Fails when the file that is written again differs in any byte from the first
// one.
func TestAFileIsWrittenAnew(t *testing.T) {
	dir, aside := t.TempDir(), filepath.Join(t.TempDir(), "damaged", "archive")
	a := opened(t, dir, 0)
	fill(t, a, 1, 2300)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	name := fileName(dir, 1001)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	flip(t, name, 500)
	damaged, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	from := func(first, last uint64) func() (Message, error) {
		at := first
		return func() (Message, error) {
			if at > last {
				return Message{}, io.EOF
			}
			at++
			return message(at - 1), nil
		}
	}
	lost := errors.New("lost")
	for _, bad := range []func() (Message, error){from(1002, 2000), from(1001, 2001), func() (Message, error) { return Message{}, lost }} {
		if err := Rewrite(dir, stream, 1001, aside, bad); err == nil {
			t.Error("it was written of other messages")
		}
		if now, err := os.ReadFile(name); err != nil || !bytes.Equal(now, damaged) {
			t.Fatalf("it was changed: %v", err)
		}
	}
	if err := Rewrite(dir, stream, 1001, aside, from(1001, 2000)); err != nil {
		t.Fatal(err)
	}
	if now, err := os.ReadFile(name); err != nil || !bytes.Equal(now, whole) {
		t.Errorf("it is not what it was: %v", err)
	}
	if kept, err := os.ReadFile(filepath.Join(aside, filepath.Base(name))); err != nil || !bytes.Equal(kept, damaged) {
		t.Errorf("what was damaged is not kept: %v", err)
	}
	if have, faults := read(t, dir, 1, 0); len(have) != 2300 || len(faults) > 0 {
		t.Errorf("%d messages, faults %v", len(have), faults)
	}
}
