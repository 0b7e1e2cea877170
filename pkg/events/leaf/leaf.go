// Package leaf defines the bytes of one usage event in the signed logs, which a
// receipt shows and a verifier hashes.
//
// # Invariants
//
//   - One event has one form, whatever its segment was like.
//   - Decoding accepts only that form: other bytes never give the same event.
package leaf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/varint"
)

// Bytes of the leaves of a batch's tree, version 1. Integers are unsigned
// varints of encoding/binary in their shortest form, a text is its length and
// its bytes.
//
// A context is what events of a segment have in common:
//
//	'C' 0x01 text(provider) text(book) text(source) epoch text(meter)
//	number of attributes, each text(name) text(value)
//
// An event has the number of its context in the batch, and its own values:
//
//	'E' flags widths widths scale context
//	sequence, or text(id) where it is named
//	end length mantissa
//	text(node) text(customer)
//	text(id) of the event that it amends, where it does
//
//	flags: bits 0 and 1   unit of end and length: 0 ns, 1 µs, 2 ms, 3 s
//	       bit 2          the event is named rather than sequenced
//	       bits 3 and 4   0 amends nothing, 1 replaces, 2 retracts
//	widths: of sequence (0 where it is named) and end, of length and mantissa:
//	       bytes, the first number in the four higher bits
//
// Sequence, end, length and mantissa are little endian in as few bytes as
// possible, 0 to 8; a mantissa of more than 8 bytes takes 16, and its width is
// then 15. End is the time from 1970 UTC to the event's end, length the time
// from its start to its end. The quantity is mantissa × 10^-scale, with the
// smallest possible scale, 0 to 18; the unit is the largest that divides both
// end and length. So an event has one form, whatever its segment was like.
//
// A typical leaf has 54 bytes or fewer: with its prefix and padding it is one
// block of SHA-256. Therefore repeated values are in the context, and numbers
// are as short as possible.
const (
	ContextKind = 'C'
	Kind        = 'E'
	Version     = 1 // of a context; flags with a higher bit would mean another version

	LeafUnit  = 3
	Named     = 1 << 2
	Replaces  = 1 << 3
	Retracts  = 2 << 3
	leafFlags = LeafUnit | Named | Replaces | Retracts

	WideMantissa = 15   // the width of a mantissa of 16 bytes
	Step         = 1000 // from one unit to the next
	CoarsestUnit = 3
)

// Context is what several events of a segment have in common.
type Context struct {
	Provider   events.Provider
	Book       events.Book
	Source     string
	Epoch      uint64 // of a sequenced source
	Meter      events.Meter
	Attributes []events.Attribute // ascending by name
}

// Append appends the bytes of the context's leaf.
func (c *Context) Append(dst []byte) []byte {
	dst = append(dst, ContextKind, Version)
	dst = varint.AppendText(dst, c.Provider)
	dst = varint.AppendText(dst, c.Book)
	dst = varint.AppendText(dst, c.Source)
	dst = binary.AppendUvarint(dst, c.Epoch)
	dst = varint.AppendText(dst, c.Meter)
	dst = binary.AppendUvarint(dst, uint64(len(c.Attributes)))
	for _, a := range c.Attributes {
		dst = varint.AppendText(varint.AppendText(dst, a.Name), a.Value)
	}
	return dst
}

var errLeafRange = errors.New("its interval is not within 1970 to 2262, or ends before it starts")

// Append appends the bytes of the leaf of an event whose context has this
// number. Source, epoch, meter and attributes are in the context. It fails if
// the quantity is below zero or the interval is out of range.
func Append(dst []byte, context uint64, u *events.Usage) ([]byte, error) {
	high, low, scale, err := u.Quantity.Mantissa()
	if err != nil {
		return dst, fmt.Errorf("encoding an event leaf: %w", err)
	}
	if u.Start < 0 || u.End < u.Start {
		return dst, fmt.Errorf("encoding an event leaf: %w", errLeafRange)
	}
	end, length, unit := Coarsest(uint64(u.End), uint64(u.End-u.Start), 0)
	flags := byte(unit)
	if !u.Sequenced {
		flags |= Named
	}
	amends := u.Replaces
	switch {
	case u.Replaces != "":
		flags |= Replaces
	case u.Retracts != "":
		flags, amends = flags|Retracts, u.Retracts
	}
	sequence := u.Sequence
	if !u.Sequenced {
		sequence = 0
	}
	mantissa := Width(low)
	if high > 0 {
		mantissa = WideMantissa
	}
	dst = append(dst, Kind, flags, byte(Width(sequence)<<4|Width(end)), byte(Width(length)<<4|mantissa), scale)
	dst = binary.AppendUvarint(dst, context)
	if u.Sequenced {
		dst = appendNumber(dst, sequence)
	} else {
		dst = varint.AppendText(dst, u.ID)
	}
	dst = appendNumber(appendNumber(dst, end), length)
	if high > 0 {
		dst = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(dst, low), high)
	} else {
		dst = appendNumber(dst, low)
	}
	dst = varint.AppendText(varint.AppendText(dst, u.Node), u.Customer)
	if amends != "" {
		dst = varint.AppendText(dst, amends)
	}
	return dst, nil
}

// Coarsest expresses two times of a unit in the largest unit that divides both.
func Coarsest(end, length uint64, unit int) (e, l uint64, u int) {
	for unit < CoarsestUnit && end%Step == 0 && length%Step == 0 {
		end, length, unit = end/Step, length/Step, unit+1
	}
	return end, length, unit
}

// Width returns how many bytes a number needs; 0 for zero.
func Width(v uint64) int { return (bits.Len64(v) + 7) / 8 }

func appendNumber(dst []byte, v uint64) []byte {
	n := Width(v)
	return binary.LittleEndian.AppendUint64(dst, v)[:len(dst)+n]
}
