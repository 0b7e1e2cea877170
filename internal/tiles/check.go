package tiles

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// Fault is a file of a log that differs from what was signed.
type Fault struct {
	Path  string // below the log, with slashes
	First uint64 // the first leaf that it covers
	Last  uint64 // and the last one
	Err   error  // what is wrong
}

// Error names the file.
func (f Fault) Error() string {
	return fmt.Sprintf("%s (leaves %d to %d): %v", f.Path, f.First, f.Last, f.Err)
}

// Unwrap returns what is wrong.
func (f Fault) Unwrap() error { return f.Err }

var errShorter = errors.New("the present tile does not begin with it")

var errBelow = errors.New("it does not have the hashes of what is below it")

// Check hashes every leaf and every tile that the published checkpoint covers. It
// reports each file that differs from what was signed, tiles level by level from
// the leaves up. If two files disagree, the one above decides, up to the signed
// root. The returned error means that there is no checkpoint to compare with.
func (r *Reader) Check(report func(Fault)) error {
	c, _, err := r.Checkpoint()
	if err != nil {
		return err
	}
	k := check{Reader: r, size: c.Size, report: report}
	root, err := tlog.RootOf(c.Size, r.Tile)
	k.edge = err == nil && root == c.Root
	if !k.edge {
		root, err := tlog.RootOf(c.Size, k.rebuilt)
		k.below = err == nil && root == c.Root
	}
	for level := 0; c.Size>>(8*level) > 0; level++ {
		for index := uint64(0); ; index++ {
			n, ok := covered(level, index, c.Size)
			if !ok {
				break
			}
			before := k.faults
			k.tile(n)
			if k.faults > before {
				continue
			}
			k.shorter(n)
			if level == 0 {
				k.shorter(name{entries, n.index, n.width})
			}
		}
	}
	if !k.edge && k.faults == 0 {
		k.fault(name{level: checkpointLevel, width: tlog.TileWidth}, 0, 0, errTail)
	}
	return nil
}

// checkpointLevel is the level of the checkpoint in a name.
const checkpointLevel = -2

// check is one run of [Reader.Check].
type check struct {
	*Reader
	size   uint64
	edge   bool // the partial tiles on disk hash to the signed root
	below  bool // they do not, but tiles rebuilt from what is below them do
	faults int
	report func(Fault)
}

func (k *check) fault(n name, offset, count int, err error) {
	k.faults++
	if n.level == checkpointLevel {
		k.report(Fault{checkpointName, 0, max(k.size, 1) - 1, err})
		return
	}
	span := uint64(1) << (8 * max(n.level, 0))
	first := (n.index*tlog.TileWidth + uint64(offset)) * span
	k.report(Fault{n.String(), first, first + uint64(count)*span - 1, err})
}

// tile checks a tile against the one above it or the root, and a tile of level 0
// also against its leaves.
func (k *check) tile(n name) {
	tile, err := k.Tile(uint64(n.level), n.index, n.width)
	signed := err == nil && k.signed(n, tile)
	if signed && n.level > 0 {
		return
	}
	below, belowErr := k.fromBelow(n)
	switch {
	case err != nil:
		k.fault(n, 0, n.width, err)
	case signed, belowErr == nil && bytes.Equal(below, tile):
		// The tile is right, or the fault is above it.
	default:
		k.fault(n, 0, n.width, errBelow)
	}
	if n.level == 0 {
		k.bundle(n, tile, signed, below, belowErr)
	}
}

// bundle checks the leaves from which below was computed.
func (k *check) bundle(n name, tile []byte, tileSigned bool, below []byte, err error) {
	bundle := name{entries, n.index, n.width}
	switch {
	case err != nil:
		k.fault(bundle, 0, n.width, err)
	case tileSigned:
		for i := range n.width {
			if hashAt(below, i) != hashAt(tile, i) {
				k.fault(bundle, i, 1, errLeaf)
			}
		}
	case bytes.Equal(below, tile) || n.width == tlog.TileWidth && k.signed(n, below) || n.width < tlog.TileWidth && k.below:
		// The fault is above, or only in the tile.
	default:
		k.fault(bundle, 0, n.width, errLeaf)
	}
}

// shorter checks the remaining shorter versions of a tile or bundle, from earlier
// checkpoints. They are still served, and the present one must begin with each of
// them.
func (k *check) shorter(n name) {
	whole, err := k.read(n)
	if err != nil {
		return // It was already reported.
	}
	for _, s := range standing(k.dir, n.level, n.index) {
		if s.width >= n.width {
			continue
		}
		path := filepath.Join(k.dir, filepath.FromSlash(s.String()))
		if data, err := os.ReadFile(path); err != nil {
			k.fault(s, 0, s.width, err)
		} else if !bytes.HasPrefix(whole, data) || s.widthOf(data) != s.width {
			k.fault(s, 0, s.width, errShorter)
		}
	}
}

// widthOf is the number of hashes or leaves in a file of this kind.
func (n name) widthOf(data []byte) int {
	if n.level != entries {
		return len(data) / len(tlog.Hash{})
	}
	leaves, _ := splitBundle(data)
	return len(leaves)
}

// signed reports whether the root confirms these hashes: those of a full tile
// through the tile above it, those of a partial one together with the rest of the
// right edge.
func (k *check) signed(n name, tile []byte) bool {
	if n.width < tlog.TileWidth {
		return k.edge || k.below && k.isBelow(n, tile)
	}
	return k.checkParent(n, tile, k.size) == nil
}

func (k *check) isBelow(n name, tile []byte) bool {
	below, err := k.fromBelow(n)
	return err == nil && bytes.Equal(below, tile)
}

// rebuilt is a tlog.TileReader that makes partial tiles from what is below them.
func (k *check) rebuilt(level, index uint64, width int) ([]byte, error) {
	if width == tlog.TileWidth {
		return k.Tile(level, index, width)
	}
	return k.fromBelow(name{int(level), index, width})
}

// fromBelow computes a tile from the leaves or tiles below it.
func (k *check) fromBelow(n name) ([]byte, error) {
	made := make([]byte, 0, n.width*len(tlog.Hash{}))
	if n.level == 0 {
		bundle, err := k.read(name{entries, n.index, n.width})
		if err != nil {
			return nil, err
		}
		leaves, err := splitBundle(bundle)
		if err != nil || len(leaves) < n.width {
			return nil, errors.Join(errWidth, err)
		}
		for _, leaf := range leaves[:n.width] {
			hash := tlog.LeafHash(leaf)
			made = append(made, hash[:]...)
		}
		return made, nil
	}
	for i := range n.width {
		tile, err := k.Tile(uint64(n.level-1), n.index*tlog.TileWidth+uint64(i), tlog.TileWidth)
		if err != nil {
			return nil, err
		}
		hash := tileRoot(tile)
		made = append(made, hash[:]...)
	}
	return made, nil
}

// checkParent checks a full tile against the tile above it. A partial tile has no
// parent: the root checks it.
func (r *Reader) checkParent(n name, tile []byte, size uint64) error {
	if n.width < tlog.TileWidth {
		return nil
	}
	parent, ok := covered(n.level+1, n.index/tlog.TileWidth, size)
	if !ok {
		return nil
	}
	above, err := r.Tile(uint64(parent.level), parent.index, parent.width)
	if err != nil {
		return err
	}
	if tileRoot(tile) != hashAt(above, int(n.index%tlog.TileWidth)) {
		return fmt.Errorf("comparing %v with %v: %w", n, parent, errParent)
	}
	return nil
}
