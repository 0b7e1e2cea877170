package events

import "strings"

// PayoutCorrected corrects what a rail's answer made of a payout: the rail has
// taken it back, or contradicted itself. The actor of the decision is the person
// who answers for it. The money moves from where the payout was to where it is.
type PayoutCorrected struct {
	Distribution string `json:"distribution"` // or the payout run that the payout is of
	Payout       string `json:"payout"`
	From         string `json:"from"`                // the state that it corrects: void where the payout is in another by then
	State        string `json:"state"`               // "submitted", "confirmed", "failed", "returned"; From itself where it stands against the rail's word
	Reference    string `json:"reference,omitempty"` // the rail's, that stands from now on; empty: the one that the payout has
	Reason       string `json:"reason"`              // for people, not empty
}

// Kind implements [Body].
func (PayoutCorrected) Kind() string { return "payout_corrected" }

// Validate implements [Body].
func (b PayoutCorrected) Validate() error {
	var p Problems
	p.name("distribution", b.Distribution)
	p.name("payout", b.Payout)
	p.corrected("from", b.From)
	p.corrected("state", b.State)
	p.text("reference", b.Reference)
	if strings.TrimSpace(b.Reason) == "" {
		p.add("reason", "is empty: say why it is corrected")
	}
	p.text("reason", b.Reason)
	return p.orNil()
}

// corrected is a state that a rail's answer can lead to, or the one before.
func (p *Problems) corrected(field, state string) {
	switch state {
	case "submitted", "confirmed", "failed", "returned":
	default:
		p.add(field, "%q is not one of submitted, confirmed, failed and returned", Clip(state))
	}
}
