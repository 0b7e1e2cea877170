package tlog

import (
	"crypto/sha256"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/leaf"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/tlog/digest"
)

// EventTree is the tree of one batch message: the leaves of its events, over all
// its segments in their order, followed by the leaves of the contexts that they
// have. The zero value is empty. A tree that is used again does not allocate for
// messages with at most as many events as before.
//
// Leaves that need the same number of SHA-256 blocks are hashed together, up to
// [together] at a time, and so are the nodes of each level.
type EventTree struct {
	leaves   []Hash // of the events
	contexts []Hash
	all      []Hash // both, and then the nodes of each level; used again by each Root
	put      packed.Leaves
	short    padded
	long     padded
	context  []byte // the bytes of one
}

const (
	together = 128
	// Most leaves take one block, a few take two; longer ones are hashed one by
	// one.
	shortBlocks = 1
	longBlocks  = 2
)

// padded collects leaves that take the same number of blocks, padded to full
// blocks.
type padded struct {
	bytes []byte
	of    []int // index of the event of each
}

// Reset empties the tree for the next message.
func (t *EventTree) Reset() {
	t.leaves = t.leaves[:0]
	t.contexts = t.contexts[:0]
}

// Add adds the events of the next segment. A segment that cannot be decoded has
// no events and is not added.
func (t *EventTree) Add(book events.Book, segment *packed.Columns) {
	if t.short.bytes == nil {
		t.short.bytes = make([]byte, together*shortBlocks*digest.BlockSize+1+packed.LeafRoom)
		t.long.bytes = make([]byte, together*longBlocks*digest.BlockSize)
	}
	first := len(t.leaves)
	t.leaves = append(t.leaves, make([]Hash, segment.N)...)
	t.put.Begin(segment, book, uint64(len(t.contexts)))
	for i := range segment.N {
		// A short leaf is written directly to its final place.
		at := len(t.short.of) * digest.BlockSize
		room := t.short.bytes[at:]
		n := 1 + t.put.Put((*[packed.LeafRoom]byte)(room[1:]), i)
		room[0] = leafPrefix
		switch digest.Blocks(n) {
		case shortBlocks:
			digest.Pad(room[:digest.BlockSize], n)
			t.short.add(t.leaves, first+i, shortBlocks)
		case longBlocks:
			at := len(t.long.of) * longBlocks * digest.BlockSize
			digest.Pad(t.long.bytes[at:][:longBlocks*digest.BlockSize], copy(t.long.bytes[at:], room[:n]))
			t.long.add(t.leaves, first+i, longBlocks)
		default:
			t.leaves[first+i] = sha256.Sum256(room[:n])
		}
	}
	t.short.flush(t.leaves, shortBlocks)
	t.long.flush(t.leaves, longBlocks)
	for k := range t.put.Contexts() {
		t.context = t.put.AppendContext(t.context[:0], k)
		t.contexts = append(t.contexts, LeafHash(t.context))
	}
}

// add records which event's leaf the next place holds.
func (p *padded) add(leaves []Hash, event, blocks int) {
	if p.of = append(p.of, event); len(p.of) == together {
		p.flush(leaves, blocks)
	}
}

// flush hashes the leaves that were added.
func (p *padded) flush(leaves []Hash, blocks int) {
	n := len(p.of)
	if n == 0 {
		return
	}
	if first := p.of[0]; p.of[n-1]-first == n-1 {
		digest.Sum(leaves[first:first+n], p.bytes, blocks)
	} else {
		var sums [together]Hash
		digest.Sum(sums[:n], p.bytes, blocks)
		for k, event := range p.of {
			leaves[event] = sums[k]
		}
	}
	p.of = p.of[:0]
}

// ContextHash returns the hash of a context's leaf.
func ContextHash(c *leaf.Context) Hash { return LeafHash(c.Append(nil)) }

// EventHash returns the hash of the leaf of an event whose context has that
// number. It fails for a value that no event can have.
func EventHash(context uint64, u *events.Usage) (Hash, error) {
	leaf, err := leaf.Append(nil, context, u)
	return LeafHash(leaf), err
}

// Events returns the number of events.
func (t *EventTree) Events() uint64 { return uint64(len(t.leaves)) }

// Contexts returns the number of contexts.
func (t *EventTree) Contexts() uint64 { return uint64(len(t.contexts)) }

// Number returns the number, in the message, of the context of event i of the
// segment added last.
func (t *EventTree) Number(i int) uint64 { return t.put.Number(i) }

// Root returns the root that the usage leaf of the message holds.
func (t *EventTree) Root() Hash {
	t.all = append(append(t.all[:0], t.leaves...), t.contexts...)
	return reduce(t.all)
}

// Describe writes the description of the tree to the message's usage leaf.
func (t *EventTree) Describe(leaf *UsageLeaf) {
	leaf.Events, leaf.Contexts, leaf.EventRoot = t.Events(), t.Contexts(), t.Root()
}

// Proof returns the proof of the event with this ordinal in the message, from 0.
// It verifies with [VerifyInclusion] for this index, [UsageLeaf.Leaves] and
// [EventTree.Root].
func (t *EventTree) Proof(ordinal uint64) ([]Hash, error) {
	if ordinal >= t.Events() {
		return nil, fmt.Errorf("proving event %d of a message with %d events: %w", ordinal, t.Events(), errBeyond)
	}
	return t.path(ordinal), nil
}

// ContextProof returns the proof of the context with this number. Its index in
// the tree is the number of events plus its own number.
func (t *EventTree) ContextProof(number uint64) ([]Hash, error) {
	if number >= t.Contexts() {
		return nil, fmt.Errorf("proving context %d of a message with %d: %w", number, t.Contexts(), errBeyond)
	}
	return t.path(t.Events() + number), nil
}

// path is PATH of RFC 6962, section 2.1.1: it gives the sibling on each level; a
// last node without a sibling moves up unchanged.
func (t *EventTree) path(i uint64) []Hash {
	t.all = append(append(t.all[:0], t.leaves...), t.contexts...)
	var path []Hash
	for level := t.all; len(level) > 1; level = raise(level) {
		if sibling := i ^ 1; sibling < uint64(len(level)) {
			path = append(path, level[sibling])
		}
		i /= 2
	}
	return path
}

// reduce returns the root over hashes, which it overwrites.
func reduce(level []Hash) Hash {
	if len(level) == 0 {
		return EmptyRoot()
	}
	for len(level) > 1 {
		level = raise(level)
	}
	return level[0]
}

// raise replaces a level by the level above it.
func raise(level []Hash) []Hash {
	n := len(level)
	digest.Nodes(level[:n/2], level[:n&^1])
	if n&1 == 1 {
		level[n/2] = level[n-1]
	}
	return level[:(n+1)/2]
}
