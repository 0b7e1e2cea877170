package distribution

import "strings"

// A payout run is stored as a distribution that divides nothing: it has no period
// and no shares, takes nothing from the inbox, and pays from entitlements alone.
// So its payouts are submitted, answered, compared and proved like all others.

// Run reports whether this is a payout run.
func (d *Distribution) Run() bool { return d.Period == "" }

const (
	distributionRef = "distribution:"
	runRef          = "payout-run:"
)

// Ref is the reference by which the journal names the cause of an entry.
func (d *Distribution) Ref() string {
	if d.Run() {
		return runRef + d.ID
	}
	return distributionRef + d.ID
}

// OfRef returns the distribution or payout run that a reference of the journal
// names, or false if it names something else.
func OfRef(ref string) (id string, ok bool) {
	if id, ok = strings.CutPrefix(ref, distributionRef); ok {
		return id, true
	}
	return strings.CutPrefix(ref, runRef)
}
