package tlog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func testKey(t testing.TB, seed string) *Key {
	t.Helper()
	key, err := NewKey(sha256.Sum256([]byte(seed)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAKeyIsReadAsItWasWritten(t *testing.T) {
	for _, seed := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} { // Some of these keys have a plus in their base64.
		key := testKey(t, seed)
		again, err := ParseKey(key.Private() + "\n")
		if err != nil || again.Private() != key.Private() || again.Public().String() != key.Public().String() {
			t.Fatalf("%v", err)
		}
		public, err := ParsePublicKey(key.Public().String() + "\n")
		if err != nil || public.Origin("ledger") != key.Origin("ledger") {
			t.Fatalf("%v", err)
		}
		if s := key.String(); s != public.String() {
			t.Errorf("a key is printed as %s", s)
		}
	}
	key := testKey(t, "a")
	if want := "aliquot/93c0f7cbf58b2bfa/usage-0-0"; len(key.Origin("usage-0-0")) != len(want) || !strings.HasPrefix(key.Origin("usage-0-0"), "aliquot/") {
		t.Errorf("origin %s", key.Origin("usage-0-0"))
	}
	other, _ := note.NewEd25519VerifierKey("aliquot/0000000000000000", make([]byte, 32))
	for _, bad := range []string{"", "x", key.Private()[:50], key.Public().String(), "PRIVATE+KEY+" + key.Public().String()} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("%q is read as a key", bad)
		} else if strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("an error shows the key: %v", err)
		}
	}
	for _, bad := range []string{"", "x+y", "a+b+c", key.Private(), other, key.Public().String() + "A"} {
		if _, err := ParsePublicKey(bad); err == nil {
			t.Errorf("%q is read as a public key", bad)
		}
	}
}

func TestACheckpointOpensForItsLogAndKeyOnly(t *testing.T) {
	key, other := testKey(t, "a"), testKey(t, "b")
	c := Checkpoint{Origin: key.Origin("control"), Size: 1234, Root: LeafHash([]byte("root"))}
	signed, err := c.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := OpenCheckpoint(signed, c.Origin, key.Public()); err != nil || !reflect.DeepEqual(got, c) {
		t.Fatalf("%+v, %v", got, err)
	}
	foreign, err := c.Sign(other)
	if err != nil {
		t.Fatal(err)
	}
	cosigner, err := NewCosigner("witness.example/w", sha256.Sum256([]byte("w")), 1_700_000_000)
	if err != nil {
		t.Fatal(err)
	}
	onlyWitness, err := c.Sign(cosigner)
	if err != nil {
		t.Fatal(err)
	}
	witness, err := ParseCosignatureKey(cosigner.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		signed []byte
		origin string
	}{
		{"another log's", signed, key.Origin("ledger")},
		{"signed by another", foreign, c.Origin},
		{"signed by a witness alone", onlyWitness, c.Origin},
		{"without a signature", []byte(c.Marshal() + "\n"), c.Origin},
		{"cut short", signed[:len(signed)-5], c.Origin},
		{"of nothing", nil, c.Origin},
		{"of a megabyte", bytes.Repeat([]byte("a\n"), 1<<19), c.Origin},
	}
	for _, test := range tests {
		t.Run("a checkpoint "+test.name+" is refused", func(t *testing.T) {
			if got, _, err := OpenCheckpoint(test.signed, test.origin, key.Public(), witness); err == nil {
				t.Errorf("opened as %+v", got)
			}
		})
	}
	t.Run("a checkpoint with any byte changed is refused", func(t *testing.T) {
		for at := range signed {
			changed := bytes.Clone(signed)
			changed[at] ^= 1
			if got, _, err := OpenCheckpoint(changed, c.Origin, key.Public()); err == nil {
				t.Errorf("byte %d: opened as %+v", at, got)
			}
		}
	})
}

