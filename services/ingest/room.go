package ingest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// room is the memory for bodies in progress, in bytes. Each provider may use at
// most a share of it, so that one provider cannot shut out the others.
type room struct {
	size, share int64
	all         *semaphore.Weighted

	mu sync.Mutex // guards what follows
	of map[events.Provider]*quota
}

// quota is what one provider uses of the room.
type quota struct {
	provider events.Provider
	taken    *semaphore.Weighted
	bodies   int // in progress; guarded by the room's mu
}

func newRoom(size, share int64) *room {
	return &room{size: size, share: min(share, size), all: semaphore.NewWeighted(size), of: map[events.Provider]*quota{}}
}

// enter begins a body of a provider, which must leave in the end.
func (r *room) enter(provider events.Provider) *quota {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.of[provider]
	if p == nil {
		p = &quota{provider: provider, taken: semaphore.NewWeighted(r.share)}
		r.of[provider] = p
	}
	p.bodies++
	return p
}

// leave ends a body and releases what it used.
func (r *room) leave(p *quota, taken int64) {
	r.all.Release(taken)
	p.taken.Release(taken)
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.bodies--; p.bodies == 0 {
		delete(r.of, p.provider)
	}
}

// reserve reserves n more bytes for a body. If they are not available it waits
// for them, and fails with [ErrOverloaded] after wait. A body that has already
// reserved room must not wait, so that bodies cannot wait for each other.
func (r *room) reserve(ctx context.Context, p *quota, n int64, wait time.Duration) error {
	if p.taken.TryAcquire(n) {
		if r.all.TryAcquire(n) {
			return nil
		}
		p.taken.Release(n)
	}
	if wait <= 0 || n > r.share {
		return r.overloaded(p)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if p.taken.Acquire(ctx, n) != nil {
		return r.overloaded(p)
	}
	if r.all.Acquire(ctx, n) != nil {
		p.taken.Release(n)
		return r.overloaded(p)
	}
	return nil
}

func (r *room) overloaded(p *quota) error {
	return fmt.Errorf("%w: bodies of provider %s have %d bytes at most, and all bodies %d", ErrOverloaded, p.provider, r.share, r.size)
}
