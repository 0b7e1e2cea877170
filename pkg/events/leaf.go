package events

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// Bytes of the leaves of a batch's tree, version 1: what a receipt shows and a
// verifier hashes. Integers are unsigned varints of encoding/binary in their
// shortest form, a text is its length and its bytes.
//
// A context is what events of a segment have in common:
//
//	'C' 0x01 text(provider) text(book) text(source) epoch text(meter)
//	number of attributes, each text(name) text(value)
//
// An event has a context, by its number in the batch, and what is its own:
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
// Sequence, end, length and mantissa are little endian in as few bytes as hold
// them, 0 to 8; a mantissa of more than 8 takes 16, for which its width says 15.
// End is from 1970 UTC to the event's end, length from its start to its end. The
// quantity is mantissa × 10^-scale, of the smallest scale that holds it, 0 to 18;
// the unit is the largest that divides both end and length. So an event has one
// form, whatever the segment looked like that it came in.
//
// A usual leaf takes 54 bytes or fewer: with its prefix and padding it is one
// block of SHA-256. That is why what repeats stands in the context, and why
// numbers are as short as they can be.
const (
	contextKind = 'C'
	leafKind    = 'E'
	leafVersion = 1 // of a context; flags with a higher bit would be another

	leafUnit     = 3
	leafNamed    = 1 << 2
	leafReplaces = 1 << 3
	leafRetracts = 2 << 3
	leafFlags    = leafUnit | leafNamed | leafReplaces | leafRetracts

	wideMantissa = 15   // the width of a mantissa of 16 bytes
	leafStep     = 1000 // from one unit to the next
	coarsestUnit = 3
)

// Context is what events of a segment have in common.
type Context struct {
	Provider   Provider
	Book       Book
	Source     string
	Epoch      uint64 // of a sequenced source
	Meter      Meter
	Attributes []Attribute // ascending by name
}

// Append appends the bytes of the context's leaf.
func (c *Context) Append(dst []byte) []byte {
	dst = append(dst, contextKind, leafVersion)
	dst = appendText(dst, c.Provider)
	dst = appendText(dst, c.Book)
	dst = appendText(dst, c.Source)
	dst = binary.AppendUvarint(dst, c.Epoch)
	dst = appendText(dst, c.Meter)
	dst = binary.AppendUvarint(dst, uint64(len(c.Attributes)))
	for _, a := range c.Attributes {
		dst = appendText(appendText(dst, a.Name), a.Value)
	}
	return dst
}

var errLeafRange = errors.New("its interval is not within 1970 to 2262, or ends before it starts")

// AppendLeaf appends the bytes of the leaf of an event with the context of that
// number. Source, epoch, meter and attributes are the context's. It fails where
// the quantity is below zero or the interval out of range.
func AppendLeaf(dst []byte, context uint64, u *Usage) ([]byte, error) {
	high, low, scale, err := u.Quantity.Mantissa()
	if err != nil {
		return dst, fmt.Errorf("encoding an event leaf: %w", err)
	}
	if u.Start < 0 || u.End < u.Start {
		return dst, fmt.Errorf("encoding an event leaf: %w", errLeafRange)
	}
	end, length, unit := coarsest(uint64(u.End), uint64(u.End-u.Start), 0)
	flags := byte(unit)
	if !u.Sequenced {
		flags |= leafNamed
	}
	amends := u.Replaces
	switch {
	case u.Replaces != "":
		flags |= leafReplaces
	case u.Retracts != "":
		flags, amends = flags|leafRetracts, u.Retracts
	}
	sequence := u.Sequence
	if !u.Sequenced {
		sequence = 0
	}
	mantissa := width(low)
	if high > 0 {
		mantissa = wideMantissa
	}
	dst = append(dst, leafKind, flags, byte(width(sequence)<<4|width(end)), byte(width(length)<<4|mantissa), scale)
	dst = binary.AppendUvarint(dst, context)
	if u.Sequenced {
		dst = appendNumber(dst, sequence)
	} else {
		dst = appendText(dst, u.ID)
	}
	dst = appendNumber(appendNumber(dst, end), length)
	if high > 0 {
		dst = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(dst, low), high)
	} else {
		dst = appendNumber(dst, low)
	}
	dst = appendText(appendText(dst, u.Node), u.Customer)
	if amends != "" {
		dst = appendText(dst, amends)
	}
	return dst, nil
}

// coarsest expresses two times of a unit in the largest unit that divides both.
func coarsest(end, length uint64, unit int) (e, l uint64, u int) {
	for unit < coarsestUnit && end%leafStep == 0 && length%leafStep == 0 {
		end, length, unit = end/leafStep, length/leafStep, unit+1
	}
	return end, length, unit
}

// width returns how many bytes a number takes, from 0.
func width(v uint64) int { return (bits.Len64(v) + 7) / 8 }

func appendNumber(dst []byte, v uint64) []byte {
	n := width(v)
	return binary.LittleEndian.AppendUint64(dst, v)[:len(dst)+n]
}
