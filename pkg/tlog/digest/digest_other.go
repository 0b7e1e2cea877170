//go:build !amd64

package digest

// here is empty: there are no routines for this processor.
var here routines

func sumPairs(_, _ *byte, _, _ int) {}

func nodePairs(_, _ *byte, _ *[256][64]uint32, _ int) {}

func sumSixteens(_, _ *byte, _, _ int) {}

func nodeSixteens(_, _ *byte, _ int) {}
