// Package state says in one line what a store has derived from the streams, so
// that two machines compare that line.
//
// The method: every relation of the store that is a function of the streams is
// read in its order and hashed row by row; the state root is the hash over the
// hashes of all of them. Where two roots differ, the parts say in which relation.
//
// # Invariants
//
//   - A function of the streams: equal streams up to equal positions give equal
//     roots, on every machine and every store, however they were read. Numbers
//     that a store gives out, creation times of streams and names of processes
//     are not in it. Of what the distributor has read of LEDGER, only what is at
//     or before the position that a distribution rests on.
//   - Everything: a row that is gone, added or changed changes the root.
//   - Bounded: one row is in memory, and what journal_hash sums.
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
// A text outside is its length as a uvarint and its bytes.
package state

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
)

const magic = "aliquot state 1\n"

// State is what a store has derived, in one line and in parts.
type State struct {
	Root        string      `json:"state_root" doc:"Hash over everything below; equal streams give an equal one."`
	JournalHash string      `json:"journal_hash"`
	Partitions  []Partition `json:"partitions" doc:"How far usage is settled."`
	Distributed uint64      `json:"distributed" doc:"CONTROL position up to which the distributor has acted."`
	Ledger      uint64      `json:"ledger" doc:"Last position of LEDGER that a distribution rests on."`
	Register    uint64      `json:"register" doc:"Likewise of REGISTER."`
	Parts       []Part      `json:"parts" doc:"Every relation, in the order in which one follows from another."`
}

// Partition is how far one partition's usage is settled.
type Partition struct {
	Partition int    `json:"partition"`
	Stream    string `json:"stream"`
	Usage     uint64 `json:"usage" doc:"Position."`
	Control   uint64 `json:"control" doc:"Position of CONTROL that was in effect there."`
}

// Part is one relation.
type Part struct {
	Name string `json:"name"`
	Rows uint64 `json:"rows"`
	Hash string `json:"hash"`
}

// Of reads a store at one commit. It takes as long as reading all of it.
func Of(snapshot *store.Snapshot) (*State, error) {
	s, err := of(snapshot)
	if err != nil {
		return nil, fmt.Errorf("hashing the state: %w", err)
	}
	return s, nil
}

func of(snapshot *store.Snapshot) (*State, error) {
	s := &State{}
	cursors, err := snapshot.Cursors()
	if err != nil {
		return nil, err
	}
	for _, c := range cursors {
		s.Partitions = append(s.Partitions, Partition{c.Partition, c.Stream, c.Position, c.Control})
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
		part, sum, err := partOf(snapshot, relation)
		if err != nil {
			return nil, err
		}
		b := binary.AppendUvarint(nil, uint64(len(part.Name)))
		b = binary.AppendUvarint(append(b, part.Name...), part.Rows)
		_, _ = whole.Write(append(b, sum[:]...))
		s.Parts = append(s.Parts, part)
	}
	s.Root = hex.EncodeToString(whole.Sum(nil))
	s.JournalHash, err = JournalHash(snapshot)
	return s, err
}

func partOf(snapshot *store.Snapshot, relation store.Relation) (Part, [32]byte, error) {
	part := Part{Name: relation.Name}
	hash := sha256.New()
	out := bufio.NewWriterSize(hash, 64<<10)
	var scratch []byte
	err := snapshot.Rows(relation, func(row []store.Field) error {
		part.Rows++
		scratch = scratch[:0]
		for _, f := range row {
			switch v := f.Value.(type) {
			case nil:
				scratch = append(scratch, 0)
			case int64:
				scratch = binary.AppendVarint(append(scratch, 1), v)
			case string:
				scratch = append(binary.AppendUvarint(append(scratch, 2), uint64(len(v))), v...)
			case []byte:
				scratch = append(binary.AppendUvarint(append(scratch, 3), uint64(len(v))), v...)
			default:
				return fmt.Errorf("%s: a %T in column %s", relation.Name, v, f.Name)
			}
		}
		_, err := out.Write(scratch)
		return err
	})
	if err == nil {
		err = out.Flush()
	}
	sum := [32]byte(hash.Sum(nil))
	part.Hash = hex.EncodeToString(sum[:])
	return part, sum, err
}

// JournalHash is journal_hash of everything in a store's journal.
func JournalHash(snapshot *store.Snapshot) (string, error) {
	journal := ledger.NewJournal()
	err := snapshot.Entries("", func(_ string, _ store.Written, record *ledger.Record) error { return journal.Add(record) })
	sum := journal.Hash()
	return hex.EncodeToString(sum[:]), err
}
