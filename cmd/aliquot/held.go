package main

import (
	"context"
	"errors"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"

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
func openFolder(ctx context.Context, config host.Config, instead func() bool) (p *host.Process, err error) {
	first := true
	err = retry.Policy{
		Pause:  heldPoll,
		Again:  func(err error) bool { return errors.Is(err, eventlog.ErrInUse) },
		Enough: func(_ int, since time.Duration) bool { return since > heldFor },
	}.Do(ctx, func() (err error) {
		if !first && instead() {
			return nil
		}
		first = false
		p, err = host.Open(ctx, config)
		return err
	})
	return p, err
}
