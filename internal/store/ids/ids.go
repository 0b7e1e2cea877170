// Package ids remembers the identities of events that are not sequenced,
// without a time window: a log-structured index on disk behind a filter in
// memory.
//
// The method: a key of 128 bits leads to the place where the event was accepted
// and to the fingerprint of its content. Most keys that are looked up are new,
// and the filter finds that out without reading the disk. Identities remembered
// since the last sync are in a map, and are written in the order of their keys,
// which is several times faster than in the order of arrival. The index is
// separate from the database and is synced before the database commits; a
// watermark says up to which position of the stream it is complete. Identities
// from later positions come from a run that did not commit, so the caller
// compares positions (settlement.Identity.Before).
//
// # Invariants
//
//   - Complete: every identity accepted at or before the watermark is there.
//     The number of identities is stored with the watermark; an index that has
//     another number when it is bound, for example because files are damaged,
//     is emptied.
//   - Rebuildable: lost identities are read again from the stream, from the
//     watermark on.
//   - Bounded: memory holds the filter, the cache, the write buffers and the
//     identities since the last sync, whatever the total number of identities.
package ids

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

const (
	cacheBytes = 64 << 20
	// bufferBytes is one write buffer; two may be full at once. It holds about
	// a million identities, which are looked up without reading the disk.
	bufferBytes = 32 << 20
	// bitsPerKey of the bloom filters: one in a hundred look-ups of a new
	// identity reads a block needlessly.
	bitsPerKey = 10

	valueBytes = 8 + 4 + 8
)

// meta is the only key that is not of 16 bytes.
var meta = []byte("meta")

// Store is an open index. Its methods may be called from any goroutine; those
// that write, from one goroutine at a time each.
type Store struct {
	db      *pebble.DB
	scratch bool   // nothing is synced
	bound   []byte // the stream to which the watermark refers

	mu      sync.RWMutex // guards what is below
	filter  filter
	count   uint64                           // number of identities, including those not synced yet
	recent  map[[16]byte]settlement.Identity // since the last sync began
	writing map[[16]byte]settlement.Identity // being written by a sync
}

// Open opens or creates the index in a folder. It fails if another process uses
// the folder.
func Open(dir string) (*Store, error) { return open(dir, false) }

func open(dir string, scratch bool) (*Store, error) {
	cache := pebble.NewCache(cacheBytes)
	defer cache.Unref()
	options := settings()
	options.Cache, options.DisableWAL = cache, scratch
	if err := room(dir); err != nil {
		return nil, fmt.Errorf("opening the index of identities in %s: %w", dir, err)
	}
	db, err := pebble.Open(dir, options)
	if err != nil {
		return nil, fmt.Errorf("opening the index of identities in %s: %w: it is derived from the streams, `aliquot log fsck --restore` makes it again", dir, err)
	}
	return &Store{db: db, recent: make(map[[16]byte]settlement.Identity)}, nil
}

// settings returns the options of every index.
func settings() *pebble.Options {
	options := &pebble.Options{
		MemTableSize:       bufferBytes,
		MaxOpenFiles:       256,
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             silent{},
		// Damage is returned as an error to the code that reads it; Pebble's
		// default would end the process.
		EventListener: &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}},
	}
	for i := range options.Levels {
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(bitsPerKey)
		options.Levels[i].FilterType = pebble.TableFilter
	}
	return options
}

// OpenScratch is Open for an index that is not needed after the process ends:
// it has no log, and nothing is synced.
func OpenScratch(dir string) (*Store, error) {
	s, err := open(dir, true)
	if err != nil {
		return nil, err
	}
	s.scratch = true
	return s, nil
}

// durably returns the options for writes that must be durable.
func (s *Store) durably() *pebble.WriteOptions {
	if s.scratch {
		return pebble.NoSync
	}
	return pebble.Sync
}

// loud is like silent, but panics if Pebble cannot continue; see [Examine].
type loud struct{ silent }

func (loud) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// silent drops Pebble's log messages; its errors are returned anyway.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}

// Fatalf is called by Pebble's own goroutines if Pebble cannot continue and
// expects the process to end. Ending it is as safe as kill -9, because nothing
// that is committed depends on what the index has not synced.
func (silent) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "aliquot: the index of identities cannot continue: %s; it is derived from the streams: the next start continues from what is committed, and `aliquot log fsck --restore` makes a damaged index again\n", fmt.Sprintf(format, args...))
	os.Exit(1)
}

// needBytes is the free space that an index needs to open: Pebble takes 35 MiB
// at once, and retries without end if the disk does not have them.
const needBytes = 48 << 20

// ErrNoRoom means that the disk has too little free space for the index.
var ErrNoRoom = errors.New("the disk is too full")

func room(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	usage, err := vfs.Default.GetDiskUsage(dir)
	if err == nil && usage.AvailBytes < needBytes {
		err = fmt.Errorf("%w: %d MiB are free, and it needs %d MiB", ErrNoRoom, usage.AvailBytes>>20, needBytes>>20)
	}
	return err
}

// Close closes the index. Identities since the last sync are lost, but nothing
// that is committed depends on them.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("closing the index of identities: %w", err)
	}
	return nil
}

