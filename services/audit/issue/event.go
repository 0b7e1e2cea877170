package issue

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/receipt"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/audit/explain"
)

// farthest is how many leaves are searched for the last barrier. If it is farther
// away, a receipt has no charge.
const farthest = 1 << 18

// event makes an event's receipt.
func (m *maker) event(at *explain.Handle) error {
	if m.usage = eventlog.OfPartition(at.Partition, m.Usage...); m.usage == nil {
		return fmt.Errorf("%w: there is no partition %d", explain.ErrUnknown, at.Partition)
	}
	name := strings.ToLower(m.usage.Name())
	log, err := m.open(name)
	if err != nil {
		return err
	}
	last, err := m.usage.Last(m.ctx)
	switch {
	case err != nil:
		return err
	case at.Position == 0 || at.Position > last:
		return fmt.Errorf("%w: there is no position %d", explain.ErrUnknown, at.Position)
	case at.Position > log.Size:
		return fmt.Errorf("position %d of %s: %w", at.Position, name, ErrEarly)
	}
	e, u, err := m.find(at)
	if err != nil {
		return err
	}
	m.made.Kind, m.made.Event, e.Log = receipt.OfEvent, e, name
	if e.Message.Bytes, err = log.Leaf(at.Position - 1); err != nil {
		return err
	}
	if e.Message.Path, err = m.prove(name, at.Position); err != nil {
		return err
	}
	leaf, err := tlog.DecodeUsageLeaf(e.Message.Bytes)
	if err != nil {
		return err
	}
	if leaf.Folded {
		outcome, _, err := m.Store.Outcome(m.ctx, at.Partition, at.Position)
		if err != nil {
			return err
		}
		leaf.Runs, e.Runs = outcome.Runs, tlog.AppendRuns(nil, outcome.Runs)
	}
	run, _ := leaf.At(e.Ordinal)
	if run.Outcome != events.Accepted && run.Outcome != events.Late {
		return nil
	}
	return m.charge(e, u, log, at.Position)
}

// find reads the event, and proves that it is in its message.
func (m *maker) find(at *explain.Handle) (*receipt.Event, *events.Usage, error) {
	raw, err := m.usage.Get(m.ctx, at.Position)
	if err != nil {
		return nil, nil, err
	}
	unknown := fmt.Errorf("%w: position %d has no event %d", explain.ErrUnknown, at.Position, at.Ordinal)
	var message events.Message
	if _, err := message.Decode(raw.Data, nil); err != nil || message.Kind != events.Batch {
		return nil, nil, unknown
	}
	var tree tlog.EventTree
	var columns packed.Columns
	var found *receipt.Event
	var usage events.Usage
	left := at.Ordinal
	for i := range message.Segments {
		s := &message.Segments[i]
		if columns.Decode(s.Packed) != nil {
			continue
		}
		tree.Add(s.Book, &columns)
		if left >= 0 && left < columns.N {
			usage = columns.Event(left)
			e := receipt.EventOf(columns.Provider, s.Book, &usage)
			e.Context.Number = tree.Number(left)
			found = &e
		}
		left -= columns.N
	}
	if found == nil {
		return nil, nil, unknown
	}
	found.Ordinal = uint64(at.Ordinal)
	path, err := tree.Proof(found.Ordinal)
	if err != nil {
		return nil, nil, err
	}
	found.Path = m.path(path)
	if path, err = tree.ContextProof(found.Context.Number); err != nil {
		return nil, nil, err
	}
	found.Context.Path = m.path(path)
	return found, &usage, nil
}

// charge adds what the event cost, and the decisions that prove it.
func (m *maker) charge(e *receipt.Event, u *events.Usage, log *opened, position uint64) error {
	barrier, control, err := m.barrier(e.Log, log, position)
	if err != nil || barrier == nil {
		return err
	}
	w, err := m.fold(control)
	if err != nil {
		return err
	}
	c, from, ok := w.price(e.Book, u)
	if !ok {
		return nil
	}
	slices.Sort(from)
	if err := m.carried(e, barrier, control); err != nil {
		return err
	}
	for _, position := range slices.Compact(from) {
		if err := m.showAt(controlLog, m.Control, position); err != nil {
			return err
		}
	}
	e.Barrier, e.Charge = barrier, c
	return nil
}

// barrier finds the last barrier before a position; nil if there is none near.
func (m *maker) barrier(name string, log *opened, position uint64) (*receipt.Leaf, uint64, error) {
	var found tlog.UsageLeaf
	var leaf []byte
	var broken error
	err := log.Back(position-1, func(i uint64, data []byte) bool {
		if len(data) < 3 || events.MessageKind(data[2]) != events.Barrier {
			return position-i < farthest
		}
		leaf = data
		found, broken = tlog.DecodeUsageLeaf(data)
		return false
	})
	if err := errors.Join(err, broken); err != nil || leaf == nil {
		return nil, 0, err
	}
	path, err := m.prove(name, found.Position)
	return &receipt.Leaf{Bytes: slices.Clone(leaf), Path: path}, found.Control, err
}

// carried adds the barrier itself, if it contains the root of CONTROL, and has
// the decisions proved under that root.
func (m *maker) carried(e *receipt.Event, barrier *receipt.Leaf, control uint64) error {
	leaf, err := tlog.DecodeUsageLeaf(barrier.Bytes)
	if err != nil {
		return err
	}
	raw, err := m.usage.Get(m.ctx, leaf.Position)
	if err != nil {
		return err
	}
	var message events.Message
	if _, err := message.Decode(raw.Data, nil); err != nil || message.Root == nil {
		return err
	}
	e.BarrierData = raw.Data
	return m.rest(events.LogState{Log: controlLog, Size: control, Root: *message.Root})
}
