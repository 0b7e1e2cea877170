// Package ids remembers the identities of events that are not sequenced, with
// no window: a log-structured index on disk behind a bounded cache.
//
// The method: a key of 128 bits leads to where the event was accepted and to
// the fingerprint of its content. The index stands beside the database and is
// synced before it commits; a watermark says up to which position of the stream
// it is complete. What it has from later positions comes from a run that did
// not commit, and whoever asks compares positions (settlement.Identity.Before).
//
// # Invariants
//
//   - Complete: every identity accepted at or before the watermark is there.
//   - Rebuildable: what is lost is read again from the stream, from the watermark.
//   - Bounded: memory is the cache and the write buffers, whatever the number
//     of identities.
package ids

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

const (
	cacheBytes = 64 << 20
	// bufferBytes is one write buffer; two may be full at once. It is about a
	// million identities, which are looked up in it without the disk.
	bufferBytes = 32 << 20
	// bitsPerKey of the bloom filters: one look-up in a hundred of an identity
	// that is new reads a block for nothing.
	bitsPerKey = 10

	valueBytes = 8 + 4 + 8
)

// meta is the only key that is not of 16 bytes.
var meta = []byte("meta")

// Store is an open index. One goroutine remembers; any may look up or sync.
type Store struct {
	db    *pebble.DB
	batch *pebble.Batch
	dirty atomic.Bool // something was remembered since the last sync
	bound []byte
}

// Open opens or creates the index in a folder. It fails where another process
// has the folder.
func Open(dir string) (*Store, error) {
	cache := pebble.NewCache(cacheBytes)
	defer cache.Unref()
	options := &pebble.Options{
		Cache:              cache,
		MemTableSize:       bufferBytes,
		MaxOpenFiles:       256,
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             silent{},
	}
	for i := range options.Levels {
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(bitsPerKey)
		options.Levels[i].FilterType = pebble.TableFilter
	}
	db, err := pebble.Open(dir, options)
	if err != nil {
		return nil, fmt.Errorf("opening the index of identities in %s: %w", dir, err)
	}
	return &Store{db: db, batch: db.NewBatch()}, nil
}

// silent drops what Pebble says in passing; its errors are returned anyway.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}

// Fatalf is called where Pebble cannot go on and expects the process to end.
func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// Close syncs what was remembered and closes the index.
func (s *Store) Close() error {
	err := errors.Join(s.batch.Close(), s.db.Flush(), s.db.Close())
	if err != nil {
		return fmt.Errorf("closing the index of identities: %w", err)
	}
	return nil
}

// Bind says which stream the index is of and returns its watermark in it. An
// index of another stream is emptied.
func (s *Store) Bind(_ context.Context, stream string, created int64) (watermark uint64, err error) {
	s.bound = binary.BigEndian.AppendUint64(nil, uint64(created))
	s.bound = append(s.bound, stream...)
	value, found, err := s.get(meta)
	if err != nil {
		return 0, fmt.Errorf("reading the watermark of the identities: %w", err)
	}
	if found && len(value) >= 8 && string(value[8:]) == string(s.bound) {
		return binary.BigEndian.Uint64(value), nil
	}
	// No key sorts after 17 bytes of 0xff.
	end := make([]byte, 17)
	for i := range end {
		end[i] = 0xff
	}
	if err := s.db.DeleteRange([]byte{0}, end, pebble.Sync); err != nil {
		return 0, fmt.Errorf("emptying the index of another stream's identities: %w", err)
	}
	return 0, s.watermark(0, pebble.Sync)
}

func (s *Store) watermark(position uint64, options *pebble.WriteOptions) error {
	value := binary.BigEndian.AppendUint64(nil, position)
	return s.db.Set(meta, append(value, s.bound...), options)
}

// Sync makes everything remembered so far durable, as of this position.
func (s *Store) Sync(position uint64) error {
	options := pebble.NoSync
	if s.dirty.Swap(false) {
		options = pebble.Sync // The log of writes is one: it covers those before.
	}
	if err := s.watermark(position, options); err != nil {
		s.dirty.Store(true)
		return fmt.Errorf("syncing identities: %w", err)
	}
	return nil
}

// Seen sets found[i] to what is remembered of keys[i]; others stay as they are.
func (s *Store) Seen(keys [][16]byte, found []settlement.Identity) error {
	for i := range keys {
		id, ok, err := s.Lookup(keys[i])
		if err != nil {
			return err
		}
		if ok {
			found[i] = id
		}
	}
	return nil
}

// Lookup returns what is remembered of one key.
func (s *Store) Lookup(key [16]byte) (id settlement.Identity, ok bool, err error) {
	value, closer, err := s.db.Get(key[:])
	if errors.Is(err, pebble.ErrNotFound) {
		return id, false, nil
	}
	if err != nil {
		return id, false, fmt.Errorf("looking up an identity: %w", err)
	}
	defer func() { _ = closer.Close() }()
	if len(value) != valueBytes {
		return id, false, fmt.Errorf("looking up an identity: %d bytes instead of %d", len(value), valueBytes)
	}
	return settlement.Identity{
		Position:    binary.BigEndian.Uint64(value),
		Ordinal:     binary.BigEndian.Uint32(value[8:]),
		Fingerprint: binary.BigEndian.Uint64(value[12:]),
	}, true, nil
}

// Remember keeps an identity for each key, replacing what was there. It can be
// looked up at once, and is durable after the next [Store.Sync].
func (s *Store) Remember(keys [][16]byte, list []settlement.Identity) error {
	var value [valueBytes]byte
	for i := range keys {
		binary.BigEndian.PutUint64(value[:], list[i].Position)
		binary.BigEndian.PutUint32(value[8:], list[i].Ordinal)
		binary.BigEndian.PutUint64(value[12:], list[i].Fingerprint)
		if err := s.batch.Set(keys[i][:], value[:], nil); err != nil {
			return fmt.Errorf("remembering identities: %w", err)
		}
	}
	if err := s.db.Apply(s.batch, pebble.NoSync); err != nil {
		return fmt.Errorf("remembering identities: %w", err)
	}
	s.dirty.Store(true) // Only now: a sync meanwhile need not have covered it.
	s.batch.Reset()
	return nil
}

func (s *Store) get(key []byte) (value []byte, found bool, err error) {
	got, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer func(c io.Closer) { _ = c.Close() }(closer)
	return append([]byte(nil), got...), true, nil
}
