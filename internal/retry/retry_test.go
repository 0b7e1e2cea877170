package retry

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var errLater, errNever = errors.New("later"), errors.New("never")

func TestPausesDoubleUpToTheLongest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, row := range []struct {
			name           string
			pause, longest time.Duration
			want           []time.Duration
		}{
			{"growing", time.Second, 5 * time.Second, []time.Duration{1 * time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second}},
			{"without a limit they stay", time.Second, 0, []time.Duration{time.Second, time.Second, time.Second}},
		} {
			var pauses []time.Duration
			tries, began := 0, time.Now()
			policy := Policy{Pause: row.pause, Longest: row.longest, Waits: func(cause error, pause time.Duration) {
				if !errors.Is(cause, errLater) {
					t.Errorf("%s: told of %v", row.name, cause)
				}
				pauses = append(pauses, pause)
			}}
			err := policy.Do(t.Context(), func() error {
				if tries++; tries > len(row.want) {
					return nil
				}
				return errLater
			})
			total := time.Duration(0)
			for _, pause := range row.want {
				total += pause
			}
			if err != nil || !slices.Equal(pauses, row.want) || time.Since(began) != total {
				t.Errorf("%s: %v after %v, pauses %v, want %v", row.name, err, time.Since(began), pauses, row.want)
			}
		}
	})
}

func TestAnErrorThatIsNotWantedAgainIsReturnedAtOnce(t *testing.T) {
	t.Parallel()
	tries := 0
	err := Policy{Pause: time.Hour, Again: func(err error) bool { return errors.Is(err, errLater) }}.Do(t.Context(), func() error {
		tries++
		return errNever
	})
	if tries != 1 || !errors.Is(err, errNever) {
		t.Errorf("%d tries, %v", tries, err)
	}
}

func TestEnoughEndsTheTriesWithTheLastError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		policy := Policy{Pause: time.Second, Enough: func(tries int, since time.Duration) bool { return tries >= 3 && since >= 4*time.Second }}
		err := policy.Do(t.Context(), func() error {
			tries++
			return errLater
		})
		if tries != 5 || !errors.Is(err, errLater) {
			t.Errorf("%d tries, %v, want 5: the fifth begins after 4 seconds", tries, err)
		}
	})
}

func TestAContextEndsAPauseAndTheErrorSaysWhatWasTried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		tries := 0
		err := Policy{Pause: time.Hour}.Do(ctx, func() error {
			tries++
			return errLater
		})
		if tries != 1 || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errLater) {
			t.Errorf("%d tries, %v", tries, err)
		}
		// The first try is made, and its success counts, also when the context has ended.
		if err := (Policy{}).Do(ctx, func() error { return nil }); err != nil {
			t.Errorf("a try that succeeded: %v", err)
		}
	})
}

func TestUntilAsksUntilTheAnswerIsYes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, asked := time.Now(), 0
		err := Until(t.Context(), time.Second, func() (bool, error) {
			asked++
			return asked == 4, nil
		})
		if err != nil || asked != 4 || time.Since(began) != 3*time.Second {
			t.Errorf("asked %d times in %v: %v", asked, time.Since(began), err)
		}
		if err := Until(t.Context(), time.Second, func() (bool, error) { return false, errNever }); !errors.Is(err, errNever) {
			t.Errorf("an error: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Until(ctx, time.Second, func() (bool, error) { return false, nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("an ended context: %v", err)
		}
	})
}
