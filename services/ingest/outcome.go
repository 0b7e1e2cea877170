package ingest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Store finds outcomes.
type Store interface {
	// Outcome returns what became of the events of a message, or false if its
	// position is not settled or has no events.
	Outcome(ctx context.Context, partition int, position uint64) (settlement.Outcome, bool, error)
	// Original returns where an accepted sequence is.
	Original(ctx context.Context, source settlement.Source, sequence uint64) (settlement.Original, bool, error)
}

// Identities finds accepted events without a sequence.
type Identities interface {
	Lookup(key [16]byte) (settlement.Identity, bool, error)
}

// ErrNotFound means that the event is not known.
var ErrNotFound = errors.New("the event is not known")

var outcomeNames = [...]string{
	events.Accepted: "accepted", events.Late: "late", events.Duplicate: "duplicate", events.Refused: "refused",
}

// Await waits up to wait for events to be settled and returns what became of
// them, as [Service.Outcomes] does. Settled says whether all of them are settled.
func (s *Service) Await(ctx context.Context, wait time.Duration, provider events.Provider, handles []events.Handle) (events.Outcomes, error) {
	if wait > 0 && s.config.Settler != nil {
		waiting, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		for _, h := range handles {
			if s.config.Settler.WaitSettled(waiting, h.Partition, h.Position) != nil {
				break // The answer says what is not settled.
			}
		}
	}
	return s.Outcomes(ctx, provider, handles)
}

// Outcomes returns what became of events. If provider is given, only its own
// events are shown. It fails with [ErrNotFound] if a handle does not belong to a
// usage message of the stream.
func (s *Service) Outcomes(ctx context.Context, provider events.Provider, handles []events.Handle) (events.Outcomes, error) {
	total := events.Outcomes{Settled: true, Exceptions: []events.Exception{}}
	for _, h := range handles {
		if err := s.outcome(ctx, provider, h, &total); err != nil {
			return events.Outcomes{}, fmt.Errorf("looking up outcomes at position %d: %w", h.Position, err)
		}
	}
	return total, nil
}

func (s *Service) outcome(ctx context.Context, provider events.Provider, h events.Handle, total *events.Outcomes) error {
	if s.config.Store == nil {
		total.Settled = false
		return nil
	}
	outcome, settled, err := s.config.Store.Outcome(ctx, h.Partition, h.Position)
	if err != nil {
		return err
	}
	var message *opened
	if provider != "" || settled && isExceptional(outcome, h) {
		if message, err = s.open(ctx, h.Partition, h.Position); err != nil {
			return err
		}
		if provider != "" && !message.isOf(provider, h) {
			return ErrNotFound
		}
	}
	if !settled {
		total.Settled = false
		return nil
	}
	at := 0
	for _, run := range outcome.Runs {
		from, to := max(at, h.First), min(at+run.Events, h.First+h.Count)
		at += run.Events
		if from >= to {
			continue
		}
		switch run.Outcome {
		case events.Accepted:
			total.Accepted += to - from
			continue
		case events.Late:
			total.Late += to - from
		case events.Duplicate:
			total.Duplicate += to - from
		case events.Refused:
			total.Refused += to - from
		}
		for i := from; i < to && len(total.Exceptions) < packed.MaxEvents; i++ {
			e := events.Exception{Partition: h.Partition, Position: h.Position, Ordinal: i, Outcome: outcomeNames[run.Outcome], Reason: run.Reason}
			e.Source, e.ID = message.identity(i)
			total.Exceptions = append(total.Exceptions, e)
		}
	}
	return nil
}

func isExceptional(o settlement.Outcome, h events.Handle) bool {
	at := 0
	for _, run := range o.Runs {
		if run.Outcome != events.Accepted && at < h.First+h.Count && at+run.Events > h.First {
			return true
		}
		at += run.Events
	}
	return false
}

// opened is a usage message that was read back.
type opened struct {
	segments []events.Segment
	columns  []packed.Columns
}

