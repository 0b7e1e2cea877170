package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/storetest"
)

func TestTheStoreInSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.DB {
		db, err := Open(filepath.Join(t.TempDir(), "store.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	})
}
