package cockroach

import (
	"testing"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/postgrestest"
	"github.com/aliquot-engine/aliquot/internal/store/storetest"
)

// migrated returns the URL of an empty store.
func migrated(t *testing.T, server *postgrestest.Server) string {
	t.Helper()
	url := server.Database(t)
	if _, err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	return url
}

func opened(t *testing.T, url string) *store.DB {
	t.Helper()
	db, err := Open(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestTheStoreInPostgreSQL(t *testing.T) {
	server := postgrestest.Start(t)
	storetest.Run(t, func(t *testing.T) *store.DB { return opened(t, migrated(t, server)) })
}
