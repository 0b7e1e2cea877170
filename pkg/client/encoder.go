package client

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/cloudevents"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// Media types of batches.
const (
	batchMedia  = "application/cloudevents-batch+json"
	packedMedia = "application/vnd.aliquot.packed"
)

// encoder writes one batch. It is reused, and keeps nothing from one batch to the
// next.
type encoder struct {
	builder packed.Builder
	raw     packed.RawUsage
	segment []byte
	plain   []byte
	pressed []byte

	body    []byte // compressed or not
	media   string
	coding  string
	sent    []int // per event of body: its index among those given
	refused []events.Refusal
}

// encode writes a batch into e.body.
func (e *encoder) encode(config *Config, z *zstd.Encoder, list []events.Usage) error {
	if len(list) > packed.MaxEvents {
		return fmt.Errorf("%d events are more than %d", len(list), packed.MaxEvents)
	}
	e.sent, e.refused, e.plain = e.sent[:0], e.refused[:0], e.plain[:0]
	if config.Format == JSON {
		e.writeJSON(list)
	} else if err := e.pack(config.Provider, list); err != nil {
		return err
	}
	var err error
	e.body, e.coding, err = compress(config.Coding, z, e.plain, e.pressed)
	if config.Coding != Plain {
		e.pressed = e.body
	}
	return err
}

// check fills e.raw, or refuses the event.
func (e *encoder) check(i int, u *events.Usage) bool {
	if err := e.raw.Set(u); err != nil {
		e.refuse(i, u, &packed.Fault{Field: "data.quantity", Reason: events.Negative, Detail: err.Error()})
		return false
	}
	if fault := e.raw.Check(); fault != nil {
		e.refuse(i, u, fault)
		return false
	}
	return true
}

func (e *encoder) refuse(i int, u *events.Usage, fault *packed.Fault) {
	id := u.ID
	if len(id) > packed.MaxID {
		id = id[:packed.MaxID]
	}
	e.refused = append(e.refused, events.Refusal{Index: i, ID: id, Field: fault.Field, Reason: fault.Reason, Detail: fault.Detail})
}

func (e *encoder) writeJSON(list []events.Usage) {
	e.media = batchMedia
	separator := byte('[')
	for i := range list {
		if e.check(i, &list[i]) {
			e.plain = cloudevents.Append(append(e.plain, separator), &list[i])
			e.sent = append(e.sent, i)
			separator = ','
		}
	}
	e.plain = append(e.plain, ']')
}

// pack writes segments. It begins a new segment wherever an event with a sequence
// follows one without or the reverse, so that the order is kept.
func (e *encoder) pack(provider events.Provider, list []events.Usage) error {
	e.media = packedMedia
	e.builder.Reset(provider, false)
	sequenced := false
	for i := range list {
		u := &list[i]
		if !e.check(i, u) {
			continue
		}
		if u.Sequenced != sequenced {
			e.flush(provider, u.Sequenced)
			sequenced = u.Sequenced
		}
		if !e.builder.Add(&e.raw) {
			e.flush(provider, sequenced)
			if !e.builder.Add(&e.raw) {
				return fmt.Errorf("event %d does not fit into a segment", i)
			}
		}
		e.sent = append(e.sent, i)
	}
	e.flush(provider, false)
	return nil
}

// flush writes the length of the builder's events and the events, and empties the
// builder.
func (e *encoder) flush(provider events.Provider, sequenced bool) {
	if e.builder.Len() > 0 {
		e.segment = e.builder.AppendTo(e.segment[:0])
		e.plain = binary.AppendUvarint(e.plain, uint64(len(e.segment)))
		e.plain = append(e.plain, e.segment...)
	}
	e.builder.Reset(provider, sequenced)
}

// merge adds the events that were refused here to those that the engine refused,
// ordered by index.
func (e *encoder) merge(r *Result) {
	for i := range r.Refusals {
		if at := r.Refusals[i].Index; at >= 0 && at < len(e.sent) {
			r.Refusals[i].Index = e.sent[at]
		}
	}
	if len(e.refused) == 0 {
		return
	}
	r.Refused += len(e.refused)
	theirs, merged := r.Refusals, make([]events.Refusal, 0, len(r.Refusals)+len(e.refused))
	for _, mine := range e.refused {
		for len(theirs) > 0 && theirs[0].Index < mine.Index {
			merged, theirs = append(merged, theirs[0]), theirs[1:]
		}
		merged = append(merged, mine)
	}
	merged = append(merged, theirs...)
	r.Refusals = merged
}
