package tlog

import "crypto/sha256"

// StreamTree is the tree of a stream's log, made from the stream's messages by
// whoever reads them from the first one on: settle knows by it the root of
// CONTROL at every position, and puts it into the barriers. The zero value is
// the tree before the first message.
type StreamTree struct {
	tree  Range
	bytes []byte // of the last leaf
}

// Append adds the message at the next position.
func (t *StreamTree) Append(position uint64, subject string, data []byte) {
	leaf := StreamLeaf{Position: position, Subject: subject, Data: sha256.Sum256(data)}
	t.bytes = leaf.Append(t.bytes[:0])
	t.tree.Append(LeafHash(t.bytes))
}

// Size returns the number of messages.
func (t *StreamTree) Size() uint64 { return t.tree.Size() }

// Root returns the root over them.
func (t *StreamTree) Root() [32]byte { return t.tree.Root() }
