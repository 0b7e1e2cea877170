package host

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aliquot-engine/aliquot/internal/retry"
	"github.com/aliquot-engine/aliquot/internal/standby"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/distribute"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

// These states of a process's work are shown by /readyz.
const (
	standingBy = "standing by for the owner"
	owned      = "owned"
)

func (p *Process) say(name, state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts[name] = state
}

// work is a task that only one process at a time may do.
type work struct {
	name string
	// open prepares what waiting and running need, and close releases it; nil:
	// nothing.
	open  func(ctx context.Context) error
	close func() error
	// warm is called while another process does the work; nil: nothing needs to
	// be kept up to date.
	warm func(ctx context.Context)
	run  func(ctx context.Context) error
}

// own waits until no other process does the work, and then does it until it
// ends.
func (p *Process) own(ctx context.Context, w work) {
	p.say(w.name, standingBy)
	p.run(ctx, w.name, func(ctx context.Context) (err error) {
		if w.open != nil {
			if err := w.open(ctx); err != nil {
				return err
			}
			defer func() {
				if e := w.close(); err == nil {
					err = e
				}
			}()
		}
		if !p.config.Shared.TakeOver {
			if err := p.standBy(ctx, w); err != nil {
				return err
			}
		}
		release, err := standby.Own(p.log.Conn(), w.name, p.who)
		if err != nil {
			return err
		}
		defer release()
		p.config.Logger.Info("taking over", "what", w.name)
		p.say(w.name, owned)
		return w.run(ctx)
	})
}

// standBy waits until the owner of the work has fallen silent.
func (p *Process) standBy(ctx context.Context, w work) error {
	said := ""
	return standby.Wait(ctx, p.log.Conn(), w.name, standby.Patience, func(owner string) {
		if owner != said {
			p.config.Logger.Info("standing by for the owner", "of", w.name, "owner", owner)
			said = owner
		}
		if w.warm != nil {
			w.warm(ctx)
		}
	})
}

// takeOverPause is the time between two attempts to take over a cursor.
const takeOverPause = time.Second

// takeOver tries to take over a cursor until the database, or a stream that
// must be read first, answers.
func (p *Process) takeOver(ctx context.Context, try func() error) error {
	return retry.Policy{Pause: takeOverPause, Again: keeper.Unanswered, Waits: func(cause error, _ time.Duration) {
		p.config.Logger.Warn("taking over waits for an answer", "cause", cause)
	}}.Do(ctx, try)
}

// distributing is the work of distribution. It keeps nothing up to date while
// it stands by: it reads CONTROL when it starts.
func (p *Process) distributing() work { return work{name: "distribute", run: p.distribute} }

func (p *Process) distribute(ctx context.Context) error {
	var loop *distribute.Distributor
	var part *store.Distribute
	mine := nonce()
	err := p.takeOver(ctx, func() (err error) {
		loop, part, err = p.takeDistribute(ctx, mine)
		return err
	})
	if err != nil {
		return err
	}
	return guarded(ctx, loop.Run, part.Owned)
}

// guardEvery is how often an owner checks that the cursor is still its own.
// Without this check an owner that has nothing to commit would not notice that
// it has lost the cursor.
const guardEvery = 2 * time.Second

// guarded runs a loop until it ends, or until owned reports that another
// process has taken over. If the question is not answered it is asked again.
func guarded(ctx context.Context, loop, owned func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group.Go(func() error {
		defer cancel()
		return loop(ctx)
	})
	group.Go(func() error {
		for retry.Sleep(ctx, guardEvery) == nil {
			err := owned(ctx)
			if errors.Is(err, settlement.ErrFenced) || errors.Is(err, distribution.ErrFenced) {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}
