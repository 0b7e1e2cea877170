package varint

import (
	"bytes"
	"testing"
)

// The encoding of one number in all widths, and its inverse.
func TestNumbersOfEveryWidthSurvive(t *testing.T) {
	for shift := range 64 {
		for _, v := range []uint64{1 << shift, 1<<shift - 1, 1<<shift + 1, ^uint64(0) >> shift} {
			for _, behind := range [][]byte{nil, {0xff}, bytes.Repeat([]byte{0x80}, 9)} {
				b := Append(nil, v)
				got, width := Read(append(bytes.Clone(b), behind...))
				if got != v || width != len(b) || Len(v) != len(b) {
					t.Fatalf("%d: %x is read as %d in %d bytes", v, b, got, width)
				}
			}
		}
	}
}