// Bind says to which stream the index belongs, and returns its watermark in
// that stream. An index of another stream is emptied.
func (s *Store) Bind(ctx context.Context, stream string, created int64) (watermark uint64, err error) {
	s.bound = binary.BigEndian.AppendUint64(nil, uint64(created))
	s.bound = append(s.bound, stream...)
	value, found, err := s.get(meta)
	if err != nil {
		return 0, fmt.Errorf("reading the watermark of the identities: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filter, s.count = filter{}, 0
	clear(s.recent)
	if found && len(value) >= metaBytes && string(value[metaBytes:]) == string(s.bound) {
		if err := s.fill(ctx); err != nil {
			return 0, err
		}
		if s.count == binary.BigEndian.Uint64(value[8:]) {
			return binary.BigEndian.Uint64(value), nil
		}
	}
	s.filter, s.count = filter{}, 0
	// No key sorts after 17 bytes of 0xff.
	end := bytes.Repeat([]byte{0xff}, 17)
	if err := s.db.DeleteRange([]byte{0}, end, s.durably()); err != nil {
		return 0, fmt.Errorf("emptying the index of another stream's identities: %w", err)
	}
	if err := s.db.Set(meta, s.watermark(0, 0), s.durably()); err != nil {
		return 0, fmt.Errorf("setting the watermark of the identities: %w", err)
	}
	return 0, nil
}

// fill counts all identities and adds them to the filter, which takes some
// seconds for ten million of them.
func (s *Store) fill(ctx context.Context) error {
	it, err := s.db.NewIterWithContext(ctx, nil)
	if err != nil {
		return fmt.Errorf("reading the identities: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		if key := it.Key(); len(key) == 16 {
			s.filter.add((*[16]byte)(key))
			s.count++
		}
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("reading the identities: %w", err)
	}
	return ctx.Err()
}

// metaBytes is the length of the value before the stream's name under meta: the
// watermark and the number of identities.
const metaBytes = 8 + 8

func (s *Store) watermark(position, count uint64) []byte {
	return append(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, position), count), s.bound...)
}

// Sync makes everything remembered so far durable, as of this position.
func (s *Store) Sync(position uint64) error {
	s.mu.Lock()
	// A failed sync has left the identities that it was writing; these are
	// written first.
	if s.writing == nil {
		s.writing, s.recent = s.recent, make(map[[16]byte]settlement.Identity)
	} else {
		maps.Copy(s.writing, s.recent)
		clear(s.recent)
	}
	writing, count := s.writing, s.count
	s.mu.Unlock()

	batch := s.db.NewBatchWithSize(len(writing)*(16+valueBytes+4) + 256)
	defer func() { _ = batch.Close() }()
	keys := make([][16]byte, 0, len(writing))
	for k := range writing {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b [16]byte) int {
		return cmp.Or(cmp.Compare(binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(b[:])), bytes.Compare(a[8:], b[8:]))
	})
	var value [valueBytes]byte
	for i := range keys {
		id := writing[keys[i]]
		binary.BigEndian.PutUint64(value[:], id.Position)
		binary.BigEndian.PutUint32(value[8:], id.Ordinal)
		binary.BigEndian.PutUint64(value[12:], id.Fingerprint)
		if err := batch.Set(keys[i][:], value[:], nil); err != nil {
			return fmt.Errorf("syncing identities: %w", err)
		}
	}
	if err := batch.Set(meta, s.watermark(position, count), nil); err != nil {
		return fmt.Errorf("syncing identities: %w", err)
	}
	options := s.durably()
	if len(keys) == 0 {
		options = pebble.NoSync // If the watermark is lost, the old one is only too low.
	}
	if err := s.db.Apply(batch, options); err != nil {
		return fmt.Errorf("syncing identities: %w", err)
	}
	s.mu.Lock()
	s.writing = nil
	s.mu.Unlock()
	return nil
}

// Seen sets found[i] to the identity that is remembered for keys[i]; the other
// elements stay unchanged.
func (s *Store) Seen(keys [][16]byte, found []settlement.Identity) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i := range keys {
		if !s.filter.may(&keys[i]) {
			continue
		}
		id, ok, err := s.lookup(keys[i])
		if err != nil {
			return err
		}
		if ok {
			found[i] = id
		}
	}
	return nil
}

// Lookup returns the identity that is remembered for one key.
func (s *Store) Lookup(key [16]byte) (id settlement.Identity, ok bool, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.lookup(key)
}

func (s *Store) lookup(key [16]byte) (id settlement.Identity, ok bool, err error) {
	if id, ok := s.recent[key]; ok {
		return id, true, nil
	}
	if id, ok := s.writing[key]; ok {
		return id, true, nil
	}
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

// Remember keeps an identity for each key, replacing an earlier one. It can be
// looked up at once, and is durable after the next [Store.Sync].
func (s *Store) Remember(keys [][16]byte, list []settlement.Identity) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range keys {
		fresh := !s.filter.may(&keys[i])
		if !fresh {
			_, known, err := s.lookup(keys[i])
			if err != nil {
				return err
			}
			fresh = !known
		}
		if fresh {
			s.count++
		}
		s.recent[keys[i]] = list[i]
		s.filter.add(&keys[i])
	}
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
