// Package state summarises in one line what a store has derived from the streams,
// so that two machines can compare that line.
//
// The method: every relation of the store that is a function of the streams is
// read in its order and hashed row by row; the state root is the hash over the
// hashes of all relations. If two roots differ, the parts show in which relation.
//
// # Invariants
//
//   - A function of the streams: equal streams up to equal positions give equal
//     roots, on every machine and every store, however they were read. Numbers
//     that a store assigns, creation times of streams and names of processes are
//     left out. Of what the distributor has read of LEDGER, only what is at or
//     before a position on which a distribution rests is included.
//   - Complete: a row that is missing, added or changed changes the root.
//   - Bounded: memory holds one row, and the sums of journal_hash.
//
// # Bytes
//
// The root is the SHA-256 of
//
//	"aliquot state 1\n"
//	for each part:  text name, uvarint rows, 32 bytes SHA-256 of its rows
//
// and the rows of a part are, for each row, its values, each of them one of
//
//	0                        nothing
//	1, varint                an integer (zigzag)
//	2, uvarint length, bytes a text
//	3, uvarint length, bytes bytes; amounts, quantities and units are the 16 of
//	                         package money
//
// The text of a part's name is its length as a uvarint and its bytes.
package state

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

const magic = "aliquot state 1\n"

// Of reads a store at one commit. It takes as long as reading the whole store.
func Of(snapshot *store.Snapshot) (*settlement.State, error) { return After(snapshot, nil) }

// After does the same as Of for a caller that has already read a part of the
// store, which has not changed since. It does not change known except for its
// journal.
func After(snapshot *store.Snapshot, known *Known) (*settlement.State, error) {
	s, err := of(snapshot, known)
	if err != nil {
		return nil, fmt.Errorf("hashing the state: %w", err)
	}
	return s, nil
}

func of(snapshot *store.Snapshot, known *Known) (*settlement.State, error) {
	if known == nil {
		known = &Known{}
	}
	s := &settlement.State{}
	cursors, err := snapshot.Cursors()
	if err != nil {
		return nil, err
	}
	for _, c := range cursors {
		s.Partitions = append(s.Partitions, settlement.StatePartition{Partition: c.Partition, Stream: c.Stream, Usage: c.Position, Control: c.Control})
	}
	done, err := snapshot.DistributeCursor()
	if err != nil {
		return nil, err
	}
	s.Distributed = done.Control.Position
	made, err := snapshot.Distributions("")
	if err != nil {
		return nil, err
	}
	for _, d := range made {
		s.Ledger, s.Register = max(s.Ledger, d.Ledger), max(s.Register, d.Register)
	}
	whole := sha256.New()
	_, _ = whole.Write([]byte(magic))
	for _, relation := range store.Relations(s.Ledger) {
		sum := known.sum(relation)
		if sum == nil {
			sum = NewSum(relation)
			if err := snapshot.Rows(relation, sum.Add); err != nil {
				return nil, err
			}
		}
		part, hash := sum.part()
		b := binary.AppendUvarint(nil, uint64(len(part.Name)))
		b = binary.AppendUvarint(append(b, part.Name...), part.Rows)
		_, _ = whole.Write(append(b, hash[:]...))
		s.Parts = append(s.Parts, part)
	}
	s.Root = hex.EncodeToString(whole.Sum(nil))
	journal := known.Journal
	if journal == nil {
		if journal, err = settledOf(snapshot); err != nil {
			return nil, err
		}
	}
	s.JournalHash, err = hashOf(snapshot, journal)
	return s, err
}

// JournalHash returns the journal_hash of a store's whole journal.
func JournalHash(snapshot *store.Snapshot) (string, error) {
	journal, err := settledOf(snapshot)
	if err != nil {
		return "", err
	}
	return hashOf(snapshot, journal)
}

// settledOf sums what settle wrote to the journal.
func settledOf(snapshot *store.Snapshot) (*ledger.Journal, error) {
	journal := ledger.NewJournal()
	return journal, add(snapshot, journal, true)
}

// hashOf adds what distribute wrote to the sums of settle, and returns the hash.
func hashOf(snapshot *store.Snapshot, journal *ledger.Journal) (string, error) {
	if err := add(snapshot, journal, false); err != nil {
		return "", err
	}
	sum := journal.Hash()
	return hex.EncodeToString(sum[:]), nil
}

func add(snapshot *store.Snapshot, journal *ledger.Journal, settled bool) error {
	writers, err := snapshot.Writers()
	if err != nil {
		return err
	}
	for _, w := range writers {
		if (w.Name != store.DistributeWriter) != settled {
			continue
		}
		err := snapshot.Journal(w, 1, func(row store.Written) error {
			record, err := ledger.DecodeRecord(row.Record)
			if err != nil {
				return fmt.Errorf("row %d of %s: %w", row.Number, w.Name, err)
			}
			return journal.Add(&record)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
