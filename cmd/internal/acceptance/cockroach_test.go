package acceptance

import (
	"testing"

	"github.com/aliquot-engine/aliquot/internal/store/postgrestest"
)

// The demo with its ledger in CockroachDB, as the documentation describes it, makes
// the same journal as in SQLite, though statements and commits are answered with
// 40001 and 40003. The connections of the first start are disturbed like any other.
func TestTheDemoMakesTheSameJournalInCockroachDBAsDocumented(t *testing.T) {
	t.Parallel()
	played, through := postgrestest.NewCockroach(t, postgrestest.Start(t))
	aliquot(t, "migrate", "--database-url", through).ok(t)
	played.Play(postgrestest.Faults{Seed: 4, Restart: 10, Ambiguous: 20, Write: 50, Read: 400})
	there := demo(t, "--events", "4000", "--seed", "5", "--database-url", through)
	if played.Seen(postgrestest.SeenRestart) == 0 || played.Seen(postgrestest.SeenAmbiguous) == 0 {
		t.Error("nothing was disturbed")
	}
	if here := demo(t, "--events", "4000", "--seed", "5"); here.JournalHash != there.JournalHash {
		t.Errorf("journal_hash is %s in SQLite, %s in what is played", here.JournalHash, there.JournalHash)
	}
}
