package tiles

import (
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// Files calls each for every file of the log at the size of a published
// checkpoint, with its path below the log, with slashes. Together with that
// checkpoint the files are a complete log. each may keep data.
func (r *Reader) Files(size uint64, each func(path string, data []byte) error) error {
	for level := entries; level == entries || size>>(8*level) > 0; level++ {
		for index := uint64(0); ; index++ {
			n, ok := covered(level, index, size)
			if !ok {
				break
			}
			data, err := r.exactly(n)
			if err != nil {
				return err
			}
			if err := each(n.String(), data); err != nil {
				return err
			}
		}
	}
	return nil
}

// exactly reads a file with this width, even if the log has grown since.
func (r *Reader) exactly(n name) ([]byte, error) {
	if n.level != entries {
		return r.Tile(uint64(n.level), n.index, n.width)
	}
	data, err := r.read(n)
	if err != nil {
		return nil, err
	}
	leaves, err := splitBundle(data)
	if len(leaves) < n.width {
		return nil, fmt.Errorf("reading %v of %s: %w", n, r.origin, errors.Join(errWidth, err))
	}
	length := 0
	for _, leaf := range leaves[:n.width] {
		length += 2 + len(leaf)
	}
	return data[:length], nil
}

// Bundle returns the leaves of one bundle of the log at a size, in order,
// beginning with leaf [tlog.TileWidth] × index. Each leaf has the hash that is in
// the log; [Reader.Check] verifies that these hashes are signed.
func (r *Reader) Bundle(index, size uint64) ([][]byte, error) {
	n, ok := covered(entries, index, size)
	if !ok {
		return nil, fmt.Errorf("reading bundle %d of %s: %w", index, r.origin, errBeyond)
	}
	data, err := r.exactly(n)
	if err != nil {
		return nil, err
	}
	leaves, err := splitBundle(data)
	if err != nil {
		return nil, fmt.Errorf("reading %v of %s: %w", n, r.origin, err)
	}
	tile, err := r.Tile(0, n.index, n.width)
	if err != nil {
		return nil, err
	}
	for i, leaf := range leaves {
		if tlog.LeafHash(leaf) != hashAt(tile, i) {
			return nil, fmt.Errorf("reading leaf %d of %s: %w", index*tlog.TileWidth+uint64(i), r.origin, errLeaf)
		}
	}
	return leaves, nil
}
