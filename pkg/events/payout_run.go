package events

import "github.com/aliquot-engine/aliquot/pkg/money"

// PayoutRunDeclared plans payouts from what a token owes its holders and has not
// sent, without new revenue: what came back from a rail, what is held no longer,
// and what a lower minimum lets go. It names every position that it rests on;
// what is owed follows from CONTROL before it.
type PayoutRunDeclared struct {
	Run         string `json:"run"` // its id: what a payout's distribution is to others
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

// PayoutRunMade says what became of a declared payout run: the totals of each
// asset, or why it is void. Its payouts follow as [PayoutsPlanned] of its id.
type PayoutRunMade struct {
	Run     string           `json:"run"`
	Token   Token            `json:"token"`
	Control uint64           `json:"control"` // position of its declaration
	Void    string           `json:"void,omitempty"`
	Totals  []PayoutRunAsset `json:"totals,omitempty"`
}

// PayoutRunAsset is what a payout run did in one asset.
type PayoutRunAsset struct {
	Asset   money.Asset  `json:"asset"`
	Payouts uint64       `json:"payouts"`
	Planned money.Amount `json:"planned"` // sum of the payouts
	Carried money.Amount `json:"carried"` // left payable after planning
	Held    money.Amount `json:"held"`    // left to those who may not be paid
}

// Kind implements [Paid].
func (PayoutRunMade) Kind() string { return "payout_run_made" }

func (PayoutRunMade) paid() {}
