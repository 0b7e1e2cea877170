package cockroach

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/postgrestest"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// charge is a cut that posts its position in attos.
func charge(t *testing.T, position uint64) ([]*settlement.Cut, [][][]byte) {
	t.Helper()
	c := &settlement.Cut{Position: position, Hash: [32]byte{byte(position)}, Batches: 1, Records: []ledger.Record{{
		Cut: position, Book: "b", Parts: 1, Entries: []ledger.Entry{{Kind: "usage", Book: "b", Period: "p", Origin: "p", Postings: []ledger.Posting{
			{Debit: "customer:c:receivable", Credit: "node:n:earned", Asset: "USDC", Amount: money.Atto(int64(position))}}}}}}}
	c.Voids = []settlement.Void{{Control: position, Reason: "written once"}}
	data, err := ledger.AppendRecord(nil, &c.Records[0])
	if err != nil {
		t.Fatal(err)
	}
	return []*settlement.Cut{c}, [][][]byte{{data}}
}

// run commits the positions from first to last, each again while the store says
// that it was interrupted, as the settler's loop does, and returns how often.
func run(t *testing.T, s *store.Settle, first, last uint64) (again int) {
	t.Helper()
	for position := first; position <= last; position++ {
		cuts, encoded := charge(t, position)
		for {
			err := s.Commit(t.Context(), position-1, cuts, encoded)
			if err == nil {
				break
			}
			if !errors.Is(err, settlement.ErrInterrupted) {
				t.Fatalf("position %d: %v", position, err)
			}
			again++
			time.Sleep(5 * time.Millisecond)
		}
	}
	return again
}

// exactly fails unless the positions from 1 to last were committed once each.
func exactly(t *testing.T, db *store.DB, last uint64) {
	t.Helper()
	list, err := db.Balances(t.Context(), "node:")
	if err != nil {
		t.Fatal(err)
	}
	if want := money.Atto(int64(last * (last + 1) / 2)); len(list) != 1 || list[0].Credit != want {
		t.Errorf("%v was earned, want %s", list, want)
	}
	n := uint64(0)
	err = db.Journal(t.Context(), func(_ string, row store.Written) error {
		if n++; row.Number != n || row.Cut != n {
			t.Errorf("row %d has number %d and cut %d", n, row.Number, row.Cut)
		}
		return nil
	})
	if err != nil || n != last {
		t.Errorf("%d rows, %v; want %d", n, err, last)
	}
	if c, err := db.Cursor(t.Context(), 0); err != nil || c.Position != last || c.Batches != last {
		t.Errorf("the cursor is %+v, %v", c, err)
	}
}

