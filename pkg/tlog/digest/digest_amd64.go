package digest

import "github.com/klauspost/cpuid/v2"

// here is what this processor has.
var here = routines{
	sixteens: cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW),
	pairs:    cpuid.CPU.Supports(cpuid.SHA, cpuid.SSSE3, cpuid.SSE4),
}

// sumPairs hashes pairs × 2 messages of so many blocks, one behind the other.
//
//go:noescape
func sumPairs(dst, src *byte, blocks, pairs int)

// nodePairs hashes pairs × 2 nodes, of pairs × 4 digests. Last has, for each value
// of a node's last byte, the words of its second block with the constants added:
// nothing else of that block differs.
//
//go:noescape
func nodePairs(dst, src *byte, last *[256][64]uint32, pairs int)

// sumSixteens hashes sixteens × 16 messages of so many blocks, one behind the other.
//
//go:noescape
func sumSixteens(dst, src *byte, blocks, sixteens int)

// nodeSixteens hashes sixteens × 16 nodes, of sixteens × 32 digests.
//
//go:noescape
func nodeSixteens(dst, src *byte, sixteens int)
