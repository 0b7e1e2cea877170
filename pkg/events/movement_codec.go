package events

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events/internal/varint"
)

// A message of movements is, in this order:
//
//	'M', version 1
//	text id, token, actor, approver
//	uvarint at, in nanoseconds since 1970 UTC
//	uvarint number of movements, and each as
//	    one byte: the kind, and 0x80 where an id, 0x40 where a ref and 0x20
//	        where an effective time other than at follows
//	    text id, text ref, uvarint effective, where they follow
//	    holder from, holder to, where the kind has them
//	    wide units, where the kind has them
//
// A uvarint is that of encoding/binary in its shortest form; a wide is the same
// of 128 bits; a text is a uvarint with its length and its bytes. A holder is a
// text, or, if it is an EVM address, a zero and its 20 bytes. One message has
// one encoding.
const (
	movementsMagic   = 'M'
	movementsVersion = 1

	hasID        = 0x80
	hasRef       = 0x40
	hasEffective = 0x20
)

// AppendMovements appends the bytes of m to dst. It fails with [Problems] if m
// is not valid, and fails if it needs more than [MaxMovements] bytes: see
// [SplitMovements].
func AppendMovements(dst []byte, m *Movements) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return dst, fmt.Errorf("encoding movements %q: %w", Clip(m.ID), err)
	}
	out := m.appendHeader(dst, len(m.Movements))
	for i := range m.Movements {
		out = m.Movements[i].append(out, m.At)
	}
	if n := len(out) - len(dst); n > MaxMovements {
		return dst, fmt.Errorf("encoding movements %q: %d bytes are more than %d", Clip(m.ID), n, MaxMovements)
	}
	return out, nil
}

func (m *Movements) appendHeader(dst []byte, count int) []byte {
	dst = append(dst, movementsMagic, movementsVersion)
	for _, text := range []string{m.ID, string(m.Token), string(m.Actor), string(m.Approver)} {
		dst = varint.AppendText(dst, text)
	}
	dst = binary.AppendUvarint(dst, uint64(m.At.UnixNano()))
	return binary.AppendUvarint(dst, uint64(count))
}

func (m *Movement) append(dst []byte, at time.Time) []byte {
	head := byte(m.Kind)
	if m.ID != "" {
		head |= hasID
	}
	if m.Ref != "" {
		head |= hasRef
	}
	if !m.Effective.Equal(at) {
		head |= hasEffective
	}
	dst = append(dst, head)
	if m.ID != "" {
		dst = varint.AppendText(dst, m.ID)
	}
	if m.Ref != "" {
		dst = varint.AppendText(dst, m.Ref)
	}
	if head&hasEffective != 0 {
		dst = binary.AppendUvarint(dst, uint64(m.Effective.UnixNano()))
	}
	if m.Kind.hasFrom() {
		dst = appendHolder(dst, m.From)
	}
	if m.Kind.hasTo() {
		dst = appendHolder(dst, m.To)
	}
	if m.Kind.hasUnits() {
		dst = appendWide(dst, m.Units.Hi, m.Units.Lo)
	}
	return dst
}

func appendHolder(dst []byte, h Holder) []byte {
	if !isEVM(h) {
		return varint.AppendText(dst, string(h))
	}
	dst = append(dst, 0)
	for i := 2; i < len(h); i += 2 {
		dst = append(dst, nibble(h[i])<<4|nibble(h[i+1]))
	}
	return dst
}

