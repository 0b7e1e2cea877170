package explain

import (
	"errors"
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/pricing"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/settle/posting"
)

// byIdentity looks for an accepted event by the identity that its source gave
// it.
func (e *explainer) byIdentity(id string) (Node, error) {
	h, err := e.identified(id)
	if err != nil {
		return Node{}, err
	}
	return e.event(h)
}

// placed finds the partition that has an event at a place in an index, because
// the index does not contain the partition.
func (e *explainer) placed(at settlement.Identity, source, name string) (h handle, found bool, err error) {
	for _, stream := range e.Usage {
		partition, _ := eventlog.PartitionOf(stream.Name())
		if err := e.choose(partition); err != nil {
			return h, false, err
		}
		m, err := e.message(at.Position)
		if err != nil {
			continue // the stream ends earlier, or the position has no batch
		}
		s, i, ok := m.at(int(at.Ordinal))
		if !ok {
			continue
		}
		if u := s.columns.Event(i); u.Source == source && u.ID == name {
			return handle{partition, at.Position, int(at.Ordinal)}, true, nil
		}
	}
	return h, false, nil
}

// choose selects the partition from which messages are read.
func (e *explainer) choose(partition int) error {
	if e.usage = eventlog.OfPartition(partition, e.Usage...); e.usage == nil {
		return fmt.Errorf("%w: partition %d is not here", ErrUnknown, partition)
	}
	return nil
}

// message is a message of USAGE, decoded.
type message struct {
	events.Message
	position uint64
	segments []segment
}

type segment struct {
	*events.Segment
	columns *packed.Columns // nil if it cannot be read
}

func (e *explainer) message(position uint64) (*message, error) {
	raw, err := e.usage.Get(e.ctx, position)
	if err != nil {
		return nil, err
	}
	return decode(position, raw.Data)
}

func decode(position uint64, data []byte) (*message, error) {
	m := &message{position: position}
	if _, err := m.Decode(data, nil); err != nil {
		return nil, fmt.Errorf("position %d: %w", position, err)
	}
	for i := range m.Segments {
		s := segment{&m.Segments[i], new(packed.Columns)}
		if s.columns.Decode(s.Packed) != nil {
			s.columns = nil
		}
		m.segments = append(m.segments, s)
	}
	return m, nil
}

// world is what is declared at a position of CONTROL.
type world struct {
	control   uint64
	directory *directory.Directory
	tariff    pricing.Tariff
}

// fold applies decisions in the same way as settle does, and posts nothing.
func (e *explainer) fold(through uint64) (*world, error) {
	if e.folded != nil && e.folded.control == through {
		return e.folded, nil
	}
	w := &world{control: through, directory: directory.New()}
	if through == 0 {
		return w, nil
	}
	r, err := e.Control.Read(e.ctx, 1, "")
	if err != nil {
		return nil, err
	}
	defer r.Stop()
	for at := uint64(0); at < through; {
		m, err := r.Next(e.ctx)
		if err != nil {
			return nil, err
		}
		at = m.Seq
		decision, err := events.DecodeDecision(m.Data)
		same := err == nil && w.directory.Same(decision.Body)
		applied := w.directory.Apply(m.Seq, decision)
		if errors.Is(applied, directory.ErrOrder) {
			return nil, applied
		}
		if err != nil || applied != nil || same {
			continue
		}
		_ = w.tariff.Learn(decision.Body) // A decision that is refused is void, as it was in settle.
	}
	e.folded = w
	return w, nil
}

// cutting reports whether a message cuts, apart from the bound on events.
func (m *message) cutting() bool {
	return m.Kind != events.Batch || m.position%posting.CutEvery == 0
}

