package sqlite

import (
	"errors"
	"path/filepath"
	"testing"

	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/aliquot-engine/aliquot/internal/store"
)

// A cursor that contradicts the journal of its writer is refused before anybody
// posts from it again; one that was never there is not.
func TestALostCursorIsRefused(t *testing.T) {
	for _, test := range []struct {
		name, statement string
		settles, pays   bool
	}{
		{"nothing is lost", "SELECT 1", true, true},
		{"the settler's cursor is gone", "DELETE FROM cursor", false, true},
		{"it was put back", "UPDATE cursor SET position = 4", false, true},
		{"the distributor's cursor is gone", "DELETE FROM distribute_cursor", true, false},
		{"it was put back to the beginning", "UPDATE distribute_cursor SET control = 0, ledger = 0", true, false},
		{"the journal is gone as well", "DELETE FROM journal; DELETE FROM cursor; DELETE FROM distribute_cursor", true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger.db")
			db, err := open(path)
			if err != nil {
				t.Fatal(err)
			}
			script := `INSERT INTO writer (id, name) VALUES (1, 'settle-0'), (2, 'distribute');
				INSERT INTO journal VALUES ((1 << 40) + 1, 5, 'b', 0, x''), ((2 << 40) + 1, 3, 'b', 0, x'');
				INSERT INTO cursor VALUES (0, 'USAGE-0-0', 7, 5, x'', 3, 1, 1, 'n');
				INSERT INTO distribute_cursor VALUES (1, 0, 3, x'', 0, 1, x'', 1, 'n');` + test.statement + ";"
			if err := errors.Join(sqlitex.ExecuteScript(db.conn, script, nil), db.Close()); err != nil {
				t.Fatal(err)
			}
			ledger, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ledger.Close() }()
			if err := ledger.CursorsWhole(t.Context()); (err == nil) != (test.settles && test.pays) || err != nil && !errors.Is(err, store.ErrCursorLost) {
				t.Errorf("whole: %v", err)
			}
			if _, _, err := ledger.Settle(t.Context(), 0, "USAGE-0-0", 7, "n"); (err == nil) != test.settles || err != nil && !errors.Is(err, store.ErrCursorLost) {
				t.Errorf("settling: %v", err)
			}
			if _, _, err := ledger.Distribute(t.Context(), "n"); (err == nil) != test.pays || err != nil && !errors.Is(err, store.ErrCursorLost) {
				t.Errorf("distributing: %v", err)
			}
		})
	}
}
