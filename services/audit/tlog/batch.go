package tlog

import (
	"crypto/sha256"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// EventTree is the tree of the events of one batch message, over all its
// segments in their order. The zero value is empty; once it has held as many
// events, hashing others allocates nothing.
type EventTree struct {
	tree   Range
	leaves []Hash
	leaf   []byte // the prefix and the bytes of one leaf
}

// Reset empties the tree for another message.
func (t *EventTree) Reset() {
	t.tree.Reset()
	t.leaves = t.leaves[:0]
}

// Add adds the events of the next segment. A segment that cannot be decoded has
// no events and is left out.
func (t *EventTree) Add(book events.Book, segment *events.Columns) {
	for i := range segment.N {
		t.leaf = segment.AppendLeaf(append(t.leaf[:0], leafPrefix), book, i)
		hash := Hash(sha256.Sum256(t.leaf))
		t.leaves = append(t.leaves, hash)
		t.tree.Append(hash)
	}
}

// Events returns the number of events.
func (t *EventTree) Events() uint64 { return t.tree.Size() }

// Root returns the root that the usage leaf of the message holds.
func (t *EventTree) Root() Hash { return t.tree.Root() }

// Proof proves the event with this ordinal in the message, from 0, to
// [VerifyInclusion] with [EventTree.Events] and [EventTree.Root].
func (t *EventTree) Proof(ordinal uint64) ([]Hash, error) {
	if ordinal >= t.Events() {
		return nil, fmt.Errorf("proving event %d of a message with %d events: %w", ordinal, t.Events(), errBeyond)
	}
	return path(t.leaves, ordinal), nil
}

// EventRoot returns the root of the events of one segment alone.
func EventRoot(book events.Book, segment *events.Columns) Hash {
	var t EventTree
	t.Add(book, segment)
	return t.Root()
}

// EventProof proves event i of one segment alone.
func EventProof(book events.Book, segment *events.Columns, i uint64) ([]Hash, error) {
	var t EventTree
	t.Add(book, segment)
	return t.Proof(i)
}

// path is PATH of RFC 6962, section 2.1.1.
func path(leaves []Hash, i uint64) []Hash {
	if len(leaves) <= 1 {
		return nil
	}
	k := uint64(1)
	for 2*k < uint64(len(leaves)) {
		k *= 2
	}
	if i < k {
		return append(path(leaves[:k], i), root(leaves[k:]))
	}
	return append(path(leaves[k:], i-k), root(leaves[:k]))
}

func root(leaves []Hash) Hash {
	var t Range
	for _, leaf := range leaves {
		t.Append(leaf)
	}
	return t.Root()
}
