package posting

import (
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// identity decides which events repeat one that was accepted, and remembers those
// that are: by sequence where the source is sequenced, by id otherwise.
//
// Invariant: an identity belongs to the first event that was accepted under it. A
// refused event does not take its identity.
type identity struct {
	sequences
	foreigners
}

// begin begins the segment with this ordinal in the message at position; first
// is the number of events before it in the message.
func (d *identity) begin(c *packed.Columns, position uint64, segment, first int) error {
	if c.Sequenced {
		d.sequences.begin(c, position, segment)
		return nil
	}
	return d.foreigners.begin(c, position, first)
}

// repeats reports whether event i of the segment has the identity of an accepted
// event, and whether its content is the same.
func (d *identity) repeats(c *packed.Columns, i int) (repeats, same bool, err error) {
	if c.Sequenced {
		return d.sequences.repeats(c, i)
	}
	repeats, same = d.foreigners.repeats(c, i)
	return repeats, same, nil
}

// accept remembers event i, for which repeats was called last and which is new.
func (d *identity) accept(c *packed.Columns, i int) {
	if c.Sequenced {
		d.sequences.accept(c, i)
		return
	}
	d.foreigners.accept(i)
}

// refuse notes that event i, which is new, was refused.
func (d *identity) refuse(c *packed.Columns, i int) {
	if c.Sequenced {
		d.sequences.refuse(c, i)
	}
}

// end ends the segment.
func (d *identity) end(c *packed.Columns) error {
	if c.Sequenced {
		d.sequences.end()
		return nil
	}
	return d.foreigners.end()
}
