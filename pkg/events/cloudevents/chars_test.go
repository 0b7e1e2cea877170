package cloudevents

import (
	"bytes"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events/internal/chars"
)

// Fails when the words of eight bytes judge any byte in any place otherwise than
// the bytes one by one.
func TestPlainTextIsFoundInWordsAsInBytes(t *testing.T) {
	for c := range 256 {
		for at := range 9 {
			b := bytes.Repeat([]byte{'~'}, 9)
			b[at] = byte(c)
			for _, low := range []byte{' ', '!'} {
				if got, want := chars.IsPlain(b, low), byte(c) >= low && c < 0x7f; got != want {
					t.Errorf("%q from %q: plain is %v", b, low, got)
				}
				want := -1
				switch {
				case c == '"':
					want = at
				case byte(c) >= low && c < 0x7f && c != '\\':
					want = 9
				}
				if got := plainEnd(append(bytes.Clone(b), `"",`...), low); got != want {
					t.Errorf("%q from %q: ends at %d, want %d", b, low, got, want)
				}
			}
		}
	}
}
