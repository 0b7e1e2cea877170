// Package chars checks the characters of names and texts.
//
// # Invariants
//
//   - Printable ASCII is recognised eight bytes at a time; all other text is
//     checked rune by rune, by the same rules.
package chars

import (
	"encoding/binary"
	"unicode"
	"unicode/utf8"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/varint"
)

const Ones = 0x0101010101010101

// Outside reports, in the high bit of each byte, bytes of w that are below low,
// 0x7f or above. low is at most 0x7f. Only whether the result is zero is exact:
// a byte may be reported because of a borrow from the byte below it.
func Outside(w uint64, low byte) uint64 {
	return ((w - Ones*uint64(low)) | w | ((w ^ Ones*0x7f) - Ones)) & varint.HighBits
}

// IsPlainText reports whether b is printable ASCII, including spaces, which
// needs no further check.
func IsPlainText(b []byte) bool { return IsPlain(b, ' ') }

// IsPlainName reports whether b is a name of printable ASCII, which needs no
// further check.
func IsPlainName(b []byte) bool {
	return len(b) >= 1 && len(b) <= events.MaxName && IsPlain(b, '!')
}

// IsPlain reports whether b is printable ASCII from low on.
func IsPlain(b []byte, low byte) bool {
	for len(b) >= 8 {
		if Outside(binary.LittleEndian.Uint64(b), low) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c < low || c >= 0x7f {
			return false
		}
	}
	return true
}

// Problem returns why b cannot be a text in a stream, or "": invalid UTF-8,
// control characters, or the noncharacters that CloudEvents 1.0 section 2.1
// excludes.
func Problem(b []byte) string {
	if IsPlainText(b) {
		return ""
	}
	for len(b) > 0 {
		r, width := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && width <= 1:
			return "is not UTF-8"
		case unicode.IsControl(r):
			return "has a control character"
		case r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef:
			return "has a noncharacter"
		}
		b = b[width:]
	}
	return ""
}

// NameProblem returns the problem that [CheckName] reports, or "". It does not
// allocate for valid names of printable ASCII.
func NameProblem(b []byte) string {
	if IsPlainName(b) {
		return ""
	}
	if err := events.CheckName(string(b)); err != nil {
		return err.Error()
	}
	return ""
}
