package events

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/s2"

	"github.com/aliquot-engine/aliquot/pkg/events/internal/varint"
)

// Bytes of a message of USAGE-p, version 1. A number is an unsigned LEB128
// varint, a text its length as a number and then its bytes.
//
//	1             version
//	kind          1 batch, 2 barrier, 3 marker
//
//	barrier:      number Control, number Rules, then nothing or the 32 bytes of
//	              Root
//	marker:       nothing
//	batch:        compression: 0 none, 1 s2 block; then the body, which is
//	              number of segments, then of each:
//	              text Book, number Received, flags (1: ReceivedFromEvent),
//	              text Key, text Signature (empty or 64 bytes), text Packed
//
// Nothing may follow. A body under 1 KiB, or one that would not shrink, is not
// compressed. Equal messages give equal bytes with one version of the
// compressor; nothing depends on that, because messages are hashed and read
// again as they are in the stream.
const (
	messageVersion = 1
	bodyPlain      = 0
	bodyS2         = 1
	compressFrom   = 1 << 10

	// MaxBody is the size of the largest uncompressed body of a batch, which
	// bounds what a message can make its reader allocate.
	MaxBody = 8 << 20
	// MaxSegments is the largest number of segments of a batch.
	MaxSegments = 1_000

	signatureSize = 64 // Ed25519
)

// AppendMessage appends the bytes of m. It allocates if dst is too small, and
// to compress.
func AppendMessage(dst []byte, m *Message) []byte {
	dst = append(dst, messageVersion, byte(m.Kind))
	switch m.Kind {
	case Barrier:
		dst = binary.AppendUvarint(dst, m.Control)
		dst = binary.AppendUvarint(dst, uint64(m.Rules))
		if m.Root != nil {
			dst = append(dst, m.Root[:]...)
		}
		return dst
	case Batch:
		return appendBatch(dst, m.Segments)
	}
	return dst
}

func appendBatch(dst []byte, segments []Segment) []byte {
	size := 16
	for i := range segments {
		size += segments[i].bound()
	}
	// The body is built in the same buffer, after the place of its compressed
	// form.
	head := len(dst)
	dst = append(dst, bodyPlain)
	room := s2.MaxEncodedLen(size)
	if size < compressFrom || room < 0 {
		return appendBody(dst, segments)
	}
	dst = grow(dst, room+size)
	compressed := dst[len(dst) : len(dst)+room : len(dst)+room]
	body := appendBody(dst[len(dst)+room:len(dst)+room], segments)
	if len(body) >= compressFrom {
		if block := s2.Encode(compressed, body); len(block) < len(body) {
			dst[head] = bodyS2
			return dst[:len(dst)+len(block)]
		}
	}
	return append(dst, body...)
}

func appendBody(dst []byte, segments []Segment) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(segments)))
	for i := range segments {
		s := &segments[i]
		dst = varint.AppendText(dst, s.Book)
		dst = binary.AppendUvarint(dst, uint64(s.Received))
		flags := byte(0)
		if s.ReceivedFromEvent {
			flags = 1
		}
		dst = append(dst, flags)
		dst = varint.AppendText(dst, s.Key)
		dst = varint.AppendText(dst, s.Signature)
		dst = varint.AppendText(dst, s.Packed)
	}
	return dst
}

func (s *Segment) bound() int {
	return len(s.Book) + len(s.Key) + len(s.Signature) + len(s.Packed) + 32
}

func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return append(make([]byte, 0, len(b)+n), b...)
}

// Decode reads a message and returns scratch for the next Decode, enlarged if a
// compressed body did not fit. The segments' byte slices alias data or the
// returned scratch. Packed segments are not decoded: see [Columns.Decode]. It
// fails if data does not have the format above.
func (m *Message) Decode(data, scratch []byte) ([]byte, error) {
	segments := m.Segments[:0]
	*m = Message{Segments: segments}
	if len(data) < 2 || data[0] != messageVersion {
		return scratch, fmt.Errorf("decoding message: not of version %d", messageVersion)
	}
	m.Kind = MessageKind(data[1])
	r := reader{data: data[2:]}
	switch m.Kind {
	case Barrier:
		m.Control = r.number()
		rules := r.number()
		if m.Rules = uint32(rules); rules>>32 != 0 {
			r.broken = true
		}
		if len(r.data) > 0 {
			m.Root = new(Root)
			if copy(m.Root[:], r.take(uint64(len(m.Root)))) < len(m.Root) {
				r.broken = true
			}
		}
	case Marker:
	case Batch:
		body := r.take(1)
		if r.broken {
			break
		}
		switch body[0] {
		case bodyPlain:
		case bodyS2:
			size, err := s2.DecodedLen(r.data)
			if err != nil || size > MaxBody {
				return scratch, fmt.Errorf("decoding message: body is not an s2 block of at most %d bytes", MaxBody)
			}
			if cap(scratch) < size {
				scratch = make([]byte, size, size+size/4)
			}
			if r.data, err = s2.Decode(scratch[:cap(scratch)], r.data); err != nil {
				return scratch, fmt.Errorf("decoding message: body: %w", err)
			}
		default:
			return scratch, fmt.Errorf("decoding message: compression %d is unknown", body[0])
		}
		if len(r.data) > MaxBody {
			return scratch, fmt.Errorf("decoding message: body has %d bytes, more than %d", len(r.data), MaxBody)
		}
		m.decodeSegments(&r)
	default:
		return scratch, fmt.Errorf("decoding message: kind %d is unknown", data[1])
	}
	if r.broken {
		return scratch, fmt.Errorf("decoding message: cut short or broken")
	}
	if len(r.data) > 0 {
		return scratch, fmt.Errorf("decoding message: %d bytes follow its end", len(r.data))
	}
	return scratch, nil
}

func (m *Message) decodeSegments(r *reader) {
	n := r.number()
	if n > MaxSegments {
		r.broken = true
		return
	}
	for range n {
		// The slot may have a segment of an earlier message, whose names are
		// usually the same; keeping them saves allocations.
		var s *Segment
		if len(m.Segments) < cap(m.Segments) {
			m.Segments = m.Segments[:len(m.Segments)+1]
		} else {
			m.Segments = append(m.Segments, Segment{})
		}
		s = &m.Segments[len(m.Segments)-1]
		if book := r.text(); string(book) != string(s.Book) {
			s.Book = Book(book)
		}
		received := r.number()
		if s.Received = int64(received); s.Received < 0 {
			r.broken = true
		}
		flags := r.take(1)
		if r.broken || flags[0] > 1 {
			r.broken = true
			return
		}
		s.ReceivedFromEvent = flags[0] == 1
		if key := r.text(); string(key) != s.Key {
			s.Key = string(key)
		}
		s.Signature = r.text()
		s.Packed = r.text()
		if n := len(s.Signature); n != 0 && n != signatureSize {
			r.broken = true
		}
		if r.broken {
			return
		}
	}
}

// reader reads the parts of a format from the beginning. After the first
// missing part it is broken and returns zeros.
type reader struct {
	data   []byte
	broken bool
}

func (r *reader) number() uint64 {
	v, width := varint.Read(r.data)
	if width == 0 {
		r.broken, r.data = true, nil
		return 0
	}
	r.data = r.data[width:]
	return v
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.data)) {
		r.broken, r.data = true, nil
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

func (r *reader) text() []byte { return r.take(r.number()) }
