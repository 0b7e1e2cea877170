// Package varint reads and writes the numbers of segments and messages: unsigned
// LEB128 varints, alone and in columns.
//
// # Invariants
//
//   - Reading never goes beyond its input, and reports a number that is
//     truncated or does not fit.
package varint

import (
	"encoding/binary"
	"math/bits"
)

const HighBits = 0x8080808080808080

// Read returns the number at the start of data and its width in bytes, which is
// 0 if there is no number or it does not fit 64 bits.
func Read(data []byte) (uint64, int) {
	if len(data) >= 8 {
		// The eight bytes at once: find the one that ends the number, then join
		// groups of 7 bits into 14, 28 and 56.
		w := binary.LittleEndian.Uint64(data)
		if ends := ^w & HighBits; ends != 0 {
			last := bits.TrailingZeros64(ends)
			w &= ^uint64(0) >> (63 - last)
			w &^= HighBits
			w = w&0x007f007f007f007f | w&0x7f007f007f007f00>>1
			w = w&0x00003fff00003fff | w&0x3fff00003fff0000>>2
			w = w&0x000000000fffffff | w&0x0fffffff00000000>>4
			return w, last>>3 + 1
		}
	}
	v, width := binary.Uvarint(data)
	return v, max(width, 0)
}

// Column32 reads a column of n numbers below limit into dst. The column has n
// numbers, one number for all, or none, which means zeros. problem says what is
// wrong; it is empty if nothing is.
func Column32(dst []uint32, data []byte, n, limit int) (column []uint32, problem string) {
	dst = Resize(dst, n)
	if len(data) == 0 {
		if limit == 0 {
			return dst, "points into an empty table"
		}
		clear(dst)
		return dst, ""
	}
	if v, width := Read(data); width == len(data) {
		if v >= uint64(limit) {
			return dst, "number out of range"
		}
		for i := range dst {
			dst[i] = uint32(v)
		}
		return dst, ""
	}
	at := 0
	for i := range dst {
		if at >= len(data) {
			return dst, "fewer numbers than events"
		}
		v := uint64(data[at])
		at++
		if v >= 0x80 {
			if at < len(data) && data[at] < 0x80 {
				v = v&0x7f | uint64(data[at])<<7
				at++
			} else {
				var width int
				if v, width = Read(data[at-1:]); width == 0 {
					return dst, "broken number"
				}
				at += width - 1
			}
		}
		if v >= uint64(limit) {
			return dst, "number out of range"
		}
		dst[i] = uint32(v)
	}
	if at != len(data) {
		return dst, "more numbers than events"
	}
	return dst, ""
}

// Column64 is Column32 for numbers of 64 bits.
func Column64(dst []uint64, data []byte, n int) (column []uint64, problem string) {
	dst = Resize(dst, n)
	if len(data) == 0 {
		clear(dst)
		return dst, ""
	}
	if v, width := Read(data); width == len(data) {
		for i := range dst {
			dst[i] = v
		}
		return dst, ""
	}
	at := 0
	for i := range dst {
		v, width := Read(data[at:])
		if width == 0 {
			return dst, "fewer numbers than events, or a broken one"
		}
		at += width
		dst[i] = v
	}
	if at != len(data) {
		return dst, "more numbers than events"
	}
	return dst, ""
}

// Deltas fills dst with running sums, modulo 2⁶⁴, of the zigzag numbers in
// data, and reports whether data has exactly len(dst) numbers.
func Deltas(dst []uint64, data []byte) bool {
	sum, at := uint64(0), 0
	for i := range dst {
		v, width := Read(data[at:])
		if width == 0 {
			return false
		}
		at += width
		sum += v>>1 ^ -(v & 1)
		dst[i] = sum
	}
	return at == len(data)
}

// Append32 appends all numbers of data, at most limit, and reports whether all
// were read and fit 32 bits.
func Append32(dst []uint32, data []byte, limit int) ([]uint32, bool) {
	for at := 0; at < len(data); {
		v, width := Read(data[at:])
		if width == 0 || v>>32 != 0 || len(dst) == limit {
			return dst, false
		}
		at += width
		dst = append(dst, uint32(v))
	}
	return dst, true
}

// Len returns how many bytes a number needs.
func Len(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// Zigzag maps small differences of either sign to small numbers.
func Zigzag(difference uint64) uint64 {
	return difference<<1 ^ uint64(int64(difference)>>63)
}

// Resize returns a slice of n elements with any content; it is s if that is
// large enough.
func Resize[T any](s []T, n int) []T {
	if cap(s) >= n {
		return s[:n]
	}
	return make([]T, n, n+n/4)
}

// Append is binary.AppendUvarint, but without a call for small numbers.
func Append(dst []byte, v uint64) []byte {
	switch {
	case v < 0x80:
		return append(dst, byte(v))
	case v < 1<<14:
		return append(dst, byte(v)|0x80, byte(v>>7))
	case v < 1<<56:
		// The reverse of readVarint: spread 7 bits a byte, then mark all but the last.
		width := (bits.Len64(v) + 6) / 7
		w := v&0x000000000fffffff | v<<4&0x0fffffff00000000
		w = w&0x00003fff00003fff | w<<2&0x3fff00003fff0000
		w = w&0x007f007f007f007f | w<<1&0x7f007f007f007f00
		w |= HighBits & (1<<(8*width-8) - 1)
		dst = binary.LittleEndian.AppendUint64(dst, w)
		return dst[:len(dst)-8+width]
	}
	return binary.AppendUvarint(dst, v)
}

// AppendText appends the length of s as a number, and s.
func AppendText[T ~string | ~[]byte](dst []byte, s T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}
