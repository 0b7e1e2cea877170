package settle

import (
	"sync/atomic"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

const (
	// markerPatience is how long a marker may be under way before another one
	// is asked for.
	markerPatience = 5 * time.Second
	// A pause of pauses times what the last cut cost, between the shortest and
	// the longest, cuts what is idle; ages such pauses cut what is not. So cuts
	// that nothing but waiting asks for take a small part of the time, and usage
	// that keeps coming is settled within a second.
	//
	// A fixed pause did harm under load: a machine that was late with the next
	// message cut the last one alone, which made it later still. A fifth of a
	// run of JSON went into such cuts, with four times the journal. A longest
	// pause of two seconds did harm as well: at a fifth of the load, usage then
	// waited three to seven seconds.
	pauses  = 4
	ages    = 5
	longest = 200 * time.Millisecond
)

// pace says when usage that waits for a cut is given one by a marker. Its times
// decide where markers stand in the stream, and nothing else.
type pace struct {
	idle time.Duration // the shortest pause

	making time.Duration // what the last cut took the core
	commit atomic.Int64  // what it took to commit, in nanoseconds

	since time.Time // when the oldest event without a cut was taken
	last  time.Time // when the newest was
	asked time.Time // when a marker was asked for that has not come; zero: none
}

// took notes a message that was taken between two instants.
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

// left returns how long usage that waits now may go on waiting: 0 or less where
// a marker is due.
func (p *pace) left(now time.Time) time.Duration {
	pause := p.pause()
	left := min(p.last.Add(pause).Sub(now), p.since.Add(ages*pause).Sub(now))
	if !p.asked.IsZero() {
		left = max(left, p.asked.Add(markerPatience).Sub(now))
	}
	return left
}
