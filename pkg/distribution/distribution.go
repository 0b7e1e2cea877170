// Package distribution declares what a distributor stores beside the ledger:
// distribute makes these values, a store keeps them, and statements, checks and
// exports read them.
//
// Everything here is a function of CONTROL, LEDGER and REGISTER up to the
// [Cursor]. It comes in a [Step], which is the complete effect of one decision.
//
// # Invariants
//
//   - A step is committed whole or not at all, together with its cursor.
//   - For every holder, token and asset: Σ shares = Σ payouts that are planned,
//     submitted or confirmed + payable + held, including what recoveries moved.
//   - For every distribution and asset: inbox = fee + pool, pool = Σ shares.
//   - Lists are ascending by their key, so that equal steps are equal bytes.
package distribution

import (
	"errors"
	"slices"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// State is the state of a payout in its life. The values are stable: they are in
// streams, files and the database. Package payout defines the legal steps.
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

// Distribution is one distribution that was made.
type Distribution struct {
	ID         string
	Token      events.Token
	Book       events.Book
	Period     events.Period
	Control    uint64 // position of its declaration
	Ledger     uint64 // LEDGER was read up to and including this position
	Register   uint64 // REGISTER was read up to and including this position
	RecordDate time.Time
	Rail       events.Rail // that carries its payouts
	Holders    int         // with units at Register
	Supply     money.Units
	Pools      []Pool // ascending by asset
}

// Pool is what a distribution divided in one asset.
type Pool struct {
	Asset          money.Asset
	Inbox          money.Amount // what the inbox held
	FeeBasisPoints int
	Fee            money.Amount
	Pool           money.Amount // the rest of the inbox, and the sum of the shares
	Held           money.Amount // of Pool: credited as held
	Payouts        int
	Planned        money.Amount // sum of the payouts as they were planned
}

// Share is one holder's part of a pool.
type Share struct {
	Holder events.Holder
	Units  money.Units
	Frozen money.Units
	Amount money.Amount
	Held   money.Amount // part of Amount that was not made payable
}

// Entitlement is what a token owes a holder in one asset and has not paid out.
type Entitlement struct {
	Holder  events.Holder
	Payable money.Amount // waits for the next payout: amounts carried over, and payouts that came back
	Held    money.Amount // waits until it may become payable
}

// IsZero reports whether nothing is owed.
func (e Entitlement) IsZero() bool { return e.Payable.IsZero() && e.Held.IsZero() }

// Payout is one payment of a distribution to a holder.
type Payout struct {
	ID        string
	Asset     money.Asset
	Holder    events.Holder
	Amount    money.Amount // whole minor units, above zero
	State     State
	Reference string // of the rail, if it gave one
}

// Batch is what was handed to a rail at once: every payout of the distribution
// that was not withheld at that time.
type Batch struct {
	Name         string
	Rail         events.Rail
	Distribution string
	Control      uint64 // position of the decision
}

// Handover is revenue that reached a token's inbox.
type Handover struct {
	Token    events.Token
	Asset    money.Asset
	Position uint64        // in LEDGER
	Period   events.Period // of the charges
	Amount   money.Amount
}

// Reaches reports whether a distribution of a period that rests on a position in
// LEDGER includes the handover: the handover is of that period or an older one,
// and came at or before the position. Revenue that is handed over late joins the
// next distribution of its period or of a later one.
func (h *Handover) Reaches(period events.Period, position uint64) bool {
	return h.Period <= period && h.Position <= position // labels of one calendar sort as their periods do
}

// Took reports whether a distribution took the handover, provided that no earlier
// distribution had taken it: everything that reaches a distribution is
// distributed whole, asset by asset, if it is above zero.
func (d *Distribution) Took(h *Handover) bool {
	return d.Token == h.Token && h.Reaches(d.Period, d.Ledger) && slices.ContainsFunc(d.Pools, func(p Pool) bool { return p.Asset == h.Asset })
}

// Settlement is the position in LEDGER at which a period is settled.
type Settlement struct {
	Book     events.Book
	Period   events.Period
	Position uint64 // in LEDGER
}

// Void is a decision, or a part of one, that had no effect.
type Void struct {
	Control uint64
	Partly  bool // the rest of the decision took effect
	Reason  string
}

// Mark identifies a stream and says how far it was read.
type Mark struct {
	Created  int64    // of the stream, nanoseconds since 1970 UTC; 0 before the first start
	Position uint64   // last position read, 0 before the first
	Hash     [32]byte // SHA-256 of the message there
}

// Cursor says how far a distributor has come.
type Cursor struct {
	Control Mark
	Ledger  Mark
	Epoch   uint64 // grows by one with each distributor that takes over
	Nonce   string // of that distributor
}

// Step is the effect of reading on from a cursor.
type Step struct {
	Control Mark // all marks: after the step
	Ledger  Mark

	Handovers   []Handover
	Settlements []Settlement
	Records     []ledger.Record // of the journal, with their bytes
	Encoded     [][]byte
	Messages    []Message // for PAYOUT, in their order
	Made        *Distribution
	Shares      []Shares
	Owed        []Owed
	Payouts     []Payouts
	Batch       *Batch
	Changes     []Change
	Voids       []Void
}

// Message is one message for PAYOUT: a record of the step, or bytes of its own.
type Message struct {
	Token  events.Token
	Record int    // index into Records, if Data is nil
	Data   []byte // of an [events.Paid]
}

// Outgoing is a message for PAYOUT as the store keeps it.
type Outgoing struct {
	Number uint64 // 1, 2, … without gaps
	Token  events.Token
	Data   []byte
}

// Shares are those of one pool of Made, ascending by holder.
type Shares struct {
	Asset money.Asset
	List  []Share
}

// Owed are entitlements as they are after the step, ascending by holder; a holder
// who is no longer owed anything is listed with zeros.
type Owed struct {
	Token events.Token
	Asset money.Asset
	List  []Entitlement
}

// Payouts are new ones of one distribution, ascending by id.
type Payouts struct {
	Distribution string
	List         []Payout
}

// Change is a payout's new state.
type Change struct {
	Distribution string
	Payout       string
	State        State
	Reference    string
}

// Errors of a store that did not commit.
var (
	// ErrFenced means that another distributor has taken over: this one stops.
	ErrFenced = errors.New("another distributor has taken over")
	// ErrInterrupted means that the store could not commit at this time; trying
	// again may help.
	ErrInterrupted = errors.New("store interrupted")
)
