// Package money counts amounts, quantities, units and prices exactly, and is
// the only package that rounds.
//
// The method is fixed-point integers: an [Amount] and a [Quantity] are signed
// 128-bit counts of attos (10⁻¹⁸), [Units] are unsigned 128-bit counts of
// token units, and a [Rate] is a reduced fraction of two unsigned 128-bit
// integers. A product of two of them has 256 bits and is divided once, so a
// result is rounded once or not at all.
//
// # Invariants
//
//   - Exact: [Amount.Add], [Amount.Sub], [ParseAmount] and every conversion
//     either give the mathematical result or an error. Nothing wraps, nothing
//     is rounded silently.
//   - Rounded once: [Rate.Charge] and [MulDiv] give the integer nearest to the
//     exact quotient, the even one of two that are equally near.
//   - Nothing is lost: [Amount.FloorMinor] and [Amount.CeilMinor] return a
//     whole and a rest whose sum is the amount; the parts of [Apportion] sum
//     to its total.
//   - Fair: no part of [Apportion] differs from total × weight ÷ Σweights by
//     one atto or more.
//   - Canonical: one value has one text and one form of 16 bytes, and the order
//     of the bytes is the order of the values.
//   - Pure: equal arguments give equal results, on any machine, forever. A
//     second way to round is a new function beside the first, never an edit.
//
// # Text
//
// A decimal is written without exponent and without trailing zeros, with a point
// only if digits follow it, and with a minus sign below zero: "0", "-0.5",
// "1000000". It is read as
//
//	[+-] digits [ "." digits ] [ ("e" | "E") [+-] digits ]
//
// where one of the two groups of digits may be empty. More than 18 places are
// refused with [ErrPrecision] unless those beyond are zeros.
//
// # Bytes
//
// Sixteen bytes, big endian, two's complement with the sign bit inverted:
// 00…00 is the smallest value, 80 00…00 is zero.
package money

import "errors"

// The errors of this package are one of these, alone or wrapped with the
// operation that failed.
var (
	// ErrOverflow: the exact result does not fit its 128 bits.
	ErrOverflow = errors.New("overflow of 128 bits")
	// ErrPrecision: the exact value has parts below 10⁻¹⁸, or below the minor
	// unit asked for; this package never drops them.
	ErrPrecision = errors.New("more decimal places than can be kept")
	// ErrSyntax: the text is not a number in the required form.
	ErrSyntax = errors.New("not a plain decimal number")
	// ErrDomain: the operation has no meaning for an argument, such as a divisor
	// of zero, a negative price or an unknown asset.
	ErrDomain = errors.New("value outside its domain")
)
