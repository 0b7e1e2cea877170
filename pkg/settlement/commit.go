package settlement

import "errors"

// What a store answers when it does not commit.
var (
	// ErrFenced means that somebody else has moved the cursor: another settler
	// has taken the partition over. This one must stop.
	ErrFenced = errors.New("another settler has taken over")
	// ErrInterrupted means that the store could not do it now (disk full,
	// locked, input or output failed) and that trying again may help.
	ErrInterrupted = errors.New("store interrupted")
)
