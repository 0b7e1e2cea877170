package main

import (
	"context"
	"errors"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/host"
	"github.com/aliquot-engine/aliquot/internal/eventlog"
)

const (
	// heldFor is how long a folder is waited for that another command holds: those
	// take a moment. What takes longer has a server, which answers for it.
	heldFor = 30 * time.Second
	// heldPoll is how often it is looked at.
	heldPoll = 50 * time.Millisecond
)

// openFolder opens a folder. Where another process holds it, it waits for a moment
// that it is released, and stops as soon as instead says that it is not needed any
// more; then it returns neither a process nor an error.
func openFolder(ctx context.Context, config host.Config, instead func() bool) (*host.Process, error) {
	deadline := time.Now().Add(heldFor)
	for {
		d, err := host.Open(ctx, config)
		if !errors.Is(err, eventlog.ErrInUse) || time.Now().After(deadline) {
			return d, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(heldPoll):
		}
		if instead() {
			return nil, nil
		}
	}
}
