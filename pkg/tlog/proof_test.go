package tlog

import (
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// forest is a tree in memory, with its tiles.
type forest struct {
	levels [][]Hash // of every height: the hashes of the complete subtrees
	roots  map[int]Hash
}

func grow(size int) *forest {
	f := &forest{levels: [][]Hash{nil}, roots: map[int]Hash{}}
	for i := range size {
		f.levels[0] = append(f.levels[0], LeafHash(fmt.Append(nil, "leaf ", i)))
	}
	for h := 0; len(f.levels[h]) > 1; h++ {
		var above []Hash
		for i := 0; i+1 < len(f.levels[h]); i += 2 {
			above = append(above, NodeHash(f.levels[h][i], f.levels[h][i+1]))
		}
		f.levels = append(f.levels, above)
	}
	return f
}

func (f *forest) tile(level, index uint64, width int) ([]byte, error) {
	var data []byte
	if int(level*tileHeight) >= len(f.levels) {
		return nil, fmt.Errorf("no level %d", level)
	}
	row := f.levels[level*tileHeight]
	for i := index * TileWidth; i < index*TileWidth+uint64(width); i++ {
		if i >= uint64(len(row)) {
			return nil, fmt.Errorf("no hash %d at level %d", i, level)
		}
		data = append(data, row[i][:]...)
	}
	return data, nil
}

// root is MTH of RFC 6962, section 2.1, exactly as the RFC defines it.
func (f *forest) root(size int) Hash {
	if known, ok := f.roots[size]; ok {
		return known
	}
	var mth func(leaves []Hash) Hash
	mth = func(leaves []Hash) Hash {
		switch len(leaves) {
		case 0:
			return EmptyRoot()
		case 1:
			return leaves[0]
		}
		k := 1
		for 2*k < len(leaves) {
			k *= 2
		}
		return NodeHash(mth(leaves[:k]), mth(leaves[k:]))
	}
	f.roots[size] = mth(f.levels[0][:size])
	return f.roots[size]
}

func TestTheRootIsThatOfTheRFC(t *testing.T) {
	f := grow(1000)
	var r Range
	for size := 0; size <= 1000; size++ {
		want := f.root(size)
		if got := r.Root(); got != want {
			t.Fatalf("root of %d leaves is %v, want %v", size, got, want)
		}
		if got, err := RootOf(uint64(size), f.tile); err != nil || got != want {
			t.Fatalf("root of %d leaves from tiles is %v, %v", size, got, err)
		}
		if size < 1000 {
			r.Append(f.levels[0][size])
		}
	}
}

// sizes are sizes of trees around the limits of tiles, and some between them.
var sizes = []int{1, 2, 3, 4, 7, 8, 100, 255, 256, 257, 511, 512, 513, 770, 65_535, 65_536, 65_537, 66_000}

// golang.org/x/mod/sumdb/tlog, an independent implementation, and our own
// verification accept every proof and refuse it with any one bit flipped.
func TestOthersAcceptOurInclusionProofs(t *testing.T) {
	f := grow(66_000)
	for _, size := range sizes {
		root := f.root(size)
		for _, index := range []int{0, 1, size / 3, size / 2, size - 2, size - 1, 255, 256} {
			if index < 0 || index >= size {
				continue
			}
			proof, err := InclusionProof(uint64(size), uint64(index), f.tile)
			if err != nil {
				t.Fatal(err)
			}
			ours := func(leaf Hash, index, size int, proof []Hash, root Hash) error {
				return VerifyInclusion(leaf, uint64(index), uint64(size), proof, root)
			}
			theirs := func(leaf Hash, index, size int, proof []Hash, root Hash) error {
				var p tlog.RecordProof
				for _, h := range proof {
					p = append(p, tlog.Hash(h))
				}
				return tlog.CheckRecord(p, int64(size), tlog.Hash(root), int64(index), tlog.Hash(leaf))
			}
			for who, verify := range map[string]func(Hash, int, int, []Hash, Hash) error{"ours": ours, "theirs": theirs} {
				leaf := f.levels[0][index]
				if err := verify(leaf, index, size, proof, root); err != nil {
					t.Fatalf("%s: leaf %d of %d: %v", who, index, size, err)
				}
				for i := range proof {
					for bit := range 8 * len(proof[i]) {
						if size > 1000 && bit%37 != i%37 {
							continue
						}
						proof[i][bit/8] ^= 1 << (bit % 8)
						if verify(leaf, index, size, proof, root) == nil {
							t.Fatalf("%s: leaf %d of %d verifies with bit %d of hash %d flipped", who, index, size, bit, i)
						}
						proof[i][bit/8] ^= 1 << (bit % 8)
					}
				}
				refused := map[string]error{
					"another leaf":  verify(flipped(leaf), index, size, proof, root),
					"another root":  verify(leaf, index, size, proof, flipped(root)),
					"a longer path": verify(leaf, index, size, append(proof[:len(proof):len(proof)], leaf), root),
				}
				if size > 1 {
					refused["a shorter path"] = verify(leaf, index, size, proof[:len(proof)-1], root)
					refused["another index"] = verify(leaf, (index+1)%size, size, proof, root)
				}
				if who == "ours" {
					refused["beyond the end"] = verify(leaf, size, size, proof, root)
				}
				for what, err := range refused {
					if err == nil {
						t.Errorf("%s: leaf %d of %d verifies with %s", who, index, size, what)
					}
				}
			}
		}
	}
}

func flipped(h Hash) Hash {
	h[17] ^= 4
	return h
}

func TestOthersAcceptOurConsistencyProofs(t *testing.T) {
	f := grow(66_000)
	for _, to := range sizes {
		for _, from := range append([]int{5, 6, 300}, sizes...) {
			if from > to {
				continue
			}
			proof, err := ConsistencyProof(uint64(from), uint64(to), f.tile)
			if err != nil {
				t.Fatal(err)
			}
			old, root := f.root(from), f.root(to)
			theirs := func() error {
				var p tlog.TreeProof
				for _, h := range proof {
					p = append(p, tlog.Hash(h))
				}
				return tlog.CheckTree(p, int64(to), tlog.Hash(root), int64(from), tlog.Hash(old))
			}
			ours := func() error { return VerifyConsistency(uint64(from), uint64(to), proof, old, root) }
			for who, verify := range map[string]func() error{"ours": ours, "theirs": theirs} {
				if err := verify(); err != nil {
					t.Fatalf("%s: %d to %d: %v", who, from, to, err)
				}
				for i := range proof {
					for at := i % 7; at < len(proof[i]); at += 7 {
						proof[i][at] ^= 1
						if verify() == nil {
							t.Fatalf("%s: %d to %d verifies with byte %d of hash %d flipped", who, from, to, at, i)
						}
						proof[i][at] ^= 1
					}
				}
				old[3] ^= 1
				if verify() == nil {
					t.Errorf("%s: %d to %d verifies from another root", who, from, to)
				}
				old[3] ^= 1
				root[3] ^= 1
				if verify() == nil {
					t.Errorf("%s: %d to %d verifies to another root", who, from, to)
				}
				root[3] ^= 1
			}
		}
	}
	if _, err := ConsistencyProof(2, 1, f.tile); err == nil {
		t.Error("a tree is proved to begin with a larger one")
	}
	if err := VerifyConsistency(0, 5, nil, f.root(3), f.root(5)); err == nil {
		t.Error("a tree without leaves has any root")
	}
	if err := VerifyConsistency(0, 5, nil, EmptyRoot(), f.root(5)); err != nil {
		t.Error(err)
	}
}

// Tiles that a reader truncates or does not have are errors and never give a
// proof.
func TestAProofNeedsItsTiles(t *testing.T) {
	f := grow(600)
	short := func(level, index uint64, width int) ([]byte, error) {
		tile, err := f.tile(level, index, width)
		return tile[:len(tile)/2], err
	}
	if _, err := InclusionProof(600, 599, short); err == nil {
		t.Error("proved from half a tile")
	}
	if _, err := InclusionProof(700, 0, f.tile); err == nil {
		t.Error("proved in a tree that there is not")
	}
	if _, err := InclusionProof(600, 600, f.tile); err == nil {
		t.Error("proved beyond the end")
	}
}

// golang.org/x/mod reads the tiles themselves and computes the same root.
func TestOthersReadOurTiles(t *testing.T) {
	f := grow(66_000)
	for _, size := range sizes {
		hashes := tlog.TileHashReader(tlog.Tree{N: int64(size), Hash: tlog.Hash(f.root(size))}, tileReader{f})
		root, err := tlog.TreeHash(int64(size), hashes)
		if err != nil || Hash(root) != f.root(size) {
			t.Errorf("root of %d leaves is %v, %v", size, root, err)
		}
		proof, err := tlog.ProveRecord(int64(size), int64(size/2), hashes)
		if err != nil {
			t.Error(err)
		}
		ours, err := InclusionProof(uint64(size), uint64(size/2), f.tile)
		if err != nil || fmt.Sprint(ours) != fmt.Sprint(proof) {
			t.Errorf("leaf %d of %d: %v, %v; want %v", size/2, size, ours, err, proof)
		}
	}
}

type tileReader struct{ *forest }

func (r tileReader) Height() int { return tileHeight }

func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, t := range tiles {
		data, err := r.tile(uint64(t.L), uint64(t.N), t.W)
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (r tileReader) SaveTiles([]tlog.Tile, [][]byte) {}
