package sqlite

import (
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Integrity reads every page of a file and reports contradictions in its
// structure. The file may be open.
func Integrity(path string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("reading every page of the store: %w", err)
		}
	}()
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenWAL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var first string
	err = sqlitex.ExecuteTransient(conn, "PRAGMA integrity_check(1)", &sqlitex.ExecOptions{
		ResultFunc: func(s *sqlite.Stmt) error { first = s.ColumnText(0); return nil },
	})
	if err == nil && first != "ok" {
		err = errors.New(first)
	}
	return err
}