func nibble(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

func appendWide(dst []byte, hi, lo uint64) []byte {
	for hi != 0 {
		dst = append(dst, byte(lo)|0x80)
		lo = lo>>7 | hi<<57
		hi >>= 7
	}
	return binary.AppendUvarint(dst, lo)
}

// SplitMovements divides an import into messages of at most limit encoded
// bytes, in order. If m fits, the result is m itself; otherwise the ids of the
// messages are m's id with "/" and the number of the message, from 0. The
// result depends only on m and limit.
func SplitMovements(m Movements, limit int) []Movements {
	var list []Movements
	rest := m.Movements
	var room []byte
	for {
		// The header is counted with the longest number of movements and id.
		size := len(m.appendHeader(room[:0], len(m.Movements))) + 1 + 20
		n := 0
		for n < len(rest) {
			room = rest[n].append(room[:0], m.At)
			if size += len(room); size > limit && n > 0 {
				break
			}
			n++
		}
		part := m
		part.Movements = rest[:n:n]
		rest = rest[n:]
		list = append(list, part)
		if len(rest) == 0 {
			break
		}
	}
	for i := range list {
		if len(list) > 1 {
			list[i].ID = fmt.Sprintf("%s/%d", m.ID, i)
		}
	}
	return list
}

// DecodeMovements reads exactly what [AppendMovements] writes. The result
// shares no memory with data. It never panics, and allocates no more than a
// small multiple of the length of data.
func DecodeMovements(data []byte) (Movements, error) {
	u := unpacker{b: data}
	m := u.movements()
	if u.err == nil && len(u.b) > 0 {
		u.err = fmt.Errorf("%d bytes after the last movement", len(u.b))
	}
	if u.err != nil {
		return Movements{}, fmt.Errorf("decoding movements: at byte %d: %w", len(data)-len(u.b), u.err)
	}
	if err := m.Validate(); err != nil {
		return Movements{}, fmt.Errorf("decoding movements %q: %w", Clip(m.ID), err)
	}
	return m, nil
}

func (u *unpacker) movements() Movements {
	if len(u.b) < 2 || u.b[0] != movementsMagic {
		u.fail("not a message of movements")
		return Movements{}
	}
	if u.b[1] != movementsVersion {
		u.fail("version %d is not %d", u.b[1], movementsVersion)
		return Movements{}
	}
	u.b = u.b[2:]
	m := Movements{ID: u.text(), Token: Token(u.text()), Actor: Actor(u.text()), Approver: Actor(u.text()), At: u.instant()}
	n := u.number()
	if n > uint64(len(u.b)/3) { // The smallest movement has a kind, a holder of one byte and its length.
		u.fail("%d movements do not fit in %d bytes", n, len(u.b))
		return m
	}
	m.Movements = make([]Movement, n)
	for i := range m.Movements {
		u.movement(&m.Movements[i], m.At)
		if u.err != nil {
			break
		}
	}
	return m
}

func (u *unpacker) movement(m *Movement, at time.Time) {
	head := u.byte()
	m.Kind = MovementKind(head &^ (hasID | hasRef | hasEffective))
	if m.Kind < Issued || m.Kind > Recovered {
		u.fail("movement kind %d is not known", m.Kind)
		return
	}
	if head&hasID != 0 {
		if m.ID = u.text(); m.ID == "" {
			u.fail("id follows and is empty")
		}
	}
	if head&hasRef != 0 {
		if m.Ref = u.text(); m.Ref == "" {
			u.fail("ref follows and is empty")
		}
	}
	m.Effective = at
	if head&hasEffective != 0 {
		if m.Effective = u.instant(); m.Effective.Equal(at) {
			u.fail("effective time follows and is that of the message")
		}
	}
	if m.Kind.hasFrom() {
		m.From = u.holder()
	}
	if m.Kind.hasTo() {
		m.To = u.holder()
	}
	if m.Kind.hasUnits() {
		m.Units.Hi, m.Units.Lo = u.wide()
	}
}

// unpacker reads binary messages. After the first error every read returns
// zero.
type unpacker struct {
	b   []byte
	err error
}

func (u *unpacker) fail(format string, args ...any) {
	if u.err == nil {
		u.err = fmt.Errorf(format, args...)
	}
}

var errEndsEarly = errors.New("ends too early")

func (u *unpacker) take(n uint64) []byte {
	if u.err == nil && n > uint64(len(u.b)) {
		u.err = errEndsEarly
	}
	if u.err != nil {
		return nil
	}
	taken := u.b[:n]
	u.b = u.b[n:]
	return taken
}

func (u *unpacker) byte() byte {
	if b := u.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (u *unpacker) number() uint64 {
	hi, lo := u.wide()
	if hi != 0 {
		u.fail("number does not fit 64 bits")
		return 0
	}
	return lo
}

func (u *unpacker) wide() (hi, lo uint64) {
	for i := 0; u.err == nil; i++ {
		b := u.byte()
		c, shift := uint64(b&0x7f), 7*i
		switch {
		case u.err != nil:
			return 0, 0
		case shift >= 128 || bits.Len64(c) > 128-shift:
			u.fail("number does not fit 128 bits")
			return 0, 0
		case shift >= 64:
			hi |= c << (shift - 64)
		default:
			lo |= c << shift
			if shift > 57 {
				hi |= c >> (64 - shift)
			}
		}
		if b < 0x80 {
			if i > 0 && c == 0 {
				u.fail("number is not in its shortest form")
				return 0, 0
			}
			return hi, lo
		}
	}
	return 0, 0
}

func (u *unpacker) text() string { return string(u.take(u.number())) }

func (u *unpacker) instant() time.Time {
	n := u.number()
	if n > 1<<63-1 {
		u.fail("instant does not fit 63 bits")
		return time.Time{}
	}
	return time.Unix(0, int64(n)).UTC()
}

func (u *unpacker) holder() Holder {
	n := u.number()
	if n > 0 {
		h := Holder(u.take(n))
		if isEVM(h) {
			u.fail("an EVM address is written as text")
		}
		return h
	}
	var text [42]byte
	raw := u.take(20)
	if len(raw) != 20 {
		return ""
	}
	text[0], text[1] = '0', 'x'
	hex.Encode(text[2:], raw)
	return Holder(text[:])
}
