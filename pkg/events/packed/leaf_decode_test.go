package packed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/leaf"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

var (
	errLeafCut   = errors.New("cut short")
	errLeafForm  = errors.New("not the bytes of a leaf of version 1")
	errLeafOrder = errors.New("attributes are not ascending by name")
)

// decodeContext reads what [Context.Append] wrote, and nothing else: other bytes
// never give the same context.
func decodeContext(data []byte) (leaf.Context, error) {
	d := leafDecoder{data: data}
	if d.byte() != leaf.ContextKind || d.byte() != leaf.Version {
		d.fail(errLeafForm)
	}
	c := leaf.Context{Provider: events.Provider(d.text()), Book: events.Book(d.text()), Source: d.text(), Epoch: d.uint(), Meter: events.Meter(d.text())}
	d.attributes(&c)
	if err := d.end(); err != nil {
		return leaf.Context{}, fmt.Errorf("decoding a context: %w", err)
	}
	return c, nil
}

// decodeLeaf reads what [AppendLeaf] wrote, and nothing else: other bytes never
// give the same event. What the context has is left empty. Whether the event
// keeps the limits of events is not its concern: who hashed it into a log has
// seen to that.
func decodeLeaf(data []byte) (context uint64, u events.Usage, err error) {
	d := leafDecoder{data: data}
	if d.byte() != leaf.Kind {
		d.fail(errLeafForm)
	}
	flags, first, second, scale := d.byte(), d.byte(), d.byte(), d.byte()
	context = d.uint()
	if u.Sequenced = flags&leaf.Named == 0; u.Sequenced {
		u.Sequence = d.number(first >> 4)
	} else {
		u.ID = d.text()
		if first>>4 != 0 {
			d.fail(errLeafForm)
		}
	}
	d.interval(&u, int(flags&leaf.LeafUnit), d.number(first&15), d.number(second>>4))
	d.quantity(&u, scale, second&15)
	u.Node, u.Customer = events.Node(d.text()), events.Customer(d.text())
	switch flags &^ (leaf.LeafUnit | leaf.Named) {
	case 0:
	case leaf.Replaces:
		u.Replaces = d.amended()
	case leaf.Retracts:
		u.Retracts = d.amended()
	default:
		d.fail(errLeafForm)
	}
	if err := d.end(); err != nil {
		return 0, events.Usage{}, fmt.Errorf("decoding an event leaf: %w", err)
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
	if leaf.Width(v) < int(bytes) {
		d.fail(errLeafForm)
	}
	return v
}

func (d *leafDecoder) text() string { return string(d.take(d.uint())) }

func (d *leafDecoder) attributes(c *leaf.Context) {
	count := d.uint()
	if count > uint64(len(d.data))/2 { // The shortest has two bytes.
		d.fail(errLeafCut)
		return
	}
	for i := range count {
		a := events.Attribute{Name: d.text(), Value: d.text()}
		if i > 0 && a.Name <= c.Attributes[i-1].Name {
			d.fail(errLeafOrder)
			return
		}
		c.Attributes = append(c.Attributes, a)
	}
}

func (d *leafDecoder) quantity(u *events.Usage, scale, bytes byte) {
	var high, low uint64
	if bytes != leaf.WideMantissa {
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

func (d *leafDecoder) interval(u *events.Usage, unit int, end, length uint64) {
	nanoseconds := uint64(1)
	for range unit {
		nanoseconds *= leaf.Step
	}
	if _, _, coarse := leaf.Coarsest(end, length, unit); coarse != unit || end > math.MaxInt64/nanoseconds || length > end {
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
