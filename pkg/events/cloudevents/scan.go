package cloudevents

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/aliquot-engine/aliquot/pkg/events/internal/chars"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/varint"
)

// maxDepth is how deep JSON may be nested.
const maxDepth = 16

// kind is the kind of a JSON value.
type kind uint8

const (
	jsonBroken kind = iota // not JSON
	jsonNull
	jsonBoolean
	jsonNumber
	jsonText
	jsonArray
	jsonObject
)

// scanner walks over JSON (RFC 8259) without building anything. A step that
// finds something unexpected returns false or broken, and fault then describes
// it.
type scanner struct {
	data  []byte
	at    int
	depth int
	fault string
}

func (s *scanner) fail(problem string) bool {
	if s.fault == "" {
		s.fault = problem
	}
	return false
}

// space skips white space.
func (s *scanner) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\n', '\r', '\t':
			s.at++
		default:
			return
		}
	}
}

// peek returns the byte here, or 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.data) {
		return s.data[s.at]
	}
	return 0
}

// expect skips one byte that must be c.
func (s *scanner) expect(c byte) bool {
	if s.peek() != c || s.at == len(s.data) {
		return s.fail("expected '" + string(c) + "'")
	}
	s.at++
	return true
}

// raw skips a string and returns the text between its quotes, and whether that
// contains escapes. The bytes need not be UTF-8.
func (s *scanner) raw() (between []byte, escaped, ok bool) {
	if !s.expect('"') {
		return nil, false, false
	}
	from := s.at
	for s.at < len(s.data) {
		c := s.data[s.at]
		switch {
		case c == '"':
			s.at++
			return s.data[from : s.at-1], escaped, true
		case c < ' ':
			return nil, false, s.fail("control character in a string")
		case c != '\\':
			s.at++
		default:
			escaped = true
			if !s.escape() {
				return nil, false, s.fail("unknown escape in a string")
			}
		}
	}
	return nil, false, s.fail("string without end")
}

func (s *scanner) escape() bool {
	if s.at+1 >= len(s.data) {
		return false
	}
	switch s.data[s.at+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.at += 2
		return true
	case 'u':
		if _, ok := hexRune(s.data[s.at:]); ok {
			s.at += 6
			return true
		}
	}
	return false
}

// hexRune reads the escape \uXXXX at the start of b.
func hexRune(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	r := rune(0)
	for _, c := range b[2:6] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescape appends the text of a raw string with valid escapes. For each
// unpaired surrogate it appends one byte that is not UTF-8.
func unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		c := raw[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		if raw[i+1] != 'u' {
			dst = append(dst, plainEscapes[raw[i+1]])
			i += 2
			continue
		}
		r, _ := hexRune(raw[i:])
		i += 6
		if utf16.IsSurrogate(r) {
			low, _ := hexRune(raw[i:])
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				dst = append(dst, 0xff)
				continue
			}
			i += 6
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

var plainEscapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// kind returns the kind of the next value by its first byte.
func (s *scanner) kind() kind {
	switch c := s.peek(); {
	case c == '"':
		return jsonText
	case c == '{':
		return jsonObject
	case c == '[':
		return jsonArray
	case c == '-' || c-'0' <= 9:
		return jsonNumber
	case c == 't' || c == 'f':
		return jsonBoolean
	case c == 'n':
		return jsonNull
	}
	return jsonBroken
}

// skip skips one value of any kind.
func (s *scanner) skip() bool {
	switch s.kind() {
	case jsonText:
		_, _, ok := s.raw()
		return ok
	case jsonNumber:
		return s.number()
	case jsonBoolean:
		if s.peek() == 't' {
			return s.word("true")
		}
		return s.word("false")
	case jsonNull:
		return s.word("null")
	case jsonObject:
		return s.each('{', '}', func() bool {
			_, ok := s.key()
			return ok && s.skip()
		})
	case jsonArray:
		return s.each('[', ']', s.skip)
	}
	return s.fail("expected a value")
}

// key skips a member's name and colon and the white space around them.
func (s *scanner) key() (raw []byte, ok bool) {
	raw, _, ok = s.raw()
	if !ok {
		return nil, false
	}
	s.space()
	if !s.expect(':') {
		return nil, false
	}
	s.space()
	return raw, true
}

// each walks over an array or object and calls element at each of its elements.
func (s *scanner) each(open, closing byte, element func() bool) bool {
	if !s.expect(open) {
		return false
	}
	if s.depth++; s.depth > maxDepth {
		return s.fail("nested too deep")
	}
	s.space()
	if s.peek() == closing {
		s.at++
		s.depth--
		return true
	}
	for {
		if !element() {
			return false
		}
		s.space()
		switch s.peek() {
		case ',':
			s.at++
			s.space()
		case closing:
			s.at++
			s.depth--
			return true
		default:
			return s.fail("expected ',' or '" + string(closing) + "'")
		}
	}
}

func (s *scanner) word(w string) bool {
	if len(s.data)-s.at < len(w) || string(s.data[s.at:s.at+len(w)]) != w {
		return s.fail("expected " + w)
	}
	s.at += len(w)
	return true
}

func (s *scanner) number() bool {
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return false
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return false
		}
	}
	if s.peek()|0x20 == 'e' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	from := s.at
	for s.at < len(s.data) && s.data[s.at]-'0' <= 9 {
		s.at++
	}
	return s.at > from || s.fail("expected a digit")
}

// plainEnd returns how many bytes of b come before the quote that ends a string
// of printable ASCII without escapes, or -1 if there is no such string. low is
// the smallest byte allowed: ' ' or, in names, '!'.
func plainEnd(b []byte, low byte) int {
	at := 0
	for len(b)-at >= 8 {
		w := binary.LittleEndian.Uint64(b[at:])
		quote, slash := w^chars.Ones*'"', w^chars.Ones*'\\'
		// The lowest set bit is exact, because borrows only propagate upwards.
		if stop := ((quote-chars.Ones)&^quote | (slash-chars.Ones)&^slash | chars.Outside(w, low)) & varint.HighBits; stop != 0 {
			at += bits.TrailingZeros64(stop) >> 3
			if b[at] != '"' {
				return -1
			}
			return at
		}
		at += 8
	}
	for ; at < len(b); at++ {
		switch c := b[at]; {
		case c == '"':
			return at
		case c < low || c >= 0x7f || c == '\\':
			return -1
		}
	}
	return -1
}
