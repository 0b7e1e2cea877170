package money

import "fmt"

// Asset names a currency or a token by its code, as "USDC" or "EUR".
type Asset string

// Valid fails with [ErrDomain] unless the code has 1 to 12 characters of A to Z
// and 0 to 9. This package need not know the code.
func (a Asset) Valid() error {
	if len(a) < 1 || len(a) > 12 {
		return fmt.Errorf("asset %q has %d characters instead of 1 to 12: %w", clip(string(a)), len(a), ErrDomain)
	}
	for i := range len(a) {
		if c := a[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return fmt.Errorf("asset %q has a character that is not A to Z or 0 to 9: %w", string(a), ErrDomain)
		}
	}
	return nil
}

// Decimals returns the decimal places of the minor unit in which the asset is
// paid, 0 to 18. The table is part of the rules by which figures are derived: a
// line may be added, but never changed. An unknown asset fails with [ErrDomain].
func (a Asset) Decimals() (uint8, error) {
	switch a {
	case "USDC", "USDT", "EURC", "PYUSD":
		return 6, nil
	case "DAI", "ETH", "RPL", "UNI":
		return 18, nil
	case "USD", "EUR", "GBP", "CHF":
		return 2, nil
	case "JPY":
		return 0, nil
	}
	return 0, fmt.Errorf("asset %q has no known minor unit: %w", clip(string(a)), ErrDomain)
}

// minor returns the attos in one minor unit.
func (a Asset) minor() (uint64, error) {
	decimals, err := a.Decimals()
	if err != nil {
		return 0, err
	}
	return powersOfTen[places-decimals], nil
}

// FloorMinor splits a into the largest multiple of the asset's minor unit that
// is not above it, and the rest: a = whole + rest, 0 ≤ rest < one minor unit.
// It fails with [ErrDomain] for an unknown asset, and with [ErrOverflow] within
// one minor unit of the smallest amount.
func (a Amount) FloorMinor(asset Asset) (whole, rest Amount, err error) {
	minor, err := asset.minor()
	if err != nil {
		return Amount{}, Amount{}, fmt.Errorf("splitting an amount at the minor unit: %w", err)
	}
	m, negative := a.magnitude()
	_, r := m.div64(minor)
	if negative && r > 0 {
		r = minor - r
	}
	rest = Amount{int128{lo: r}}
	if whole, err = a.Sub(rest); err != nil {
		return Amount{}, Amount{}, err
	}
	return whole, rest, nil
}

// CeilMinor splits a into the smallest multiple of the asset's minor unit that
// is not below it, and the rest: a = whole + rest, -one minor unit < rest ≤ 0.
// It fails as [Amount.FloorMinor] does, near the largest amount.
func (a Amount) CeilMinor(asset Asset) (whole, rest Amount, err error) {
	minor, err := asset.minor()
	if err != nil {
		return Amount{}, Amount{}, fmt.Errorf("splitting an amount at the minor unit: %w", err)
	}
	m, negative := a.magnitude()
	_, r := m.div64(minor)
	if !negative && r > 0 {
		r = minor - r
	}
	gap := Amount{int128{lo: r}}
	if whole, err = a.Add(gap); err != nil {
		return Amount{}, Amount{}, err
	}
	if rest, err = gap.Neg(); err != nil {
		return Amount{}, Amount{}, err
	}
	return whole, rest, nil
}

// Minor returns a as a count of the asset's minor units, the form that a chain or
// a bank file needs. It fails with [ErrPrecision] if a is not a whole number of
// them, and with [ErrDomain] if a is negative or the asset is unknown.
func (a Amount) Minor(asset Asset) (Units, error) {
	minor, err := asset.minor()
	if err != nil {
		return Units{}, fmt.Errorf("counting minor units: %w", err)
	}
	m, negative := a.magnitude()
	if negative {
		return Units{}, fmt.Errorf("counting minor units of %v: %w", a, ErrDomain)
	}
	q, rest := m.div64(minor)
	if rest != 0 {
		return Units{}, fmt.Errorf("counting minor units of %v %s: %w", a, asset, ErrPrecision)
	}
	return Units{q.hi, q.lo}, nil
}
