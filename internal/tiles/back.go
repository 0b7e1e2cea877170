package tiles

import (
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// Back calls each for the leaves before leaf i, the nearest first, until each
// returns false. Each bundle is read once. The leaves are not checked against
// their hashes: prove the one that is needed.
func (r *Reader) Back(i uint64, each func(i uint64, leaf []byte) bool) error {
	c, _, err := r.Checkpoint()
	if err != nil {
		return err
	}
	if i > c.Size {
		return fmt.Errorf("reading back from leaf %d of %s: %w", i, r.origin, errBeyond)
	}
	for i > 0 {
		index := (i - 1) / tlog.TileWidth
		n, ok := covered(entries, index, c.Size)
		if !ok {
			return fmt.Errorf("reading back from leaf %d of %s: %w", i, r.origin, errBeyond)
		}
		bundle, err := r.read(n)
		if err != nil {
			return err
		}
		leaves, err := splitBundle(bundle)
		if have := index*tlog.TileWidth + uint64(len(leaves)); have < i {
			return fmt.Errorf("reading leaf %d of %s: %w", have, r.origin, errors.Join(errWidth, err))
		}
		for ; i > index*tlog.TileWidth; i-- {
			if !each(i-1, leaves[i-1-index*tlog.TileWidth]) {
				return nil
			}
		}
	}
	return nil
}
