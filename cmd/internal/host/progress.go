package host

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/watermark"
)

// A settler reports the progress of one partition: it is the service itself if
// it runs in this process, otherwise what the database knows of it. What its
// methods report is committed.
type settler interface {
	// Effective is the position of CONTROL up to which decisions are in effect.
	Effective() uint64
	// Settled is the position of USAGE up to which it is settled.
	Settled() uint64
	WaitEffective(ctx context.Context, control uint64) error
	WaitSettled(ctx context.Context, usage uint64) error
}

// A distributor reports the progress of distribution, in the same way as a
// settler.
type distributor interface {
	// WaitDone returns when distribution has committed CONTROL up to a position.
	WaitDone(ctx context.Context, control uint64) error
}

const (
	// eager is how often the database is asked while a request waits for its
	// answer, idly is how often otherwise.
	eager  = 20 * time.Millisecond
	idly   = 500 * time.Millisecond
	gently = time.Second // while it does not answer
)

// asked knows what the settlers and the distributor of other processes have
// committed, by asking the database. One question serves all who wait. It
// implements [distributor].
type asked struct {
	store      *store.DB
	partitions map[int]*elsewhere
	done       watermark.Mark // position of CONTROL that distribution has committed
	log        *slog.Logger
	wanted     chan struct{} // requests an answer now

	mu      sync.Mutex // guards the fields below
	failure error      // of the last question
	waiting int
}

// elsewhere is the settler of a partition in another process; it implements
// [settler].
type elsewhere struct {
	asked              *asked
	settled, effective watermark.Mark
}

func newAsked(db *store.DB, partitions []int, log *slog.Logger) *asked {
	a := &asked{store: db, partitions: map[int]*elsewhere{}, log: log, wanted: make(chan struct{}, 1)}
	for _, partition := range partitions {
		a.partitions[partition] = &elsewhere{asked: a}
	}
	return a
}

func (a *asked) settlers() map[int]settler {
	all := map[int]settler{}
	for partition, e := range a.partitions {
		all[partition] = e
	}
	return all
}

// run asks until ctx ends. If the database does not answer it is asked again,
// and those who wait continue to wait.
func (a *asked) run(ctx context.Context) error {
	for {
		now, err := a.store.Progress(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause := a.note(now, err)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-a.wanted:
			timer.Stop()
			if pause == gently {
				if err := retry.Sleep(ctx, eager); err != nil {
					return err
				}
			}
		case <-timer.C:
		}
	}
}

// note stores an answer and returns when to ask again.
func (a *asked) note(now store.Progress, err error) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		if a.failure == nil {
			a.log.Warn("the database does not report the progress of settlement", "cause", err)
		}
		a.failure = err
		return gently
	}
	a.failure = nil
	for _, c := range now.Settled {
		if e := a.partitions[c.Partition]; e != nil {
			e.settled.Advance(c.Position)
			e.effective.Advance(c.Control)
		}
	}
	a.done.Advance(now.Distributed.Control.Position)
	if a.waiting > 0 {
		return eager
	}
	return idly
}

// failing returns the error of the last question; nil if it was answered.
func (a *asked) failing() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failure
}

// wait returns when a mark has reached a position. Until then the database is
// asked often.
func (a *asked) wait(ctx context.Context, mark *watermark.Mark, position uint64) error {
	if mark.At() >= position {
		return nil
	}
	a.add(1)
	defer a.add(-1)
	select {
	case a.wanted <- struct{}{}:
	default:
	}
	return mark.Wait(ctx, position)
}

func (a *asked) add(waiting int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting += waiting
}

// WaitDone implements [distributor].
func (a *asked) WaitDone(ctx context.Context, control uint64) error {
	return a.wait(ctx, &a.done, control)
}

// Effective implements [settler].
func (e *elsewhere) Effective() uint64 { return e.effective.At() }

// Settled implements [settler].
func (e *elsewhere) Settled() uint64 { return e.settled.At() }

// WaitEffective implements [settler].
func (e *elsewhere) WaitEffective(ctx context.Context, control uint64) error {
	return e.asked.wait(ctx, &e.effective, control)
}

// WaitSettled implements [settler].
func (e *elsewhere) WaitSettled(ctx context.Context, usage uint64) error {
	return e.asked.wait(ctx, &e.settled, usage)
}

// published waits until everything that any writer has written by now is in its
// stream.
func published(ctx context.Context, db *store.DB) error {
	goal, err := db.Relaying(ctx)
	if err != nil {
		return err
	}
	return retry.Until(ctx, publishPoll, func() (bool, error) {
		now, err := db.Relaying(ctx)
		goal = slices.DeleteFunc(goal, func(g store.Relaying) bool {
			return slices.ContainsFunc(now, func(n store.Relaying) bool { return n.Writer == g.Writer && n.Relayed >= g.Last })
		})
		return len(goal) == 0, err
	})
}
