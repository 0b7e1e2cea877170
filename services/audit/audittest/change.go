package audittest

import (
	"fmt"
	"path/filepath"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Changed makes a copy of the store's file, runs a statement in it without any of
// the store's guards, and returns its name. The statement must change something.
func (w *World) Changed(t testing.TB, statement string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "changed.db")
	run := func(name, statement string) (changes int) {
		conn, err := sqlite.OpenConn(name, sqlite.OpenReadWrite|sqlite.OpenWAL)
		if err == nil {
			if err = sqlitex.ExecuteTransient(conn, statement, nil); err != nil {
				_ = conn.Close()
			} else {
				changes = conn.Changes()
				err = conn.Close()
			}
		}
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		return changes
	}
	run(w.File, fmt.Sprintf("VACUUM INTO '%s'", file))
	if run(file, statement) == 0 {
		t.Fatalf("%s changed nothing", statement)
	}
	return file
}
