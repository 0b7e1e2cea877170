package peertest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"testing"

	"github.com/transparency-dev/formats/note"

	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// transparency-dev/formats verifies our cosignatures, and we verify theirs.
func TestCosignaturesAreThoseOfOthers(t *testing.T) {
	_, key, log := newLog(t, 10)
	c := log.Published()
	seed := sha256.Sum256([]byte("a witness for tests"))
	witness, err := tlog.NewKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	cosigner, err := tlog.NewCosigner(witness.Name(), seed, 1_700_000_000)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := tlog.ParseCosignatureKey(cosigner.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := note.NewVerifierForCosignatureV1(cosigner.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSignerForCosignatureV1(witness.Private())
	if err != nil {
		t.Fatal(err)
	}

	signed, err := c.Sign(key, cosigner)
	if err != nil {
		t.Fatal(err)
	}
	_, opened, err := tlog.OpenCheckpoint(signed, c.Origin, key.Public(), theirs)
	if err != nil || len(opened.Sigs) != 2 {
		t.Fatalf("%+v, %v", opened, err)
	}
	if at, err := note.CoSigV1Timestamp(opened.Sigs[1]); err != nil || at.Unix() != 1_700_000_000 {
		t.Errorf("made at %v, %v", at, err)
	}
	for i := bytes.LastIndexByte(signed, ' ') + 1; i < len(signed)-1; i++ {
		changed := bytes.Clone(signed)
		changed[i] ^= 2
		if _, opened, err := tlog.OpenCheckpoint(changed, c.Origin, key.Public(), theirs); err == nil && len(opened.Sigs) > 1 {
			t.Errorf("byte %d: accepted", i)
		}
	}

	foreign, err := c.Sign(key, signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, opened, err = tlog.OpenCheckpoint(foreign, c.Origin, key.Public(), ours); err != nil || len(opened.Sigs) != 2 {
		t.Fatalf("%+v, %v", opened, err)
	}
	signature, err := base64.StdEncoding.DecodeString(opened.Sigs[1].Base64)
	if err != nil || len(signature) < 12 {
		t.Fatalf("made as %q, %v", opened.Sigs[1].Base64, err)
	}
	// A key hash of 4 bytes comes first, then the time.
	if at := binary.BigEndian.Uint64(signature[4:]); at < 1_700_000_000 {
		t.Errorf("made at %v", at)
	}
}
