//go:build !amd64

package digest

// pairs is false: there is no routine for this processor.
const pairs = false

func sumPairs(_, _ *byte, _, _ int) {}

func nodePairs(_, _ *byte, _ *[256][64]uint32, _ int) {}
