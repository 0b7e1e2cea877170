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
	// heldFor is how long a command waits for a folder that another command
	// holds. Commands hold it for a moment; a longer holder is a server, which
	// answers requests itself.
	heldFor = 30 * time.Second
	// heldPoll is how often the folder is tried.
	heldPoll = 50 * time.Millisecond
)

// openFolder opens a folder. If another process holds it, openFolder waits
// until it is released. It stops waiting as soon as instead returns true, and
// then returns neither a process nor an error.
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
