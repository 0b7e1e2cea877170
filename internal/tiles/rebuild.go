package tiles

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// ErrOtherRoot means that leaves do not hash to the root that was signed.
var ErrOtherRoot = errors.New("the leaves do not hash to the signed root")

// Rebuild writes the files of a log into a folder that must not exist yet, from
// its leaves. It writes the signed checkpoint last, and only if the leaves hash
// to its root and to the root of every other checkpoint of this log that was
// signed before. Otherwise it fails with [ErrOtherRoot], and the folder is not a
// log.
func Rebuild(dir string, signed []byte, c tlog.Checkpoint, before []tlog.Checkpoint, leaf func(i uint64) ([]byte, error)) error {
	if err := rebuild(dir, signed, c, before, leaf); err != nil {
		return fmt.Errorf("rebuilding the log %s: %w", c.Origin, err)
	}
	return nil
}

func rebuild(dir string, signed []byte, c tlog.Checkpoint, before []tlog.Checkpoint, leaf func(i uint64) ([]byte, error)) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fs.ErrExist, err)
	}
	l := &Log{disk: disk{dir: dir}, origin: c.Origin, reader: &Reader{dir: dir, origin: c.Origin}}
	if err := l.disk.makeDir(dir); err != nil {
		return err
	}
	// Compares the root at the size of each of these checkpoints.
	same := func() error {
		for _, b := range append(before, c) {
			if root := l.tree.Root(); b.Size == l.tree.Size() && b.Root != root {
				return fmt.Errorf("%w: %d leaves hash to %v, but %v is signed", ErrOtherRoot, b.Size, root, b.Root)
			}
		}
		return nil
	}
	if err := same(); err != nil {
		return err
	}
	for i := range c.Size {
		data, err := leaf(i)
		if err != nil {
			return fmt.Errorf("leaf %d: %w", i, err)
		}
		if len(data) > tlog.MaxLeaf {
			return fmt.Errorf("leaf %d of %d bytes: %w", i, len(data), errLongLeaf)
		}
		if err := l.append(data); err != nil {
			return err
		}
		if err := same(); err != nil {
			return err
		}
	}
	if err := l.partials(); err != nil {
		return err
	}
	return l.disk.replace(checkpointName, signed)
}

// Remains reads what is left of a damaged log, with or without a checkpoint.
// Nothing of it is proved. Only one goroutine may use it.
type Remains struct {
	dir     string
	index   uint64     // index of the fields below
	read    bool       // the fields below were read
	hashes  [][]byte   // tiles of level 0 with this index, the longest first
	bundles [][][]byte // bundles with this index, the longest first
}

// NewRemains returns what is left of the log in a folder, which need not exist.
func NewRemains(dir string) *Remains { return &Remains{dir: dir} }

// Leaves lists the candidates for leaf i in the log's bundles.
func (r *Remains) Leaves(i uint64) (list [][]byte) {
	r.open(i / tlog.TileWidth)
	for _, b := range r.bundles {
		if at := i % tlog.TileWidth; at < uint64(len(b)) {
			list = append(list, b[at])
		}
	}
	return list
}

// Hashes lists the candidates for the hash of leaf i in the log's tiles.
func (r *Remains) Hashes(i uint64) (list []tlog.Hash) {
	r.open(i / tlog.TileWidth)
	for _, t := range r.hashes {
		if at := int(i % tlog.TileWidth); (at+1)*len(tlog.Hash{}) <= len(t) {
			list = append(list, hashAt(t, at))
		}
	}
	return list
}

func (r *Remains) open(index uint64) {
	if r.read && r.index == index {
		return
	}
	r.index, r.read, r.hashes, r.bundles = index, true, nil, nil
	for _, level := range []int{0, entries} {
		for _, n := range standing(r.dir, level, index) {
			// A file that cannot be read is not left.
			data, err := os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(n.String())))
			if err != nil {
				continue
			}
			if level == 0 {
				r.hashes = append(r.hashes, data)
				continue
			}
			leaves, _ := splitBundle(data) // of a truncated bundle, the leaves before its end
			r.bundles = append(r.bundles, leaves)
		}
	}
}

// standing lists the files that exist of a tile, the full one and partial ones,
// the widest first.
func standing(dir string, level int, index uint64) (list []name) {
	full := name{level, index, tlog.TileWidth}
	if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(full.full()))); err == nil {
		list = append(list, full)
	}
	found, _ := os.ReadDir(filepath.Join(dir, filepath.FromSlash(full.full()+".p")))
	for _, f := range found {
		if width, err := strconv.Atoi(f.Name()); err == nil && width > 0 && width < tlog.TileWidth && strconv.Itoa(width) == f.Name() {
			list = append(list, name{level, index, width})
		}
	}
	slices.SortFunc(list, func(a, b name) int { return cmp.Compare(b.width, a.width) })
	return list
}
