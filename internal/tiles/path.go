package tiles

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// entries is the level of bundles below; tiles have levels from 0.
const entries = -1

// maxLevel is the highest level of a tile in a tree of 2⁶⁴ leaves.
const maxLevel = 7

// name names a tile or a bundle of leaves. Width is [tlog.TileWidth] if it is
// full.
type name struct {
	level int
	index uint64
	width int
}

// String returns the path below the log, with slashes.
func (n name) String() string {
	path := n.full()
	if n.width < tlog.TileWidth {
		path += ".p/" + strconv.Itoa(n.width)
	}
	return path
}

// full returns the path of the full tile.
func (n name) full() string {
	path := fmt.Sprintf("%03d", n.index%1000)
	for rest := n.index / 1000; rest > 0; rest /= 1000 {
		path = fmt.Sprintf("x%03d/%s", rest%1000, path)
	}
	if n.level == entries {
		return "tile/entries/" + path
	}
	return "tile/" + strconv.Itoa(n.level) + "/" + path
}

var errPath = errors.New("not the path of a tile")

// parseName reads exactly what [name.String] writes.
func parseName(path string) (n name, err error) {
	fail := fmt.Errorf("%w: %q", errPath, path)
	parts := strings.Split(path, "/")
	if len(parts) < 3 || parts[0] != "tile" || len(parts) > 11 {
		return n, fail
	}
	n = name{level: entries, width: tlog.TileWidth}
	if parts[1] != "entries" {
		if n.level, err = strconv.Atoi(parts[1]); err != nil || n.level < 0 || n.level > maxLevel {
			return n, fail
		}
	}
	digits := parts[2:]
	if last := len(digits) - 1; last > 0 && strings.HasSuffix(digits[last-1], ".p") {
		if n.width, err = strconv.Atoi(digits[last]); err != nil || n.width < 1 || n.width >= tlog.TileWidth {
			return n, fail
		}
		digits[last-1] = strings.TrimSuffix(digits[last-1], ".p")
		digits = digits[:last]
	}
	text := ""
	for i, group := range digits {
		if i < len(digits)-1 {
			var ok bool
			if group, ok = strings.CutPrefix(group, "x"); !ok {
				return n, fail
			}
		}
		if len(group) != 3 {
			return n, fail
		}
		text += group
	}
	if n.index, err = strconv.ParseUint(text, 10, 64); err != nil || n.String() != path {
		return n, fail
	}
	return n, nil
}

// covered returns the tile of this level and index in a tree of this size, or
// false if the tree does not have it.
func covered(level int, index, size uint64) (name, bool) {
	count := size >> (8 * max(level, 0))
	if index > count/tlog.TileWidth || index*tlog.TileWidth == count {
		return name{}, false
	}
	return name{level, index, int(min(tlog.TileWidth, count-index*tlog.TileWidth))}, true
}

// TilePath returns the path of a tile below its log, with slashes, on disk and
// over HTTP. A width below [tlog.TileWidth] gives the partial tile.
func TilePath(level, index uint64, width int) string {
	return name{int(level), index, width}.String()
}