func TestCosignaturesAreVerifiedBesideTheLogs(t *testing.T) {
	key := testKey(t, "a")
	c := Checkpoint{Origin: key.Origin("control"), Size: 5, Root: LeafHash(nil)}
	cosigner, err := NewCosigner("witness.example/w", sha256.Sum256([]byte("w")), 1_700_000_000)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := c.Sign(key, cosigner)
	if err != nil {
		t.Fatal(err)
	}
	witness, err := ParseCosignatureKey(cosigner.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	_, opened, err := OpenCheckpoint(signed, c.Origin, key.Public(), witness)
	if err != nil || len(opened.Sigs) != 2 {
		t.Fatalf("%+v, %v", opened, err)
	}
	signature, err := base64.StdEncoding.DecodeString(opened.Sigs[1].Base64)
	if err != nil || len(signature) != 4+8+ed25519.SignatureSize || binary.BigEndian.Uint64(signature[4:]) != 1_700_000_000 {
		t.Errorf("made as %x, %v", signature, err)
	}
	for at := bytes.LastIndexByte(signed, ' ') + 1; at < len(signed)-1; at++ {
		changed := bytes.Clone(signed)
		changed[at] ^= 2
		// A change outside the key id makes the whole note invalid; a changed key
		// id makes the witness unknown.
		_, opened, err := OpenCheckpoint(changed, c.Origin, key.Public(), witness)
		if err == nil && len(opened.Sigs) != 1 {
			t.Errorf("byte %d: %d signatures", at, len(opened.Sigs))
		}
	}
	for _, bad := range []string{"", "a", "w+00000000+AAAA", key.Public().String(), " " + cosigner.PublicKey(), cosigner.PublicKey() + "="} {
		if _, err := ParseCosignatureKey(bad); err == nil {
			t.Errorf("%q is a witness key", bad)
		}
	}
	if _, err := NewCosigner("with space", [32]byte{}, 1); err == nil {
		t.Error("a name with a space")
	}
	if _, err := NewCosigner("name", [32]byte{}, 0); err == nil {
		t.Error("no time")
	}
	if _, err := cosigner.Sign([]byte("no checkpoint\n")); err == nil {
		t.Error("a witness signs anything")
	}
}

func TestCheckpointsHaveOneForm(t *testing.T) {
	root := LeafHash(nil).String()
	for _, good := range []string{
		"a\n0\n" + root + "\n",
		"a b\n18446744073709551615\n" + root + "\n",
		"a\n1\n" + root + "\nextension\nanother\n",
	} {
		c, err := ParseCheckpoint(good)
		if err != nil || c.Marshal() != good {
			t.Errorf("%q is read as %+v, %v", good, c, err)
		}
	}
	for _, bad := range []string{
		"", "\n", "a\n1\n", "a\n1\n" + root, "\n1\n" + root + "\n", "a\n01\n" + root + "\n", "a\n-1\n" + root + "\n",
		"a\n+1\n" + root + "\n", "a\n18446744073709551616\n" + root + "\n", "a\n1\n" + root[:43] + "\n",
		"a\n1\n" + root[:42] + "B=\n", "a\n1\n" + root + "\n\n", "a\n1\n" + root + "\r\n", "a\r\n1\n" + root + "\n",
		"a\n1\n" + root + "\n\nx\n",
	} {
		if c, err := ParseCheckpoint(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, c)
		}
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	c := Checkpoint{Origin: "aliquot/0123456789abcdef/control", Size: 7, Root: LeafHash(nil), Extensions: []string{"x"}}
	f.Add(c.Marshal())
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseCheckpoint(text); err == nil && c.Marshal() != text {
			t.Errorf("%q is read as %+v", text, c)
		}
	})
}

func FuzzOpenCheckpoint(f *testing.F) {
	key := testKey(f, "a")
	c := Checkpoint{Origin: key.Origin("control"), Size: 7, Root: LeafHash(nil)}
	signed, err := c.Sign(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Fuzz(func(t *testing.T, data []byte) {
		got, _, err := OpenCheckpoint(data, c.Origin, key.Public())
		if err == nil && !reflect.DeepEqual(got, c) {
			t.Errorf("opened as %+v, which was never signed", got)
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	f.Add(testKey(f, "a").Private())
	f.Add(testKey(f, "a").Public().String())
	f.Fuzz(func(_ *testing.T, text string) {
		// No input may cause a panic.
		_, _ = ParseKey(text)
		_, _ = ParsePublicKey(text)
		_, _ = ParseCosignatureKey(text)
	})
}
