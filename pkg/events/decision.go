package events

import (
	"slices"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Decision is one message of CONTROL: the complete record of what a named actor
// decided, so that every figure can be derived from it later. It takes effect
// in a partition at that partition's [Barrier] for its position.
type Decision struct {
	ID       string    // chosen by the sender; the same ID again with the same body is the same decision
	Actor    Actor     // who decided
	Approver Actor     // who approved, if a policy requires two people; empty otherwise
	At       time.Time // when it was recorded, UTC, nanoseconds
	Body     Body
}

// Body is what was decided. The set is closed: see [Kinds]. A body may also
// have methods for the codec: inUTC, if it has instants; withoutRoots, if it
// names the roots of logs; appendLong, if encoding/json would be too slow.
type Body interface {
	Kind() string    // stable name in the codec, such as "node_declared"
	Validate() error // all [Problems] of the body by itself, or nil
}

// ProviderDeclared introduces a provider or changes its name.
type ProviderDeclared struct {
	Provider Provider `json:"provider"`
	Name     string   `json:"name,omitempty"`
}

// BookDeclared introduces a book or changes its policies. Every value here
// affects figures, and is therefore in CONTROL and not in a configuration file.
type BookDeclared struct {
	Book     Book        `json:"book"`
	Provider Provider    `json:"provider"`
	Calendar string      `json:"calendar"`  // "day" or "month": what a period is
	TimeZone string      `json:"time_zone"` // IANA name; only "UTC" in rules version 1
	Asset    money.Asset `json:"asset"`     // asset in which the book charges
	// HorizonSeconds is how long before its receipt the last instant of an
	// event may be; older events are refused. 35 days by default; 0 means no
	// horizon (imports).
	HorizonSeconds int64 `json:"horizon_seconds"`
	// FutureSeconds allows for clock skew: the last instant of an event may be
	// this long after its receipt, and the time of an observation this long
	// after its recording. 300 by default.
	FutureSeconds int64 `json:"future_seconds"`
	// ReceivedFromEvent lets an import take `received` from the event's own last instant.
	ReceivedFromEvent bool `json:"received_from_event,omitempty"`
	Partition         int  `json:"partition"`
}

// NodeDeclared introduces a node of a book or changes its attributes, which
// rate cards match by name. A node's attribute overrides an event's attribute
// of the same name.
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
	Max   money.Quantity `json:"max"` // the largest quantity of one event, at most [LargestQuantity]; zero means that
}

// CardDeclared adds a version of a rate card to a book. Versions are immutable;
// the version in force at an event's last instant is the one with the latest Effective
// not after it, among the book's cards of any name that have a matching rule
// (see pkg/pricing for the order).
type CardDeclared struct {
	Card      Card        `json:"card"`
	Version   int         `json:"version"` // 1, 2, … without gaps
	Book      Book        `json:"book"`
	Currency  money.Asset `json:"currency"`  // currency of its prices
	Effective time.Time   `json:"effective"` // from this instant on
	Rules     []CardRule  `json:"rules"`
}

// CardRule prices one meter for events whose attributes match.
type CardRule struct {
	Meter       Meter             `json:"meter"`
	Match       map[string]string `json:"match,omitempty"`       // every pair must be equal; most pairs win, then the earlier rule
	Price       money.Amount      `json:"price"`                 // in the card's currency
	Per         money.Quantity    `json:"per"`                   // for this much of the meter's unit
	Granularity money.Quantity    `json:"granularity,omitempty"` // quantities are billed up to its next multiple; zero: unchanged
}

// QuotePolicyDeclared sets how the quote of a pair is found and when it is
// doubted. A duration or bound of zero switches its guard off only if Fixed is
// set.
type QuotePolicyDeclared struct {
	Pair             Pair         `json:"pair"`
	Fixed            money.Amount `json:"fixed"`             // if above zero, always this quote, without observations
	HeartbeatSeconds int64        `json:"heartbeat_seconds"` // longest time between two observations of a source
	MarginSeconds    int64        `json:"margin_seconds"`    // and by how much an observation may be late
	MaxDeviation     money.Amount `json:"max_deviation"`     // fraction by which two sources may differ; zero switches the check off
	MinSources       int          `json:"min_sources"`       // required number of fresh sources; at least 1
	Peg              money.Amount `json:"peg"`               // expected quote; zero means no peg
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
	Round string       `json:"round"` // the source's own name for it
	Time  time.Time    `json:"time"`  // when it was observed
	Rate  money.Amount `json:"rate"`
}

