package tiles

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// Log is a log that is being written. Only one goroutine may use it, and only one
// process may use a folder: a second writer makes the first one stop. Any number
// of goroutines may use its [Log.Reader].
type Log struct {
	disk   disk
	origin string
	key    *tlog.Key
	reader *Reader

	published tlog.Checkpoint
	signed    []byte // the bytes of published

	// Everything that was appended, published or not.
	tree   tlog.Range
	levels [][]byte // for each level the hashes of its last tile, at most 255
	bundle []byte   // the last bundle, at most 255 leaves
	width  int      // leaves in it

	full   []name // written since the last checkpoint
	broken error
}

var (
	// ErrMoved means that another process has published a checkpoint of this log.
	ErrMoved = errors.New("the checkpoint on disk is not the one that this log published last")

	errLongLeaf     = errors.New("the leaf is longer than 65,535 bytes")
	errNoCheckpoint = errors.New("there are tiles without a checkpoint: it was removed, or this is another folder")
	errTail         = errors.New("the tiles on disk do not hash to the signed root")
	errParent       = errors.New("the tile does not hash to the one above it")
)

// Open opens the log in dir to append to it. If dir has no log, it begins one
// with a signed empty tree. It verifies the checkpoint, checks that the tiles at
// the right edge hash to its root, and checks the last full tile of each level
// and the last leaves against them.
func Open(dir, origin string, key *tlog.Key) (*Log, error) {
	return open(disk{dir: dir}, origin, key)
}

func open(d disk, origin string, key *tlog.Key) (*Log, error) {
	l := &Log{disk: d, origin: origin, key: key, reader: &Reader{dir: d.dir, origin: origin, key: key.Public()}}
	if _, err := os.Stat(filepath.Join(d.dir, checkpointName)); errors.Is(err, fs.ErrNotExist) {
		if err := l.begin(); err != nil {
			return nil, fmt.Errorf("beginning the log %s: %w", origin, err)
		}
	}
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("opening the log %s: %w", origin, err)
	}
	return l, nil
}

// begin publishes the empty tree before any tile is written. So a folder with
// tiles and no checkpoint is known to have lost its checkpoint.
func (l *Log) begin() error {
	if _, err := os.Stat(filepath.Join(l.disk.dir, "tile")); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(errNoCheckpoint, err)
	}
	return l.publish(tlog.Checkpoint{Origin: l.origin, Root: tlog.EmptyRoot()})
}

func (l *Log) load() (err error) {
	if l.published, l.signed, err = l.reader.Checkpoint(); err != nil {
		return err
	}
	size := l.published.Size
	tree, err := tlog.RangeOf(size, l.reader.Tile)
	if err != nil {
		return err
	}
	if tree.Root() != l.published.Root {
		return fmt.Errorf("%w of %d leaves", errTail, size)
	}
	l.tree = *tree
	for level := 0; size>>(8*level) > 0; level++ {
		if err := l.loadLevel(level); err != nil {
			return err
		}
	}
	return l.loadBundle()
}

// loadLevel reads the partial tile of a level, and checks the full one before it.
func (l *Log) loadLevel(level int) error {
	count := l.published.Size >> (8 * level)
	l.levels = append(l.levels, nil)
	if width := int(count % tlog.TileWidth); width > 0 {
		tile, err := l.reader.Tile(uint64(level), count/tlog.TileWidth, width)
		if err != nil {
			return err
		}
		l.levels[level] = tile[:len(tile):len(tile)]
	}
	if count < tlog.TileWidth {
		return nil
	}
	index := count/tlog.TileWidth - 1
	tile, err := l.reader.Tile(uint64(level), index, tlog.TileWidth)
	if err != nil {
		return err
	}
	return l.reader.checkParent(name{level, index, tlog.TileWidth}, tile, l.published.Size)
}

