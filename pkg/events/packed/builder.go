package packed

import (
	"bytes"
	"encoding/binary"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/varint"
)

// RawUsage is one usage event as a parser finds it: texts are bytes that it
// does not own, and the quantity is a mantissa and a scale. Parsers reuse one
// for many events; see [RawUsage.Check] for its constraints.
type RawUsage struct {
	Source, ID      []byte
	Epoch, Sequence uint64
	Sequenced       bool

	Node, Customer, Meter []byte
	// The quantity is (QuantityHigh × 2⁶⁴ + QuantityLow) × 10^-Scale.
	QuantityHigh, QuantityLow uint64
	Scale                     uint8
	Start, End                int64 // half-open interval, nanoseconds since 1970 UTC
	Attributes                []RawAttribute
	Replaces, Retracts        []byte
}

// RawAttribute is one attribute of a [RawUsage].
type RawAttribute struct{ Name, Value []byte }

// Builder packs events of one book into the columns of packed.proto: equal
// events in equal order give equal bytes. The zero value is ready for Reset.
// Once it has had as many events, adding and packing events allocates nothing.
type Builder struct {
	provider  events.Provider
	sequenced bool
	n         int
	bound     int // bytes that the packed segment cannot exceed

	strings table
	sources table // of source name and epoch, 12 bytes
	sets    table // of pairs of string numbers, 8 bytes an attribute
	texts   table // the same sets, by their texts

	source, node, customer, meter, set, length []uint32
	sequence, low, high, end, duration         []uint64
	scale                                      []uint32
	ids                                        []byte
	anyHigh                                    bool
	unit                                       uint64 // the coarsest unit of which all times are multiples
	lastSequence, lastEnd                      uint64
	amends                                     []Amendment

	// Values of the last event, which the next one usually has too.
	lastSource uint32
	lastMeter  uint32

	pairs  []byte // one attribute set, encoded
	column []byte // one column, encoded
}

// Reset empties the builder for events of a provider. Either all of them are
// sequenced or none is.
func (b *Builder) Reset(provider events.Provider, sequenced bool) {
	b.provider, b.sequenced = provider, sequenced
	b.n, b.bound = 0, 256+len(provider) // The size of the tags and lengths of all fields.
	b.strings.reset()
	b.sources.reset()
	b.sets.reset()
	b.texts.reset()
	b.source, b.node, b.customer, b.meter = b.source[:0], b.node[:0], b.customer[:0], b.meter[:0]
	b.set, b.length, b.scale, b.ids = b.set[:0], b.length[:0], b.scale[:0], b.ids[:0]
	b.sequence, b.low, b.high = b.sequence[:0], b.low[:0], b.high[:0]
	b.end, b.duration, b.amends = b.end[:0], b.duration[:0], b.amends[:0]
	b.anyHigh, b.unit, b.lastSequence, b.lastEnd = false, 1e9, 0, 0
}

// Len returns the number of events added since Reset.
func (b *Builder) Len() int { return b.n }

// Add adds an event that passes [RawUsage.Check] and whose Sequenced equals the
// builder's. It returns false and adds nothing if the segment would exceed
// [MaxEvents] or [MaxPacked]; the caller must then pack it and begin another
// one.
func (b *Builder) Add(u *RawUsage) bool {
	if b.full(u) {
		return false
	}
	if b.n == 0 || !bytes.Equal(b.strings.at(b.lastMeter), u.Meter) {
		b.lastMeter = b.text(u.Meter)
	}
	meter := b.lastMeter
	b.add(u, b.text(u.Node), b.text(u.Customer), meter)
	return true
}

// full reports whether u might not fit any more.
func (b *Builder) full(u *RawUsage) bool {
	more := len(u.Source) + len(u.Node) + len(u.Customer) + len(u.Meter) + len(u.Replaces) + len(u.Retracts)
	for _, a := range u.Attributes {
		more += len(a.Name) + len(a.Value) + 14
	}
	return b.n == MaxEvents || b.bound+len(u.ID)+more+128 > MaxPacked
}

// text interns a string of the segment.
func (b *Builder) text(s []byte) uint32 {
	number, fresh := b.strings.intern(s)
	if fresh {
		b.bound += len(s) + 3
	}
	return number
}

