package events

import (
	"encoding/binary"
	"unicode"
	"unicode/utf8"
)

const ones = 0x0101010101010101

// outside reports, in the high bit of each byte, bytes of w that are below low,
// 0x7f or above. low is at most 0x7f. Only "is it zero" is exact: a byte may be
// blamed for the borrow of a guilty one below it.
func outside(w uint64, low byte) uint64 {
	return ((w - ones*uint64(low)) | w | ((w ^ ones*0x7f) - ones)) & highBits
}

// isPlainText reports whether b is printable ASCII, spaces included: the text
// that needs no further look.
func isPlainText(b []byte) bool { return isPlain(b, ' ') }

// isPlainName reports whether b is a name of printable ASCII: the name that
// needs no further look.
func isPlainName(b []byte) bool {
	return len(b) >= 1 && len(b) <= MaxName && isPlain(b, '!')
}

func isPlain(b []byte, low byte) bool {
	for len(b) >= 8 {
		if outside(binary.LittleEndian.Uint64(b), low) != 0 {
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

// textProblem says why b is no text for a stream, or "": invalid UTF-8, control
// characters, and the noncharacters that CloudEvents 1.0 section 2.1 excludes.
func textProblem(b []byte) string {
	if isPlainText(b) {
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

// nameProblem is [CheckName] as a text, with no allocation for good names of
// printable ASCII.
func nameProblem(b []byte) string {
	if isPlainName(b) {
		return ""
	}
	if err := CheckName(string(b)); err != nil {
		return err.Error()
	}
	return ""
}