func (s *Service) open(ctx context.Context, partition int, position uint64) (*opened, error) {
	stream := s.config.Usage[partition]
	if stream == nil {
		return nil, ErrNotFound
	}
	stored, err := stream.Get(ctx, position)
	if errors.Is(err, eventlog.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	var m events.Message
	if _, err := m.Decode(stored.Data, nil); err != nil || m.Kind != events.Batch {
		return nil, ErrNotFound
	}
	o := &opened{segments: m.Segments, columns: make([]packed.Columns, len(m.Segments))}
	for i := range m.Segments {
		if err := o.columns[i].Decode(m.Segments[i].Packed); err != nil {
			o.columns[i].N = 0
		}
	}
	return o, nil
}

// isOf reports whether all events of a handle belong to the provider.
func (o *opened) isOf(provider events.Provider, h events.Handle) bool {
	at := 0
	for i := range o.columns {
		c := &o.columns[i]
		if at < h.First+h.Count && at+c.N > h.First && c.Provider != provider {
			return false
		}
		at += c.N
	}
	return h.First >= 0 && h.Count > 0 && h.First+h.Count <= at
}

func (o *opened) identity(ordinal int) (source, id string) {
	for i := range o.columns {
		c := &o.columns[i]
		if ordinal < c.N {
			return string(c.Strings[c.Sources[c.Source[ordinal]].Name]), label(c, ordinal)
		}
		ordinal -= c.N
	}
	return "", ""
}

// label names an event of a segment: its id, or its epoch and sequence.
func label(c *packed.Columns, i int) string {
	if !c.Sequenced {
		return string(c.ID(i))
	}
	return strconv.FormatUint(c.Sources[c.Source[i]].Epoch, 10) + "/" + strconv.FormatUint(c.Sequence[i], 10)
}

// Identity identifies an event: Source with ID, or, if Sequenced, Source with
// Epoch and Sequence.
type Identity struct {
	Source    string
	ID        string
	Epoch     uint64
	Sequence  uint64
	Sequenced bool
}

// Find returns where a provider's event was accepted. It fails with [ErrNotFound]
// if no event with this identity is settled and accepted. An event that
// settlement refused can only be found by its handle.
func (s *Service) Find(ctx context.Context, provider events.Provider, id Identity) (events.Handle, error) {
	if id.Sequenced {
		return s.findSequence(ctx, provider, id)
	}
	if s.config.Identities == nil {
		return events.Handle{}, ErrNotFound
	}
	at, ok, err := s.config.Identities.Lookup(packed.IdentityKey(provider, id.Source, id.ID))
	if err != nil {
		return events.Handle{}, fmt.Errorf("looking up an identity: %w", err)
	}
	if !ok {
		return events.Handle{}, ErrNotFound
	}
	// One index serves all partitions that this process settles, so each one is
	// tried.
	for partition := range s.config.Usage {
		message, err := s.open(ctx, partition, at.Position)
		if err != nil {
			continue
		}
		if source, found := message.identity(int(at.Ordinal)); source == id.Source && found == id.ID {
			return events.Handle{Partition: partition, Position: at.Position, First: int(at.Ordinal), Count: 1}, nil
		}
	}
	return events.Handle{}, ErrNotFound
}

func (s *Service) findSequence(ctx context.Context, provider events.Provider, id Identity) (events.Handle, error) {
	if s.config.Store == nil {
		return events.Handle{}, ErrNotFound
	}
	source := settlement.Source{Provider: provider, Source: id.Source, Epoch: id.Epoch}
	original, ok, err := s.config.Store.Original(ctx, source, id.Sequence)
	if err != nil {
		return events.Handle{}, fmt.Errorf("looking up a sequence: %w", err)
	}
	if !ok {
		return events.Handle{}, ErrNotFound
	}
	for partition := range s.config.Usage {
		message, err := s.open(ctx, partition, original.Position)
		if err != nil || original.Segment >= len(message.columns) {
			continue
		}
		first := 0
		for i := range original.Segment {
			first += message.columns[i].N
		}
		c := &message.columns[original.Segment]
		for i := original.Ordinal; i < c.N; i++ {
			from := c.Sources[c.Source[i]]
			if c.Sequenced && c.Provider == provider && c.Sequence[i] == id.Sequence && from.Epoch == id.Epoch && string(c.Strings[from.Name]) == id.Source {
				return events.Handle{Partition: partition, Position: original.Position, First: first + i, Count: 1}, nil
			}
		}
	}
	return events.Handle{}, ErrNotFound
}