// around returns the CONTROL position in force at a position of USAGE, the
// position of the cut before it, and the last position at which its own cut can
// end: a cut with many events may end earlier.
func (e *explainer) around(w store.WriterState, position uint64) (control, before, last uint64, err error) {
	var partition int
	if _, err := fmt.Sscanf(w.Name, "settle-%d", &partition); err != nil {
		return 0, 0, 0, fmt.Errorf("%s settles no partition: %w", w.Name, err)
	}
	if err := e.choose(partition); err != nil {
		return 0, 0, 0, err
	}
	number, err := e.snapshot.FirstAt(w, position)
	if err != nil {
		return 0, 0, 0, err
	}
	from := uint64(1)
	if number > 1 {
		row, _, err := e.snapshot.Row(w, number-1)
		if err != nil {
			return 0, 0, 0, err
		}
		r, err := ledger.DecodeHeader(row.Record)
		if err != nil {
			return 0, 0, 0, err
		}
		control, before, from = r.Control, r.Cut, r.Cut+1
	}
	r, err := e.usage.Read(e.ctx, from, "")
	if err != nil {
		return 0, 0, 0, err
	}
	defer r.Stop()
	end, err := e.usage.Last(e.ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	for at := before; at < end; {
		raw, err := r.Next(e.ctx)
		if err != nil {
			return 0, 0, 0, err
		}
		at = raw.Seq
		m := &message{position: at}
		if _, err := m.Decode(raw.Data, nil); err != nil {
			m.Kind = events.Batch
		}
		switch {
		case at < position && m.cutting():
			before = at
			if m.Kind == events.Barrier {
				control = max(control, m.Control)
			}
		case at >= position && m.cutting():
			return control, before, at, nil
		}
	}
	return control, before, end, nil
}

// event explains one event.
func (e *explainer) event(h handle) (Node, error) {
	n := Node{Kind: "event", ID: h.String()}
	if err := e.choose(h.partition); err != nil {
		return n, err
	}
	outcome, ok, err := e.outcome(h)
	if err != nil {
		return n, err
	}
	if !ok {
		return n, fmt.Errorf("%w: position %d of partition %d has no event %d that is settled", ErrUnknown, h.position, h.partition, h.ordinal)
	}
	m, err := e.message(h.position)
	if err != nil {
		return n, err
	}
	s, i, ok := m.at(h.ordinal)
	if !ok {
		return n, fmt.Errorf("%w: position %d has no event %d", ErrUnknown, h.position, h.ordinal)
	}
	u := s.columns.Event(i)
	said := outcome.Words()
	n.Summary = fmt.Sprintf("Event %s of %s: %v %s on node %s for customer %s was %s", nameOf(&u), s.columns.Provider, u.Quantity, u.Meter, u.Node, u.Customer, said)
	n.fact("handle", h)
	n.fact("book", s.Book)
	n.fact("interval", stamp(u.Start)+" to "+stamp(u.End))
	n.fact("received", stamp(s.Received))
	n.fact("authenticated by", s.Key)
	for _, a := range u.Attributes {
		n.fact("attribute "+a.Name, a.Value)
	}
	n.fact("outcome", said)
	writer, err := e.writer(fmt.Sprintf("settle-%d", h.partition))
	if err != nil {
		return n, err
	}
	control, before, last, err := e.around(writer, h.position)
	if err != nil {
		return n, err
	}
	n.fact("decisions in force", fmt.Sprintf("CONTROL up to %d", control))
	if outcome.Outcome != events.Accepted && outcome.Outcome != events.Late {
		return n, nil
	}
	w, err := e.fold(control)
	if err != nil {
		return n, err
	}
	p, ok := w.directory.Posting(s.Book, u.LastInstant())
	if !ok {
		return n, fmt.Errorf("book %s is not declared at control position %d", s.Book, control)
	}
	n.fact("period", p.Period)
	if p.Origin != p.Period {
		n.fact("belongs to", p.Origin)
	}
	c := w.price(s.Book, &u)
	charge, err := e.charge(s.Book, u.Meter, &c, control)
	if err != nil {
		return n, err
	}
	n.From = append(n.From, charge)
	if !c.fits {
		return n, nil
	}
	var entry Node
	var under uint64
	if c.Waits {
		entry, under, err = e.released(writer, c, &u, s.Book, p, h.position)
	} else {
		entry, under, err = e.summed(writer, w, c, &u, s.Book, p, before, last)
	}
	if err != nil {
		return n, err
	}
	n.From = append(n.From, entry)
	if under == 0 {
		return n, nil
	}
	return n, e.after(&n, s.Book, &u, under)
}

func (e *explainer) distributeWriter() (store.WriterState, error) {
	return e.writer(store.DistributeWriter)
}

func (e *explainer) outcome(h handle) (settlement.Run, bool, error) {
	o, ok, err := e.snapshot.Outcome(h.partition, h.position)
	if err != nil || !ok {
		return settlement.Run{}, false, err
	}
	run, ok := o.At(h.ordinal)
	return run, ok, nil
}

func (e *explainer) writer(name string) (store.WriterState, error) {
	writers, err := e.snapshot.Writers()
	for _, w := range writers {
		if w.Name == name {
			return w, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("%w: no writer is called %s", ErrUnknown, name)
	}
	return store.WriterState{}, err
}

// at finds an event by its ordinal, which counts through all segments.
func (m *message) at(ordinal int) (s segment, index int, ok bool) {
	for _, s := range m.segments {
		if s.columns == nil {
			continue
		}
		if ordinal < s.columns.N {
			return s, ordinal, true
		}
		ordinal -= s.columns.N
	}
	return segment{}, 0, false
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