// loadBundle reads the partial bundle, and checks it and the full one before it.
func (l *Log) loadBundle() error {
	size := l.published.Size
	for index := max(size/tlog.TileWidth, 1) - 1; ; index++ {
		n, ok := covered(entries, index, size)
		if !ok {
			return nil
		}
		bundle, err := l.reader.read(n)
		if err != nil {
			return err
		}
		tile, err := l.reader.Tile(0, index, n.width)
		if err != nil {
			return err
		}
		leaves, _ := splitBundle(bundle)
		if len(leaves) < n.width {
			return fmt.Errorf("reading %v: %w", n, errBundle)
		}
		length := 0
		for i, leaf := range leaves[:n.width] {
			length += 2 + len(leaf)
			if tlog.LeafHash(leaf) != hashAt(tile, i) {
				return fmt.Errorf("reading leaf %d: %w", index*tlog.TileWidth+uint64(i), errLeaf)
			}
		}
		if n.width < tlog.TileWidth {
			l.bundle, l.width = bundle[:length:length], n.width
		}
	}
}

// Size returns the number of leaves, published or not.
func (l *Log) Size() uint64 { return l.tree.Size() }

// Root returns the root of the leaves, published or not.
func (l *Log) Root() tlog.Hash { return l.tree.Root() }

// Published returns the checkpoint published last.
func (l *Log) Published() tlog.Checkpoint { return l.published }

// Reader returns a reader of the published log.
func (l *Log) Reader() *Reader { return l.reader }

// Leaf returns leaf i, published or not.
func (l *Log) Leaf(i uint64) ([]byte, error) {
	first := l.tree.Size() - uint64(l.width)
	switch {
	case i >= l.tree.Size():
		return nil, fmt.Errorf("reading leaf %d of %s: %w", i, l.origin, errBeyond)
	case i >= first:
		leaves, err := splitBundle(l.bundle)
		if err != nil {
			return nil, fmt.Errorf("reading leaf %d of %s: %w", i, l.origin, err)
		}
		return bytes.Clone(leaves[i-first]), nil
	case i >= l.published.Size:
		bundle, err := l.reader.read(name{entries, i / tlog.TileWidth, tlog.TileWidth})
		if err != nil {
			return nil, err
		}
		leaves, err := splitBundle(bundle)
		if err != nil || len(leaves) != tlog.TileWidth {
			return nil, fmt.Errorf("reading leaf %d of %s: %w", i, l.origin, errBundle)
		}
		return leaves[i%tlog.TileWidth], nil
	}
	return l.reader.Leaf(i)
}

// Append adds leaves, each of at most 65,535 bytes. The next [Log.Commit] writes
// them to disk and signs the tree that contains them; a crash before that loses
// them.
func (l *Log) Append(leaves [][]byte) error {
	if l.broken != nil {
		return l.broken
	}
	for _, leaf := range leaves {
		if len(leaf) > tlog.MaxLeaf {
			// Only a part of the caller's leaves was appended: stop.
			return l.stop(fmt.Errorf("appending leaf %d of %d bytes: %w", l.tree.Size(), len(leaf), errLongLeaf))
		}
		if err := l.append(leaf); err != nil {
			return l.stop(fmt.Errorf("appending leaf %d: %w", l.tree.Size(), err))
		}
	}
	return nil
}

func (l *Log) append(leaf []byte) error {
	l.bundle = binary.BigEndian.AppendUint16(l.bundle, uint16(len(leaf)))
	l.bundle = append(l.bundle, leaf...)
	if l.width++; l.width == tlog.TileWidth {
		if err := l.write(name{entries, l.tree.Size() / tlog.TileWidth, tlog.TileWidth}, l.bundle); err != nil {
			return err
		}
		l.bundle, l.width = l.bundle[:0], 0
	}
	hash := tlog.LeafHash(leaf)
	l.tree.Append(hash)
	for level := 0; ; level++ {
		if level == len(l.levels) {
			l.levels = append(l.levels, nil)
		}
		l.levels[level] = append(l.levels[level], hash[:]...)
		tile := l.levels[level]
		if len(tile) < tlog.TileWidth*len(hash) {
			return nil
		}
		index := l.tree.Size()>>(8*level)/tlog.TileWidth - 1
		if err := l.write(name{level, index, tlog.TileWidth}, tile); err != nil {
			return err
		}
		hash = tileRoot(tile)
		l.levels[level] = tile[:0]
	}
}

