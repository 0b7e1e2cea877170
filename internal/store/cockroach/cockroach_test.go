package cockroach

import (
	"testing"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/postgrestest"
	"github.com/aliquot-engine/aliquot/internal/store/storetest"
)

// migrated returns the URL of an empty store: a copy of one that was migrated once.
func migrated(t *testing.T, server *postgrestest.Server) string {
	t.Helper()
	create := func() string {
		url := server.Database(t)
		if _, err := Migrate(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		return url
	}
	if server.Foreign() { // CockroachDB does not copy databases.
		return create()
	}
	return server.Copy(t, server.Once("migrated", create))
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

func TestInPostgreSQL(t *testing.T) {
	server := postgrestest.Start(t)
	t.Run("the store", func(t *testing.T) {
		if testing.Short() {
			t.Skip("-short, as under the race detector: the suite runs whole without it")
		}
		storetest.Run(t, func(t *testing.T) *store.DB { return opened(t, migrated(t, server)) })
	})
	for _, c := range []struct {
		name string
		run  func(*testing.T, *postgrestest.Server)
	}{
		{"commits whose answers are lost are neither lost nor twice", commitsWhoseAnswersAreLostAreNeitherLostNorTwice},
		{"a distributors answer is lost", aDistributorsAnswerIsLost},
		{"serialization failures are repeated", serializationFailuresAreRepeated},
		{"two settlers of a partition", twoSettlersOfAPartition},
		{"partitions commit side by side", partitionsCommitSideBySide},
		{"a database that is not ours is refused", aDatabaseThatIsNotOursIsRefused},
		{"migrations are done once", migrationsAreDoneOnce},
		{"both engines hold the same", bothEnginesHoldTheSame},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, server)
		})
	}
}
