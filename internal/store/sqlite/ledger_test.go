package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func row(cut uint64, debit, credit ledger.Account, atto int64) Row {
	return Row{Cut: cut, Book: "acme", Record: []byte{byte(cut)}, Posts: []ledger.Entry{{Postings: []ledger.Posting{
		{Debit: debit, Credit: credit, Asset: "USDC", Amount: money.Atto(atto)},
	}}}}
}

func open(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Fails when forget is not called after a rollback (the second Append then
// starts from balances and numbers that were undone), and when BalancesOf
// returns one writer's row instead of the sum.
func TestBalancesAreTheFoldOfTheJournalOfAllWriters(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "a.db")
	db := open(t, path)
	settle, err := db.Writer(ctx, "settle-0")
	if err != nil {
		t.Fatal(err)
	}
	distribute, err := db.Writer(ctx, "distribute")
	if err != nil {
		t.Fatal(err)
	}
	post := func(w *Writer, fail error, rows ...Row) {
		t.Helper()
		err := db.Write(ctx, func(conn *sqlite.Conn) error {
			if _, err := w.Append(conn, rows); err != nil {
				return err
			}
			return fail
		})
		if !errors.Is(err, fail) {
			t.Fatal(err)
		}
	}
	post(settle, nil, row(1, "customer:a:receivable", "node:n:earned", 5))
	post(settle, errors.New("power cut"), row(2, "customer:a:receivable", "node:n:earned", 1000))
	post(settle, nil, row(2, "customer:a:receivable", "node:n:earned", 7), row(3, "node:n:collected", "token:t:inbox", 4))
	post(distribute, nil, row(1, "token:t:inbox", "token:t:pool", 3))

	check := func(db *DB) {
		t.Helper()
		list, err := db.Balances(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		want := []Balance{
			{"customer:a:receivable", "USDC", money.Atto(12), money.Atto(0)},
			{"node:n:collected", "USDC", money.Atto(4), money.Atto(0)},
			{"node:n:earned", "USDC", money.Atto(0), money.Atto(12)},
			{"token:t:inbox", "USDC", money.Atto(3), money.Atto(4)},
			{"token:t:pool", "USDC", money.Atto(0), money.Atto(3)},
		}
		if len(list) != len(want) {
			t.Fatalf("%d balances, want %d: %v", len(list), len(want), list)
		}
		for i := range want {
			if list[i] != want[i] {
				t.Errorf("balance %v, want %v", list[i], want[i])
			}
		}
		if nodes, _ := db.Balances(ctx, "node:n:"); len(nodes) != 2 {
			t.Errorf("%d balances of node n, want 2", len(nodes))
		}
	}
	check(db)
	var numbers []uint64
	if err := settle.Journal(ctx, 2, 0, func(w Written) error { numbers = append(numbers, w.Number); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(numbers) != 2 || numbers[0] != 2 || numbers[1] != 3 {
		t.Errorf("journal from 2 has numbers %v, want 2 and 3", numbers)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, path)
	check(db)
}

func TestANewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db := open(t, path)
	if err := sqlitex.ExecuteTransient(db.conn, "PRAGMA user_version=1000", nil); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	if _, err := Open(path); err == nil {
		t.Fatal("opened a store of schema 1000")
	}
}
