package cockroach

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/postgrestest"
	"github.com/aliquot-engine/aliquot/internal/store/storetest"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// CockroachDB as its documentation describes it: see postgrestest.Cockroach for
// what is played.
func TestAsCockroachDBIsDocumented(t *testing.T) {
	if testing.Short() {
		t.Skip("-short, as under the race detector: this runs whole without it")
	}
	server := postgrestest.Start(t)
	t.Run("the store", func(t *testing.T) {
		var seen atomic.Int64
		t.Cleanup(func() {
			if seen.Load() < 20 {
				t.Errorf("only %d statements were answered with 40001", seen.Load())
			}
		})
		storetest.Run(t, func(t *testing.T) *store.DB {
			c, through := playing(t, server)
			engine, err := open(t.Context(), through)
			if err != nil {
				t.Fatal(err)
			}
			db := store.New(storetest.Again(engine), nil)
			c.Play(postgrestest.Faults{Seed: 1, Restart: 5, Ambiguous: 7, Read: 50, Write: 30})
			t.Cleanup(func() {
				_ = db.Close()
				seen.Add(c.Seen(postgrestest.SeenRestart))
			})
			return db
		})
	})
	for _, c := range []struct {
		name string
		run  func(*testing.T, *postgrestest.Server)
	}{
		{"a migration cut anywhere ends when it is said again", aMigrationCutAnywhere},
		{"a commit of many megabytes goes in messages of few", aCommitOfManyMegabytes},
		{"each attempt has its own patience", eachAttemptHasItsOwnPatience},
		{"questions are asked again until somebody has a row", questionsAreAskedAgain},
		{"commits are neither lost nor twice", commitsOfDisturbedLoops},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, server)
		})
	}
}

// playing returns a database that is migrated, played by a proxy without faults.
func playing(t *testing.T, server *postgrestest.Server) (*postgrestest.Cockroach, string) {
	t.Helper()
	c, through := postgrestest.NewCockroach(t, server)
	if m, err := Migrate(t.Context(), through); err != nil || m.To != len(steps()) {
		t.Fatalf("%+v, %v", m, err)
	}
	return c, through
}

// Fails when a statement of a migration cannot be repeated, when the version is
// written before the last statement, and when a database whose first migration was
// cut is taken for another's. From 25.1 on each statement is committed by itself,
// so a cut before the n-th leaves n - 1 of them.
func aMigrationCutAnywhere(t *testing.T, server *postgrestest.Server) {
	said := 0
	for _, file := range steps() {
		data, err := schema.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list := statements(dialect(string(data), true))
		said += len(list) + 1 // and the version
		for _, s := range list {
			if !strings.HasPrefix(s, "CREATE TABLE IF NOT EXISTS ") && !strings.HasPrefix(s, "CREATE OR REPLACE VIEW ") && !strings.Contains(s, "ON CONFLICT") {
				t.Errorf("%s cannot be repeated: %s", file, s)
			}
		}
	}
	c, through := postgrestest.NewCockroach(t, server)
	for n := 0; ; n++ {
		c.CutAfter(n)
		m, first := Migrate(t.Context(), through)
		if !c.WasCut() {
			if first != nil || m.To != len(steps()) || n < said {
				t.Errorf("without a cut, after %d of %d statements: %+v, %v", n, said, m, first)
			}
			break
		}
		if m, err := Migrate(t.Context(), through); err != nil || m.To != len(steps()) || first == nil {
			t.Errorf("cut after %d statements (%v), then: %+v, %v", n, first, m, err)
		}
		if n == said/2 {
			storetest.Fill(t, opened(t, through)) // what is made in two parts is as good
		}
		empty(t, server, c)
	}
}

// empty takes everything out of a database that a migration puts there.
func empty(t *testing.T, server *postgrestest.Server, c *postgrestest.Cockroach) {
	t.Helper()
	server.Run(t, c.Direct(), `DO $$ DECLARE r record; BEGIN
		FOR r IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP EXECUTE 'DROP TABLE ' || quote_ident(r.tablename) || ' CASCADE'; END LOOP; END $$`)
}

