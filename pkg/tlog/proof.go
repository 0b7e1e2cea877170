package tlog

import (
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
)

// TileWidth is the number of hashes in a full tile, and of entries in a full
// bundle.
const TileWidth = 1 << tileHeight

const tileHeight = 8

// A TileReader returns the tile with this level and index, as C2SP tlog-tiles
// defines it: width hashes of 32 bytes, of the nodes that are 8 × level above the
// leaves. A width below [TileWidth] asks for the partial tile; a reader may
// return a longer tile that begins with it. The caller does not keep the bytes.
type TileReader func(level, index uint64, width int) ([]byte, error)

var (
	errBeyond    = errors.New("beyond the end of the tree")
	errShortTile = errors.New("the tile is truncated")
	errNegative  = errors.New("the later tree is smaller")
)

// InclusionProof returns the proof of the leaf at index in the tree of this size.
func InclusionProof(size, index uint64, tiles TileReader) ([]Hash, error) {
	if index >= size {
		return nil, fmt.Errorf("proving leaf %d in a tree of %d: %w", index, size, errBeyond)
	}
	plan, err := proof.Inclusion(index, size)
	if err != nil {
		return nil, fmt.Errorf("proving leaf %d in a tree of %d: %w", index, size, err)
	}
	hashes, err := collect(plan, size, tiles)
	if err != nil {
		return nil, fmt.Errorf("proving leaf %d in a tree of %d: %w", index, size, err)
	}
	return hashes, nil
}

// ConsistencyProof returns the proof that the tree of size to begins with the
// tree of size from. It is empty if from is 0 or equal to to, because every tree
// begins with the empty one.
func ConsistencyProof(from, to uint64, tiles TileReader) ([]Hash, error) {
	if from > to {
		return nil, fmt.Errorf("proving %d leaves as the beginning of %d: %w", from, to, errNegative)
	}
	plan, err := proof.Consistency(from, to)
	if err != nil {
		return nil, fmt.Errorf("proving %d leaves as the beginning of %d: %w", from, to, err)
	}
	hashes, err := collect(plan, to, tiles)
	if err != nil {
		return nil, fmt.Errorf("proving %d leaves as the beginning of %d: %w", from, to, err)
	}
	return hashes, nil
}

// RootOf computes the root of the first size leaves from their tiles.
func RootOf(size uint64, tiles TileReader) (Hash, error) {
	hashes, err := RangeOf(size, tiles)
	if err != nil {
		return Hash{}, err
	}
	return hashes.Root(), nil
}

// RangeOf returns the tree of the first size leaves, read from their tiles. It
// reads one complete subtree for each bit that is set in size, so it checks
// nothing before the last tiles.
func RangeOf(size uint64, tiles TileReader) (*Range, error) {
	ids := compact.RangeNodes(0, size, nil)
	r := &Range{size: size, hashes: make([]Hash, 0, len(ids))}
	for _, id := range ids {
		hash, err := node(id, size, tiles)
		if err != nil {
			return nil, fmt.Errorf("reading a tree of %d leaves: %w", size, err)
		}
		r.hashes = append(r.hashes, hash)
	}
	return r, nil
}

// collect reads the nodes of a plan and combines those of its incomplete subtree.
func collect(plan proof.Nodes, size uint64, tiles TileReader) ([]Hash, error) {
	found := make([][]byte, 0, len(plan.IDs))
	for _, id := range plan.IDs {
		hash, err := node(id, size, tiles)
		if err != nil {
			return nil, err
		}
		found = append(found, hash[:])
	}
	folded, err := plan.Rehash(found, hasher{}.HashChildren)
	if err != nil {
		return nil, err
	}
	hashes := make([]Hash, len(folded))
	for i, hash := range folded {
		hashes[i] = Hash(hash)
	}
	return hashes, nil
}

// node reads a node that is complete in a tree of this size. It computes the node
// from the hashes below it in the tile that contains them.
func node(id compact.NodeID, size uint64, tiles TileReader) (Hash, error) {
	level := uint64(id.Level) / tileHeight
	first := id.Index << (id.Level % tileHeight) // counted in hashes of the tile's level
	count := uint64(1) << (id.Level % tileHeight)
	index := first / TileWidth
	width := min(TileWidth, (size>>(level*tileHeight))-index*TileWidth)
	tile, err := tiles(level, index, int(width))
	if err != nil {
		return Hash{}, fmt.Errorf("reading tile %d/%d: %w", level, index, err)
	}
	offset := first % TileWidth
	if uint64(len(tile)) < (offset+count)*uint64(len(Hash{})) {
		return Hash{}, fmt.Errorf("reading tile %d/%d: %w", level, index, errShortTile)
	}
	var r Range
	for i := offset; i < offset+count; i++ {
		r.Append(Hash(tile[i*uint64(len(Hash{})):]))
	}
	return r.Root(), nil
}

// VerifyInclusion returns an error if the proof does not show that a leaf with
// this hash has this index in the tree with this size and root.
func VerifyInclusion(leaf Hash, index, size uint64, path []Hash, root Hash) error {
	if err := proof.VerifyInclusion(hasher{}, index, size, leaf[:], raw(path), root[:]); err != nil {
		return fmt.Errorf("verifying leaf %d in a tree of %d: %w", index, size, err)
	}
	return nil
}

// VerifyConsistency returns an error if the proof does not show that the tree of
// size to begins with the tree of size from.
func VerifyConsistency(from, to uint64, path []Hash, fromRoot, toRoot Hash) error {
	if from == 0 && fromRoot != EmptyRoot() {
		// The library accepts any root of a tree without leaves.
		return fmt.Errorf("verifying %d leaves as the beginning of %d: %w", from, to, errEmptyRoot)
	}
	if err := proof.VerifyConsistency(hasher{}, from, to, raw(path), fromRoot[:], toRoot[:]); err != nil {
		return fmt.Errorf("verifying %d leaves as the beginning of %d: %w", from, to, err)
	}
	return nil
}

var errEmptyRoot = errors.New("it is not the root of a tree without leaves")

func raw(hashes []Hash) [][]byte {
	s := make([][]byte, len(hashes))
	for i := range hashes {
		s[i] = hashes[i][:]
	}
	return s
}

// hasher implements merkle.LogHasher with the functions of this package.
type hasher struct{}

func (hasher) EmptyRoot() []byte {
	h := EmptyRoot()
	return h[:]
}

func (hasher) HashLeaf(leaf []byte) []byte {
	h := LeafHash(leaf)
	return h[:]
}

func (hasher) HashChildren(left, right []byte) []byte {
	h := NodeHash(Hash(left), Hash(right))
	return h[:]
}

func (hasher) Size() int { return len(Hash{}) }
