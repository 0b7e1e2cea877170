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

// keeping is the name under which the keeper answers its standbys, and under
// which /readyz shows it.
const keeping = "keep"

// startKeep becomes the keeper, or a standby if another process already is.
// First it refuses a folder that does not have the logs of the installation.
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

// mayKeep writes nothing. It refuses a folder with another key than the
// database records, a folder without logs if logs exist elsewhere, and too few
// partitions.
func (p *Process) mayKeep(ctx context.Context) error {
	now, err := p.store.Progress(ctx)
	if err != nil {
		return err
	}
	for _, c := range now.Settled {
		if p.streams.usage[c.Partition] == nil {
			return fmt.Errorf("ALIQUOT_PARTITIONS: partition %d is settled and would not be kept: list all partitions", c.Partition)
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
		return fmt.Errorf("the logs of this installation are signed by the key %s, but %s has no logs: start keep on the folder that has them, or on a copy of it", known, dir)
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
	return fmt.Errorf("the logs of this installation are signed by the key %s, but those in %s by %s: they belong to another history", known, dir, keys.Current())
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

// openKeeper opens the logs, and records their key in the database before it
// signs anything except empty logs. If two processes start at the same time,
// the second finds the key of the first.
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

// notYet answers for a process whose turn has not come: it reports that the
// process is alive, and refers everything else to the process that works.
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
