package tlog

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Key signs the checkpoints of all logs of an installation. It is a
// golang.org/x/mod/sumdb/note.Signer.
type Key struct {
	note.Signer
	public PublicKey
	seed   [ed25519.SeedSize]byte
}

// PublicKey verifies the signatures of a [Key]. It is a
// golang.org/x/mod/sumdb/note.Verifier.
//
// Its name is aliquot/<installation>, where installation is the first 16
// hexadecimal digits of the SHA-256 of the 32 bytes of the key. The origin of a
// log is the name, a slash and the log's name. C2SP tlog-checkpoint recommends
// that a key's name be the origin; we use one name for all logs, because
// otherwise each reader would have to configure one key for each log.
type PublicKey struct {
	note.Verifier
	text string
}

const (
	namePrefix = "aliquot/"
	keyPrefix  = "PRIVATE+KEY+"
	algEd25519 = 1
)

var (
	errKeyName = errors.New("the name does not belong to the key")
	errKey     = errors.New("malformed")
)

// NewKey returns the key with this seed, which the caller draws at random.
func NewKey(seed [ed25519.SeedSize]byte) (*Key, error) {
	public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	name := keyName(public)
	text, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		return nil, fmt.Errorf("making a log key: %w", err)
	}
	verifier, err := ParsePublicKey(text)
	if err != nil {
		return nil, fmt.Errorf("making a log key: %w", err)
	}
	signer, err := note.NewSigner(privateText(name, verifier.KeyHash(), seed))
	if err != nil {
		return nil, fmt.Errorf("making a log key: %w", err)
	}
	return &Key{Signer: signer, public: *verifier, seed: seed}, nil
}

// ParseKey reads what [Key.Private] writes.
func ParseKey(text string) (*Key, error) {
	text = strings.TrimSuffix(text, "\n")
	signer, err := note.NewSigner(text)
	if err != nil {
		return nil, fmt.Errorf("parsing a log key: %w", err)
	}
	// The signer has checked the form: PRIVATE+KEY+name+hash+base64.
	parts := strings.SplitN(text, "+", 5)
	data, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(data) != 1+ed25519.SeedSize {
		return nil, fmt.Errorf("parsing a log key: %w", errKey)
	}
	key, err := NewKey([ed25519.SeedSize]byte(data[1:]))
	if err != nil {
		return nil, err
	}
	if key.Name() != signer.Name() {
		return nil, fmt.Errorf("parsing a log key: %w", errKeyName)
	}
	return key, nil
}

// Private returns the key as a note signer key. It is a secret.
func (k *Key) Private() string { return privateText(k.Name(), k.KeyHash(), k.seed) }

// String returns the public key, so that a key printed by mistake reveals no
// secret.
func (k *Key) String() string { return k.public.text }

// Public returns the key that verifies what this one signs.
func (k *Key) Public() *PublicKey { return &k.public }

// Origin returns the origin of a log that this key signs.
func (k *Key) Origin(log string) string { return k.public.Origin(log) }

// ParsePublicKey reads what [PublicKey.String] writes.
func ParsePublicKey(text string) (*PublicKey, error) {
	text = strings.TrimSuffix(text, "\n")
	verifier, err := note.NewVerifier(text)
	if err != nil {
		return nil, fmt.Errorf("parsing a public log key: %w", err)
	}
	parts := strings.SplitN(text, "+", 3)
	data, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(data) != 1+ed25519.PublicKeySize {
		return nil, fmt.Errorf("parsing a public log key: %w", errKey)
	}
	if verifier.Name() != keyName(data[1:]) {
		return nil, fmt.Errorf("parsing a public log key: %w", errKeyName)
	}
	return &PublicKey{Verifier: verifier, text: text}, nil
}

// String returns the key as a note verifier key.
func (k *PublicKey) String() string { return k.text }

// Origin returns the origin of a log, named as its stream in lower case.
func (k *PublicKey) Origin(log string) string { return k.Name() + "/" + log }

func keyName(public ed25519.PublicKey) string {
	hash := sha256.Sum256(public)
	return namePrefix + hex.EncodeToString(hash[:8])
}

func privateText(name string, hash uint32, seed [ed25519.SeedSize]byte) string {
	data := append([]byte{algEd25519}, seed[:]...)
	return fmt.Sprintf("%s%s+%08x+%s", keyPrefix, name, hash, base64.StdEncoding.EncodeToString(data))
}

// keyHash is the key id of signed notes, computed from the name, the algorithm
// and the key.
func keyHash(name string, algorithm byte, public []byte) uint32 {
	sum := sha256.Sum256(append(append([]byte(name+"\n"), algorithm), public...))
	return binary.BigEndian.Uint32(sum[:])
}
