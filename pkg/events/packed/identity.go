package packed

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/varint"
)

// hashes are the parts of fingerprints, computed once for each segment when the
// first fingerprint is needed.
type hashes struct {
	done    bool
	strings []uint64
	sets    []uint64
	buffer  []byte
}

// Fingerprint returns 64 bits of the content of event i: node, customer, meter,
// quantity, interval, attributes, and the event that it amends, but not its
// identity or the layout of its segment. Equal contents have equal fingerprints
// on any machine, forever; the same identity with another fingerprint is a
// conflict.
//
// It is the xxHash64 (seed 0) of little-endian 64-bit words: xxHash64 of the
// node, of the customer, of the meter; of the attributes, that is of the pair
// of words (xxHash64 of name, xxHash64 of value) of each in ascending order;
// the quantity's high and low limb; start; end; and, only if the event amends
// another one, 1 for replaces or 2 for retracts, and xxHash64 of the other
// event's id.
//
// Two different contents collide by chance once in 2⁶⁴ comparisons, and can be
// made to collide on purpose. The second event then counts as a duplicate of
// the first one instead of a conflict; neither changes any figure.
func (c *Columns) Fingerprint(i int) uint64 {
	h := &c.work.lazy
	if !h.done {
		c.hash()
	}
	b := h.buffer[:0]
	b = binary.LittleEndian.AppendUint64(b, h.strings[c.Node[i]])
	b = binary.LittleEndian.AppendUint64(b, h.strings[c.Customer[i]])
	b = binary.LittleEndian.AppendUint64(b, h.strings[c.Meter[i]])
	b = binary.LittleEndian.AppendUint64(b, h.sets[c.Set[i]])
	hi, lo := c.Quantity[i].Limbs()
	b = binary.LittleEndian.AppendUint64(b, uint64(hi))
	b = binary.LittleEndian.AppendUint64(b, lo)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.Start[i]))
	b = binary.LittleEndian.AppendUint64(b, uint64(c.End[i]))
	if a, ok := c.amendment(i); ok {
		kind := uint64(1)
		if a.Retracts {
			kind = 2
		}
		b = binary.LittleEndian.AppendUint64(b, kind)
		b = binary.LittleEndian.AppendUint64(b, h.strings[a.ID])
	}
	h.buffer = b
	return xxhash.Sum64(b)
}

func (c *Columns) hash() {
	h := &c.work.lazy
	h.strings = varint.Resize(h.strings, len(c.Strings))
	for i, s := range c.Strings {
		h.strings[i] = xxhash.Sum64(s)
	}
	h.sets = varint.Resize(h.sets, len(c.Sets))
	for i, set := range c.Sets {
		b := h.buffer[:0]
		for _, a := range set {
			b = binary.LittleEndian.AppendUint64(b, h.strings[a.Name])
			b = binary.LittleEndian.AppendUint64(b, h.strings[a.Value])
		}
		h.buffer = b
		h.sets[i] = xxhash.Sum64(b)
	}
	h.done = true
}

// IdentityKey returns the identity of event i of a segment that is not
// sequenced: the first 128 bits of the SHA-256 of provider, source and id, each
// after its length as a big-endian 16-bit number. The provider is part of it,
// because two providers may use one source name. Two identities collide by
// chance only after some 2⁶⁴ events, and no way is known to make them collide.
// Only names are hashed and no numbers of the segment, so the key of an event
// is the same in every segment.
func (c *Columns) IdentityKey(i int) [16]byte {
	b := c.work.lazy.buffer[:0]
	b = append16(b, string(c.Provider))
	b = append16(b, c.Strings[c.Sources[c.Source[i]].Name])
	b = append16(b, c.ID(i))
	c.work.lazy.buffer = b
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

// IdentityKey returns what [Columns.IdentityKey] returns for an event with this
// provider, source and id, for looking it up.
func IdentityKey(provider events.Provider, source, id string) [16]byte {
	b := append16(append16(append16(nil, string(provider)), source), id)
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

func append16[T string | []byte](b []byte, s T) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// amendment returns the amendment of event i, if it has one. Amends is nearly
// always empty.
func (c *Columns) amendment(i int) (Amendment, bool) {
	if len(c.Amends) == 0 {
		return Amendment{}, false
	}
	low, high := 0, len(c.Amends)
	for low < high {
		middle := (low + high) / 2
		if int(c.Amends[middle].Ordinal) < i {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < len(c.Amends) && int(c.Amends[low].Ordinal) == i {
		return c.Amends[low], true
	}
	return Amendment{}, false
}

// Event returns event i as a [events.Usage]. The result is a copy and stays
// valid after the message.
func (c *Columns) Event(i int) events.Usage {
	source := c.Sources[c.Source[i]]
	u := events.Usage{
		Source:    string(c.Strings[source.Name]),
		Epoch:     source.Epoch,
		Sequenced: c.Sequenced,
		Node:      events.Node(c.Strings[c.Node[i]]),
		Customer:  events.Customer(c.Strings[c.Customer[i]]),
		Meter:     events.Meter(c.Strings[c.Meter[i]]),
		Quantity:  c.Quantity[i],
		Start:     c.Start[i],
		End:       c.End[i],
	}
	if c.Sequenced {
		u.Sequence = c.Sequence[i]
	} else {
		u.ID = string(c.ID(i))
	}
	for _, a := range c.Sets[c.Set[i]] {
		u.Attributes = append(u.Attributes, events.Attribute{Name: string(c.Strings[a.Name]), Value: string(c.Strings[a.Value])})
	}
	if a, ok := c.amendment(i); ok {
		if a.Retracts {
			u.Retracts = string(c.Strings[a.ID])
		} else {
			u.Replaces = string(c.Strings[a.ID])
		}
	}
	return u
}
