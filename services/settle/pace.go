package settle

import (
	"sync/atomic"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

const (
	// markerPatience is how long a requested marker may take to arrive before
	// another one is requested.
	markerPatience = 5 * time.Second
	// The pause is pauses times the cost of the last cut, within the bounds
	// shortest and longest. Usage is cut after one pause without new usage, and
	// after ages pauses in any case. So the cuts that are made only because
	// usage waits take a small part of the time, and usage that keeps coming is
	// settled within a second.
	//
	// A fixed pause did harm under load: a machine that was late with the next
	// message cut the last message alone, which made it later still. Such cuts
	// took a fifth of a run of JSON, and the journal became four times as
	// large. A longest pause of two seconds did harm as well: at a fifth of the
	// load, usage then waited three to seven seconds.
	pauses  = 4
	ages    = 5
	longest = 200 * time.Millisecond
)

// pace decides when a marker is requested to cut usage that waits. Its times
// decide where markers are in the stream, and nothing else.
type pace struct {
	idle time.Duration // the shortest pause

	making time.Duration // how long the core took for the last cut
	commit atomic.Int64  // how long its commit took, in nanoseconds

	since time.Time // when the oldest event without a cut was taken
	last  time.Time // when the newest one was taken
	asked time.Time // when a marker was requested that has not arrived; zero: none
}

// took records that a message was taken between two instants.
func (p *pace) took(from, until time.Time, kind events.MessageKind, cut, uncut bool) {
	if kind == marker {
		p.asked = time.Time{}
	}
	if cut {
		p.making = until.Sub(from)
		p.since = time.Time{}
	}
	if uncut {
		p.last = until
		if p.since.IsZero() {
			p.since = until
		}
	}
}

func (p *pace) pause() time.Duration {
	return min(max(p.idle, pauses*(p.making+time.Duration(p.commit.Load()))), max(p.idle, longest))
}

// left returns how much longer the usage that waits now may wait: 0 or less if
// a marker is due.
func (p *pace) left(now time.Time) time.Duration {
	pause := p.pause()
	left := min(p.last.Add(pause).Sub(now), p.since.Add(ages*pause).Sub(now))
	if !p.asked.IsZero() {
		left = max(left, p.asked.Add(markerPatience).Sub(now))
	}
	return left
}