// add is Add for an event that fits and whose names are interned.
func (b *Builder) add(u *RawUsage, node, customer, meter uint32) {
	b.source = append(b.source, b.sourceOf(u))
	b.lastMeter = meter
	b.node = append(b.node, node)
	b.customer = append(b.customer, customer)
	b.meter = append(b.meter, meter)
	b.set = append(b.set, b.setOf(u.Attributes))

	b.bound += 3 + 3 + 3 + 3 + 2 + 1 // The five indices and the scale.
	if b.sequenced {
		b.sequence = append(b.sequence, u.Sequence)
		b.bound += varint.Len(varint.Zigzag(u.Sequence - b.lastSequence))
		b.lastSequence = u.Sequence
	} else {
		b.ids = append(b.ids, u.ID...)
		b.length = append(b.length, uint32(len(u.ID)))
		b.bound += len(u.ID) + 2
	}

	b.low = append(b.low, u.QuantityLow)
	b.high = append(b.high, u.QuantityHigh)
	b.scale = append(b.scale, uint32(u.Scale))
	b.bound += varint.Len(u.QuantityLow)
	if u.QuantityHigh != 0 && !b.anyHigh {
		b.anyHigh = true
		b.bound += b.n
	}
	if b.anyHigh {
		b.bound += varint.Len(u.QuantityHigh)
	}

	end, duration := uint64(u.End), uint64(u.End-u.Start)
	b.end = append(b.end, end)
	b.duration = append(b.duration, duration)
	b.coarsest(end, duration)
	b.bound += varint.Len(varint.Zigzag(end-b.lastEnd)) + varint.Len(duration)
	b.lastEnd = end

	if len(u.Replaces)+len(u.Retracts) > 0 {
		a := Amendment{Ordinal: uint32(b.n)}
		if a.Retracts = len(u.Retracts) > 0; a.Retracts {
			a.ID = b.text(u.Retracts)
		} else {
			a.ID = b.text(u.Replaces)
		}
		b.amends = append(b.amends, a)
		b.bound += 2 + 1 + 3
	}
	b.n++
}

// coarsest lowers the unit until both times are multiples of it.
func (b *Builder) coarsest(end, duration uint64) {
	// The divisors are constants, because a division by a variable costs ten
	// times as much.
	if b.unit == 1e9 && (end%1e9 != 0 || duration%1e9 != 0) {
		b.unit = 1e6
	}
	if b.unit == 1e6 && (end%1e6 != 0 || duration%1e6 != 0) {
		b.unit = 1e3
	}
	if b.unit == 1e3 && (end%1e3 != 0 || duration%1e3 != 0) {
		b.unit = 1
	}
}

func (b *Builder) sourceOf(u *RawUsage) uint32 {
	epoch := u.Epoch
	if !b.sequenced {
		epoch = 0
	}
	if b.n > 0 {
		last := b.sources.at(b.lastSource)
		if binary.LittleEndian.Uint64(last[4:]) == epoch &&
			bytes.Equal(b.strings.at(binary.LittleEndian.Uint32(last)), u.Source) {
			return b.lastSource
		}
	}
	var key [12]byte
	binary.LittleEndian.PutUint32(key[:], b.text(u.Source))
	binary.LittleEndian.PutUint64(key[4:], epoch)
	number, fresh := b.sources.intern(key[:])
	if fresh {
		b.bound += 3 + 10
	}
	b.lastSource = number
	return number
}

// setOf numbers an attribute set. A set is looked up by all its texts at once,
// which costs one look-up, because most events repeat one of a few sets.
func (b *Builder) setOf(attributes []RawAttribute) uint32 {
	if len(attributes) == 0 {
		return 0
	}
	key := b.pairs[:0]
	for _, a := range attributes {
		// The lengths make the key unambiguous: a name has at most 64 bytes, a
		// value 256.
		key = append(key, byte(len(a.Name)), byte(len(a.Value)), byte(len(a.Value)>>8))
		key = append(append(key, a.Name...), a.Value...)
	}
	b.pairs = key
	number, fresh := b.texts.intern(key)
	if !fresh {
		return number + 1
	}
	pairs := key[:0]
	for _, a := range attributes {
		pairs = binary.LittleEndian.AppendUint32(pairs, b.text(a.Name))
		pairs = binary.LittleEndian.AppendUint32(pairs, b.text(a.Value))
	}
	b.pairs = pairs
	b.sets.intern(pairs)
	b.bound += 1 + 6*len(attributes)
	return number + 1
}

