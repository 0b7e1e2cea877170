package issue_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/receipt"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

// The operator has the streams, the code and even the signing key. It edits one
// figure, derives everything again and signs the result. Fails when verification
// does not cover a message's data, position or log, or when it does not check
// consistency.
func TestAnOperatorWhoEditsAndDerivesEverythingAnewIsFound(t *testing.T) {
	old := keep(t, audittest.Story(t))
	receipts := map[string][]byte{}
	for name, id := range map[string]string{
		"event": "meter-1#3", "record": "settle-0-1", "payout": old.payoutOf(t, "d2", "dave"),
		"closing": closingOf(t, old.World, "2026-11-21"),
	} {
		receipts[name] = old.issue(t, id)
	}
	tests := []struct {
		name     string
		decision func(events.Body) events.Body
		movement func(*events.Movement)
		log      string   // log that contains the edit
		broken   []string // receipts that can no longer be proved
	}{
		{"one price of a card", func(b events.Body) events.Body {
			if c, ok := b.(events.CardDeclared); ok {
				c.Rules[0].Price = audittest.Amount(t, "1.98")
				return c
			}
			return b
		}, nil, "control", []string{"event", "record", "payout", "closing"}},
		{"one round of a quote", func(b events.Body) events.Body {
			if q, ok := b.(events.QuotesObserved); ok {
				q.Rounds[0].Rate = audittest.Amount(t, "0.9998")
				return q
			}
			return b
		}, nil, "control", []string{"event", "record", "payout"}},
		{"one closing", func(b events.Body) events.Body {
			if p, ok := b.(events.PeriodClosed); ok && p.Period == "2026-11-21" {
				p.Period = "2026-11-22"
				return p
			}
			return b
		}, nil, "control", []string{"closing"}},
		{"one holding", nil, func(m *events.Movement) {
			if m.Kind == events.Issued && m.To == "dave" {
				m.Units = money.UnitsOf(80)
			}
		}, "register", []string{"payout"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			edited := keepWith(t, audittest.Retold(t, test.decision, test.movement), old)
			consistent(t, old, edited, test.log)
			for _, name := range test.broken {
				r, err := receipt.Parse(receipts[name])
				if err != nil {
					t.Fatal(err)
				}
				reprove(t, edited, r)
				data, err := r.Marshal()
				if err != nil {
					t.Fatal(err)
				}
				if verdict, err := receipt.Verify(data, old.key); err == nil {
					t.Errorf("the old %s receipt is proved by the edited logs:\n%s", name, verdict.String())
				}
			}
		})
	}
	t.Run("while nothing is edited, the same is proved by the same logs", func(t *testing.T) {
		for name, data := range receipts {
			r, err := receipt.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			reprove(t, old, r)
			if data, err = r.Marshal(); err != nil {
				t.Fatal(err)
			}
			if _, err := receipt.Verify(data, old.key); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// closingOf names the journal row that says that a period is settled.
func closingOf(t *testing.T, w *audittest.World, period events.Period) (id string) {
	t.Helper()
	err := w.DB.Snapshot(t.Context(), func(s *store.Snapshot) error {
		return s.Entries("", func(writer string, row store.Written, r *ledger.Record) error {
			if slices.Contains(r.Settled, period) {
				id = fmt.Sprintf("%s-%d", writer, row.Number)
			}
			return nil
		})
	})
	if err != nil || id == "" {
		t.Fatalf("no row settles %s: %v", period, err)
	}
	return id
}

// keepWith makes the logs of a world with the key of another one.
func keepWith(t *testing.T, w *audittest.World, other kept) kept {
	t.Helper()
	dir := t.TempDir()
	key, err := os.ReadFile(keeper.PrivateKeyFile(other.dir))
	if err == nil {
		err = os.MkdirAll(filepath.Dir(keeper.PrivateKeyFile(dir)), 0o700)
	}
	if err == nil {
		err = os.WriteFile(keeper.PrivateKeyFile(dir), key, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	k := keepIn(t, w, dir)
	if k.key.String() != other.key.String() {
		t.Fatal("the operator has another key")
	}
	return k
}

// consistent checks that there is no proof that the edited log extends the old
// one.
func consistent(t *testing.T, old, edited kept, name string) {
	t.Helper()
	was, err := old.open(name)
	if err != nil {
		t.Fatal(err)
	}
	before, _, err := was.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	is, err := edited.open(name)
	if err != nil {
		t.Fatal(err)
	}
	after, _, err := is.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	proof, err := tlog.ConsistencyProof(before.Size, after.Size, is.Tile)
	if err != nil {
		t.Fatal(err)
	}
	if tlog.VerifyConsistency(before.Size, after.Size, proof, before.Root, after.Root) == nil {
		t.Errorf("the edited log %s goes on from the old one", name)
	}
}

// reprove puts the checkpoints and paths of other logs into a receipt, as far as
// they exist.
func reprove(t *testing.T, k kept, r *receipt.Receipt) {
	t.Helper()
	r.Hashes = append([]tlog.Hash(nil), r.Hashes...)
	size := map[string]uint64{}
	for i := range r.Logs {
		log, err := k.open(r.Logs[i].Name)
		if err != nil {
			t.Fatal(err)
		}
		c, signed, err := log.Checkpoint()
		if err != nil {
			t.Fatal(err)
		}
		r.Logs[i].Checkpoint, size[r.Logs[i].Name] = string(signed), c.Size
	}
	keep := func(hashes []tlog.Hash, err error) receipt.Path {
		if err != nil {
			return nil // the other log is shorter
		}
		list := receipt.Path{}
		for _, h := range hashes {
			list = append(list, len(r.Hashes))
			r.Hashes = append(r.Hashes, h)
		}
		return list
	}
	trees := map[string]uint64{}
	for i := range r.Trees {
		tree := &r.Trees[i]
		trees[tree.Log] = tree.Size
		log, err := k.open(tree.Log)
		if err != nil {
			t.Fatal(err)
		}
		tree.Path = keep(tlog.ConsistencyProof(tree.Size, size[tree.Log], log.Tile))
		if root, err := tlog.RootOf(tree.Size, log.Tile); err == nil {
			tree.Root = root
		}
	}
	path := func(name string, position uint64) receipt.Path {
		log, err := k.open(name)
		if err != nil {
			t.Fatal(err)
		}
		in := size[name]
		if position <= trees[name] {
			in = trees[name]
		}
		return keep(tlog.InclusionProof(in, position-1, log.Tile))
	}
	for i := range r.Messages {
		r.Messages[i].Path = path(r.Messages[i].Log, r.Messages[i].Position)
	}
	if r.Event == nil {
		return
	}
	for _, leaf := range []*receipt.Leaf{&r.Event.Message, r.Event.Barrier} {
		decoded, err := tlog.DecodeUsageLeaf(leaf.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		leaf.Path = path(r.Event.Log, decoded.Position)
	}
}
