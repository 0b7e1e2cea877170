package tlog

// Range is a growing tree. It keeps the roots of the complete subtrees from the
// largest, on the left, to the smallest: one for each bit that is set in its
// size. The zero value is the empty tree.
type Range struct {
	size   uint64
	hashes []Hash
}

// Reset makes the tree empty.
func (r *Range) Reset() { r.size, r.hashes = 0, r.hashes[:0] }

// Append adds the hash of the next leaf.
func (r *Range) Append(leaf Hash) {
	for s := r.size; s&1 == 1; s >>= 1 {
		last := len(r.hashes) - 1
		leaf = NodeHash(r.hashes[last], leaf)
		r.hashes = r.hashes[:last]
	}
	r.hashes = append(r.hashes, leaf)
	r.size++
}

// Size returns the number of leaves.
func (r *Range) Size() uint64 { return r.size }

// Hashes returns a copy of the roots of the complete subtrees, left to right.
func (r *Range) Hashes() []Hash { return append([]Hash(nil), r.hashes...) }

// Root returns the root of the tree.
func (r *Range) Root() Hash {
	if len(r.hashes) == 0 {
		return EmptyRoot()
	}
	root := r.hashes[len(r.hashes)-1]
	for i := len(r.hashes) - 2; i >= 0; i-- {
		root = NodeHash(r.hashes[i], root)
	}
	return root
}
