package tlog

import "crypto/sha256"

// StreamTree is the tree of a stream's log. A reader of the stream builds it from
// the messages, from the first one on: settle uses it to know the root of CONTROL
// at every position, and puts the root into the barriers. The zero value is the
// tree before the first message.
type StreamTree struct {
	tree  Range
	bytes []byte // of the last leaf
}

// Append adds the message at this position, which must be the next one.
func (t *StreamTree) Append(position uint64, subject string, data []byte) {
	leaf := StreamLeaf{Position: position, Subject: subject, Data: sha256.Sum256(data)}
	t.bytes = leaf.Append(t.bytes[:0])
	t.tree.Append(LeafHash(t.bytes))
}

// Size returns the number of messages.
func (t *StreamTree) Size() uint64 { return t.tree.Size() }

// Root returns the root over all messages.
func (t *StreamTree) Root() [32]byte { return t.tree.Root() }
