package events

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/aliquot-engine/aliquot/pkg/money"
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

var (
	errLeafCut   = errors.New("cut short")
	errLeafForm  = errors.New("not the bytes of a leaf of version 1")
	errLeafOrder = errors.New("attributes are not ascending by name")
)

// DecodeContext reads what [Context.Append] wrote, and nothing else: other bytes
// never give the same context.
func DecodeContext(data []byte) (Context, error) {
	d := leafDecoder{data: data}
	if d.byte() != contextKind || d.byte() != leafVersion {
		d.fail(errLeafForm)
	}
	c := Context{Provider: Provider(d.text()), Book: Book(d.text()), Source: d.text(), Epoch: d.uint(), Meter: Meter(d.text())}
	d.attributes(&c)
	if err := d.end(); err != nil {
		return Context{}, fmt.Errorf("decoding a context: %w", err)
	}
	return c, nil
}

// DecodeLeaf reads what [AppendLeaf] wrote, and nothing else: other bytes never
// give the same event. What the context has is left empty. Whether the event
// keeps the limits of events is not its concern: who hashed it into a log has
// seen to that.
func DecodeLeaf(data []byte) (context uint64, u Usage, err error) {
	d := leafDecoder{data: data}
	if d.byte() != leafKind {
		d.fail(errLeafForm)
	}
	flags, first, second, scale := d.byte(), d.byte(), d.byte(), d.byte()
	context = d.uint()
	if u.Sequenced = flags&leafNamed == 0; u.Sequenced {
		u.Sequence = d.number(first >> 4)
	} else {
		u.ID = d.text()
		if first>>4 != 0 {
			d.fail(errLeafForm)
		}
	}
	d.interval(&u, int(flags&leafUnit), d.number(first&15), d.number(second>>4))
	d.quantity(&u, scale, second&15)
	u.Node, u.Customer = Node(d.text()), Customer(d.text())
	switch flags &^ (leafUnit | leafNamed) {
	case 0:
	case leafReplaces:
		u.Replaces = d.amended()
	case leafRetracts:
		u.Retracts = d.amended()
	default:
		d.fail(errLeafForm)
	}
	if err := d.end(); err != nil {
		return 0, Usage{}, fmt.Errorf("decoding an event leaf: %w", err)
	}
	return context, u, nil
}

// leafDecoder reads a leaf up to its first fault, which it keeps.
type leafDecoder struct {
	data []byte
	err  error
}

func (d *leafDecoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.data = nil
}

func (d *leafDecoder) take(n uint64) []byte {
	if n > uint64(len(d.data)) {
		d.fail(errLeafCut)
		return nil
	}
	taken := d.data[:n]
	d.data = d.data[n:]
	return taken
}

func (d *leafDecoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *leafDecoder) uint() uint64 {
	n, length := binary.Uvarint(d.data)
	switch {
	case length == 0:
		d.fail(errLeafCut)
		return 0
	case length < 0 || length > 1 && d.data[length-1] == 0:
		d.fail(errLeafForm)
		return 0
	}
	d.data = d.data[length:]
	return n
}

// number reads one of so many bytes, which needs them.
func (d *leafDecoder) number(bytes byte) (v uint64) {
	if bytes > 8 {
		d.fail(errLeafForm)
	}
	for i, b := range d.take(uint64(bytes)) {
		v |= uint64(b) << (8 * i)
	}
	if width(v) < int(bytes) {
		d.fail(errLeafForm)
	}
	return v
}

func (d *leafDecoder) text() string { return string(d.take(d.uint())) }

func (d *leafDecoder) attributes(c *Context) {
	count := d.uint()
	if count > uint64(len(d.data))/2 { // The shortest has two bytes.
		d.fail(errLeafCut)
		return
	}
	for i := range count {
		a := Attribute{d.text(), d.text()}
		if i > 0 && a.Name <= c.Attributes[i-1].Name {
			d.fail(errLeafOrder)
			return
		}
		c.Attributes = append(c.Attributes, a)
	}
}

func (d *leafDecoder) quantity(u *Usage, scale, bytes byte) {
	var high, low uint64
	if bytes != wideMantissa {
		low = d.number(bytes)
	} else if all := d.take(16); all != nil {
		low, high = binary.LittleEndian.Uint64(all), binary.LittleEndian.Uint64(all[8:])
		if high == 0 {
			d.fail(errLeafForm)
		}
	}
	if _, digit := bits.Div64(high%10, low, 10); scale > 0 && digit == 0 {
		d.fail(errLeafForm)
		return
	}
	var err error
	if u.Quantity, err = money.QuantityFromMantissa(high, low, scale); err != nil {
		d.fail(errLeafForm)
	}
}

func (d *leafDecoder) interval(u *Usage, unit int, end, length uint64) {
	nanoseconds := uint64(1)
	for range unit {
		nanoseconds *= leafStep
	}
	if _, _, coarse := coarsest(end, length, unit); coarse != unit || end > math.MaxInt64/nanoseconds || length > end {
		d.fail(errLeafForm)
		return
	}
	u.End, u.Start = int64(end*nanoseconds), int64((end-length)*nanoseconds)
}

func (d *leafDecoder) amended() string {
	text := d.text()
	if text == "" {
		d.fail(errLeafForm)
	}
	return text
}

func (d *leafDecoder) end() error {
	if d.err == nil && len(d.data) > 0 {
		d.err = errLeafForm
	}
	return d.err
}
