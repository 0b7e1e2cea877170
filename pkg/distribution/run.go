package distribution

import "strings"

// A payout run is kept as a distribution that divides nothing: no period, no
// shares, nothing taken from the inbox, and payouts from entitlements alone. So
// its payouts are submitted, answered, compared and proved as all others are.

// Run reports whether it is a payout run.
func (d *Distribution) Run() bool { return d.Period == "" }

const (
	distributionRef = "distribution:"
	runRef          = "payout-run:"
)

// Ref is how the journal names what caused an entry of its.
func (d *Distribution) Ref() string {
	if d.Run() {
		return runRef + d.ID
	}
	return distributionRef + d.ID
}

// OfRef returns the distribution or payout run that a reference of the journal
// names; false where it names something else.
func OfRef(ref string) (id string, ok bool) {
	if id, ok = strings.CutPrefix(ref, distributionRef); ok {
		return id, true
	}
	return strings.CutPrefix(ref, runRef)
}
