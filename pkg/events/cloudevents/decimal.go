package cloudevents

import (
	"errors"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// parseDecimal reads the common form of quantities: digits with at most one
// point between them, at most 19 digits and 18 places. ok is false for any
// other form, which setQuantity reads with package money.
func parseDecimal(b []byte) (mantissa uint64, scale uint8, ok bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, 0, false
	}
	for i, c := range b {
		digit := c - '0'
		if digit > 9 {
			if c != '.' || i == 0 {
				return 0, 0, false
			}
			return parseFraction(b[i+1:], i, mantissa)
		}
		mantissa = mantissa*10 + uint64(digit)
	}
	return mantissa, 0, len(b) <= 19
}

func parseFraction(b []byte, whole int, mantissa uint64) (uint64, uint8, bool) {
	if len(b) == 0 || len(b) > packed.MaxScale || whole+len(b) > 19 {
		return 0, 0, false
	}
	for _, c := range b {
		digit := c - '0'
		if digit > 9 {
			return 0, 0, false
		}
		mantissa = mantissa*10 + uint64(digit)
	}
	return mantissa, uint8(len(b)), true
}

// setQuantity reads the quantity of r from a decimal, exactly as
// [money.ParseQuantity] does, and refuses values below zero. If it succeeds,
// the reason is empty.
func setQuantity(r *packed.RawUsage, b []byte) (reason events.Reason, detail string) {
	if mantissa, scale, ok := parseDecimal(b); ok {
		r.QuantityHigh, r.QuantityLow, r.Scale = 0, mantissa, scale
		return "", ""
	}
	var q money.Quantity
	if err := q.UnmarshalText(b); err != nil {
		switch {
		case errors.Is(err, money.ErrPrecision):
			return events.TooPrecise, "more than 18 decimal places"
		case errors.Is(err, money.ErrOverflow):
			return events.Absurd, "does not fit 128 bits"
		}
		return events.BadNumber, "not a decimal number"
	}
	if q.Sign() < 0 {
		return events.Negative, "below zero"
	}
	var err error
	if r.QuantityHigh, r.QuantityLow, r.Scale, err = q.Mantissa(); err != nil {
		return events.Negative, err.Error()
	}
	return "", ""
}

// parseInteger reads an unsigned decimal integer of at most 64 digits.
func parseInteger(b []byte) (v uint64, ok bool) {
	if len(b) == 0 || len(b) > 64 {
		return 0, false
	}
	for _, c := range b {
		digit := uint64(c - '0')
		if c-'0' > 9 || v > (1<<64-1-digit)/10 {
			return 0, false
		}
		v = v*10 + digit
	}
	return v, true
}
