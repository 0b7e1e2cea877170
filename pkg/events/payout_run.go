package events

import "github.com/aliquot-engine/aliquot/pkg/money"

// PayoutRunDeclared plans payouts, without new revenue, of what a token owes
// its holders and has not paid out: payouts that came back from a rail, amounts
// that are no longer held, and amounts that a lower minimum releases. It names
// every position on which it rests; what is owed follows from CONTROL before
// it.
type PayoutRunDeclared struct {
	Run         string `json:"run"` // its id, which its payouts have as their distribution
	Token       Token  `json:"token"`
	RegisterSeq uint64 `json:"register_position"` // freezes and recoveries up to it count
	ControlSeq  uint64 `json:"control_position"`
	// RestsOn has the roots of REGISTER and CONTROL at these positions.
	RestsOn []LogState `json:"rests_on,omitempty"`
}

// Kind implements [Body].
func (PayoutRunDeclared) Kind() string { return "payout_run_declared" }

// Validate implements [Body].
func (b PayoutRunDeclared) Validate() error {
	var p Problems
	p.name("run", b.Run)
	p.name("token", string(b.Token))
	p.states("rests_on", b.RestsOn)
	return p.orNil()
}

func (b PayoutRunDeclared) withoutRoots() Body {
	b.RestsOn = nil
	return b
}

// PayoutRunMade is the result of a declared payout run: the totals of each
// asset, or why it is void. Its payouts follow in [PayoutsPlanned] messages
// with its id.
type PayoutRunMade struct {
	Run     string           `json:"run"`
	Token   Token            `json:"token"`
	Control uint64           `json:"control"` // position of its declaration
	Void    string           `json:"void,omitempty"`
	Totals  []PayoutRunAsset `json:"totals,omitempty"`
}

// PayoutRunAsset is the result of a payout run in one asset.
type PayoutRunAsset struct {
	Asset   money.Asset  `json:"asset"`
	Payouts uint64       `json:"payouts"`
	Planned money.Amount `json:"planned"` // sum of the payouts
	Carried money.Amount `json:"carried"` // left payable after planning
	Held    money.Amount `json:"held"`    // owed to holders who may not be paid
}

// Kind implements [Paid].
func (PayoutRunMade) Kind() string { return "payout_run_made" }

func (PayoutRunMade) paid() {}
