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
// # Invariants
//
//   - Once: equal distribution, asset and holder give an equal id, so a payout
//     that is planned again is the same payout.
//   - Idempotent: a step into the state that a payout is in changes nothing.
//   - Final: nothing leaves failed, returned or withheld. The money is the
//     holder's again and goes out, if at all, as a payout of a later distribution.
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

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// State is where a payout is in its life. The values are stable: they are in
// streams, files and the database.
type State string

const (
	Planned   State = "planned"   // reserved for the rail, not handed over
	Withheld  State = "withheld"  // screened out before it was handed over
	Submitted State = "submitted" // handed over
	Confirmed State = "confirmed" // the rail says that the holder has it
	Failed    State = "failed"    // the rail says that it never left
	Returned  State = "returned"  // it left and came back
)

// States returns every state, in the order of the life of a payout.
func States() []State {
	return []State{Planned, Withheld, Submitted, Confirmed, Failed, Returned}
}

// Step reports whether a payout changes by going from one state to another:
// false where it is there already. An illegal step is an error and changes nothing.
func Step(from, to State) (changes bool, err error) {
	if from == to {
		return false, nil
	}
	legal := false
	switch from {
	case Planned:
		legal = to == Submitted || to == Withheld
	case Submitted:
		legal = to == Confirmed || to == Failed || to == Returned
	case Confirmed:
		legal = to == Returned
	}
	if !legal {
		return false, fmt.Errorf("a payout that is %s cannot become %s", from, to)
	}
	return true, nil
}

// Account is where the money of a holder's payout is in a state.
func (s State) Account(holder events.Holder, rail events.Rail) ledger.Account {
	switch s {
	case Planned, Submitted:
		return ledger.RailInFlight(rail)
	case Confirmed:
		return ledger.RailPaid(rail)
	case Withheld:
		return ledger.HolderHeld(holder)
	default:
		return ledger.HolderPayable(holder)
	}
}

// ID names the payout of a distribution to a holder in an asset.
func ID(distribution string, asset money.Asset, holder events.Holder) string {
	room := make([]byte, 0, 256)
	room = append(room, "aliquot payout 1\n"...)
	for _, part := range []string{distribution, string(asset), string(holder)} {
		room = append(append(room, part...), '\n')
	}
	sum := sha256.Sum256(room)
	var id [35]byte
	copy(id[:], "po-")
	hex.Encode(id[3:], sum[:16])
	return string(id[:])
}
