package events

import (
	"slices"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Decision is one message of CONTROL: something a named actor decided, past
// tense and complete, so that every figure can be derived from it later.
// It takes effect in a partition at that partition's [Barrier] for its position.
type Decision struct {
	ID       string    // chosen by the sender; the same ID again with the same body is the same decision
	Actor    Actor     // who decided
	Approver Actor     // who approved, where a policy wants two; empty otherwise
	At       time.Time // when it was recorded, UTC, nanoseconds
	Body     Body
}

// Body is what was decided. The set is closed: see [Kinds]. A body may also have
// methods for the codec: inUTC, where it has instants; withoutRoots, where it names
// the roots of logs; appendLong, where encoding/json would be too slow.
type Body interface {
	Kind() string    // stable name in the codec, such as "node_declared"
	Validate() error // [Problems], every one at once, or nil: can it be meant at all, seen alone
}

// ProviderDeclared introduces a provider or changes its name.
type ProviderDeclared struct {
	Provider Provider `json:"provider"`
	Name     string   `json:"name,omitempty"`
}

// BookDeclared introduces a book or changes its policies. Every value here
// changes figures, which is why it is in CONTROL and in no configuration file.
type BookDeclared struct {
	Book     Book        `json:"book"`
	Provider Provider    `json:"provider"`
	Calendar string      `json:"calendar"`  // "day" or "month": what a period is
	TimeZone string      `json:"time_zone"` // IANA name; only "UTC" in rules version 1
	Asset    money.Asset `json:"asset"`     // what charges are made in
	// HorizonSeconds is how long before it is received the last instant of an
	// event may be; older ones are refused. 35 days by default; 0 means no
	// horizon (imports).
	HorizonSeconds int64 `json:"horizon_seconds"`
	// FutureSeconds is how far after it is received the last instant of an event
	// may be, and how far after it is recorded an observation (clock skew). 300 by default.
	FutureSeconds int64 `json:"future_seconds"`
	// ReceivedFromEvent lets an import take `received` from the event's own last instant.
	ReceivedFromEvent bool `json:"received_from_event,omitempty"`
	Partition         int  `json:"partition"`
}

// NodeDeclared introduces a node of a book, or changes its attributes, which
// rate cards match under the names given here; an event's own attribute of the
// same name is overridden by the node's.
type NodeDeclared struct {
	Node       Node              `json:"node"`
	Book       Book              `json:"book"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// CustomerDeclared introduces a customer of a book.
type CustomerDeclared struct {
	Customer Customer `json:"customer"`
	Book     Book     `json:"book"`
	Name     string   `json:"name,omitempty"`
	Plan     string   `json:"plan,omitempty"` // matched by cards as attribute "plan"
}

// MeterDeclared introduces a meter of a book.
type MeterDeclared struct {
	Meter Meter          `json:"meter"`
	Book  Book           `json:"book"`
	Unit  string         `json:"unit"`
	Max   money.Quantity `json:"max"` // the largest quantity of one event; zero means [LargestQuantity], and nothing above that may be said
}

// CardDeclared adds a version of a rate card to a book. Versions are immutable;
// the version in force at an event's last instant is the one with the latest Effective
// not after it, among the book's cards of any name that have a matching rule
// (see pkg/pricing for the order).
type CardDeclared struct {
	Card      Card        `json:"card"`
	Version   int         `json:"version"` // 1, 2, … without gaps
	Book      Book        `json:"book"`
	Currency  money.Asset `json:"currency"`  // what its prices are in
	Effective time.Time   `json:"effective"` // from this instant on
	Rules     []CardRule  `json:"rules"`
}

// CardRule prices one meter for events whose attributes match.
type CardRule struct {
	Meter       Meter             `json:"meter"`
	Match       map[string]string `json:"match,omitempty"`       // every pair must be equal; most pairs win, then the earlier rule
	Price       money.Amount      `json:"price"`                 // in the card's currency
	Per         money.Quantity    `json:"per"`                   // for this much of the meter's unit
	Granularity money.Quantity    `json:"granularity,omitempty"` // quantities are billed up to its next multiple; zero: as they are
}

// QuotePolicyDeclared sets how the quote of a pair is found and when it is
// doubted. A zero duration or bound switches that guard off only where Fixed is set.
type QuotePolicyDeclared struct {
	Pair             Pair         `json:"pair"`
	Fixed            money.Amount `json:"fixed"`             // above zero: this quote always, no observations
	HeartbeatSeconds int64        `json:"heartbeat_seconds"` // a source speaks at least so often
	MarginSeconds    int64        `json:"margin_seconds"`    // and may be this late
	MaxDeviation     money.Amount `json:"max_deviation"`     // fraction by which two sources may differ; zero: not checked
	MinSources       int          `json:"min_sources"`       // fresh sources wanted; at least 1
	Peg              money.Amount `json:"peg"`               // what the quote should be; zero: no peg
	PegWarn          money.Amount `json:"peg_warn"`          // fraction off the peg that is reported
	PegHold          money.Amount `json:"peg_hold"`          // fraction off the peg beyond which nothing is priced
}

// QuotesObserved records rounds of one source of a pair, ascending in time.
type QuotesObserved struct {
	Pair   Pair    `json:"pair"`
	Source string  `json:"source"`
	Rounds []Round `json:"rounds"`
}

// Round is one observation of a rate: currency per asset unit.
type Round struct {
	Round string       `json:"round"` // the source's own name of it
	Time  time.Time    `json:"time"`  // when it was observed
	Rate  money.Amount `json:"rate"`
}

// SuspenseReleased prices what waits for a pair at one named round. The actor
// of the decision is the person who answers for it.
type SuspenseReleased struct {
	Pair   Pair   `json:"pair"`
	Book   Book   `json:"book,omitempty"` // empty: every book
	Source string `json:"source"`
	Round  string `json:"round"`
	Reason string `json:"reason"`
}

// DepositRecorded says that a customer's money has arrived.
type DepositRecorded struct {
	Book      Book         `json:"book"`
	Customer  Customer     `json:"customer"`
	Asset     money.Asset  `json:"asset"`
	Amount    money.Amount `json:"amount"` // above zero, in whole minor units
	Reference string       `json:"reference"`
}

// CollectionRequested lets prepaid money cover what a customer (or every
// customer of the book) owes. A deposit and a closing collect by themselves.
type CollectionRequested struct {
	Book     Book     `json:"book"`
	Customer Customer `json:"customer,omitempty"` // empty: every customer
}

// PeriodClosed closes every period of the book up to and including Period:
// later events of it are late. Collected revenue is handed over to the tokens.
// A period that has not ended when it is recorded is closed only with Early, and
// one that has not begun never.
type PeriodClosed struct {
	Book   Book   `json:"book"`
	Period Period `json:"period"`
	Early  bool   `json:"early,omitempty"`  // the period may not have ended yet
	Reason string `json:"reason,omitempty"` // why it is closed early; needed with Early
	// RestsOn is how far every log was signed when it was decided. A caller that asks
	// for a closing leaves it out: it is added.
	RestsOn []LogState `json:"rests_on,omitempty" hidden:"true"`
}

// PeriodReopened takes closings back: Period and every later one are open again,
// and earlier ones stay closed. It has no effect once a distribution of one of
// these periods is declared, unless Void names it. What the closings handed over stays with the tokens,
// of the same periods, and cannot be distributed until they are closed again.
type PeriodReopened struct {
	Book   Book   `json:"book"`
	Period Period `json:"period"`
	Reason string `json:"reason"`
	// Void names the distributions of these periods, ascending, that were declared and
	// turned out void, as PAYOUT says: nothing rests on them. A request leaves it out: it
	// is added.
	Void []string `json:"void_distributions,omitempty" hidden:"true"`
}

// RoundWithdrawn says that a round was observed wrongly: from then on no quote
// uses it and no release may name it. What it has priced stays as it is. The name
// of the round is not free again.
type RoundWithdrawn struct {
	Pair   Pair   `json:"pair"`
	Source string `json:"source"`
	Round  string `json:"round"`
	Reason string `json:"reason"`
}

// DepositReversed takes a deposit back that has covered nothing: all of its
// amount must still be prepaid. The first fields are those of the deposit.
type DepositReversed struct {
	Book      Book         `json:"book"`
	Customer  Customer     `json:"customer"`
	Asset     money.Asset  `json:"asset"`
	Amount    money.Amount `json:"amount"`
	Reference string       `json:"reference"`
	Deposit   string       `json:"deposit"` // id of the decision that recorded it
	Reason    string       `json:"reason"`
}

// TokenDeclared introduces a token of the revenue of nodes. A node belongs to
// at most one token; all its nodes are in one book (rules version 1).
type TokenDeclared struct {
	Token   Token        `json:"token"`
	Book    Book         `json:"book"`
	Nodes   []Node       `json:"nodes,omitempty"`
	Pool    bool         `json:"all_nodes,omitempty"` // every node of the book that no other token names
	Minimum money.Amount `json:"minimum_payout"`      // payouts below wait; zero: one minor unit
}

// WaterfallDeclared sets how a token's revenue is divided: a fee in basis
// points, half-even to the atto, then the rest to the pool.
type WaterfallDeclared struct {
	Token          Token `json:"token"`
	FeeBasisPoints int   `json:"fee_basis_points"` // 0 to 10,000
}

// KeyIssued lets the bearer of a secret act within a scope. Only the SHA-256
// of the secret is recorded.
type KeyIssued struct {
	Key      string   `json:"key"`    // public name of the key
	SHA256   string   `json:"sha256"` // lower-case hexadecimal; or empty for NKey
	NKey     string   `json:"nkey,omitempty"`
	Scope    string   `json:"scope"` // "operator", "provider", "auditor"
	Provider Provider `json:"provider,omitempty"`
}

// KeyRevoked ends a key.
type KeyRevoked struct {
	Key string `json:"key"`
}

// HoldersListed replaces a screening list. Its holders' shares are held, not
// paid. Lists larger than one message come in parts, 0 first and in order: the
// new list replaces the old with its last part, and until then both are held.
type HoldersListed struct {
	List    string   `json:"list"` // such as "ofac-sdn"
	Part    int      `json:"part"` // 0, 1, …
	Parts   int      `json:"parts"`
	Holders []Holder `json:"holders"`
}

// DistributionDeclared distributes what a token's inbox holds to the holders
// at a record position. It names every position that it rests on.
type DistributionDeclared struct {
	Distribution string    `json:"distribution"` // its id
	Token        Token     `json:"token"`
	Period       Period    `json:"period"`
	LedgerSeq    uint64    `json:"ledger_position"`
	RegisterSeq  uint64    `json:"register_position"`
	ControlSeq   uint64    `json:"control_position"`
	RecordDate   time.Time `json:"record_date"`
	// RestsOn has the roots of LEDGER, REGISTER and CONTROL at these positions.
	RestsOn []LogState `json:"rests_on,omitempty"`
}

// PayoutsSubmitted says that planned payouts were handed to a rail in one file.
type PayoutsSubmitted struct {
	Batch        string `json:"batch"`
	Rail         Rail   `json:"rail"`
	Distribution string `json:"distribution"` // or the payout run
}

// PayoutsConfirmed is the rail's answer to payouts of a batch.
type PayoutsConfirmed struct {
	Batch   string          `json:"batch"`
	Rail    Rail            `json:"rail"`
	Part    int             `json:"part"`
	Parts   int             `json:"parts"`
	Results []PayoutOutcome `json:"results"`
}

// PayoutOutcome is what became of one payout. Holder, asset and amount are what
// the rail says of them, where it does: an answer that does not agree with the
// instruction in one of them has no effect. In [PayoutsChanged] they are left out.
type PayoutOutcome struct {
	Payout    string       `json:"payout"`
	State     string       `json:"state"` // "confirmed", "failed", "returned"
	Reference string       `json:"reference,omitempty"`
	Holder    Holder       `json:"holder,omitempty"`
	Asset     money.Asset  `json:"asset,omitempty"`
	Amount    money.Amount `json:"amount,omitzero"` // above zero where it is there
}

func (b CardDeclared) inUTC() Body {
	b.Effective = b.Effective.UTC()
	return b
}

func (b DistributionDeclared) inUTC() Body {
	b.RecordDate = b.RecordDate.UTC()
	return b
}

func (b QuotesObserved) inUTC() Body {
	b.Rounds = slices.Clone(b.Rounds)
	for i := range b.Rounds {
		b.Rounds[i].Time = b.Rounds[i].Time.UTC()
	}
	return b
}

func (b PeriodClosed) withoutRoots() Body {
	b.RestsOn = nil
	return b
}

func (b DistributionDeclared) withoutRoots() Body {
	b.RestsOn = nil
	return b
}

func (b PayoutsConfirmed) appendLong(dst []byte) ([]byte, error) {
	if len(b.Results) == 0 {
		return appendJSON(dst, b)
	}
	list := b.Results
	b.Results = []PayoutOutcome{}
	return appendFramed(dst, b, list, appendOutcome)
}

func (ProviderDeclared) Kind() string     { return "provider_declared" }
func (BookDeclared) Kind() string         { return "book_declared" }
func (NodeDeclared) Kind() string         { return "node_declared" }
func (CustomerDeclared) Kind() string     { return "customer_declared" }
func (MeterDeclared) Kind() string        { return "meter_declared" }
func (CardDeclared) Kind() string         { return "card_declared" }
func (QuotePolicyDeclared) Kind() string  { return "quote_policy_declared" }
func (QuotesObserved) Kind() string       { return "quotes_observed" }
func (SuspenseReleased) Kind() string     { return "suspense_released" }
func (DepositRecorded) Kind() string      { return "deposit_recorded" }
func (CollectionRequested) Kind() string  { return "collection_requested" }
func (PeriodClosed) Kind() string         { return "period_closed" }
func (PeriodReopened) Kind() string       { return "period_reopened" }
func (RoundWithdrawn) Kind() string       { return "round_withdrawn" }
func (DepositReversed) Kind() string      { return "deposit_reversed" }
func (TokenDeclared) Kind() string        { return "token_declared" }
func (WaterfallDeclared) Kind() string    { return "waterfall_declared" }
func (KeyIssued) Kind() string            { return "key_issued" }
func (KeyRevoked) Kind() string           { return "key_revoked" }
func (HoldersListed) Kind() string        { return "holders_listed" }
func (DistributionDeclared) Kind() string { return "distribution_declared" }
func (PayoutsSubmitted) Kind() string     { return "payouts_submitted" }
func (PayoutsConfirmed) Kind() string     { return "payouts_confirmed" }
