package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// waiting shows on a terminal that a command is still working, once a request
// takes longer than people expect. The zero value is silent.
type waiting struct {
	w            io.Writer
	after, every time.Duration
}

// newWaiting writes to standard error if that is a terminal and the user did
// not ask for silence.
func newWaiting(r *root) waiting {
	if r.Quiet || r.JSON || !lively(os.Stderr) {
		return waiting{}
	}
	return waiting{w: os.Stderr, after: time.Second, every: 2 * liveEvery}
}

// during starts to report. The function that it returns stops the reports and
// clears the line; it may be called more than once. The counters count the
// bytes sent and received so far.
func (w waiting) during(what string, sent, received *counter) (end func()) {
	if w.w == nil {
		return func() {}
	}
	began, stop, stopped := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		timer := time.NewTimer(w.after)
		defer timer.Stop()
		shown := line{w: w.w}
		for {
			select {
			case <-stop:
				shown.clear()
				return
			case <-timer.C:
			}
			shown.show("%s: %d s%s%s", what, int(time.Since(began)/time.Second), sent.text("sent"), received.text("received"))
			timer.Reset(w.every)
		}
	}()
	return sync.OnceFunc(func() {
		close(stop)
		<-stopped
	})
}

// counter counts the bytes that are read through it.
type counter struct {
	from io.Reader
	n    atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (c *counter) text(done string) string {
	if n := c.n.Load(); n >= 1<<10 {
		return fmt.Sprintf(", %d KiB %s", n>>10, done)
	}
	return ""
}
