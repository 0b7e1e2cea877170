package settlement

import "errors"

// Errors of a store that did not commit.
var (
	// ErrFenced means that another settler has taken over the partition and moved
	// its cursor. This settler must stop.
	ErrFenced = errors.New("another settler has taken over")
	// ErrInterrupted means that the store could not commit at this time (disk
	// full, locked, an input or output error); trying again may help.
	ErrInterrupted = errors.New("store interrupted")
)