// AppendTo appends the packed segment. The builder keeps its events.
func (b *Builder) AppendTo(dst []byte) []byte {
	dst = appendScalar(dst, fieldVersion, packedVersion)
	dst = appendField(dst, fieldProvider, b.provider)
	if b.sequenced {
		dst = appendScalar(dst, fieldSequenced, 1)
	}
	dst = appendScalar(dst, fieldEvents, uint64(b.n))
	for i := range b.strings.ends {
		dst = appendTag(dst, fieldStrings, 2)
		s := b.strings.at(uint32(i))
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	dst = b.appendTables(dst)
	dst = b.appendColumn32(dst, fieldSource, b.source)
	if b.sequenced {
		dst = b.appendDeltas(dst, fieldSequence, b.sequence, 1)
	} else {
		dst = b.appendColumn32(dst, fieldIDLength, b.length)
		dst = appendField(dst, fieldIDs, b.ids)
	}
	dst = b.appendColumn32(dst, fieldNode, b.node)
	dst = b.appendColumn32(dst, fieldCustomer, b.customer)
	dst = b.appendColumn32(dst, fieldMeter, b.meter)
	dst = b.appendColumn32(dst, fieldSet, b.set)
	dst = b.appendColumn64(dst, fieldQuantityLow, b.low, 1)
	if b.anyHigh {
		dst = b.appendColumn64(dst, fieldQuantityHigh, b.high, 1)
	}
	dst = b.appendColumn32(dst, fieldQuantityScale, b.scale)
	dst = appendScalar(dst, fieldTimeUnit, b.unit)
	dst = b.appendDeltas(dst, fieldEnd, b.end, b.unit)
	dst = b.appendColumn64(dst, fieldDuration, b.duration, b.unit)
	return b.appendAmends(dst)
}

func (b *Builder) appendTables(dst []byte) []byte {
	names, epochs := b.column[:0], false
	for i := range b.sources.ends {
		key := b.sources.at(uint32(i))
		names = binary.AppendUvarint(names, uint64(binary.LittleEndian.Uint32(key)))
		epochs = epochs || binary.LittleEndian.Uint64(key[4:]) != 0
	}
	dst = appendField(dst, fieldSourceName, names)
	b.column = names
	if epochs {
		column := b.column[:0]
		for i := range b.sources.ends {
			column = binary.AppendUvarint(column, binary.LittleEndian.Uint64(b.sources.at(uint32(i))[4:]))
		}
		dst = appendField(dst, fieldSourceEpoch, column)
		b.column = column
	}
	if len(b.sets.ends) == 0 {
		return dst
	}
	column := b.column[:0]
	for i := range b.sets.ends {
		column = binary.AppendUvarint(column, uint64(len(b.sets.at(uint32(i)))/8))
	}
	dst = appendField(dst, fieldSetSize, column)
	// Sets consist of pairs of four-byte numbers, so the bytes of all sets are
	// one run of pairs.
	for half, field := range [2]int{fieldSetName, fieldSetValue} {
		column = column[:0]
		for at := 4 * half; at < len(b.sets.text); at += 8 {
			column = binary.AppendUvarint(column, uint64(binary.LittleEndian.Uint32(b.sets.text[at:])))
		}
		dst = appendField(dst, field, column)
	}
	b.column = column
	return dst
}

func (b *Builder) appendAmends(dst []byte) []byte {
	if len(b.amends) == 0 {
		return dst
	}
	column := b.column[:0]
	for _, a := range b.amends {
		column = binary.AppendUvarint(column, uint64(a.Ordinal))
	}
	dst = appendField(dst, fieldAmendEvent, column)
	column = column[:0]
	for _, a := range b.amends {
		retracts := byte(0)
		if a.Retracts {
			retracts = 1
		}
		column = append(column, retracts)
	}
	dst = appendField(dst, fieldAmendRetracts, column)
	column = column[:0]
	for _, a := range b.amends {
		column = binary.AppendUvarint(column, uint64(a.ID))
	}
	dst = appendField(dst, fieldAmendID, column)
	b.column = column
	return dst
}
