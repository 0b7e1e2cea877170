// Package watermark is a position that only grows and that goroutines wait for:
// how far a loop has committed, read or taken.
//
// The method: a waiter whose position is not reached gets a channel that is
// closed when the mark moves, and then checks again. Without waiters, moving
// the mark costs only a lock.
//
// # Invariants
//
//   - A mark never goes back: [Mark.Advance] to a lower position changes nothing.
//   - A waiter whose position is reached gets nil, also after [Mark.Stop].
//   - No wake-up is lost: a waiter sees every move after its check.
package watermark

import (
	"context"
	"sync"
)

// Mark is a position, 0 at first. The zero value is ready for use, by any number
// of goroutines; it must not be copied.
type Mark struct {
	mu      sync.Mutex // guards what follows
	at      uint64
	stopped error
	moved   chan struct{} // closed at the next move; nil without waiters
}

// At returns the position.
func (m *Mark) At() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

// Advance moves the mark to a position, unless it is already there or beyond.
func (m *Mark) Advance(to uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if to > m.at {
		m.at = to
		m.wake()
	}
}

// Stop says that the mark will not move any more: waiters whose position is not
// reached get this error, which must not be nil. The first error is kept.
func (m *Mark) Stop(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped == nil {
		m.stopped = err
		m.wake()
	}
}

// wake makes all waiters check again. The caller has the lock.
func (m *Mark) wake() {
	if m.moved != nil {
		close(m.moved)
		m.moved = nil
	}
}

// Wait returns nil when the mark is at a position or beyond it. Otherwise it
// returns the error that stopped the mark, or ctx's error.
func (m *Mark) Wait(ctx context.Context, position uint64) error {
	for {
		moved, err := m.look(position)
		if moved == nil {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look returns the channel to wait for; it is nil if there is nothing left to
// wait for.
func (m *Mark) look(position uint64) (moved <-chan struct{}, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at >= position {
		return nil, nil
	}
	if m.stopped != nil {
		return nil, m.stopped
	}
	if m.moved == nil {
		m.moved = make(chan struct{})
	}
	return m.moved, nil
}