// Fails when statements are bounded by rows alone: forty records of half a
// megabyte are one message above the limit. A record that is itself above it can
// never be written, and is no interruption.
func aCommitOfManyMegabytes(t *testing.T, server *postgrestest.Server) {
	c, through := playing(t, server)
	db := opened(t, through)
	s := settling(t, db)
	cuts, encoded := charge(t, 1)
	record := cuts[0].Records[0]
	for range 39 {
		cuts[0].Records = append(cuts[0].Records, ledger.Record{Cut: record.Cut, Book: record.Book, Part: len(cuts[0].Records), Parts: 40})
	}
	encoded[0] = nil
	for i := range cuts[0].Records {
		encoded[0] = append(encoded[0], bytes.Repeat([]byte{byte(i)}, 1<<19))
	}
	if err := s.Commit(t.Context(), 0, cuts, encoded); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := s.Journal(t.Context(), 1, 0, func(w store.Written) error {
		if !bytes.Equal(w.Record, encoded[0][n]) {
			t.Errorf("row %d is another", n+1)
		}
		n++
		return nil
	})
	if err != nil || n != 40 || c.Seen(postgrestest.SeenTooBig) != 0 {
		t.Errorf("%d rows, %v; %d messages were too large", n, err, c.Seen(postgrestest.SeenTooBig))
	}
	cuts, encoded = charge(t, 2)
	encoded[0][0] = make([]byte, 17<<20)
	err = s.Commit(t.Context(), 1, cuts, encoded)
	if err == nil || errors.Is(err, settlement.ErrInterrupted) || !strings.Contains(err.Error(), "message size") {
		t.Errorf("a record above the limit: %v", err)
	}
	cuts, encoded = charge(t, 2)
	if err := s.Commit(t.Context(), 1, cuts, encoded); err != nil {
		t.Errorf("the commit after it: %v", err)
	}
}

// Fails when the patience is that of a transaction with all of its attempts.
func eachAttemptHasItsOwnPatience(t *testing.T, server *postgrestest.Server) {
	_, through := playing(t, server)
	db, err := open(t.Context(), through)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.patience = time.Second
	attempts := 0
	err = db.once(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		attempts++
		if _, err := tx.Exec(ctx, "SELECT pg_sleep(0.4)"); err != nil {
			return err
		}
		if attempts < 5 {
			return &pgconn.PgError{Code: "40001"}
		}
		_, err := tx.Exec(ctx, "UPDATE aliquot SET installation = 'mine'")
		return err
	})
	if err != nil || attempts != 5 {
		t.Errorf("after %d attempts: %v", attempts, err)
	}
	db.patience = 100 * time.Millisecond
	err = db.transact(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT pg_sleep(60)")
		return err
	})
	if !errors.Is(err, settlement.ErrInterrupted) {
		t.Errorf("an attempt that is never answered: %v", err)
	}
}

