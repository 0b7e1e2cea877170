package cluster

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

const (
	// eager is how often the database is asked while somebody waits for it, idly
	// while nobody does.
	eager  = 20 * time.Millisecond
	idly   = 500 * time.Millisecond
	gently = time.Second // while it does not answer
)

// progress knows how far every settler and the distributor have committed, by
// asking the database: one question for all who wait.
type progress struct {
	store      *store.DB
	partitions []int
	log        *slog.Logger
	asked      chan struct{}

	mu      sync.Mutex // guards what follows
	settled map[int]settlement.Cursor
	done    uint64 // position of CONTROL that distribution has committed
	failing error  // of the last question
	waiting int
	changed chan struct{} // closed when what is above changes
}

func newProgress(db *store.DB, partitions []int, log *slog.Logger) *progress {
	return &progress{
		store: db, partitions: partitions, log: log, asked: make(chan struct{}, 1),
		settled: map[int]settlement.Cursor{}, changed: make(chan struct{}),
	}
}

// run asks until ctx ends. A database that does not answer is asked again: those
// who wait wait on.
func (p *progress) run(ctx context.Context) error {
	for {
		now, err := p.store.Progress(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause := p.note(now, err)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-p.asked:
			timer.Stop()
			if pause == gently {
				time.Sleep(eager)
			}
		case <-timer.C:
		}
	}
}

// note keeps an answer and says when to ask again.
func (p *progress) note(now store.Progress, err error) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if p.failing == nil {
			p.log.Warn("how far settlement is cannot be asked", "cause", err)
		}
		p.failing = err
		return gently
	}
	p.failing = nil
	changes := p.done != now.Distributed.Control.Position
	for _, c := range now.Settled {
		if !slices.Contains(p.partitions, c.Partition) {
			continue
		}
		changes = changes || p.settled[c.Partition] != c
		p.settled[c.Partition] = c
	}
	p.done = now.Distributed.Control.Position
	if changes {
		close(p.changed)
		p.changed = make(chan struct{})
	}
	if p.waiting > 0 {
		return eager
	}
	return idly
}

// effective is the position of CONTROL up to which every partition has settled.
// The caller has the lock.
func (p *progress) effective() uint64 {
	least := p.settled[p.partitions[0]].Control
	for _, partition := range p.partitions[1:] {
		least = min(least, p.settled[partition].Control)
	}
	return least
}

// wait returns when reached says so, which is called with the lock.
func (p *progress) wait(ctx context.Context, reached func() bool) error {
	p.mu.Lock()
	p.waiting++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.waiting--
		p.mu.Unlock()
	}()
	for first := true; ; first = false {
		p.mu.Lock()
		ok, changed := reached(), p.changed
		p.mu.Unlock()
		if ok {
			return nil
		}
		if first {
			select {
			case p.asked <- struct{}{}:
			default:
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
