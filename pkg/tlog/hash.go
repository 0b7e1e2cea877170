package tlog

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// Hash is a SHA-256.
type Hash [sha256.Size]byte

// String returns the hash in standard base64, as in checkpoints and proofs.
func (h Hash) String() string { return base64.StdEncoding.EncodeToString(h[:]) }

// MarshalText returns [Hash.String]; it never fails.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads exactly what [Hash.MarshalText] writes.
func (h *Hash) UnmarshalText(text []byte) error {
	read, err := ParseHash(string(text))
	if err == nil {
		*h = read
	}
	return err
}

var errHash = errors.New("it is not the base64 of 32 bytes")

// ParseHash reads exactly what [Hash.String] writes.
func ParseHash(text string) (h Hash, err error) {
	if len(text) != base64.StdEncoding.EncodedLen(len(h)) {
		return h, fmt.Errorf("parsing a hash: %w", errHash)
	}
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(data) != len(h) {
		return Hash{}, fmt.Errorf("parsing a hash: %w", errHash)
	}
	return Hash(data), nil
}

const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

// EmptyRoot returns the root of the tree without leaves: SHA-256 of nothing.
func EmptyRoot() Hash { return sha256.Sum256(nil) }

// LeafHash returns the hash of a leaf: SHA-256(0x00 ‖ leaf).
func LeafHash(leaf []byte) Hash {
	// Nearly every leaf fits into this buffer; longer ones are allocated.
	var room [512]byte
	return sha256.Sum256(append(append(room[:0], leafPrefix), leaf...))
}

// NodeHash returns the hash of a node above two others: SHA-256(0x01 ‖ left ‖
// right).
func NodeHash(left, right Hash) Hash {
	var data [1 + 2*sha256.Size]byte
	data[0] = nodePrefix
	copy(data[1:], left[:])
	copy(data[1+sha256.Size:], right[:])
	return sha256.Sum256(data[:])
}
