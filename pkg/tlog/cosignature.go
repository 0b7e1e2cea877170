package tlog

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// algCosignature is the algorithm byte of C2SP tlog-cosignature, Ed25519.
const algCosignature = 4

// Cosigner signs checkpoints that a witness has found consistent, as C2SP
// tlog-cosignature defines. It is a golang.org/x/mod/sumdb/note.Signer for one
// point in time.
type Cosigner struct {
	name string
	key  ed25519.PrivateKey
	time uint64
}

// NewCosigner returns the signer of the witness with this name and key at this
// time, in seconds since 1970 UTC, at least 1. The time is signed: the witness
// states that up to this time it knows of no larger tree of that log.
func NewCosigner(name string, seed [ed25519.SeedSize]byte, time uint64) (*Cosigner, error) {
	c := &Cosigner{name: name, key: ed25519.NewKeyFromSeed(seed[:]), time: time}
	if time == 0 || time > 1<<63-1 {
		return nil, fmt.Errorf("making a cosigner: %w", errTime)
	}
	if _, err := ParseCosignatureKey(c.PublicKey()); err != nil {
		return nil, fmt.Errorf("making a cosigner: %w", err)
	}
	return c, nil
}

// ParseCosigner reads the private key of a witness, a note signer key with any
// name, and returns its name and its seed for [NewCosigner].
func ParseCosigner(text string) (name string, seed [ed25519.SeedSize]byte, err error) {
	text = strings.TrimSuffix(text, "\n")
	signer, err := note.NewSigner(text)
	if err != nil {
		return "", seed, fmt.Errorf("parsing a witness's own key: %w", err)
	}
	parts := strings.SplitN(text, "+", 5) // PRIVATE+KEY+name+hash+base64
	data, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(data) != 1+ed25519.SeedSize {
		return "", seed, fmt.Errorf("parsing a witness's own key: %w", errCosignatureKey)
	}
	return signer.Name(), [ed25519.SeedSize]byte(data[1:]), nil
}

// CosignerText returns the text that [ParseCosigner] reads. It is a secret.
func CosignerText(name string, seed [ed25519.SeedSize]byte) string {
	public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	return privateText(name, keyHash(name, algEd25519, public), seed)
}

// Name implements note.Signer.
func (c *Cosigner) Name() string { return c.name }

// KeyHash implements note.Signer.
func (c *Cosigner) KeyHash() uint32 { return keyHash(c.name, algCosignature, c.public()) }

// PublicKey returns the verifier key that witnesses publish.
func (c *Cosigner) PublicKey() string {
	data := append([]byte{algCosignature}, c.public()...)
	return fmt.Sprintf("%s+%08x+%s", c.name, c.KeyHash(), base64.StdEncoding.EncodeToString(data))
}

func (c *Cosigner) public() []byte { return c.key[ed25519.SeedSize:] }

// Sign implements note.Signer. The text must be a checkpoint.
func (c *Cosigner) Sign(text []byte) ([]byte, error) {
	if _, err := ParseCheckpoint(string(text)); err != nil {
		return nil, fmt.Errorf("cosigning: %w", err)
	}
	signature := binary.BigEndian.AppendUint64(nil, c.time)
	return append(signature, ed25519.Sign(c.key, cosigned(c.time, text))...), nil
}

// CosignatureKey verifies the cosignatures of one witness. It is a
// golang.org/x/mod/sumdb/note.Verifier.
type CosignatureKey struct {
	name   string
	public [ed25519.PublicKeySize]byte
}

var (
	errCosignatureKey = errors.New("not name+hash+key of an Ed25519 cosigner")
	errTime           = errors.New("the time is out of range")
)

// ParseCosignatureKey reads what [Cosigner.PublicKey] writes.
func ParseCosignatureKey(text string) (*CosignatureKey, error) {
	text = strings.TrimSuffix(text, "\n")
	parts := strings.SplitN(text, "+", 3)
	if len(parts) != 3 || parts[0] == "" || strings.ContainsFunc(parts[0], func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0xfffd }) {
		return nil, fmt.Errorf("parsing a witness key: %w", errCosignatureKey)
	}
	data, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(data) != 1+ed25519.PublicKeySize || data[0] != algCosignature {
		return nil, fmt.Errorf("parsing a witness key: %w", errCosignatureKey)
	}
	k := &CosignatureKey{name: parts[0], public: [ed25519.PublicKeySize]byte(data[1:])}
	if parts[1] != fmt.Sprintf("%08x", k.KeyHash()) {
		return nil, fmt.Errorf("parsing a witness key: %w", errCosignatureKey)
	}
	return k, nil
}

// Name implements note.Verifier.
func (k *CosignatureKey) Name() string { return k.name }

// KeyHash implements note.Verifier.
func (k *CosignatureKey) KeyHash() uint32 { return keyHash(k.name, algCosignature, k.public[:]) }

// Verify implements note.Verifier.
func (k *CosignatureKey) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	time := binary.BigEndian.Uint64(signature)
	return ed25519.Verify(k.public[:], cosigned(time, text), signature[8:])
}

// cosigned returns the bytes that a witness signs.
func cosigned(time uint64, text []byte) []byte {
	return append([]byte("cosignature/v1\ntime "+strconv.FormatUint(time, 10)+"\n"), text...)
}
