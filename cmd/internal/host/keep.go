package host

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync/atomic"

	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

// keeping is the name under which the keeper answers its standbys, and that /readyz
// has.
const keeping = "keep"

// startKeep becomes the keeper, or a standby if another process already is. A
// folder that does not have the logs of the installation is refused first.
func (p *Process) startKeep(ctx, background context.Context) error {
	if err := p.mayKeep(ctx); err != nil {
		return err
	}
	door := &door{waiting: p.notYet()}
	if err := p.serve(background, door); err != nil {
		return err
	}
	p.own(background, work{
		name: keeping, run: func(ctx context.Context) error { return p.keep(ctx, door) },
	})
	return nil
}

// mayKeep refuses, and writes nothing: a folder of another key than the database
// knows; one without logs where there are some elsewhere; and too few partitions.
func (p *Process) mayKeep(ctx context.Context) error {
	now, err := p.store.Progress(ctx)
	if err != nil {
		return err
	}
	for _, c := range now.Settled {
		if p.streams.usage[c.Partition] == nil {
			return fmt.Errorf("ALIQUOT_PARTITIONS: partition %d is settled and would not be kept: name all there are", c.Partition)
		}
	}
	known, err := p.store.Signer(ctx)
	if err != nil || known == "" {
		return err
	}
	dir := p.config.Dir
	checkpoints, err := filepath.Glob(filepath.Join(dir, "tlog", "*", "checkpoint"))
	if err != nil {
		return fmt.Errorf("looking for logs in %s: %w", dir, err)
	}
	if len(checkpoints) == 0 {
		return fmt.Errorf("the logs of this installation are signed by the key %s, and %s has none: keep is started on the folder that has them, or on a copy of it", known, dir)
	}
	keys, err := keeper.Keys(dir)
	if err != nil {
		return err
	}
	for _, key := range keys.Keys() {
		if key.String() == known {
			return nil
		}
	}
	return fmt.Errorf("the logs of this installation are signed by the key %s, and those in %s by %s: they are another history", known, dir, keys.Current())
}

// keep opens the keeper and the API, and keeps until ctx ends.
func (p *Process) keep(ctx context.Context, door *door) (err error) {
	lock, err := keeper.Hold(p.config.Dir, p.who)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := p.takeOver(ctx, func() error { return p.openKeeper(ctx) }); err != nil {
		return err
	}
	stopped := make(chan struct{})
	running, stop := context.WithCancel(ctx)
	go func() {
		defer close(stopped)
		p.runKeeper(running)
	}()
	defer func() {
		stop()
		<-stopped
		err = errors.Join(err, p.keeper.Close())
	}()
	if err := p.intake(ctx); err != nil {
		return err
	}
	if err := p.takeOver(ctx, func() error { return p.inEffect(ctx) }); err != nil {
		return err
	}
	door.open(p.api())
	<-ctx.Done()
	return ctx.Err()
}

// openKeeper opens the logs, and records their key in the database before it signs
// anything but empty logs. The second of two processes that begin at the same time
// finds the first one's key.
func (p *Process) openKeeper(ctx context.Context) error {
	if err := p.mayKeep(ctx); err != nil {
		return err
	}
	opened, err := p.newKeeper(ctx)
	if err != nil {
		return err
	}
	var before []string
	for _, key := range opened.Keys().Keys() {
		if key.String() != opened.Key().Public().String() {
			before = append(before, key.String())
		}
	}
	if err := p.store.Sign(ctx, opened.Key().Public().String(), before...); err != nil {
		return errors.Join(err, opened.Close())
	}
	p.keeper = opened
	return nil
}

// door answers requests: first with the handler of a process whose turn has not
// come, then with the API.
type door struct {
	waiting http.Handler
	opened  atomic.Pointer[http.Handler]
}

func (d *door) open(to http.Handler) { d.opened.Store(&to) }

// ServeHTTP implements [http.Handler].
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if opened := d.opened.Load(); opened != nil {
		(*opened).ServeHTTP(w, r)
		return
	}
	d.waiting.ServeHTTP(w, r)
}

// notYet answers for a process whose turn has not come: it lives, and everything
// else is to be asked of the one that works.
func (p *Process) notYet() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", lives)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		state := p.parts[keeping]
		p.mu.Unlock()
		if state == owned {
			state = "starting"
		}
		unready(w, keeping+": "+state)
	})
	return mux
}
