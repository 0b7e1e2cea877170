package settle

import (
	"context"
	"fmt"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// reread is how many decoded messages are kept for comparing repeated events
// with.
const reread = 4

// originals answers the core's questions from the store and, for the contents
// of events, from the stream.
type originals struct {
	settler *Settler
	ctx     context.Context // of the run: the core has no context
	current *message        // that the core is settling
	cache   map[uint64]*message
	order   []uint64 // of the cache, oldest first
}

func (o *originals) Spans(source settlement.Source) ([]settlement.Span, error) {
	return o.settler.config.Store.Spans(o.ctx, source)
}

func (o *originals) Original(source settlement.Source, sequence uint64) (settlement.Original, bool, error) {
	return o.settler.config.Store.Original(o.ctx, source, sequence)
}

func (o *originals) Segment(position uint64, segment int) (*packed.Columns, error) {
	m := o.current
	if m == nil || m.position != position {
		var err error
		if m, err = o.message(position); err != nil {
			return nil, err
		}
	}
	if m.err != nil || segment >= len(m.segments) || m.segments[segment].Err != nil {
		return nil, fmt.Errorf("position %d has no readable segment %d", position, segment)
	}
	return m.segments[segment].Columns, nil
}

// message returns a message that was read lately, or reads it again.
func (o *originals) message(position uint64) (*message, error) {
	if m := o.cache[position]; m != nil {
		return m, nil
	}
	var raw eventlog.Message
	err := o.settler.patiently(o.ctx, func() (err error) {
		raw, err = o.settler.config.Usage.Get(o.ctx, position)
		return err
	})
	if err != nil {
		return nil, err
	}
	m := &message{}
	if len(o.order) == reread {
		m = o.cache[o.order[0]]
		delete(o.cache, o.order[0])
		o.order = o.order[1:]
	}
	m.decode(raw)
	o.cache[position] = m
	o.order = append(o.order, position)
	return m, nil
}
