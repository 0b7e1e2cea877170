package state

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Known is what the caller has already read of a store. The zero value is
// nothing.
type Known struct {
	Sums []*Sum // of relations that only settle writes, each with all its rows
	// Journal has the sums of every record that settle wrote; nil if they were
	// not made. It must not be used after [After].
	Journal *ledger.Journal
}

func (k *Known) sum(relation store.Relation) *Sum {
	for _, s := range k.Sums {
		if relation.Settled && s.name == relation.Name {
			return s
		}
	}
	return nil
}

// hashed is how many bytes of rows are hashed at once.
const hashed = 64 << 10

// Sum hashes the rows of one relation. Make it with [NewSum].
type Sum struct {
	name string
	rows uint64
	hash hash.Hash
	text []byte // bytes of rows that are not hashed yet
}

// NewSum begins the sum of a relation.
func NewSum(relation store.Relation) *Sum { return &Sum{name: relation.Name, hash: sha256.New()} }

// Add adds the next row. It fails for a value of a type that no store has.
func (s *Sum) Add(row []store.Field) error {
	s.rows++
	for _, f := range row {
		switch v := f.Value.(type) {
		case nil:
			s.text = append(s.text, 0)
		case int64:
			s.text = binary.AppendVarint(append(s.text, 1), v)
		case string:
			s.text = append(binary.AppendUvarint(append(s.text, 2), uint64(len(v))), v...)
		case []byte:
			s.text = append(binary.AppendUvarint(append(s.text, 3), uint64(len(v))), v...)
		default:
			return fmt.Errorf("%s: a %T in column %s", s.name, v, f.Name)
		}
	}
	if len(s.text) >= hashed {
		s.flush()
	}
	return nil
}

func (s *Sum) flush() {
	_, _ = s.hash.Write(s.text) // never fails
	s.text = s.text[:0]
}

func (s *Sum) part() (settlement.StatePart, [32]byte) {
	s.flush()
	sum := [32]byte(s.hash.Sum(nil))
	return settlement.StatePart{Name: s.name, Rows: s.rows, Hash: hex.EncodeToString(sum[:])}, sum
}
