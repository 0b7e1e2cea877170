package money

import "math/bits"

// int128 is a signed 128-bit integer in two's complement, counted in attos.
// [Amount] and [Quantity] embed it and so share its methods. Methods that take or
// return a value of their own type are written once for each.
type int128 struct {
	hi int64
	lo uint64
}

// Sign returns -1 below zero, 0 at zero and 1 above.
func (a int128) Sign() int {
	if a.hi < 0 {
		return -1
	}
	if a.hi|int64(a.lo>>1)|int64(a.lo&1) == 0 {
		return 0
	}
	return 1
}

// IsZero reports whether the value is zero.
func (a int128) IsZero() bool { return a.hi == 0 && a.lo == 0 }

// Limbs returns the two's complement: value = hi × 2⁶⁴ + lo.
func (a int128) Limbs() (hi int64, lo uint64) { return a.hi, a.lo }

// Bytes returns the order-preserving form that the package comment defines.
func (a int128) Bytes() [16]byte {
	return Units{Hi: uint64(a.hi) ^ 1<<63, Lo: a.lo}.Bytes()
}

func int128FromBytes(b [16]byte) int128 {
	u := UnitsFromBytes(b)
	return int128{hi: int64(u.Hi ^ 1<<63), lo: u.Lo}
}

func (a int128) cmp(b int128) int {
	switch {
	case a == b:
		return 0
	case a.hi < b.hi || a.hi == b.hi && a.lo < b.lo:
		return -1
	}
	return 1
}

func (a int128) add(b int128) (sum int128, ok bool) {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	hi := int64(uint64(a.hi) + uint64(b.hi) + carry)
	// It overflowed if the sign differs from the signs of both operands.
	return int128{hi, lo}, (a.hi^hi)&(b.hi^hi) >= 0
}

func (a int128) sub(b int128) (difference int128, ok bool) {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	hi := int64(uint64(a.hi) - uint64(b.hi) - borrow)
	return int128{hi, lo}, (a.hi^b.hi)&(a.hi^hi) >= 0
}

// magnitude returns |a|, which always fits, and whether a is below zero.
func (a int128) magnitude() (m uint128, negative bool) {
	if a.hi >= 0 {
		return uint128{uint64(a.hi), a.lo}, false
	}
	lo, borrow := bits.Sub64(0, a.lo, 0)
	return uint128{-uint64(a.hi) - borrow, lo}, true
}

// signed returns ±a, or false if that does not fit.
func (a uint128) signed(negative bool) (int128, bool) {
	if !negative {
		return int128{int64(a.hi), a.lo}, a.hi>>63 == 0
	}
	lo, borrow := bits.Sub64(0, a.lo, 0)
	return int128{int64(-a.hi - borrow), lo}, a.hi>>63 == 0 || a == uint128{hi: 1 << 63}
}
