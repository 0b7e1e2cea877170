package events

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// AppendLeaf appends the bytes of event i, from 0, as a leaf of the tree of its
// batch: what a receipt shows and a verifier hashes. Integers are unsigned
// varints of encoding/binary, in their shortest form, a text is its length and
// its bytes:
//
//	'E' 0x01 text(provider) text(book) text(source)
//	0x01 epoch sequence, or 0x02 text(id)
//	text(node) text(customer) text(meter)
//	quantity: 16 bytes, as money.Quantity.Bytes
//	start end: zigzag varints, nanoseconds since 1970 UTC
//	number of attributes, each text(name) text(value)
//	number of amendments, 0 or 1: 0x01 (replaces) or 0x02 (retracts) text(id)
//
// It allocates nothing where dst has room. Columns must be as Decode leaves
// them.
func (c *Columns) AppendLeaf(dst []byte, book Book, i int) []byte {
	source := c.Sources[c.Source[i]]
	dst = append(dst, leafKind, leafVersion)
	dst = appendLeafText(dst, c.Provider)
	dst = appendLeafText(dst, book)
	dst = appendLeafText(dst, c.Strings[source.Name])
	if c.Sequenced {
		dst = append(dst, leafSequenced)
		dst = binary.AppendUvarint(dst, source.Epoch)
		dst = binary.AppendUvarint(dst, c.Sequence[i])
	} else {
		dst = append(dst, leafNamed)
		dst = appendLeafText(dst, c.ID(i))
	}
	dst = appendLeafText(dst, c.Strings[c.Node[i]])
	dst = appendLeafText(dst, c.Strings[c.Customer[i]])
	dst = appendLeafText(dst, c.Strings[c.Meter[i]])
	quantity := c.Quantity[i].Bytes()
	dst = append(dst, quantity[:]...)
	dst = binary.AppendVarint(dst, c.Start[i])
	dst = binary.AppendVarint(dst, c.End[i])
	set := c.Sets[c.Set[i]]
	dst = binary.AppendUvarint(dst, uint64(len(set)))
	for _, a := range set {
		dst = appendLeafText(dst, c.Strings[a.Name])
		dst = appendLeafText(dst, c.Strings[a.Value])
	}
	if amendment, found := c.amendment(i); found {
		kind := byte(leafReplaces)
		if amendment.Retracts {
			kind = leafRetracts
		}
		return appendLeafText(append(dst, 1, kind), c.Strings[amendment.ID])
	}
	return append(dst, 0)
}

const (
	leafKind      = 'E'
	leafVersion   = 1
	leafSequenced = 1
	leafNamed     = 2
	leafReplaces  = 1
	leafRetracts  = 2
)

func appendLeafText[T ~string | ~[]byte](dst []byte, text T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// Leaf is an event as its leaf has it.
type Leaf struct {
	Provider Provider
	Book     Book
	Usage    Usage
}

var (
	errLeafCut   = errors.New("cut short")
	errLeafForm  = errors.New("not the bytes of an event leaf of version 1")
	errLeafOrder = errors.New("attributes are not ascending by name")
)

// DecodeLeaf reads what [Columns.AppendLeaf] wrote, and nothing else: other bytes
// never give the same event. Whether the event keeps the limits of events is not
// its concern: who hashed it into a log has seen to that.
func DecodeLeaf(data []byte) (Leaf, error) {
	d := leafDecoder{data: data}
	if d.byte() != leafKind || d.byte() != leafVersion {
		d.fail(errLeafForm)
	}
	l := Leaf{Provider: Provider(d.text()), Book: Book(d.text())}
	u := &l.Usage
	u.Source = d.text()
	switch d.byte() {
	case leafSequenced:
		u.Sequenced, u.Epoch, u.Sequence = true, d.uint(), d.uint()
	case leafNamed:
		u.ID = d.text()
	default:
		d.fail(errLeafForm)
	}
	u.Node, u.Customer, u.Meter = Node(d.text()), Customer(d.text()), Meter(d.text())
	var quantity [16]byte
	copy(quantity[:], d.take(uint64(len(quantity))))
	u.Quantity = money.QuantityFromBytes(quantity)
	u.Start, u.End = d.int(), d.int()
	d.attributes(u)
	d.amendment(u)
	if d.err == nil && len(d.data) > 0 {
		d.err = errLeafForm
	}
	if d.err != nil {
		return Leaf{}, fmt.Errorf("decoding an event leaf: %w", d.err)
	}
	return l, nil
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
	n, width := binary.Uvarint(d.data)
	switch {
	case width == 0:
		d.fail(errLeafCut)
		return 0
	case width < 0 || width > 1 && d.data[width-1] == 0:
		d.fail(errLeafForm)
		return 0
	}
	d.data = d.data[width:]
	return n
}

// int reads a zigzag varint.
func (d *leafDecoder) int() int64 {
	n := d.uint()
	return int64(n>>1) ^ -int64(n&1)
}

func (d *leafDecoder) text() string { return string(d.take(d.uint())) }

func (d *leafDecoder) attributes(u *Usage) {
	count := d.uint()
	if count > uint64(len(d.data))/2 { // The shortest has two bytes.
		d.fail(errLeafCut)
		return
	}
	for i := range count {
		a := Attribute{d.text(), d.text()}
		if i > 0 && a.Name <= u.Attributes[i-1].Name {
			d.fail(errLeafOrder)
			return
		}
		u.Attributes = append(u.Attributes, a)
	}
}

func (d *leafDecoder) amendment(u *Usage) {
	switch d.byte() {
	case 0:
		return
	case 1:
	default:
		d.fail(errLeafForm)
		return
	}
	kind := d.byte()
	text := d.text()
	switch {
	case text == "":
		d.fail(errLeafForm)
	case kind == leafReplaces:
		u.Replaces = text
	case kind == leafRetracts:
		u.Retracts = text
	default:
		d.fail(errLeafForm)
	}
}
