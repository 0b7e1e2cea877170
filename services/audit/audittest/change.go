package audittest

import (
	"fmt"
	"path/filepath"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Changed returns the name of a copy of the store's file in which a statement
// was run, past everything that guards it. It must have changed something.
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
