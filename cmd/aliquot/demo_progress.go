package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/plain"
)

// progress tells what is going on: on a terminal in one line that is written
// over, elsewhere in a line now and then.
type progress struct {
	w    io.Writer // nil: silent
	live bool
	last time.Time
	open bool // a line that will be written over
}

// How often the line is refreshed.
const (
	liveEvery  = 100 * time.Millisecond
	plainEvery = 5 * time.Second
)

func newProgress(r *root) *progress {
	if r.Quiet || r.JSON {
		return &progress{}
	}
	return &progress{w: os.Stderr, live: lively(os.Stderr), last: time.Now()}
}

// step tells what begins or has been done.
func (p *progress) step(format string, args ...any) {
	if p.w == nil {
		return
	}
	p.end()
	plain.Fprintf(p.w, format+"\n", args...)
}

// update tells how far it has come; said is asked only where it is time to.
func (p *progress) update(said func() string) {
	if p.w == nil {
		return
	}
	every := plainEvery
	if p.live {
		every = liveEvery
	}
	now := time.Now()
	if now.Sub(p.last) < every {
		return
	}
	p.last = now
	if p.live {
		plain.Fprintf(p.w, "\r\x1b[K  %s", said())
		p.open = true
		return
	}
	plain.Fprintf(p.w, "  %s\n", said())
}

// end finishes an open line.
func (p *progress) end() {
	if p.open {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.open = false
	}
}

// rate is how many a second; whole, because it is for the eye.
func rate(n int, since time.Time) int {
	took := time.Since(since)
	if took <= 0 {
		return 0
	}
	return int(int64(n) * int64(time.Second) / int64(took))
}
