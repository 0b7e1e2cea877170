// Package storetest is the conformance suite of stores, which every engine must
// pass. Its cases commit through the interfaces of settle and distribute and
// read through those of the other services, so that no difference between
// engines goes unnoticed.
package storetest

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Run runs the suite with its tests in parallel; open returns an empty store
// that is closed when its test ends.
func Run(t *testing.T, open func(t *testing.T) *store.DB) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, db *store.DB)
	}{
		{"a settler that another took over from never commits", fencing},
		{"a settler's commit repeated is one", repeated},
		{"a commit that fails leaves nothing", nothingLeft},
		{"balances are the fold of all writers", balances},
		{"what one commit's cuts say of a row is folded", folded},
		{"what is owed is what was written last", outstanding},
		{"what is collected is what was written last", collected},
		{"partitions keep apart", partitions},
		{"sequences use all 64 bits", sequences},
		{"a snapshot stays as it is", snapshots},
		{"text is in the order of its bytes", byteOrder},
		{"the largest amounts are exact, and larger ones refused", extremes},
		{"a large commit is whole", large},
		{"the journal is read from anywhere", journal},
		{"relay marks", marks},
		{"the distributor's cursor", distributor},
		{"payouts are changed and read as if one by one", payouts},
		{"everything is read as it was written", everything},
		{"a store belongs to one installation", belongs},
		{"one key signs the logs", signs},
		{"cursors are bound to a stream made anew", rebound},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open(t))
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stream is the usage stream of every settler here.
const stream = "USAGE-0-0"

// settler takes over a partition.
func settler(t *testing.T, db *store.DB, partition int, nonce string) (*store.Settle, settlement.Cursor) {
	t.Helper()
	s, cursor, err := db.Settle(t.Context(), partition, stream, 5, nonce)
	must(t, err)
	return s, cursor
}

// commit commits cuts after a position, with their records encoded.
func commit(ctx context.Context, s *store.Settle, from uint64, cuts ...*settlement.Cut) error {
	encoded := make([][][]byte, len(cuts))
	for i, c := range cuts {
		for k := range c.Records {
			data, err := ledger.AppendRecord(nil, &c.Records[k])
			if err != nil {
				return err
			}
			encoded[i] = append(encoded[i], data)
		}
	}
	return s.Commit(ctx, from, cuts, encoded)
}

// cut returns a cut at a position with these postings.
func cut(position uint64, postings ...ledger.Posting) *settlement.Cut {
	c := &settlement.Cut{Position: position, Hash: [32]byte{byte(position)}, Control: position, Batches: 1}
	if len(postings) > 0 {
		c.Records = []ledger.Record{record(position, postings...)}
	}
	return c
}

func record(position uint64, postings ...ledger.Posting) ledger.Record {
	return ledger.Record{Cut: position, Book: "b", Parts: 1, Entries: []ledger.Entry{{
		Kind: "usage", Book: "b", Period: "2026-01", Origin: "2026-01", Postings: postings,
	}}}
}

func post(debit, credit ledger.Account, amount money.Amount) ledger.Posting {
	return ledger.Posting{Debit: debit, Credit: credit, Asset: "USDC", Amount: amount}
}

func atto(n int64) money.Amount { return money.Atto(n) }

// same fails the test if two lists differ.
func same[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d of them, want %d: %v", what, len(got), len(want), got)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: number %d is %+v, want %+v", what, i, got[i], want[i])
			return
		}
	}
}

// contents returns the whole content of a store as text, relation by relation.
func contents(t *testing.T, db *store.DB) string {
	t.Helper()
	var text strings.Builder
	must(t, db.Snapshot(t.Context(), func(s *store.Snapshot) error {
		text.Reset()
		for _, relation := range store.Relations(math.MaxInt64) {
			err := s.Walk(relation, func(row []store.Field) error {
				text.WriteString(relation.Name)
				for _, f := range row {
					if data, ok := f.Value.([]byte); ok {
						fmt.Fprintf(&text, " %s=%x", f.Name, data)
					} else {
						fmt.Fprintf(&text, " %s=%v", f.Name, f.Value)
					}
				}
				text.WriteString("\n")
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}))
	return text.String()
}
