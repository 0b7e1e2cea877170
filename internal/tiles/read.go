package tiles

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// Reader reads a log that somebody else may be writing. Any number of goroutines
// may use it.
type Reader struct {
	dir    string
	origin string
	key    note.Verifier

	mu     sync.Mutex
	signed []byte // the last checkpoint that was verified
	last   tlog.Checkpoint
}

var (
	errWidth  = errors.New("the file is not as long as it should be")
	errBeyond = errors.New("it is beyond the published end of the log")
	errLeaf   = errors.New("the leaf in the bundle is not the one that was hashed into the log")
)

// OpenReader opens a log for reading. The log must have a checkpoint with this
// origin, signed by this key.
func OpenReader(dir, origin string, key note.Verifier) (*Reader, error) {
	r := &Reader{dir: dir, origin: origin, key: key}
	if _, _, err := r.Checkpoint(); err != nil {
		return nil, err
	}
	return r, nil
}

// Checkpoint returns the checkpoint published last, verified, and its bytes,
// which the caller must not change.
func (r *Reader) Checkpoint() (tlog.Checkpoint, []byte, error) {
	signed, err := os.ReadFile(filepath.Join(r.dir, checkpointName))
	if err != nil {
		return tlog.Checkpoint{}, nil, fmt.Errorf("reading the checkpoint of %s: %w", r.origin, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !bytes.Equal(signed, r.signed) {
		c, _, err := tlog.OpenCheckpoint(signed, r.origin, r.key)
		if err != nil {
			return tlog.Checkpoint{}, nil, err
		}
		r.last, r.signed = c, signed
	}
	return r.last, r.signed, nil
}

// The files with cosigned checkpoints, which the collector of cosignatures
// replaces: the last one that every witness has cosigned, and the last one that
// at least one has.
const (
	CosignedByAll  = "cosigned"
	CosignedBySome = "cosigned.some"
)

// Cosigned returns the last checkpoint that witnesses have cosigned, every one of
// them ([CosignedByAll]) or at least one ([CosignedBySome]), and its bytes. It is
// not larger than the published one. Only the log's own signature is verified.
func (r *Reader) Cosigned(by string) (tlog.Checkpoint, []byte, error) {
	signed, err := os.ReadFile(filepath.Join(r.dir, by))
	if err != nil {
		return tlog.Checkpoint{}, nil, fmt.Errorf("reading the cosigned checkpoint of %s: %w", r.origin, err)
	}
	c, _, err := tlog.OpenCheckpoint(signed, r.origin, r.key)
	if err != nil {
		return tlog.Checkpoint{}, nil, err
	}
	return c, signed, nil
}

// witnessed returns the cosigned checkpoint of the largest tree, or false if
// there is none.
func (r *Reader) witnessed() (best tlog.Checkpoint, signed []byte, ok bool) {
	for _, by := range []string{CosignedBySome, CosignedByAll} {
		if c, s, err := r.Cosigned(by); err == nil && (!ok || c.Size >= best.Size) {
			best, signed, ok = c, s, true
		}
	}
	return best, signed, ok
}

// Tile is a [tlog.TileReader]: it returns the first width hashes of a tile.
func (r *Reader) Tile(level, index uint64, width int) ([]byte, error) {
	data, err := r.read(name{int(level), index, width})
	if err != nil {
		return nil, err
	}
	if want := width * len(tlog.Hash{}); len(data) >= want {
		return data[:want], nil
	}
	return nil, fmt.Errorf("reading %v of %s: %w", name{int(level), index, width}, r.origin, errWidth)
}

// Leaf returns leaf i, which the published checkpoint must cover. The leaf has
// the hash that is in the log; a proof shows that the hash is in the tree.
func (r *Reader) Leaf(i uint64) ([]byte, error) {
	c, _, err := r.Checkpoint()
	if err != nil {
		return nil, err
	}
	n, ok := covered(entries, i/tlog.TileWidth, c.Size)
	if !ok || i >= c.Size {
		return nil, fmt.Errorf("reading leaf %d of %s: %w", i, r.origin, errBeyond)
	}
	bundle, err := r.read(n)
	if err != nil {
		return nil, err
	}
	leaves, err := splitBundle(bundle)
	offset := int(i % tlog.TileWidth)
	if offset >= len(leaves) {
		return nil, fmt.Errorf("reading leaf %d of %s: %w", i, r.origin, errors.Join(errWidth, err))
	}
	tile, err := r.Tile(0, n.index, n.width)
	if err != nil {
		return nil, err
	}
	if tlog.LeafHash(leaves[offset]) != hashAt(tile, offset) {
		return nil, fmt.Errorf("reading leaf %d of %s: %w", i, r.origin, errLeaf)
	}
	return leaves[offset], nil
}

// Inclusion returns the proof of leaf i for the published checkpoint, and that
// checkpoint.
func (r *Reader) Inclusion(i uint64) (path []tlog.Hash, signed []byte, err error) {
	c, signed, err := r.Checkpoint()
	if err != nil {
		return nil, nil, err
	}
	path, err = tlog.InclusionProof(c.Size, i, r.Tile)
	return path, signed, err
}

// Consistency returns the proof that the published checkpoint extends an older
// one, and the published checkpoint.
func (r *Reader) Consistency(from uint64) (path []tlog.Hash, signed []byte, err error) {
	c, signed, err := r.Checkpoint()
	if err != nil {
		return nil, nil, err
	}
	path, err = tlog.ConsistencyProof(from, c.Size, r.Tile)
	return path, signed, err
}

// read returns a file that begins with what n names: the partial file itself, the
// full one, or a longer partial one.
func (r *Reader) read(n name) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(n.String())))
	if err == nil || n.width == tlog.TileWidth || !errors.Is(err, fs.ErrNotExist) {
		return data, r.naming(n, err)
	}
	full := filepath.Join(r.dir, filepath.FromSlash(n.full()))
	if data, err := os.ReadFile(full); err == nil {
		return data, nil
	}
	found, _ := os.ReadDir(full + ".p")
	for _, f := range found {
		if width, err := strconv.Atoi(f.Name()); err == nil && width > n.width {
			data, err := os.ReadFile(filepath.Join(full+".p", f.Name()))
			return data, r.naming(n, err)
		}
	}
	return nil, r.naming(n, err)
}

func (r *Reader) naming(n name, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("reading %v of %s: %w", n, r.origin, err)
}

func hashAt(tile []byte, i int) tlog.Hash { return tlog.Hash(tile[i*len(tlog.Hash{}):]) }

var errBundle = errors.New("the bundle is truncated")

// splitBundle returns the leaves of a bundle; of a truncated bundle it returns
// the leaves before the end.
func splitBundle(data []byte) ([][]byte, error) {
	var leaves [][]byte
	for len(data) > 0 {
		if len(data) < 2 {
			return leaves, errBundle
		}
		length := 2 + int(binary.BigEndian.Uint16(data))
		if length > len(data) {
			return leaves, errBundle
		}
		leaves = append(leaves, data[2:length:length])
		data = data[length:]
	}
	return leaves, nil
}
