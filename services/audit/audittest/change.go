package audittest

import (
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Change runs a statement on the store's file, past everything that guards it.
// It must change something. The loops must not run, and the change is undone
// by nobody.
func (w *World) Change(statement string) {
	w.t.Helper()
	conn, err := sqlite.OpenConn(w.File, sqlite.OpenReadWrite|sqlite.OpenWAL)
	w.must(err)
	defer func() { _ = conn.Close() }()
	w.must(sqlitex.ExecuteTransient(conn, statement, nil))
	if conn.Changes() == 0 {
		w.t.Fatalf("%s changed nothing", statement)
	}
}
