package ids

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

func key(n int) (k [16]byte) {
	h := sha256.Sum256(fmt.Append(nil, n))
	return [16]byte(h[:])
}

func TestIdentitiesSurviveReopeningWithTheirWatermark(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if w, err := s.Bind(ctx, "USAGE-0-0", 7); err != nil || w != 0 {
		t.Fatal(w, err)
	}
	var keys [][16]byte
	var list []settlement.Identity
	for i := range 5000 {
		keys = append(keys, key(i))
		list = append(list, settlement.Identity{Position: 3, Ordinal: uint32(i), Fingerprint: uint64(i) << 40})
	}
	if err := s.Remember(keys, list); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(3); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if w, err := s.Bind(ctx, "USAGE-0-0", 7); err != nil || w != 3 {
		t.Fatalf("watermark %d, %v", w, err)
	}
	found := make([]settlement.Identity, len(keys)+1)
	if err := s.Seen(append(keys, key(9999)), found); err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if found[i] != list[i] {
			t.Fatalf("identity %d is %v, want %v", i, found[i], list[i])
		}
	}
	if found[len(keys)] != (settlement.Identity{}) {
		t.Errorf("an unknown identity is %v", found[len(keys)])
	}
	// Fails when Bind keeps what another stream left: a stream made anew
	// under the same name would find its events to be duplicates.
	if w, err := s.Bind(ctx, "USAGE-0-0", 8); err != nil || w != 0 {
		t.Fatalf("watermark %d in another stream, %v", w, err)
	}
	if _, ok, err := s.Lookup(key(1)); ok || err != nil {
		t.Errorf("an identity of another stream is there: %v, %v", ok, err)
	}
}

// Fails when a sync forgets what the one before, which failed, was writing: the
// watermark would stand for identities that are not there, and their events would
// be accepted again.
func TestWhatAFailedSyncWasWritingGoesFirst(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Bind(ctx, "USAGE-0-0", 7); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	remember := func(position uint64, numbers ...int) {
		t.Helper()
		for _, n := range numbers {
			if err := s.Remember([][16]byte{key(n)}, []settlement.Identity{{Position: position, Ordinal: uint32(n)}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	expect := func(when string, positions map[int]uint64) {
		t.Helper()
		for n, position := range positions { // map order: each is an assertion of its own
			if id, ok, err := s.Lookup(key(n)); err != nil || !ok || id != (settlement.Identity{Position: position, Ordinal: uint32(n)}) {
				t.Errorf("%s: identity %d is %+v, %v, %v; want position %d", when, n, id, ok, err, position)
			}
		}
	}
	// An index that can only be read fails every sync.
	options := settings()
	options.ReadOnly = true
	unwritable, err := pebble.Open(dir, options)
	if err != nil {
		t.Fatal(err)
	}
	s = &Store{db: unwritable, recent: make(map[[16]byte]settlement.Identity)}
	if w, err := s.Bind(ctx, "USAGE-0-0", 7); err != nil || w != 0 {
		t.Fatal(w, err)
	}
	remember(1, 1, 2)
	for range 2 {
		if err := s.Sync(1); err == nil {
			t.Fatal("an index that can only be read was written")
		}
	}
	expect("after the sync that failed", map[int]uint64{1: 1, 2: 1})
	remember(2, 2, 3) // 2 is told anew
	if err := s.Sync(2); err == nil {
		t.Fatal("an index that can only be read was written")
	}
	remember(3, 4)
	expect("after another one", map[int]uint64{1: 1, 2: 2, 3: 2, 4: 3})
	if err := unwritable.Close(); err != nil {
		t.Fatal(err)
	}
	if s.db, err = pebble.Open(dir, settings()); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(3); err != nil {
		t.Fatal(err)
	}
	expect("after the sync that did not fail", map[int]uint64{1: 1, 2: 2, 3: 2, 4: 3})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if w, err := s.Bind(ctx, "USAGE-0-0", 7); err != nil || w != 3 {
		t.Errorf("watermark %d, %v", w, err)
	}
	expect("in the index that was opened again", map[int]uint64{1: 1, 2: 2, 3: 2, 4: 3})
}

func BenchmarkSeenAndRemember(b *testing.B) {
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	const n = 1000
	keys, list, found := make([][16]byte, n), make([]settlement.Identity, n), make([]settlement.Identity, n)
	next := 0
	for b.Loop() {
		for i := range keys {
			next++
			keys[i], list[i] = key(next), settlement.Identity{Position: 1, Ordinal: uint32(i)}
		}
		if err := s.Seen(keys, found); err != nil {
			b.Fatal(err)
		}
		if err := s.Remember(keys, list); err != nil {
			b.Fatal(err)
		}
		if next%(500*n) == 0 {
			if err := s.Sync(1); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/id")
}