func (l *Log) write(n name, data []byte) error {
	l.full = append(l.full, n)
	return l.disk.write(n.String(), data)
}

// Commit makes what was appended durable, then signs and publishes the tree. If
// everything is already published it does nothing.
func (l *Log) Commit() error {
	if l.broken != nil {
		return l.broken
	}
	if l.tree.Size() == l.published.Size {
		return nil
	}
	if err := l.commit(); err != nil {
		return l.stop(fmt.Errorf("committing %d leaves: %w", l.tree.Size(), err))
	}
	return nil
}

func (l *Log) commit() error {
	size := l.tree.Size()
	if err := l.partials(); err != nil {
		return err
	}
	next := tlog.Checkpoint{Origin: l.origin, Size: size, Root: l.tree.Root()}
	if err := l.consistent(next); err != nil {
		return err
	}
	if err := l.publish(next); err != nil {
		return err
	}
	for _, n := range l.full {
		if err := l.disk.remove(n.full() + ".p"); err != nil {
			return err
		}
	}
	l.full = l.full[:0]
	return nil
}

// partials writes the tiles and the bundle that are not full, and syncs the
// folders of everything written.
func (l *Log) partials() error {
	size := l.tree.Size()
	if l.width > 0 {
		if err := l.disk.write(name{entries, size / tlog.TileWidth, l.width}.String(), l.bundle); err != nil {
			return err
		}
	}
	for level, tile := range l.levels {
		count := size >> (8 * level)
		if len(tile) == 0 || count == l.published.Size>>(8*level) {
			continue // It is empty or already covered.
		}
		n := name{level, count / tlog.TileWidth, len(tile) / len(tlog.Hash{})}
		if err := l.disk.write(n.String(), tile); err != nil {
			return err
		}
	}
	return l.disk.settle()
}

// consistent refuses a tree that does not extend the published one, by the tiles
// on disk. So neither a fault in memory nor one on disk alone can make us sign
// two histories.
func (l *Log) consistent(next tlog.Checkpoint) error {
	onDisk, err := os.ReadFile(filepath.Join(l.disk.dir, checkpointName))
	if err != nil {
		return err
	}
	if !bytes.Equal(onDisk, l.signed) {
		return ErrMoved
	}
	path, err := tlog.ConsistencyProof(l.published.Size, next.Size, l.reader.Tile)
	if err != nil {
		return err
	}
	if err := tlog.VerifyConsistency(l.published.Size, next.Size, path, l.published.Root, next.Root); err != nil {
		return err
	}
	root, err := tlog.RootOf(next.Size, l.reader.Tile)
	if err != nil {
		return err
	}
	if root != next.Root {
		return errTail
	}
	return nil
}

func (l *Log) publish(next tlog.Checkpoint) error {
	signed, err := next.Sign(l.key)
	if err != nil {
		return err
	}
	if err := l.disk.replace(checkpointName, signed); err != nil {
		return err
	}
	l.published, l.signed = next, signed
	return nil
}

// Extends returns an error if the log does not extend an older checkpoint of it,
// such as one that a store, a witness or a receipt has kept. This finds a log
// that was restored from an old copy, which must not be committed to.
func (l *Log) Extends(older tlog.Checkpoint) error {
	if older.Origin != l.origin {
		return fmt.Errorf("comparing %s with a checkpoint of %s: %w", l.origin, older.Origin, errOtherLog)
	}
	path, err := tlog.ConsistencyProof(older.Size, l.published.Size, l.reader.Tile)
	if err != nil {
		return err
	}
	return tlog.VerifyConsistency(older.Size, l.published.Size, path, older.Root, l.published.Root)
}

var errOtherLog = errors.New("it is another log")

// stop prevents further writes after an error. The state on disk is only known
// again once the log is opened again.
func (l *Log) stop(err error) error {
	l.broken = fmt.Errorf("writing the log %s: %w", l.origin, err)
	return l.broken
}

func tileRoot(tile []byte) tlog.Hash {
	var r tlog.Range
	for i := range len(tile) / len(tlog.Hash{}) {
		r.Append(hashAt(tile, i))
	}
	return r.Root()
}
