// Package digest computes SHA-256 of many short messages at once: the leaves of a
// batch, which do not depend on each other, and the nodes of one level of their
// tree.
//
// The method: with vectors of 512 bits the processor hashes sixteen messages side
// by side. With SHA instructions it hashes two in turn, because a single message
// leaves the unit idle for half of its time. The remaining messages, and all
// messages on other processors, are hashed by crypto/sha256. Messages must be
// padded to blocks, so that nothing is copied.
//
// # Invariants
//
//   - The results are those of crypto/sha256, on every machine.
//   - Nothing is allocated, and nothing except the arguments is read or written.
package digest

import (
	"crypto/sha256"
	"encoding/binary"
)

// Size is the length of a digest in bytes.
const Size = sha256.Size

// BlockSize is the length of a block in bytes.
const BlockSize = sha256.BlockSize

// Blocks returns how many blocks a message of n bytes needs, including padding.
func Blocks(n int) int { return (n + 9 + BlockSize - 1) / BlockSize }

// Pad pads a message of n bytes at the start of blocks, which must have the
// number of blocks that [Blocks] returns: with a bit, zeros and the length in
// bits (FIPS 180-4, 5.1.1).
func Pad(blocks []byte, n int) {
	end := len(blocks) - 8
	clear(blocks[n:end])
	blocks[n] = 0x80
	binary.BigEndian.PutUint64(blocks[end:], uint64(n)<<3)
}

// Sum writes the digest of each padded message to dst. There are len(dst)
// messages, one after the other, each with the given number of blocks, at least
// 1. Sum panics if padded is shorter.
func Sum[H ~[Size]byte](dst []H, padded []byte, blocks int) { sum(here, dst, padded, blocks) }

// routines says which routines a processor can run.
type routines struct {
	sixteens bool // sixteen messages side by side
	pairs    bool // two in turn
}

func sum[H ~[Size]byte](r routines, dst []H, padded []byte, blocks int) {
	n := len(dst)
	stride := blocks * BlockSize
	padded = padded[:n*stride]
	done := 0
	if r.sixteens && n >= 16 && blocks > 0 {
		sumSixteens(&dst[0][0], &padded[0], blocks, n/16)
		done = n &^ 15
	}
	if r.pairs && n-done >= 2 && blocks > 0 {
		sumPairs(&dst[done][0], &padded[done*stride], blocks, (n-done)/2)
		done = n &^ 1
	}
	for i := done; i < n; i++ {
		message := padded[i*stride:][:stride]
		bits := binary.BigEndian.Uint64(message[stride-8:])
		dst[i] = sha256.Sum256(message[:bits>>3])
	}
}

const nodePrefix = 0x01

// Nodes writes the hash of the node above each two digests of src, which is RFC
// 6962's SHA-256(0x01 ‖ left ‖ right), to dst. There are len(dst) nodes; dst may
// be the beginning of src. Nodes panics if src is shorter.
func Nodes[H ~[Size]byte](dst, src []H) { nodes(here, dst, src) }

func nodes[H ~[Size]byte](r routines, dst, src []H) {
	n := len(dst)
	src = src[:2*n]
	done := 0
	if r.sixteens && n >= 16 {
		nodeSixteens(&dst[0][0], &src[0][0], n/16)
		done = n &^ 15
	}
	if r.pairs && n-done >= 2 {
		nodePairs(&dst[done][0], &src[2*done][0], lastBlocks, (n-done)/2)
		done = n &^ 1
	}
	var message [1 + 2*Size]byte
	message[0] = nodePrefix
	for i := done; i < n; i++ {
		copy(message[1:], src[2*i][:])
		copy(message[1+Size:], src[2*i+1][:])
		dst[i] = sha256.Sum256(message[:])
	}
}
