package replay_test

import (
	"sync"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/cockroach"
	"github.com/aliquot-engine/aliquot/internal/store/postgrestest"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/check"
	"github.com/aliquot-engine/aliquot/services/audit/summary"
)

func openDatabase(t *testing.T, address string) *store.DB {
	t.Helper()
	if _, err := cockroach.Migrate(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	db, err := cockroach.Open(t.Context(), address, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// The same streams are settled through PostgreSQL and derived again through
// SQLite: every journal row is equal to the byte, and so are every balance and
// every relation. In the second world the connections to the database drop again
// and again, and every seventh COMMIT or its answer is lost. A change made by
// hand must be the first difference here too.
func TestTheSameStreamsThroughPostgreSQLAndSQLite(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	for _, name := range []string{"undisturbed", "disturbed"} {
		t.Run(name, func(t *testing.T) {
			address := server.Database(t)
			db := openDatabase(t, address)
			live := db
			if name == "disturbed" {
				proxy, through := postgrestest.NewProxy(t, address)
				live = openDatabase(t, through)
				disturb(t, proxy)
			}
			w := audittest.StoryOn(t, live)
			w.Stop()
			r := against(t, w, db)
			if !r.Identical || r.Rows == 0 || r.Journal == 0 {
				t.Fatalf("%+v", r)
			}
			s, err := summary.Run(t.Context(), db)
			if err != nil || s.JournalHash != r.JournalHash {
				t.Errorf("journal_hash is %s in PostgreSQL, %s in SQLite, %v", s.JournalHash, r.JournalHash, err)
			}
			list, err := check.Run(t.Context(), db, check.Streams{Usage: []*eventlog.Stream{w.Usage}, Control: w.Control}, true)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range list {
				if !c.OK {
					t.Errorf("%s: %s", c.Name, c.Detail)
				}
			}
			server.Run(t, address, "UPDATE balance SET credit = credit + 0.000000000000000001 WHERE account = 'rail:csv:paid'")
			if r := against(t, w, db); r.Identical || r.Difference.Where != "balance, account rail:csv:paid, writer distribute, asset USDC" {
				t.Errorf("a balance was edited: %+v", r.Difference)
			}
		})
	}
}

// The same through CockroachDB as its documentation describes it. What the loops
// write and read is disturbed in every simulated way, and one in fifty questions
// of check and replay is answered with 40001. The journal's hash is that of
// SQLite.
func TestTheSameStreamsThroughCockroachDBAsDocumented(t *testing.T) {
	t.Parallel()
	played, through := postgrestest.NewCockroach(t, postgrestest.Start(t))
	db := openDatabase(t, through)
	played.Play(postgrestest.Faults{Seed: 9, Restart: 10, Ambiguous: 12, Read: 50, Write: 50, Cut: 100})
	w := audittest.StoryOn(t, db)
	w.Stop()
	for kind, name := range map[int]string{postgrestest.SeenRestart: "40001", postgrestest.SeenAmbiguous: "40003", postgrestest.SeenCut: "cut"} {
		if played.Seen(kind) == 0 {
			t.Errorf("the story was not disturbed by %s", name)
		}
	}
	played.Play(postgrestest.Faults{Seed: 9, Read: 50})
	before := played.Seen(postgrestest.SeenRestart)
	list, err := check.Run(t.Context(), db, check.Streams{Usage: []*eventlog.Stream{w.Usage}, Control: w.Control}, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if !c.OK {
			t.Errorf("%s: %s", c.Name, c.Detail)
		}
	}
	r := against(t, w, db)
	if !r.Identical || r.Rows == 0 || r.Journal == 0 {
		t.Fatalf("%+v", r)
	}
	s, err := summary.Run(t.Context(), db)
	if err != nil || s.JournalHash != r.JournalHash {
		t.Errorf("journal_hash is %s in what is played, %s in SQLite, %v", s.JournalHash, r.JournalHash, err)
	}
	// One in fifty is drawn by chance, so it may take more questions than these.
	for asked := 0; played.Seen(postgrestest.SeenRestart) == before; asked++ {
		if asked == 1_000 {
			t.Fatal("no question was interrupted")
		}
		if again, err := summary.Run(t.Context(), db); err != nil || again.JournalHash != s.JournalHash {
			t.Fatalf("journal_hash is %s when asked again, %v", again.JournalHash, err)
		}
	}
}

// disturb drops connections whenever something was committed since the last time,
// until the test ends.
func disturb(t *testing.T, proxy *postgrestest.Proxy) {
	t.Helper()
	proxy.OnCommit(func(commit int64) postgrestest.Fault {
		switch commit % 14 {
		case 6:
			return postgrestest.DropBefore
		case 13:
			return postgrestest.DropAfter
		}
		return postgrestest.None
	})
	stop := make(chan struct{})
	var cutting sync.WaitGroup
	cutting.Go(func() {
		last := int64(0)
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				if now := proxy.Commits(); now >= last+5 {
					last = now
					proxy.Cut()
				}
			}
		}
	})
	t.Cleanup(func() { close(stop); cutting.Wait() })
}
