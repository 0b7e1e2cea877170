package sqlite

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"zombiezen.com/go/sqlite"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Fails when the view takes the node of another row, or a line for another.
func TestWhatIsOwedIsWhatWasWrittenLast(t *testing.T) {
	ctx := context.Background()
	db := opened(t, filepath.Join(t.TempDir(), "a.db"))
	committer := settling(t, db)
	random := rand.New(rand.NewPCG(3, 4))
	type key struct {
		customer events.Customer
		period   events.Period
		node     events.Node
	}
	want := map[key]money.Amount{}
	for range 30 {
		var list []settlement.Outstanding
		seen := map[key]bool{}
		for range 200 {
			k := key{events.Customer(fmt.Sprintf("c%d", random.IntN(4))), events.Period(fmt.Sprintf("2026-0%d", 1+random.IntN(2))), events.Node(fmt.Sprintf("n:%d", random.IntN(150)))}
			if seen[k] {
				continue
			}
			seen[k] = true
			amount := money.Atto(int64(random.IntN(3)))
			want[k] = amount
			list = append(list, settlement.Outstanding{Book: "b", Customer: k.customer, Asset: "USDC", Period: k.period, Node: k.node, Amount: amount})
		}
		if err := db.write(ctx, func(conn *sqlite.Conn) error { return committer.outstanding(conn, list) }); err != nil {
			t.Fatal(err)
		}
	}
	check := func(list []settlement.Outstanding, customer events.Customer) {
		t.Helper()
		n := 0
		for k, amount := range want {
			if !amount.IsZero() && (customer == "" || k.customer == customer) {
				n++
			}
		}
		if len(list) != n {
			t.Errorf("%d lines, want %d", len(list), n)
		}
		for _, o := range list {
			if want[key{o.Customer, o.Period, o.Node}] != o.Amount || o.Amount.IsZero() || o.Book != "b" || o.Asset != "USDC" {
				t.Errorf("line %v, want %v", o, want[key{o.Customer, o.Period, o.Node}])
			}
		}
	}
	all, err := store.New(db, nil).Outstanding(ctx, "", "")
	if err != nil {
		t.Fatal(err)
	}
	check(all, "")
	one, err := store.New(db, nil).Outstanding(ctx, "b", "c2")
	if err != nil {
		t.Fatal(err)
	}
	check(one, "c2")
	// The view says the same.
	var viewed []settlement.Outstanding
	err = db.Read(ctx, func(conn store.Conn) error {
		return conn.Query("SELECT book, customer, asset, period, node, amount FROM owed ORDER BY 1, 2, 3, 4, 5", func(r store.Row) error {
			viewed = append(viewed, settlement.Outstanding{Book: events.Book(r.Text(0)), Customer: events.Customer(r.Text(1)),
				Asset: money.Asset(r.Text(2)), Period: events.Period(r.Text(3)), Node: events.Node(r.Text(4)), Amount: r.Amount(5)})
			return nil
		})
	})
	if err != nil || !slices.Equal(viewed, all) {
		t.Errorf("the view has %d lines, %v", len(viewed), err)
	}
	// What is paid leaves nothing, debtors neither.
	for i := range all {
		all[i].Amount = money.Amount{}
	}
	debtors := func(want int64) {
		t.Helper()
		err := db.Read(ctx, func(conn store.Conn) error {
			return conn.Query("SELECT (SELECT count(*) FROM debtor), (SELECT count(*) FROM outstanding)", func(r store.Row) error {
				if r.Int64(0) != want || want == 0 && r.Int64(1) != 0 {
					t.Errorf("%d debtors and %d rows, want %d debtors", r.Int64(0), r.Int64(1), want)
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	debtors(8)
	for _, part := range [][]settlement.Outstanding{all[:len(all)/2], all[len(all)/2:]} {
		if err := db.write(ctx, func(conn *sqlite.Conn) error { return committer.outstanding(conn, part) }); err != nil {
			t.Fatal(err)
		}
	}
	debtors(0)
}

// settling is what writes the cuts of partition 0.
func settling(t *testing.T, db *engine) *settler {
	t.Helper()
	var writer store.CutWriter
	err := db.Write(t.Context(), func(tx store.Tx) (err error) {
		writer, err = db.Settler(tx, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return writer.(*settler)
}
