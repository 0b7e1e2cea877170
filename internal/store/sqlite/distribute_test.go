package sqlite

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// The cursor fences: an equal commit again, whose first answer was lost, writes
// nothing and is fine; any other from behind the cursor is refused.
func TestTheDistributorsCursor(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	first, cursor, err := db.Distribute(t.Context(), "first")
	if err != nil || cursor.Epoch != 1 || cursor.Control.Position != 0 {
		t.Fatalf("%+v, %v", cursor, err)
	}
	step := &distribution.Step{
		Control:     distribution.Mark{Created: 5, Position: 3, Hash: [32]byte{1}},
		Ledger:      distribution.Mark{Created: 6, Position: 2, Hash: [32]byte{2}},
		Handovers:   []distribution.Handover{{Token: "t", Asset: "USDC", Position: 1, Amount: money.Atto(7)}, {Token: "t", Asset: "USDC", Position: 2, Amount: money.Atto(1)}},
		Settlements: []distribution.Settlement{{Book: "b", Period: "2026-01", Position: 2}},
		Voids:       []distribution.Void{{Control: 2, Reason: "because"}},
	}
	for range 2 {
		if err := first.Commit(t.Context(), cursor.Control, cursor.Ledger, step); err != nil {
			t.Fatal(err)
		}
	}
	for through, want := range map[uint64]money.Amount{1: money.Atto(7), 2: money.Atto(8)} {
		inbox, err := first.Inbox(t.Context(), "t", through)
		if err != nil || len(inbox) != 1 || inbox[0].Amount != want {
			t.Errorf("inbox at %d: %v, %v", through, inbox, err)
		}
	}
	other := *step
	other.Control.Position = 4
	if err := first.Commit(t.Context(), cursor.Control, cursor.Ledger, &other); !errors.Is(err, distribution.ErrFenced) {
		t.Errorf("from behind the cursor: %v", err)
	}
	second, now, err := db.Distribute(t.Context(), "second")
	if err != nil || now.Epoch != 2 || now.Control != step.Control || now.Ledger != step.Ledger {
		t.Fatalf("%+v, %v", now, err)
	}
	if err := first.Commit(t.Context(), step.Control, step.Ledger, &other); !errors.Is(err, distribution.ErrFenced) {
		t.Errorf("after another took over: %v", err)
	}
	if err := second.Commit(t.Context(), step.Control, step.Ledger, &other); err == nil {
		t.Error("the same void decision was written twice") // the primary key says no, and nothing remains
	}
	other.Handovers, other.Voids = nil, nil
	if err := second.Commit(t.Context(), step.Control, step.Ledger, &other); err != nil {
		t.Fatal(err)
	}
	if at, err := second.SettledAt(t.Context(), "b", "2026-01"); err != nil || at != 2 {
		t.Errorf("settled at %d, %v", at, err)
	}
	if v, ok, err := db.DistributeVoid(t.Context(), 2); err != nil || !ok || v.Reason != "because" {
		t.Errorf("%+v, %v, %v", v, ok, err)
	}
}
