package watermark

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

func TestAMarkNeverGoesBack(t *testing.T) {
	t.Parallel()
	var m Mark
	for _, to := range []uint64{3, 2, 0, 5, 4} {
		m.Advance(to)
	}
	if m.At() != 5 {
		t.Errorf("the mark is at %d, want 5", m.At())
	}
}

func TestAWaiterGoesOnWhenItsPositionIsReachedAndNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m Mark
		var waiters sync.WaitGroup
		var reached [6]bool
		for position := range reached {
			waiters.Go(func() {
				if err := m.Wait(t.Context(), uint64(position)); err != nil {
					t.Errorf("waiting for %d: %v", position, err)
				}
				reached[position] = true
			})
		}
		for _, to := range []uint64{0, 1, 3, 2, 4, 5} {
			m.Advance(to)
			synctest.Wait()
			for position, is := range reached {
				if want := uint64(position) <= m.At(); is != want {
					t.Errorf("at %d the waiter for %d has gone on: %v", m.At(), position, is)
				}
			}
		}
		waiters.Wait()
	})
}

func TestAStoppedMarkEndsEveryWaitThatIsNotReached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m Mark
		first, second := errors.New("first"), errors.New("second")
		m.Advance(2)
		var early error
		go func() { early = m.Wait(t.Context(), 3) }()
		synctest.Wait()
		m.Stop(first)
		m.Stop(second)
		synctest.Wait()
		if !errors.Is(early, first) {
			t.Errorf("who waited has %v, want the first error", early)
		}
		if err := m.Wait(t.Context(), 3); !errors.Is(err, first) {
			t.Errorf("who comes later has %v, want the first error", err)
		}
		if err := m.Wait(t.Context(), 2); err != nil {
			t.Errorf("who waits for what is reached has %v", err)
		}
	})
}

func TestAContextEndsAWaitAndNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m Mark
		ctx, cancel := context.WithCancel(t.Context())
		var ended, other error
		go func() { ended = m.Wait(ctx, 1) }()
		go func() { other = m.Wait(t.Context(), 1) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		m.Advance(1)
		synctest.Wait()
		if !errors.Is(ended, context.Canceled) || other != nil {
			t.Errorf("the one whose context ended has %v, the other %v", ended, other)
		}
	})
}
