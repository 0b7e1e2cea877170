package settle

import (
	"context"
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// begin checks that the streams are those that the cursor knows, and brings the
// state to the position of the cursor. A start after a crash is no different
// from any other.
func (s *Settler) begin(ctx context.Context) error {
	c := s.config.Cursor
	usage := s.config.Usage
	created := time.Time{}
	if c.Position > 0 {
		created = time.Unix(0, c.Created)
		if c.Stream != usage.Name() {
			return fmt.Errorf("the cursor is in stream %s, not in %s", c.Stream, usage.Name())
		}
	}
	err := s.patiently(ctx, func() error { return usage.Verify(ctx, c.Position, c.Hash, created) })
	if err != nil {
		return fmt.Errorf("checking %s at the cursor: %w", usage.Name(), err)
	}
	if err := s.redo(ctx, c.Control); err != nil {
		return fmt.Errorf("folding decisions up to %d: %w", c.Control, err)
	}
	held, owed, collected, balances, err := s.config.Store.Load(ctx)
	if err != nil {
		return err
	}
	if err := s.state.Restore(c.Position, held, owed, collected, balances); err != nil {
		return err
	}
	watermark, err := s.config.IDs.Bind(ctx, usage.Name(), usage.Created().UnixNano())
	if err != nil {
		return err
	}
	if watermark < c.Position {
		s.log.Info("rebuilding the index of identities", "partition", s.config.Partition, "from", watermark+1, "to", c.Position)
		if err := Rebuild(ctx, usage, s.config.IDs, s.config.Store.Outcomes, watermark, c.Position); err != nil {
			return fmt.Errorf("rebuilding identities from %d to %d: %w", watermark, c.Position, err)
		}
	}
	if s.watched, err = s.watch(); err != nil {
		return err
	}
	// Waiting callers are told only now: if the checks above fail, nothing has
	// taken effect.
	s.advance(c.Position, c.Control)
	return nil
}

// redo folds the decisions up to the cursor, whose effects are in the store.
func (s *Settler) redo(ctx context.Context, through uint64) error {
	if through == 0 {
		return nil
	}
	last, err := s.config.Control.Last(ctx)
	if err != nil {
		return err
	}
	if last < through {
		return fmt.Errorf("%s ends at %d", s.config.Control.Name(), last)
	}
	r, err := s.config.Control.Read(ctx, 1, "")
	if err != nil {
		return err
	}
	defer r.Stop()
	s.directory.Lock()
	defer s.directory.Unlock()
	for at := uint64(0); at < through; {
		m, err := r.Next(ctx)
		if err != nil {
			return err
		}
		at = m.Seq
		s.root, s.rootAt = s.grow(m), at
		if err := s.state.Redo(decided(m)); err != nil {
			return err
		}
	}
	return nil
}

// Outcomes calls each with the outcome of every batch message between two
// positions, both included, in ascending order.
type Outcomes func(ctx context.Context, from, to uint64, each func(settlement.Outcome) error) error

// Rebuild adds the events that were accepted after a watermark, up to a settled
// position, to an index that is bound to the stream, and syncs the index. It
// reads the events from the stream and their outcomes from the store. A standby
// calls it while another process settles, so that little is left to read when
// it takes over.
func Rebuild(ctx context.Context, usage *eventlog.Stream, index Identities, outcomes Outcomes, watermark, through uint64) error {
	r, err := usage.Read(ctx, watermark+1, "")
	if err != nil {
		return err
	}
	defer r.Stop()
	m := &message{}
	for at := watermark; at < through; {
		raw, err := r.Next(ctx)
		if err != nil {
			return err
		}
		at = raw.Seq
		m.decode(raw)
		if m.err != nil || m.kind != events.Batch || !m.foreign() {
			continue
		}
		err = outcomes(ctx, at, at, func(o settlement.Outcome) error { return remember(index, m, o) })
		if err != nil {
			return err
		}
	}
	return index.Sync(through)
}

// foreign reports whether a segment has events that are not sequenced.
func (m *message) foreign() bool {
	for i := range m.segments {
		if m.segments[i].Err == nil && !m.segments[i].Columns.Sequenced {
			return true
		}
	}
	return false
}

// remember puts the accepted events of a message back into the index.
func remember(index Identities, m *message, o settlement.Outcome) error {
	var keys [][16]byte
	var ids []settlement.Identity
	ordinal, run, left := 0, -1, 0
	for i := range m.segments {
		d := &m.segments[i]
		if d.Err != nil {
			continue
		}
		for j := range d.Columns.N {
			for left == 0 && run+1 < len(o.Runs) {
				run++
				left = o.Runs[run].Events
			}
			if left == 0 {
				return fmt.Errorf("position %d has more events than outcomes", m.position)
			}
			left--
			taken := o.Runs[run].Outcome == events.Accepted || o.Runs[run].Outcome == events.Late
			if taken && !d.Columns.Sequenced {
				keys = append(keys, d.Columns.IdentityKey(j))
				ids = append(ids, settlement.Identity{Position: m.position, Ordinal: uint32(ordinal), Fingerprint: d.Columns.Fingerprint(j)})
			}
			ordinal++
		}
	}
	return index.Remember(keys, ids)
}