// One statement in three is interrupted, so that hardly a question is answered the
// first time. Fails when a question is asked once; and when it is asked again after
// rows were passed on, which then come twice.
func questionsAreAskedAgain(t *testing.T, server *postgrestest.Server) {
	c, through := playing(t, server)
	db := opened(t, through)
	s := settling(t, db)
	run(t, s, 1, 600)
	c.Play(postgrestest.Faults{Seed: 3, Read: 3})
	for range 20 {
		if at, err := db.Cursor(t.Context(), 0); err != nil || at.Position != 600 {
			t.Fatalf("the cursor is %+v, %v", at, err)
		}
		if list, err := db.Voids(t.Context(), 0); err != nil || len(list) != 600 {
			t.Fatalf("%d void decisions, %v", len(list), err)
		}
		if list, err := db.Balances(t.Context(), "node:"); err != nil || len(list) != 1 {
			t.Fatalf("balances are %v, %v", list, err)
		}
	}
	// Rows that were passed on do not come twice: it ends with an interruption.
	interrupted := 0
	for range 20 {
		next := uint64(1)
		err := db.Journal(t.Context(), func(_ string, row store.Written) error {
			if row.Number != next {
				t.Fatalf("row %d came as number %d", row.Number, next)
			}
			next++
			return nil
		})
		switch {
		case errors.Is(err, settlement.ErrInterrupted):
			interrupted++ // between two rows: before the first it is asked again
			if next == 1 {
				t.Fatal(err)
			}
		case err != nil || next != 601:
			t.Fatalf("%d rows, %v", next-1, err)
		}
	}
	if interrupted == 0 {
		t.Error("no reading was interrupted between two rows")
	}
	// A caller that loops has all of them, once.
	next := uint64(1)
	err := s.Journal(t.Context(), 1, 0, func(row store.Written) error {
		if row.Number != next {
			t.Fatalf("row %d came as number %d", row.Number, next)
		}
		next++
		return nil
	})
	if err != nil || next != 601 {
		t.Errorf("%d rows, %v", next-1, err)
	}
	// A database that always interrupts is told of.
	c.Play(postgrestest.Faults{Read: 1})
	ended, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := db.Cursor(ended, 0); !errors.Is(err, settlement.ErrInterrupted) || !errors.Is(err, store.ErrContended) {
		t.Errorf("always interrupted: %v", err)
	}
}

// With everything that can go wrong, as the settler's loop meets it.
func commitsOfDisturbedLoops(t *testing.T, server *postgrestest.Server) {
	c, through := playing(t, server)
	db := opened(t, through)
	s := settling(t, db)
	c.Play(postgrestest.Faults{Seed: 2, Restart: 4, Ambiguous: 5, Read: 10, Write: 10, Cut: 15})
	run(t, s, 1, 50)
	for _, kind := range []int{postgrestest.SeenRestart, postgrestest.SeenAmbiguous, postgrestest.SeenCut} {
		if c.Seen(kind) == 0 {
			t.Errorf("there was no fault of kind %d", kind)
		}
	}
	c.Play(postgrestest.Faults{})
	exactly(t, db, 50)
}

// What a database answers is final, or the same again may succeed. Codes are of
// appendix A of PostgreSQL's manual, and of CockroachDB's error reference.
func TestErrorsOfTheDatabase(t *testing.T) {
	const final, again, contention = "final", "again", "contention"
	for _, c := range []struct{ name, code, want string }{
		{"a serialization failure", "40001", contention},
		{"a deadlock", "40P01", contention},
		{"an unknown outcome", "40003", again},
		{"a connection that failed", "08006", again},
		{"a message above CockroachDB's limit, and any violation of the protocol", "08P01", final},
		{"a constraint at commit", "40002", final},
		{"a full disk", "53100", again},
		{"too many connections", "53300", again},
		{"a node that shuts down", "57P01", again},
		{"a server that is starting", "57P03", again},
		{"a statement that was cancelled", "57014", again},
		{"a database that was dropped", "57P04", final},
		{"a read-only server, while another takes over", "25006", again},
		{"a lock that is held", "55P03", again},
		{"a function that is not there", "42883", final},
		{"a column that is not there", "42703", final},
		{"no privilege", "42501", final},
		{"a password that is wrong", "28P01", final},
		{"a row that is there already", "23505", final},
		{"an amount that is too large", "22003", final},
		{"a statement that is too complex", "54001", final},
		{"an internal error", "XX000", final},
	} {
		err := classify(t.Context(), fmt.Errorf("writing: %w", &pgconn.PgError{Code: c.code}))
		got := final
		if errors.Is(err, settlement.ErrInterrupted) && errors.Is(err, distribution.ErrInterrupted) {
			got = again
		}
		if errors.Is(err, store.ErrContended) {
			got = contention
		}
		if got != c.want {
			t.Errorf("%s, %s, is %s, want %s", c.name, c.code, got, c.want)
		}
	}
}
