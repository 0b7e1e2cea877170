package digest

import "github.com/klauspost/cpuid/v2"

// here says which routines this processor can run.
var here = routines{
	sixteens: cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW),
	pairs:    cpuid.CPU.Supports(cpuid.SHA, cpuid.SSSE3, cpuid.SSE4),
}

// sumPairs hashes pairs × 2 messages with this number of blocks, one after the
// other.
//
//go:noescape
func sumPairs(dst, src *byte, blocks, pairs int)

// nodePairs hashes pairs × 2 nodes from pairs × 4 digests. For each value of a
// node's last byte, last has the words of the node's second block with the
// constants added: only that byte of the block varies.
//
//go:noescape
func nodePairs(dst, src *byte, last *[256][64]uint32, pairs int)

// sumSixteens hashes sixteens × 16 messages with this number of blocks, one after
// the other.
//
//go:noescape
func sumSixteens(dst, src *byte, blocks, sixteens int)

// nodeSixteens hashes sixteens × 16 nodes from sixteens × 32 digests.
//
//go:noescape
func nodeSixteens(dst, src *byte, sixteens int)
