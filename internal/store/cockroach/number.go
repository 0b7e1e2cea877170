package cockroach

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// A NUMERIC is transmitted as four 16-bit numbers (number of digits, weight of
// the first digit, sign, decimals shown), followed by the digits to the base
// 10,000, most significant first, each a 16-bit number, without leading or
// trailing zeros.

const (
	positive = 0x0000
	negative = 0x4000
)

var errNumber = errors.New("not a number that fits")

// scaled reads a NUMERIC as a whole number of 10^-scale; minus reports whether
// it is negative.
func scaled(data []byte, scale int) (u money.Units, minus bool, err error) {
	if len(data) < 8 {
		return u, false, errNumber
	}
	digits, weight := int(binary.BigEndian.Uint16(data)), int(int16(binary.BigEndian.Uint16(data[2:])))
	sign := binary.BigEndian.Uint16(data[4:])
	if sign != positive && sign != negative || len(data) != 8+2*digits {
		return u, false, errNumber
	}
	// The value is the digits as one number, times 10,000^(weight-digits+1).
	power := 4*(weight-digits+1) + scale
	for i := range digits {
		d, by := uint64(binary.BigEndian.Uint16(data[8+2*i:])), uint64(10_000)
		if i == digits-1 && power < 0 {
			// Only a part of the last digit is at or above the unit.
			for ; power < 0 && by > 1; power++ {
				if d%10 != 0 {
					return u, false, fmt.Errorf("%w: more than %d decimals", errNumber, scale)
				}
				d, by = d/10, by/10
			}
		}
		if u, err = timesPlus(u, by, d); err != nil {
			return u, false, err
		}
	}
	if power < 0 && digits > 0 {
		return u, false, fmt.Errorf("%w: more than %d decimals", errNumber, scale)
	}
	for ; power > 0 && !u.IsZero(); power-- {
		if u, err = timesPlus(u, 10, 0); err != nil {
			return u, false, err
		}
	}
	return u, sign == negative, nil
}

// timesPlus returns u × by + plus.
func timesPlus(u money.Units, by, plus uint64) (money.Units, error) {
	carry, low := bits.Mul64(u.Lo, by)
	over, high := bits.Mul64(u.Hi, by)
	low, c := bits.Add64(low, plus, 0)
	high, c = bits.Add64(high, carry, c)
	if over+c != 0 {
		return money.Units{}, errNumber
	}
	return money.Units{Hi: high, Lo: low}, nil
}

// amountOf reads a NUMERIC with 18 decimals.
func amountOf(data []byte) (money.Amount, error) {
	u, minus, err := scaled(data, 18)
	if err != nil {
		return money.Amount{}, err
	}
	if u.Hi>>63 != 0 && !(minus && u.Hi == 1<<63 && u.Lo == 0) {
		return money.Amount{}, errNumber
	}
	if minus {
		low, borrow := bits.Sub64(0, u.Lo, 0)
		high, _ := bits.Sub64(0, u.Hi, borrow)
		return money.AmountFromLimbs(int64(high), low), nil
	}
	return money.AmountFromLimbs(int64(u.Hi), u.Lo), nil
}

// unitsOf reads a NUMERIC without decimals.
func unitsOf(data []byte) (money.Units, error) {
	u, minus, err := scaled(data, 0)
	if err == nil && minus && !u.IsZero() {
		err = errNumber
	}
	return u, err
}
