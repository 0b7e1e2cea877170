package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func posted(cut uint64, debit, credit ledger.Account, atto int64) entry {
	return entry{Cut: cut, Book: "acme", Record: []byte{byte(cut)}, Posts: []ledger.Entry{{Postings: []ledger.Posting{
		{Debit: debit, Credit: credit, Asset: "USDC", Amount: money.Atto(atto)},
	}}}}
}

func opened(t *testing.T, path string) *engine {
	t.Helper()
	db, err := open(path)
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
	db := opened(t, path)
	var settle, distribute *writer
	err := db.write(ctx, func(conn *sqlite.Conn) (err error) {
		if settle, err = db.writer(conn, "settle-0"); err == nil {
			distribute, err = db.writer(conn, "distribute")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	post := func(w *writer, fail error, rows ...entry) {
		t.Helper()
		err := db.write(ctx, func(conn *sqlite.Conn) error {
			if _, err := w.append(conn, rows); err != nil {
				return err
			}
			return fail
		})
		if !errors.Is(err, fail) {
			t.Fatal(err)
		}
	}
	post(settle, nil, posted(1, "customer:a:receivable", "node:n:earned", 5))
	post(settle, errors.New("power cut"), posted(2, "customer:a:receivable", "node:n:earned", 1000))
	post(settle, nil, posted(2, "customer:a:receivable", "node:n:earned", 7), posted(3, "node:n:collected", "token:t:inbox", 4))
	post(distribute, nil, posted(1, "token:t:inbox", "token:t:pool", 3))

	check := func(db *engine) {
		t.Helper()
		list, err := store.New(db, nil).Balances(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		want := []store.Balance{
			{Account: "customer:a:receivable", Asset: "USDC", Debit: money.Atto(12), Credit: money.Atto(0)},
			{Account: "node:n:collected", Asset: "USDC", Debit: money.Atto(4), Credit: money.Atto(0)},
			{Account: "node:n:earned", Asset: "USDC", Debit: money.Atto(0), Credit: money.Atto(12)},
			{Account: "token:t:inbox", Asset: "USDC", Debit: money.Atto(3), Credit: money.Atto(4)},
			{Account: "token:t:pool", Asset: "USDC", Debit: money.Atto(0), Credit: money.Atto(3)},
		}
		if len(list) != len(want) {
			t.Fatalf("%d balances, want %d: %v", len(list), len(want), list)
		}
		for i := range want {
			if list[i] != want[i] {
				t.Errorf("balance %v, want %v", list[i], want[i])
			}
		}
		if nodes, _ := store.New(db, nil).Balances(ctx, "node:n:"); len(nodes) != 2 {
			t.Errorf("%d balances of node n, want 2", len(nodes))
		}
	}
	check(db)
	var numbers []uint64
	err = store.New(db, nil).Journal(ctx, func(name string, w store.Written) error {
		if name == "settle-0" && w.Number >= 2 {
			numbers = append(numbers, w.Number)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(numbers) != 2 || numbers[0] != 2 || numbers[1] != 3 {
		t.Errorf("journal from 2 has numbers %v, want 2 and 3", numbers)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = opened(t, path)
	check(db)
}

func TestANewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db := opened(t, path)
	if err := sqlitex.ExecuteTransient(db.conn, "PRAGMA user_version=1000", nil); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	if _, err := Open(path); err == nil {
		t.Fatal("opened a store of schema 1000")
	}
}
