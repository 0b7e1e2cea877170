package replay

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/settle/posting"
)

// target is where a replay ends.
type target struct {
	partitions  []partition
	distributed uint64
	// behind says that LEDGER and PAYOUT may continue after what is derived,
	// because an earlier position was asked for.
	behind bool
}

// partition is where one partition ends, and the stream from which it is read.
type partition struct {
	at             settlement.StatePartition
	usage, control *eventlog.Stream
}

// until determines where the replay ends.
func (r *replay) until(ctx context.Context) (target, error) {
	if !r.config.At.zero() {
		return r.asOf(ctx)
	}
	if r.live != nil {
		cursors, err := r.live.Cursors()
		if err != nil {
			return target{}, err
		}
		done, err := r.live.DistributeCursor()
		if err != nil {
			return target{}, err
		}
		said := settlement.State{Distributed: done.Control.Position}
		for _, c := range cursors {
			said.Partitions = append(said.Partitions, settlement.StatePartition{Partition: c.Partition, Stream: c.Stream, Usage: c.Position, Control: c.Control})
		}
		return r.said(&said, false)
	}
	if r.config.Expected != nil {
		return r.said(r.config.Expected, true)
	}
	// As far as the streams are complete, but not beyond the end of CONTROL.
	last, err := r.from.Control.Last(ctx)
	if err != nil {
		return target{}, err
	}
	t := target{distributed: last, behind: true}
	for _, usage := range r.from.Usage {
		c, err := lastCut(ctx, usage, math.MaxUint64, last)
		if err != nil {
			return target{}, err
		}
		if err := r.add(&t, usage, c); err != nil {
			return target{}, err
		}
		t.distributed = min(t.distributed, c.control)
	}
	return t, nil
}

// said ends at the positions of a given state.
func (r *replay) said(s *settlement.State, behind bool) (target, error) {
	t := target{distributed: s.Distributed, behind: behind}
	for _, p := range s.Partitions {
		found := false
		for _, usage := range r.from.Usage {
			if usage.Name() == p.Stream {
				t.partitions, found = append(t.partitions, partition{p, usage, r.from.Control}), true
			}
		}
		if !found {
			return target{}, fmt.Errorf("the cursor of partition %d is in stream %s, which does not exist", p.Partition, p.Stream)
		}
	}
	return t, nil
}

func (r *replay) add(t *target, usage *eventlog.Stream, c cut) error {
	var p, epoch uint32
	if n, err := fmt.Sscanf(usage.Name(), "USAGE-%d-%d", &p, &epoch); err != nil || n != 2 {
		return fmt.Errorf("%s is not a stream of usage", usage.Name())
	}
	said := settlement.StatePartition{Partition: int(p), Stream: usage.Name(), Usage: c.position, Control: c.control}
	t.partitions = append(t.partitions, partition{said, usage, r.from.Control})
	return nil
}

// asOf ends at the position that was asked for.
func (r *replay) asOf(ctx context.Context) (target, error) {
	at := r.config.At
	if !at.Time.IsZero() {
		var err error
		if at.Control, err = r.decidedBy(ctx, at.Time); err != nil {
			return target{}, err
		}
	}
	t := target{behind: true, distributed: math.MaxUint64}
	own := map[string]cut{}
	if at.Usage > 0 {
		usage, err := r.partition(at.Partition)
		if err != nil {
			return target{}, err
		}
		last, err := usage.Last(ctx)
		if err != nil {
			return target{}, err
		}
		if at.Usage > last {
			return target{}, fmt.Errorf("there is no position %d: %s ends at %d", at.Usage, usage.Name(), last)
		}
		c, err := lastCut(ctx, usage, at.Usage, math.MaxUint64)
		if err != nil {
			return target{}, err
		}
		own[usage.Name()], at.Control = c, c.control
	}
	for _, usage := range r.from.Usage {
		c, known := own[usage.Name()]
		if !known {
			var err error
			if c, err = covers(ctx, usage, at.Control); err != nil {
				return target{}, err
			}
		}
		if err := r.add(&t, usage, c); err != nil {
			return target{}, err
		}
		t.distributed = min(t.distributed, c.control)
	}
	return t, nil
}

func (r *replay) partition(number int) (*eventlog.Stream, error) {
	for _, usage := range r.from.Usage {
		var p, epoch uint32
		if n, err := fmt.Sscanf(usage.Name(), "USAGE-%d-%d", &p, &epoch); err == nil && n == 2 && int(p) == number {
			return usage, nil
		}
	}
	return nil, fmt.Errorf("there is no partition %d", number)
}

// decidedBy returns the last decision such that it and all decisions before it
// were recorded at or before a time.
func (r *replay) decidedBy(ctx context.Context, at time.Time) (found uint64, err error) {
	last, err := r.from.Control.Last(ctx)
	if err != nil {
		return 0, err
	}
	later := false
	err = decisions(ctx, r.from.Control, last, func(position uint64, d events.Decision) error {
		if later = later || d.At.After(at); !later {
			found = position
		}
		return nil
	})
	if err == nil && found == 0 {
		err = fmt.Errorf("nothing was decided by %s", at.Format(time.RFC3339Nano))
	}
	return found, err
}

// cut is a position of usage at which settlement cuts, with the last decision in
// effect there.
type cut struct{ position, control uint64 }

// lastCut returns the last cut at or before a position at which no decision after
// control is in effect. Cuts that only result from the number of events are left
// out, because they depend on what came before.
func lastCut(ctx context.Context, usage *eventlog.Stream, position, control uint64) (found cut, err error) {
	now := cut{}
	err = walk(ctx, usage, func(at uint64, m *events.Message) bool {
		if at > position || m.Kind == events.Barrier && m.Control > control {
			return false
		}
		if m.Kind == events.Barrier {
			now.control = max(now.control, m.Control)
		}
		if m.Kind == events.Barrier || m.Kind == events.Marker || at%posting.CutEvery == 0 {
			now.position = at
			found = now
		}
		return true
	})
	return found, err
}

// covers returns the first barrier at which a decision is in effect, or the
// beginning if control is 0.
func covers(ctx context.Context, usage *eventlog.Stream, control uint64) (found cut, err error) {
	if control == 0 {
		return cut{}, nil
	}
	err = walk(ctx, usage, func(at uint64, m *events.Message) bool {
		if m.Kind == events.Barrier && m.Control >= control {
			found = cut{at, m.Control}
			return false
		}
		return true
	})
	if err == nil && found.position == 0 {
		err = fmt.Errorf("decision %d has not taken effect in %s: no barrier covers it", control, usage.Name())
	}
	return found, err
}

// walk reads usage until each returns false. A message that cannot be read has no
// kind.
func walk(ctx context.Context, usage *eventlog.Stream, each func(position uint64, m *events.Message) bool) error {
	last, err := usage.Last(ctx)
	if err != nil || last == 0 {
		return err
	}
	reader, err := usage.Read(ctx, 1, "")
	if err != nil {
		return err
	}
	defer reader.Stop()
	var m events.Message
	var scratch []byte
	for at := uint64(0); at < last; {
		raw, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		at = raw.Seq
		if scratch, err = m.Decode(raw.Data, scratch); err != nil {
			m.Kind = 0
		}
		if !each(at, &m) {
			return nil
		}
	}
	return nil
}
