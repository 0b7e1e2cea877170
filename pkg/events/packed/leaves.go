package packed

import (
	"encoding/binary"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/varint"
	"github.com/aliquot-engine/aliquot/pkg/events/leaf"
)

// LeafRoom is how many bytes [Leaves.Put] may overwrite; every event leaf is
// shorter.
const LeafRoom = 2048

// Leaves writes the leaves of a segment's events directly from the columns, in
// a few nanoseconds each, with the same bytes as package leaf. The zero value
// is ready; once it has seen a segment of some size, further ones of that size
// allocate nothing.
type Leaves struct {
	columns  *Columns
	book     events.Book
	words    []leafWord // of the string table
	unit     int        // of the segment's times
	multiply uint64     // number of units in the segment's unit of time

	first    uint64       // the number of the segment's first context
	contexts []contextKey // of the segment, in the order of their first events
	numbers  map[contextKey]uint32
	recent   [256]recentContext
}

// leafWord is a string in the form that leaves have, with its length. If the
// string does not fit, n is 0 and it is copied from the table.
type leafWord struct {
	text [32]byte
	n    int
}

// contextKey identifies a context by its numbers in the columns.
type contextKey struct{ source, meter, set uint32 }

type recentContext struct {
	key    contextKey
	number uint32 // number in the segment, from 1; 0 if there is none
}

// Begin starts the next segment, which must stay decoded until the next Begin;
// first is the number of its first context.
func (l *Leaves) Begin(c *Columns, book events.Book, first uint64) {
	l.columns, l.book, l.first = c, book, first
	l.contexts = l.contexts[:0]
	clear(l.recent[:])
	if l.numbers == nil {
		l.numbers = make(map[contextKey]uint32)
	}
	clear(l.numbers)
	l.words = varint.Resize(l.words, len(c.Strings))
	for i, s := range c.Strings {
		w := &l.words[i]
		if w.n = 0; len(s) < len(w.text) {
			w.text[0] = byte(len(s))
			w.n = 1 + copy(w.text[1:], s)
		}
	}
	l.unit, l.multiply = 0, c.work.unit
	for l.unit < leaf.CoarsestUnit && l.multiply%leaf.Step == 0 {
		l.unit, l.multiply = l.unit+1, l.multiply/leaf.Step
	}
}

// Put writes the leaf of event i, from 0, to the start of room and returns its
// length. It may overwrite the rest of room. It must be called for every event
// of a segment in ascending order, so that contexts are numbered in the order
// of their first use.
func (l *Leaves) Put(room *[LeafRoom]byte, i int) int {
	c, work := l.columns, &l.columns.work
	end, length, unit := work.high[i]*l.multiply, work.low[i]*l.multiply, l.unit
	if unit < leaf.CoarsestUnit && end%leaf.Step == 0 {
		end, length, unit = leaf.Coarsest(end, length, unit)
	}
	low, high, scale := work.mantissa[i], uint64(0), byte(work.places[i])
	if len(work.mantissaHigh) > 0 && work.mantissaHigh[i] > 0 {
		high, low, scale, _ = c.Quantity[i].Mantissa() // A decoded quantity is never below zero.
	}
	for scale > 0 && high == 0 && low%10 == 0 {
		low, scale = low/10, scale-1
	}
	flags, sequence := byte(unit), uint64(0)
	at := 5
	if number := l.first + uint64(l.context(i)); number < 0x80 {
		room[at] = byte(number)
		at++
	} else {
		at += binary.PutUvarint(room[at:], number)
	}
	if c.Sequenced {
		sequence = c.Sequence[i]
		binary.LittleEndian.PutUint64(room[at:], sequence)
		at += leaf.Width(sequence)
	} else {
		flags |= leaf.Named
		at += putText(room[at:], c.ID(i))
	}
	binary.LittleEndian.PutUint64(room[at:], end)
	at += leaf.Width(end)
	binary.LittleEndian.PutUint64(room[at:], length)
	at += leaf.Width(length)
	binary.LittleEndian.PutUint64(room[at:], low)
	mantissa := leaf.Width(low)
	at += mantissa
	if high > 0 {
		at -= mantissa
		mantissa = leaf.WideMantissa
		binary.LittleEndian.PutUint64(room[at+8:], high)
		at += 16
	}
	at += l.putWord(room[at:], c.Node[i])
	at += l.putWord(room[at:], c.Customer[i])
	if len(c.Amends) > 0 {
		if a, ok := c.amendment(i); ok {
			kind := byte(leaf.Replaces)
			if a.Retracts {
				kind = leaf.Retracts
			}
			flags |= kind
			at += l.putWord(room[at:], a.ID)
		}
	}
	room[0], room[1], room[4] = leaf.Kind, flags, scale
	room[2] = byte(leaf.Width(sequence)<<4 | leaf.Width(end))
	room[3] = byte(leaf.Width(length)<<4 | mantissa)
	return at
}

// Contexts returns how many contexts the events have for which Put was called.
func (l *Leaves) Contexts() int { return len(l.contexts) }

// AppendContext appends the leaf of the segment's context k, from 0.
func (l *Leaves) AppendContext(dst []byte, k int) []byte {
	c, key := l.columns, l.contexts[k]
	source, set := c.Sources[key.source], c.Sets[key.set]
	dst = append(dst, leaf.ContextKind, leaf.Version)
	dst = varint.AppendText(dst, c.Provider)
	dst = varint.AppendText(dst, l.book)
	dst = varint.AppendText(dst, c.Strings[source.Name])
	dst = binary.AppendUvarint(dst, source.Epoch)
	dst = varint.AppendText(dst, c.Strings[key.meter])
	dst = binary.AppendUvarint(dst, uint64(len(set)))
	for _, a := range set {
		dst = varint.AppendText(dst, c.Strings[a.Name])
		dst = varint.AppendText(dst, c.Strings[a.Value])
	}
	return dst
}

// Number returns the number of the context of an event for which Put was
// called.
func (l *Leaves) Number(i int) uint64 { return l.first + uint64(l.context(i)) }

// context returns the context of event i, from 0 in the segment.
func (l *Leaves) context(i int) uint32 {
	c := l.columns
	key := contextKey{c.Source[i], c.Meter[i], c.Set[i]}
	recent := &l.recent[byte(key.source+key.meter*7+key.set*31)]
	if recent.number > 0 && recent.key == key {
		return recent.number - 1
	}
	number, known := l.numbers[key]
	if !known {
		number = uint32(len(l.contexts))
		l.numbers[key] = number
		l.contexts = append(l.contexts, key)
	}
	*recent = recentContext{key, number + 1}
	return number
}

func (l *Leaves) putWord(room []byte, s uint32) int {
	w := &l.words[s]
	if w.n > 0 {
		*(*[len(w.text)]byte)(room) = w.text
		return w.n
	}
	return putText(room, l.columns.Strings[s])
}

func putText(room, text []byte) int {
	n := binary.PutUvarint(room, uint64(len(text)))
	return n + copy(room[n:], text)
}
