package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aliquot-engine/aliquot/internal/standby"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/distribute"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

// States of what a process works on, as /readyz says them.
const (
	waiting = "waiting beside the owner"
	owned   = "owned"
)

func (p *Process) say(name, state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts[name] = state
}

// work is what one process at a time does.
type work struct {
	name string
	// open makes what is needed to wait and to run; close ends it.
	open  func(ctx context.Context) error
	close func() error
	// warm is called while another one works.
	warm func(ctx context.Context)
	run  func(ctx context.Context) error
}

// own waits until nobody else does something, and then does it until it ends.
func (p *Process) own(ctx context.Context, w work) {
	name := w.name
	p.say(name, waiting)
	p.run(ctx, name, func(ctx context.Context) (err error) {
		if err := w.open(ctx); err != nil {
			return err
		}
		defer func() {
			if e := w.close(); err == nil {
				err = e
			}
		}()
		if !p.config.TakeOver {
			said := ""
			err := standby.Wait(ctx, p.log.Conn(), name, standby.Patience, func(owner string) {
				if owner != said {
					p.config.Logger.Info("waiting beside the owner", "of", name, "owner", owner)
					said = owner
				}
				w.warm(ctx)
			})
			if err != nil {
				return err
			}
		}
		release, err := standby.Own(p.log.Conn(), name, p.who)
		if err != nil {
			return err
		}
		defer release()
		p.config.Logger.Info("taking over", "what", name)
		p.say(name, owned)
		return w.run(ctx)
	})
}

// takeOverPause is between two tries to take a cursor over.
const takeOverPause = time.Second

// takeOver tries to take a cursor over until the database, or a stream that is
// looked at first, answers.
func (p *Process) takeOver(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil || ctx.Err() != nil || !keeper.Unanswered(err) {
			return err
		}
		p.config.Logger.Warn("taking over waits for an answer", "cause", err)
		select {
		case <-time.After(takeOverPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// distributor is the work of distributing. It has nothing to keep warm: CONTROL
// is folded when it begins.
func (p *Process) distributor() work {
	return work{
		name: "distribute", open: func(context.Context) error { return nil }, close: func() error { return nil },
		warm: func(context.Context) {}, run: p.distribute,
	}
}

func (p *Process) distribute(ctx context.Context) error {
	var part *store.Distribute
	var cursor distribution.Cursor
	mine := nonce()
	err := p.takeOver(ctx, func() (err error) {
		part, cursor, err = p.store.Distribute(ctx, mine)
		return err
	})
	if err != nil {
		return err
	}
	return guarded(ctx, distribute.New(distribute.Config{
		Control: p.streams.control, Ledger: p.streams.ledger, Register: p.streams.register,
		Store: part, Cursor: cursor, Payout: p.streams.payout, Logger: p.config.Logger,
		Meter: p.config.Telemetry.Meter(), Tracer: p.config.Telemetry.Tracer(),
	}).Run, func(ctx context.Context) error {
		now, err := p.store.DistributeCursor(ctx)
		if err == nil && now.Nonce != mine {
			err = distribution.ErrFenced
		}
		return err
	})
}

// guardEvery is how often an owner looks whether the cursor is its own still: one
// that has nothing to commit would not learn it otherwise.
const guardEvery = 2 * time.Second

// guarded runs a loop until it ends, or until owned says that another has taken
// over. A question that has no answer is asked again.
func guarded(ctx context.Context, loop, owned func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group.Go(func() error {
		defer cancel()
		return loop(ctx)
	})
	group.Go(func() error {
		ticker := time.NewTicker(guardEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
			err := owned(ctx)
			if errors.Is(err, settlement.ErrFenced) || errors.Is(err, distribution.ErrFenced) {
				return err
			}
		}
	})
	return group.Wait()
}

// Health is what /readyz says of a process without an API.
type Health struct {
	Healthy bool              `json:"healthy"`
	Reason  string            `json:"reason,omitempty"`
	Parts   map[string]string `json:"parts"` // name to state
}

// healthTimeout bounds one question after health.
const healthTimeout = 5 * time.Second

// health serves /livez, /readyz and /metrics. A process that waits beside an owner is
// ready: it does what it is there for.
func (p *Process) health() http.Handler {
	mux := http.NewServeMux()
	if page := p.config.Telemetry.Page(); page != nil {
		mux.Handle("GET /metrics", page) // nobody but operators reaches this address
	}
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("\"ok\"\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
		defer cancel()
		h := Health{Healthy: true, Parts: map[string]string{}}
		p.mu.Lock()
		for name, state := range p.parts {
			h.Parts[name] = state
		}
		p.mu.Unlock()
		err := p.log.Healthy()
		if err == nil {
			_, err = p.store.Progress(ctx)
		}
		if err != nil {
			h.Healthy, h.Reason = false, err.Error()
		}
		w.Header().Set("Content-Type", "application/json")
		if !h.Healthy {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(h) // whoever went away asks again
	})
	return mux
}