func settling(t *testing.T, db *store.DB) *store.Settle {
	t.Helper()
	s, _, err := db.Settle(t.Context(), 0, "USAGE-0-0", 1, "me")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Fails when an ambiguous commit is written twice (elsewhere answers fenced, or
// the cursor's condition goes), and when COMMIT's error is dropped as ExecuteInTx
// drops it: what did not reach the database is then taken for committed.
func commitsWhoseAnswersAreLostAreNeitherLostNorTwice(t *testing.T, server *postgrestest.Server) {
	for _, what := range []struct {
		name  string
		fault postgrestest.Fault
	}{{"before COMMIT", postgrestest.DropBefore}, {"after COMMIT", postgrestest.DropAfter}} {
		t.Run(what.name, func(t *testing.T) {
			url := migrated(t, server)
			p, through := postgrestest.NewProxy(t, url)
			db := opened(t, through)
			s := settling(t, db)
			p.OnCommit(func(commit int64) postgrestest.Fault {
				if commit%3 == 1 {
					return what.fault
				}
				return postgrestest.None
			})
			if again := run(t, s, 1, 30); again < 10 {
				t.Errorf("only %d commits were interrupted", again)
			}
			p.OnCommit(nil)
			exactly(t, db, 30)
		})
	}
}

// The distributor's commits likewise.
func aDistributorsAnswerIsLost(t *testing.T, server *postgrestest.Server) {
	url := migrated(t, server)
	p, through := postgrestest.NewProxy(t, url)
	db := opened(t, through)
	d, at, err := db.Distribute(t.Context(), "me")
	if err != nil {
		t.Fatal(err)
	}
	p.OnCommit(func(commit int64) postgrestest.Fault {
		return [...]postgrestest.Fault{postgrestest.None, postgrestest.DropBefore, postgrestest.DropAfter}[commit%3]
	})
	again := 0
	for i := range uint64(12) {
		step := &distribution.Step{Control: distribution.Mark{Created: 1, Position: i + 1}, Voids: []distribution.Void{{Control: i + 1, Reason: "once"}}}
		for {
			err := d.Commit(t.Context(), at.Control, at.Ledger, step)
			if err == nil {
				break
			}
			if !errors.Is(err, distribution.ErrInterrupted) {
				t.Fatal(err)
			}
			again++
		}
		at.Control, at.Ledger = step.Control, step.Ledger
	}
	voids, err := db.DistributeVoids(t.Context())
	if err != nil || len(voids) != 12 || again == 0 {
		t.Errorf("%d decisions are void, %d commits were repeated, %v", len(voids), again, err)
	}
}

// A serialization failure at a statement, and one that comes with COMMIT, are
// repeated in the store; one that goes on is an interruption. What counts the
// faults that are left: a sequence, which a rollback does not take back.
func serializationFailuresAreRepeated(t *testing.T, server *postgrestest.Server) {
	if server.Foreign() {
		t.Skip("the faults are triggers, which CockroachDB does not have")
	}
	for name, when := range map[string]string{
		"at a statement": "CREATE TRIGGER faulty BEFORE UPDATE ON cursor FOR EACH ROW EXECUTE FUNCTION fail()",
		"with COMMIT":    "CREATE CONSTRAINT TRIGGER faulty AFTER UPDATE ON cursor DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()",
	} {
		t.Run(name, func(t *testing.T) {
			url := migrated(t, server)
			db := opened(t, url)
			s := settling(t, db)
			server.Run(t, url, "CREATE SEQUENCE faults", `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF nextval('faults') % 4 <> 0 THEN RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001'; END IF;
				RETURN NEW; END $$`, when)
			if again := run(t, s, 1, 10); again != 0 {
				t.Errorf("%d commits were interrupted: the store should have repeated them", again)
			}
			exactly(t, db, 10)
			server.Run(t, url, "ALTER SEQUENCE faults INCREMENT BY 4 RESTART WITH 1")
			cuts, encoded := charge(t, 11)
			if err := s.Commit(t.Context(), 10, cuts, encoded); !errors.Is(err, settlement.ErrInterrupted) {
				t.Errorf("a transaction that can never be serialized: %v", err)
			}
			exactly(t, db, 10)
		})
	}
}

// Two settlers of one partition commit at once: the one that took over goes on,
// the other stops, and every position is committed once.
func twoSettlersOfAPartition(t *testing.T, server *postgrestest.Server) {
	db := opened(t, migrated(t, server))
	first := settling(t, db)
	run(t, first, 1, 3)
	var both sync.WaitGroup
	var fenced error
	started := make(chan struct{})
	both.Go(func() {
		for position := uint64(4); ; position++ {
			cuts, encoded := charge(t, position)
			if fenced = first.Commit(t.Context(), position-1, cuts, encoded); fenced != nil {
				return
			}
			if position == 6 {
				close(started)
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	<-started
	second, now, err := db.Settle(t.Context(), 0, "USAGE-0-0", 1, "another")
	for errors.Is(err, settlement.ErrInterrupted) { // the other was always in the way
		second, now, err = db.Settle(t.Context(), 0, "USAGE-0-0", 1, "another")
	}
	if err != nil {
		t.Fatal(err)
	}
	run(t, second, now.Position+1, now.Position+10)
	both.Wait()
	if !errors.Is(fenced, settlement.ErrFenced) || !strings.Contains(fenced.Error(), "it is owned by settler 2, this is settler 1") {
		t.Errorf("the first ended with %v", fenced)
	}
	exactly(t, db, now.Position+10)
}

// Settlers of several partitions and the distributor write at the same time, and
// none is in another's way for good.
func partitionsCommitSideBySide(t *testing.T, server *postgrestest.Server) {
	db := opened(t, migrated(t, server))
	const settlers, cuts = 4, 15
	var all sync.WaitGroup
	for p := range settlers {
		s, _, err := db.Settle(t.Context(), p, "USAGE", 1, fmt.Sprint(p))
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() { run(t, s, 1, cuts) })
	}
	all.Wait()
	list, err := db.Balances(t.Context(), "node:")
	if want := money.Atto(settlers * cuts * (cuts + 1) / 2); err != nil || len(list) != 1 || list[0].Credit != want {
		t.Errorf("%v was earned, %v; want %s", list, err, want)
	}
}

// A slow database delays, and one that goes away interrupts: commits go on when
// it is back, and questions of the loops wait for it.
func TestTheDatabaseIsSlowGoneAndBack(t *testing.T) {
	server := postgrestest.Start(t, "fsync=on")
	url := migrated(t, server)
	p, through := postgrestest.NewProxy(t, url)
	db := opened(t, through)
	s := settling(t, db)
	p.Slow(30 * time.Millisecond)
	if again := run(t, s, 1, 3); again != 0 {
		t.Errorf("slow answers interrupted %d commits", again)
	}
	p.Slow(0)

	// Connections drop at any moment after two COMMITs more.
	stop := make(chan struct{})
	var cutting sync.WaitGroup
	cutting.Go(func() {
		for n, next := time.Duration(0), int64(0); ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(n % 11 * time.Millisecond):
				if p.Commits() >= next {
					p.Cut()
					next = p.Commits() + 2
				}
			}
		}
	})
	run(t, s, 4, 40)
	close(stop)
	cutting.Wait()
	exactly(t, db, 40)

	if server.Foreign() {
		return // not ours to kill
	}
	server.Kill()
	cuts, encoded := charge(t, 41)
	if err := s.Commit(t.Context(), 40, cuts, encoded); !errors.Is(err, settlement.ErrInterrupted) {
		t.Errorf("without a database: %v", err)
	}
	if _, err := db.Cursor(t.Context(), 0); !errors.Is(err, settlement.ErrInterrupted) {
		t.Errorf("a question of somebody else's: %v", err)
	}
	answer := make(chan error, 1)
	go func() {
		last, err := s.Last(t.Context())
		if err == nil && last < 40 {
			err = fmt.Errorf("the last row is %d", last)
		}
		answer <- err
	}()
	ended, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, _, err := s.Relayed(ended); err == nil {
		t.Error("a question was answered without a database")
	}
	server.Begin(t)
	run(t, s, 41, 45)
	exactly(t, db, 45)
	if err := <-answer; err != nil {
		t.Errorf("a question of the loop's: %v", err)
	}
}
