// Package retry does something again, with a pause between the tries, until it
// succeeds or it is enough.
//
// The method: a [Policy] says which errors may go away by themselves, how long to
// pause and when to give up. Pauses double from the first one up to a limit; they
// have no jitter, because the processes that retry here are few. Whether something
// may be done twice is for the caller to know.
//
// # Invariants
//
//   - An error that the policy does not want again is returned at once, as it is.
//   - Once the context has ended nothing is tried again. The first try is always
//     made.
//   - Giving up returns the error of the last try.
package retry

import (
	"context"
	"fmt"
	"time"
)

// Policy says how often and how soon something is done again.
type Policy struct {
	// Pause is the first pause; each further one is twice as long, up to Longest.
	// A Longest below Pause, such as 0, keeps all of them as the first.
	Pause, Longest time.Duration
	// Again tells the errors after which another try may succeed; nil: all.
	Again func(error) bool
	// Enough is asked after each try that failed, with how many there have been and
	// the time since the first one began; nil: it is never enough.
	Enough func(tries int, since time.Duration) bool
	// Waits is told of the error before each pause, for a log or a counter; nil:
	// nobody is.
	Waits func(cause error, pause time.Duration)
}

// Do does something until it succeeds, or until the policy or ctx ends it. When
// ctx ends during a pause, the error is ctx's, with that of the last try.
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

// Until asks until the answer is yes, an error, or ctx ends, pausing between two
// questions for the time given.
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

// Sleep returns nil after a time, or ctx's error as soon as it has ended.
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
