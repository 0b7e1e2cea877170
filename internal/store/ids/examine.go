package ids

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Dir returns the folder of a partition's index, below an installation's
// folder.
func Dir(dir string, partition int) string {
	if partition == 0 {
		return filepath.Join(dir, "ids")
	}
	return filepath.Join(dir, fmt.Sprintf("ids-%d", partition))
}

// ErrAbsent means that there is no index.
var ErrAbsent = errors.New("there is no index of identities")

var (
	errEntry = errors.New("an entry is not an identity")
	errCount = errors.New("identities are missing")
)

// Examine reads the whole index in a folder that no process has open, and
// changes nothing. It returns the position of its stream up to which the index
// is complete. The error names what is damaged, or is [ErrAbsent] if there is
// no index.
func Examine(ctx context.Context, dir string) (watermark uint64, err error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return 0, ErrAbsent
	} else if err != nil {
		return 0, err
	}
	defer func() {
		// Pebble panics if what it reads is inconsistent.
		if p := recover(); p != nil {
			err = fmt.Errorf("reading the index of identities: %v", p)
		}
	}()
	if err := tables(ctx, dir); err != nil {
		return 0, fmt.Errorf("reading the index of identities: %w", err)
	}
	if watermark, err = examine(ctx, dir); err != nil {
		return 0, fmt.Errorf("reading the index of identities: %w", err)
	}
	return watermark, nil
}

// tables verifies the checksum of every block of every table.
func tables(ctx context.Context, dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := table(ctx, name); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

func table(ctx context.Context, name string) error {
	file, err := vfs.Default.Open(name)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	reader, err := sstable.NewReader(ctx, readable, sstable.ReaderOptions{})
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	return errors.Join(reader.ValidateBlockChecksums(), reader.Close())
}

func examine(ctx context.Context, dir string) (watermark uint64, err error) {
	options := settings()
	options.ReadOnly, options.ErrorIfNotExists, options.Logger = true, true, loud{}
	db, err := pebble.Open(dir, options)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	it, err := db.NewIterWithContext(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var count, said uint64
	for ok := it.First(); ok; ok = it.Next() {
		key, value := it.Key(), it.Value()
		switch {
		case string(key) == string(meta) && len(value) >= metaBytes:
			watermark, said = binary.BigEndian.Uint64(value), binary.BigEndian.Uint64(value[8:])
		case len(key) != 16 || len(value) != valueBytes:
			return 0, errEntry
		default:
			count++
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	if err := it.Error(); err != nil {
		return 0, err
	}
	if count != said {
		return 0, fmt.Errorf("%w: it has %d, and had %d", errCount, count, said)
	}
	return watermark, nil
}
