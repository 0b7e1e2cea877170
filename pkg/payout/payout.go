// Package payout is the life of one payout, whatever rail carries it: what it
// is called, which states it passes, and where its money is in each.
//
// The method is a table of the legal steps; everything else is refused.
//
//	planned ──▶ submitted ──▶ confirmed ──▶ returned
//	   │            ├───────▶ failed
//	   ▼            └───────▶ returned
//	withheld
//
// A person may correct what a rail's answer made of a payout: from submitted,
// confirmed, failed or returned into any of these ([Correct]).
//
// # Invariants
//
//   - Once: equal distribution, asset and holder give an equal id, so a payout
//     that is planned again is the same payout.
//   - Idempotent: a step into the state that a payout is in changes nothing.
//   - Final: no rail's answer leaves failed or returned, and nothing leaves
//     withheld. The money is the holder's again and goes out, if at all, as a
//     payout of a later distribution or payout run.
//   - Agreed: an answer that contradicts the instruction, or gives a second
//     reference for the same state, has no effect ([Answer]).
//   - Bounded: money leaves a rail's in_flight exactly once.
//
// # Bytes
//
// An id is "po-" and 32 lower-case hexadecimal digits: the first 16 bytes of
// the SHA-256 of "aliquot payout 1\n" and the distribution, the asset and the
// holder, each followed by a line feed, which no name contains.
package payout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Step reports whether a payout changes by going from one state to another: false
// if it is in that state already. An illegal step is an error and changes
// nothing.
func Step(from, to distribution.State) (changes bool, err error) {
	if from == to {
		return false, nil
	}
	legal := false
	switch from {
	case distribution.Planned:
		legal = to == distribution.Submitted || to == distribution.Withheld
	case distribution.Submitted:
		legal = to == distribution.Confirmed || to == distribution.Failed || to == distribution.Returned
	case distribution.Confirmed:
		legal = to == distribution.Returned
	}
	if !legal {
		return false, fmt.Errorf("a payout that is %s cannot become %s", from, to)
	}
	return true, nil
}

// Answer reports whether a rail's answer changes a payout: false if the answer
// says what is already known. It fails, and then changes nothing, if the answer
// contradicts the instruction in any column that it has, if it gives a second
// reference for the state that the payout is in, or if the step is not legal.
func Answer(p *distribution.Payout, a *events.PayoutOutcome) (changes bool, err error) {
	switch {
	case a.Holder != "" && a.Holder != p.Holder:
		return false, fmt.Errorf("the answer says holder %s, the instruction %s", a.Holder, p.Holder)
	case a.Asset != "" && a.Asset != p.Asset:
		return false, fmt.Errorf("the answer says asset %s, the instruction %s", a.Asset, p.Asset)
	case !a.Amount.IsZero() && a.Amount != p.Amount:
		return false, fmt.Errorf("the answer says amount %v, the instruction %v", a.Amount, p.Amount)
	}
	to := distribution.State(a.State)
	if p.State != to {
		return Step(p.State, to)
	}
	switch {
	case a.Reference == "" || a.Reference == p.Reference:
		return false, nil
	case p.Reference != "":
		return false, fmt.Errorf("it is %s with reference %q, and the answer has another one, %q", p.State, p.Reference, a.Reference)
	}
	return true, nil
}

// Correct returns the reason why a person may not take a payout from one state to
// another, or nil. The two states may be equal: the state then stands against
// what the rail said.
func Correct(from, to distribution.State) error {
	for _, s := range []distribution.State{from, to} {
		switch s {
		case distribution.Submitted, distribution.Confirmed, distribution.Failed, distribution.Returned:
		default:
			return fmt.Errorf("a payout that is %s cannot be corrected to %s: no rail has answered for it", from, to)
		}
	}
	return nil
}

// Account returns the account that holds the money of a holder's payout in a
// state.
func Account(s distribution.State, holder events.Holder, rail events.Rail) ledger.Account {
	switch s {
	case distribution.Planned, distribution.Submitted:
		return ledger.RailInFlight(rail)
	case distribution.Confirmed:
		return ledger.RailPaid(rail)
	case distribution.Withheld:
		return ledger.HolderHeld(holder)
	default:
		return ledger.HolderPayable(holder)
	}
}

// ID names the payout of a distribution to a holder in an asset.
func ID(made string, asset money.Asset, holder events.Holder) string {
	room := make([]byte, 0, 256)
	room = append(room, "aliquot payout 1\n"...)
	for _, part := range []string{made, string(asset), string(holder)} {
		room = append(append(room, part...), '\n')
	}
	sum := sha256.Sum256(room)
	var id [35]byte
	copy(id[:], "po-")
	hex.Encode(id[3:], sum[:16])
	return string(id[:])
}
