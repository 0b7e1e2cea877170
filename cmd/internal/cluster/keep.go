package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync/atomic"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

// keeping is what the one that keeps answers for, and is called in /readyz.
const keeping = "keep"

// openKeep waits beside whoever keeps, or keeps. What cannot be right is refused
// before: a folder that is not the one whose logs the installation has.
func (p *Process) openKeep(ctx, background context.Context) error {
	if err := p.mayKeep(ctx); err != nil {
		return err
	}
	door := &door{waiting: p.notYet()}
	if err := p.serve(background, door); err != nil {
		return err
	}
	p.own(background, work{
		name: keeping, open: func(context.Context) error { return nil }, close: func() error { return nil },
		warm: func(context.Context) {}, run: func(ctx context.Context) error { return p.keep(ctx, door) },
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

// keep opens the keeper and the API, and keeps until ctx ends. That the keeper
// stops by itself stops nothing else: /readyz says it.
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
		if err := p.keeper.Run(running); running.Err() == nil {
			p.config.Logger.Error("the keeper stopped", "cause", err)
		}
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
	door.open(p.api(p.keeper.Handler(), &api.Proofs{
		Key: p.keeper.Key().Public(), Handovers: p.keeper.Keys().Notes(), Logs: p.keeper.Logs(), Log: p.keeper.Log, Wait: p.keeper.Wait,
	}))
	<-ctx.Done()
	return ctx.Err()
}

// openKeeper opens the logs, and has the database know their key before anything
// is signed but that they are empty. Whoever is second of two that begin at the
// same time finds the first one's key.
func (p *Process) openKeeper(ctx context.Context) error {
	if err := p.mayKeep(ctx); err != nil {
		return err
	}
	first := p.partitions[0]
	opened, err := keeper.Open(ctx, keeper.Config{
		Dir: p.config.Dir, Usage: p.streams.usage[first], More: p.more(),
		Streams: []*eventlog.Stream{p.streams.control, p.streams.register, p.streams.ledger, p.streams.payout},
		Store:   p.store, Witnesses: p.config.Witnesses, Logger: p.config.Logger, Meter: p.config.Telemetry.Meter(),
	})
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

// door is what answers: first somebody who says that it is not the time yet,
// then the API.
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
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("\"ok\"\n")) // whoever went away asks again
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		state := p.parts[keeping]
		p.mu.Unlock()
		if state == owned {
			state = "starting"
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(map[string]any{ // likewise
			"title": http.StatusText(http.StatusServiceUnavailable), "status": http.StatusServiceUnavailable, "detail": keeping + ": " + state,
		})
	})
	return mux
}
