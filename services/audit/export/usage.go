package export

import (
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// used is one event of USAGE with its outcome. It is only valid during the call
// to which it is passed.
type used struct {
	m         *message
	partition int
	ordinal   int // through all segments of the message
	segment   *events.Segment
	columns   *packed.Columns
	i         int // in the segment
	run       settlement.Run
	directory *directory.Directory // as it was in effect
}

func (u *used) node() events.Node { return events.Node(u.columns.Strings[u.columns.Node[u.i]]) }

// period is the period of the event, by its last instant; it is empty if the book
// is not declared.
func (u *used) period(seen *periods) events.Period {
	return seen.of(u.directory, u.segment.Book, u.columns.LastInstant(u.i))
}

// periods remembers the last period of a book, because making labels is
// expensive.
type periods struct {
	book        events.Book
	label       events.Period
	from, until int64
}

func (p *periods) of(d *directory.Directory, book events.Book, at int64) events.Period {
	if book != p.book || at < p.from || at >= p.until {
		declared, ok := d.Book(book)
		if !ok {
			return ""
		}
		p.book = book
		p.label, p.from, p.until = events.Calendar(declared.Calendar).Bounds(at)
	}
	return p.label
}

// events calls each for every settled event, partition by partition, in order.
func (r *run) events(each func(*used) error) error {
	for partition, s := range r.usage {
		u := &used{partition: partition, directory: directory.New()}
		walk := &usageWalk{run: r, at: u}
		err := r.read(s, 1, s.size, func(m *message) error { return walk.message(m, each) })
		if walk.control != nil {
			walk.control.stop()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// usageWalk is a pass over one partition.
type usageWalk struct {
	run     *run
	at      *used
	decoded events.Message
	scratch []byte
	columns packed.Columns
	control *follower
}

func (w *usageWalk) message(m *message, each func(*used) error) (err error) {
	if w.scratch, err = w.decoded.Decode(m.Data, w.scratch); err != nil {
		return nil // it is unreadable and has no events
	}
	switch w.decoded.Kind {
	case events.Barrier:
		return w.inForce(w.decoded.Control)
	case events.Batch:
		return w.batch(m, each)
	}
	return nil
}

// inForce puts CONTROL into effect up to a position.
func (w *usageWalk) inForce(control uint64) error {
	if w.control == nil {
		w.control = w.run.follow()
	}
	return w.control.to(control, func(d decided) error {
		if err := w.at.directory.Apply(d.m.Seq, d.Decision); errors.Is(err, directory.ErrOrder) {
			return err
		}
		return nil
	})
}

var errOutcomes = errors.New("the outcomes do not match its events")

func (w *usageWalk) batch(m *message, each func(*used) error) error {
	runs, err := w.run.outcomes(w.at.partition, m)
	if err != nil {
		return err
	}
	u := w.at
	u.m, u.ordinal, u.columns = m, 0, &w.columns
	left := 0
	for i := range w.decoded.Segments {
		u.segment = &w.decoded.Segments[i]
		if w.columns.Decode(u.segment.Packed) != nil {
			continue // Its events cannot be distinguished.
		}
		for u.i = 0; u.i < w.columns.N; u.i++ {
			for left == 0 {
				if len(runs) == 0 {
					return errOutcomes
				}
				u.run, left, runs = runs[0], runs[0].Events, runs[1:]
			}
			if err := each(u); err != nil {
				return fmt.Errorf("event %d: %w", u.ordinal, err)
			}
			left--
			u.ordinal++
		}
	}
	for _, rest := range runs {
		left += rest.Events
	}
	if left > 0 {
		return errOutcomes
	}
	return nil
}

// outcomes returns the outcomes of a batch's events: those in the leaf, or, if it
// contains only their hash, those in the store, which the hash confirms.
func (r *run) outcomes(partition int, m *message) (runs []settlement.Run, err error) {
	var leaf tlog.UsageLeaf
	if m.leaf != nil {
		if leaf, err = tlog.DecodeUsageLeaf(m.leaf); err != nil || !leaf.Folded {
			return leaf.Runs, err
		}
	}
	found := false
	err = r.Outcomes(r.ctx, partition, m.Seq, m.Seq, func(o settlement.Outcome) error {
		runs, found = o.Runs, true
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !found || leaf.Folded && hashOf(tlog.AppendRuns(nil, runs)) != leaf.RunsHash {
		return nil, errOutcomes
	}
	return runs, nil
}

func exceptionColumns() []Column {
	return []Column{
		{"outcome", Text, false}, // late or refused
		{"reason", Text, true},   // of refused events
		{"book", Text, false},
		{"provider", Text, false},
		{"period", Text, true}, // the period of the event
		{"node", Text, false},
		{"customer", Text, false},
		{"meter", Text, false},
		{"quantity", Decimal, false},
		{"start", Instant, false},
		{"end", Instant, false},
		{"received", Instant, false},
		{"source", Text, false},
		{"id", Text, true},
		{"epoch", Count, true},
		{"sequence", Count, true},
		{"key", Text, true}, // the key that authenticated it
		{"partition", Count, false},
		{"ordinal", Count, false}, // in the message
	}
}

// exceptions lists the events that were refused after they were stored, and those
// that came late.
func (r *run) exceptions() error {
	var seen periods
	return r.events(func(u *used) error {
		var outcome string
		switch u.run.Outcome {
		case events.Late:
			outcome = "late"
		case events.Refused:
			outcome = "refused"
		default:
			return nil
		}
		period := u.period(&seen)
		if !r.wanted(u.segment.Book, period) {
			return nil
		}
		e := u.columns.Event(u.i)
		id, epoch, sequence := text(e.ID), cell{}, cell{}
		if e.Sequenced {
			id, epoch, sequence = cell{}, count(e.Epoch), count(e.Sequence)
		}
		return r.emit(u.m.of, u.m.Seq, text(outcome), named(u.run.Reason), text(u.segment.Book), text(u.columns.Provider), named(period),
			text(e.Node), text(e.Customer), text(e.Meter), quantity(e.Quantity), instant(e.Start), instant(e.End), instant(u.segment.Received),
			text(e.Source), id, epoch, sequence, named(u.segment.Key), count(u.partition), count(u.ordinal))
	})
}
