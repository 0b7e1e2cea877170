package events

import "strings"

// PayoutCorrected corrects the state that a rail's answer gave a payout,
// because the rail has taken the answer back or contradicted itself. The actor
// of the decision is the person responsible for it. The money moves with the
// state of the payout.
type PayoutCorrected struct {
	Distribution string `json:"distribution"` // or the payout run to which the payout belongs
	Payout       string `json:"payout"`
	From         string `json:"from"`                // the state that is corrected; the decision is void if the payout is in another state by then
	State        string `json:"state"`               // "submitted", "confirmed", "failed", "returned"; equal to From if the state stands although the rail contradicts it
	Reference    string `json:"reference,omitempty"` // the rail's reference from now on; empty keeps the present one
	Reason       string `json:"reason"`              // for people; must not be empty
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

// corrected checks that a state is submitted or one to which a rail's answer
// can lead.
func (p *Problems) corrected(field, state string) {
	switch state {
	case "submitted", "confirmed", "failed", "returned":
	default:
		p.add(field, "%q is not one of submitted, confirmed, failed and returned", Clip(state))
	}
}
