package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/retry"
)

const (
	// startBytes is the free space that a start needs. Before the streams are
	// read, indexes and journals of up to 35 MiB are written, and their writer
	// does not recover from a full disk.
	startBytes = 64 << 20
	// awaitPoll is how often a waiting start tries again.
	awaitPoll = 250 * time.Millisecond
	// holderPatience is how long a start waits for a folder that a command
	// holds.
	holderPatience = time.Minute

	// These name the holder of a folder to other processes that want it.
	holderService = "a running aliquot"
	holderCommand = "a command"
)

// ErrNoRoom means that the disk has too little free space to start.
var ErrNoRoom = errors.New("the disk is too full to start")

// openLog opens the streams. A start with [Config.Patient] waits for room on
// the disk, and for a command that holds the folder for a moment. While it
// waits it logs the reason, and answers /livez and /readyz.
func (p *Process) openLog(ctx context.Context) (err error) {
	room := &anteroom{}
	defer func() { err = errors.Join(err, room.close()) }()
	begun := time.Now()
	return retry.Until(ctx, awaitPoll, func() (bool, error) {
		err := p.tryLog(ctx)
		if err == nil || !p.config.Patient || !p.awaits(err, time.Since(begun)) {
			return true, err
		}
		if e := room.say(p.config.Listen, err); e != nil {
			return false, errors.Join(err, e)
		}
		if room.said(err) {
			p.config.Logger.Warn("the start waits", "answers", room.url(), "cause", err)
		}
		return false, nil
	})
}

// awaits reports whether a start may wait for an obstacle to disappear.
func (p *Process) awaits(err error, waited time.Duration) bool {
	held := (*eventlog.InUseError)(nil)
	return errors.Is(err, ErrNoRoom) || errors.As(err, &held) && held.Holder != holderService && waited < holderPatience
}

func (p *Process) tryLog(ctx context.Context) (err error) {
	free, err := eventlog.FreeBytes(p.config.Dir)
	if err != nil {
		return err
	}
	if free < startBytes {
		return fmt.Errorf("%w: %d MiB are free under %s, but a start needs %d MiB", ErrNoRoom, free>>20, p.config.Dir, startBytes>>20)
	}
	holder := holderCommand
	if p.config.Patient {
		holder = holderService
	}
	p.log, err = eventlog.Open(ctx, eventlog.Config{
		Dir: filepath.Join(p.config.Dir, "streams"), LazySync: p.config.LazySync, Listen: p.config.NATSListen,
		Auth: p.grant, ReserveBytes: p.config.ReserveBytes, Logger: p.config.Logger, Holder: holder,
	})
	return err
}

// anteroom answers requests while a start waits.
type anteroom struct {
	listener net.Listener
	server   *http.Server
	done     chan struct{}
	logged   string

	mu     sync.Mutex // guards the fields below
	reason string
}

// say opens the anteroom on the first call, and sets the reason.
func (a *anteroom) say(listen string, cause error) error {
	a.mu.Lock()
	a.reason = cause.Error()
	a.mu.Unlock()
	if a.server != nil {
		return nil
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listening for HTTP: %w", err)
	}
	a.listener, a.done = listener, make(chan struct{})
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Second, MaxHeaderBytes: 64 << 10}
	go func() {
		defer close(a.done)
		_ = a.server.Serve(listener) // close ends it
	}()
	return nil
}

// said reports whether a reason was logged before. Reasons of one kind count as
// one, whatever their numbers are.
func (a *anteroom) said(cause error) bool {
	kind := cause.Error()
	if errors.Is(cause, ErrNoRoom) {
		kind = ErrNoRoom.Error()
	}
	changed := kind != a.logged
	a.logged = kind
	return changed
}

func (a *anteroom) url() string { return "http://" + a.listener.Addr().String() }

// ServeHTTP implements http.Handler.
func (a *anteroom) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/livez" {
		lives(w, r)
		return
	}
	a.mu.Lock()
	reason := a.reason
	a.mu.Unlock()
	w.Header().Set("Retry-After", "1")
	unready(w, "it has not started yet: "+reason)
}

func (a *anteroom) close() error {
	if a.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := a.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = a.server.Close()
	}
	<-a.done
	return err
}