// SuspenseReleased prices what waits for a pair at one named round. The actor
// of the decision is the person responsible for it.
type SuspenseReleased struct {
	Pair   Pair   `json:"pair"`
	Book   Book   `json:"book,omitempty"` // empty selects every book
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
// customer of the book) owes. Deposits and closings also collect, without a
// request.
type CollectionRequested struct {
	Book     Book     `json:"book"`
	Customer Customer `json:"customer,omitempty"` // empty selects every customer
}

// PeriodClosed closes every period of the book up to and including Period:
// later events of it are late. Collected revenue is handed over to the tokens.
// A period that has not ended when the closing is recorded can only be closed
// with Early; one that has not begun cannot be closed.
type PeriodClosed struct {
	Book   Book   `json:"book"`
	Period Period `json:"period"`
	Early  bool   `json:"early,omitempty"`  // the period may not have ended yet
	Reason string `json:"reason,omitempty"` // why it is closed early; required with Early
	// RestsOn is how far every log was signed at the time of the decision. A
	// request leaves it out; the server adds it.
	RestsOn []LogState `json:"rests_on,omitempty" hidden:"true"`
}

// PeriodReopened takes closings back: Period and every later one are open
// again, and earlier ones stay closed. It has no effect once a distribution of
// one of these periods is declared, unless Void names that distribution.
// Revenue that the closings handed over stays with the tokens under the same
// periods, and cannot be distributed until the periods are closed again.
type PeriodReopened struct {
	Book   Book   `json:"book"`
	Period Period `json:"period"`
	Reason string `json:"reason"`
	// Void names the declared distributions of these periods, ascending, that
	// are void according to PAYOUT, so that nothing rests on them. A request
	// leaves it out; the server adds it.
	Void []string `json:"void_distributions,omitempty" hidden:"true"`
}

// RoundWithdrawn says that a round was observed wrongly: from then on no quote
// uses it and no release may name it. Charges that it has priced stay as they
// are. The name of the round cannot be used again.
type RoundWithdrawn struct {
	Pair   Pair   `json:"pair"`
	Source string `json:"source"`
	Round  string `json:"round"`
	Reason string `json:"reason"`
}

// DepositReversed takes back a deposit that has covered nothing: its whole
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

// TokenDeclared introduces a token that receives the revenue of nodes. A node
// belongs to at most one token; all nodes of a token are in one book (rules
// version 1).
type TokenDeclared struct {
	Token   Token        `json:"token"`
	Book    Book         `json:"book"`
	Nodes   []Node       `json:"nodes,omitempty"`
	Pool    bool         `json:"all_nodes,omitempty"` // every node of the book that no other token names
	Minimum money.Amount `json:"minimum_payout"`      // smaller payouts wait; zero means one minor unit
}

// WaterfallDeclared sets how a token's revenue is divided: a fee in basis
// points, half-even to the atto, and the rest goes to the pool.
type WaterfallDeclared struct {
	Token          Token `json:"token"`
	FeeBasisPoints int   `json:"fee_basis_points"` // 0 to 10,000
}

// KeyIssued allows the bearer of a secret to act within a scope. Only the
// SHA-256 of the secret is recorded.
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
// new list replaces the old one when its last part arrives; until then the
// shares of holders on either list are held.
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

// PayoutOutcome is the outcome of one payout. Holder, asset and amount are set
// if the rail reports them: an answer that contradicts the instruction in any
// of them has no effect. [PayoutsChanged] leaves them out.
type PayoutOutcome struct {
	Payout    string       `json:"payout"`
	State     string       `json:"state"` // "confirmed", "failed", "returned"
	Reference string       `json:"reference,omitempty"`
	Holder    Holder       `json:"holder,omitempty"`
	Asset     money.Asset  `json:"asset,omitempty"`
	Amount    money.Amount `json:"amount,omitzero"` // above zero if present
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
