package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/plain"
)

// line is the last line of a terminal, which is overwritten again and again.
type line struct {
	w     io.Writer
	shown bool
}

func (l *line) show(format string, args ...any) {
	plain.Fprintf(l.w, "\r\x1b[K  "+format, args...)
	l.shown = true
}

func (l *line) clear() {
	if l.shown {
		fmt.Fprint(l.w, "\r\x1b[K")
		l.shown = false
	}
}

// progress reports what a command does: on a terminal in one line that is
// overwritten, elsewhere in a new line every few seconds. The zero value is
// silent.
type progress struct {
	line // its writer is nil: silent
	live bool
	last time.Time
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
	return &progress{line: line{w: os.Stderr}, live: lively(os.Stderr), last: time.Now()}
}

// step reports what starts or has been done.
func (p *progress) step(format string, args ...any) {
	if p.w == nil {
		return
	}
	p.clear()
	plain.Fprintf(p.w, format+"\n", args...)
}

// update reports how far the work has come. It calls said only when a report is
// due.
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
		p.show("%s", said())
		return
	}
	plain.Fprintf(p.w, "  %s\n", said())
}

// newLiveProgress is [newProgress], but silent without a terminal.
func newLiveProgress(r *root) *progress {
	if p := newProgress(r); p.live {
		return p
	}
	return &progress{}
}

// ofBytes says how much of a file has been processed, and how long the rest
// will take at the same speed.
func ofBytes(done, all int64, took time.Duration) string {
	if done <= 0 || done > all {
		return fmt.Sprintf("%d KiB", done>>10)
	}
	left := took.Seconds() / float64(done) * float64(all-done)
	return fmt.Sprintf("%d of %d KiB, %d %%, %.0f s left", done>>10, all>>10, int64(float64(done)/float64(all)*100), left)
}

// rate returns how many per second, as a whole number for display.
func rate(n int, since time.Time) int {
	took := time.Since(since)
	if took <= 0 {
		return 0
	}
	return int(int64(n) * int64(time.Second) / int64(took))
}
