// Package retry repeats an operation, with a pause between attempts, until it
// succeeds or the policy gives up.
//
// The method: a [Policy] says after which errors an attempt is repeated, how
// long to pause and when to give up. Pauses double from the first one up to a
// limit; they have no jitter, because the processes that retry here are few.
// The caller must know that the operation may be repeated.
//
// # Invariants
//
//   - An error after which the policy does not retry is returned at once and
//     unchanged.
//   - After the context has ended there is no further attempt. The first
//     attempt is always made.
//   - After giving up, the error of the last attempt is returned.
package retry

import (
	"context"
	"fmt"
	"time"
)

// Policy says how often and how soon an operation is repeated.
type Policy struct {
	// Pause is the first pause; each further one is twice as long, up to
	// Longest. If Longest is below Pause, for example 0, all pauses are equal.
	Pause, Longest time.Duration
	// Again reports whether another attempt may succeed after an error; nil
	// means that it always may.
	Again func(error) bool
	// Enough reports whether to give up. It is called after each failed
	// attempt, with the number of attempts and the time since the first one
	// began; nil never gives up.
	Enough func(tries int, since time.Duration) bool
	// Waits is called with the error before each pause, for a log or a counter;
	// it may be nil.
	Waits func(cause error, pause time.Duration)
}

// Do repeats an operation until it succeeds, the policy gives up or ctx ends.
// If ctx ends during a pause, the error wraps ctx's error and that of the last
// attempt.
func (p Policy) Do(ctx context.Context, do func() error) error {
	began, pause := time.Now(), p.Pause
	for tries := 1; ; tries++ {
		err := do()
		if err == nil || ctx.Err() != nil || p.Again != nil && !p.Again(err) || p.Enough != nil && p.Enough(tries, time.Since(began)) {
			return err
		}
		if p.Waits != nil {
			p.Waits(err, pause)
		}
		if ctxErr := Sleep(ctx, pause); ctxErr != nil {
			return fmt.Errorf("%w: %w", ctxErr, err)
		}
		pause = max(min(2*pause, p.Longest), p.Pause)
	}
}

// Until calls ask until it returns true or an error, or until ctx ends, with a
// pause between two calls.
func Until(ctx context.Context, pause time.Duration, ask func() (bool, error)) error {
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		if err := Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// Sleep returns nil after a time, or ctx's error as soon as ctx has ended.
func Sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
