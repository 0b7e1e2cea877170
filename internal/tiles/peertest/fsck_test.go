package peertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"

	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// newLog writes a log of several commits.
func newLog(t *testing.T, sizes ...int) (dir string, key *tlog.Key, log *tiles.Log) {
	t.Helper()
	key, err := tlog.NewKey(sha256.Sum256([]byte("a key for tests")))
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if log, err = tiles.Open(dir, key.Origin("control"), key); err != nil {
		t.Fatal(err)
	}
	for _, size := range sizes {
		var leaves [][]byte
		for i := int(log.Size()); i < size; i++ {
			leaves = append(leaves, leaf(i))
		}
		if err := log.Append(leaves); err != nil {
			t.Fatal(err)
		}
		if err := log.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	return dir, key, log
}

func leaf(i int) []byte {
	l := tlog.StreamLeaf{Position: uint64(i + 1), Subject: "control.x", Data: sha256.Sum256(fmt.Append(nil, i))}
	return l.Append(nil)
}

// check runs tessera's fsck, as its command does.
func check(dir, origin string, key *tlog.Key) error {
	verifier, err := note.NewVerifier(key.Public().String())
	if err != nil {
		return err
	}
	hasher := func(bundle []byte) ([][]byte, error) {
		var entries api.EntryBundle
		if err := entries.UnmarshalText(bundle); err != nil {
			return nil, err
		}
		var hashes [][]byte
		for _, e := range entries.Entries {
			hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(e))
		}
		return hashes, nil
	}
	// Each file that differs ends one of its workers, and without workers it
	// would wait without end: one flipped byte affects the bundle's tile and
	// those above.
	return fsck.New(origin, verifier, &client.FileFetcher{Root: dir}, hasher, fsck.Opts{N: 16}).Check(context.Background())
}

func TestTesserasFsckAcceptsOurTiles(t *testing.T) {
	for _, sizes := range [][]int{{1}, {255}, {256}, {257}, {3, 300, 512}, {65_535, 65_537}} {
		dir, key, _ := newLog(t, sizes...)
		if err := check(dir, key.Origin("control"), key); err != nil {
			t.Errorf("%d leaves: %v", sizes, err)
		}
	}
}

func TestTesserasFsckRejectsAFlippedByte(t *testing.T) {
	dir, key, _ := newLog(t, 70_000)
	origin := key.Origin("control")
	if err := check(dir, origin, key); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"checkpoint", "tile/0/000", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1",
		"tile/entries/000", "tile/entries/100", "tile/entries/273.p/112",
	} {
		file := filepath.Join(dir, filepath.FromSlash(path))
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Clone(data)
		changed[len(changed)/3] ^= 1
		if err := os.WriteFile(file, changed, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := check(dir, origin, key); err == nil {
			t.Errorf("%s: accepted with a byte flipped", path)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := check(dir, key.Origin("ledger"), key); err == nil {
		t.Error("accepted as another log")
	}
}

// Tessera's client makes proofs from our tiles, and transparency-dev/merkle with
// its own hasher verifies the proofs that we make.
func TestTheClientAndTheProofsOfOthersAgreeWithOurs(t *testing.T) {
	dir, _, log := newLog(t, 300, 66_000)
	files := &client.FileFetcher{Root: dir}
	c := log.Published()
	builder, err := client.NewProofBuilder(context.Background(), c.Size, files.ReadTile)
	if err != nil {
		t.Fatal(err)
	}
	for _, index := range []uint64{0, 255, 256, 30_000, 65_535, 65_536, 65_999} {
		theirs, err := builder.InclusionProof(context.Background(), index)
		if err != nil {
			t.Fatal(err)
		}
		ours, _, err := log.Reader().Inclusion(index)
		if err != nil {
			t.Fatal(err)
		}
		path := make([][]byte, len(ours))
		for i := range ours {
			path[i] = ours[i][:]
			if !bytes.Equal(path[i], theirs[i]) {
				t.Fatalf("leaf %d: proofs differ at %d", index, i)
			}
		}
		hash := rfc6962.DefaultHasher.HashLeaf(leaf(int(index)))
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, c.Size, hash, path, c.Root[:]); err != nil {
			t.Error(err)
		}
		path[len(path)/2][7] ^= 1
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, c.Size, hash, path, c.Root[:]); err == nil {
			t.Errorf("leaf %d: accepted with a byte flipped", index)
		}
	}
	theirs, err := builder.ConsistencyProof(context.Background(), 300, c.Size)
	if err != nil {
		t.Fatal(err)
	}
	ours, _, err := log.Reader().Consistency(300)
	if err != nil || len(ours) != len(theirs) {
		t.Fatalf("%d hashes, %v; want %d", len(ours), err, len(theirs))
	}
	for i := range ours {
		if !bytes.Equal(ours[i][:], theirs[i]) {
			t.Errorf("consistency proofs differ at %d", i)
		}
	}
}
