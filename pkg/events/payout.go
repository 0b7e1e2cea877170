package events

import (
	"encoding/json"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/strict"
)

// Paid is one message of PAYOUT that is not a record of the journal. Distribute
// also publishes its records there unchanged; these begin with 'L', and Paid
// messages with '{'. The set is closed: see the types of this file.
type Paid interface {
	Kind() string // stable name in the codec, such as "distribution_made"
	paid()
}

// DistributionMade is the result of a declared distribution: the totals of each
// asset, or why it is void.
type DistributionMade struct {
	Distribution string             `json:"distribution"`
	Token        Token              `json:"token"`
	Period       Period             `json:"period"`
	Control      uint64             `json:"control"` // position of its declaration
	Void         string             `json:"void,omitempty"`
	Holders      uint64             `json:"holders"` // with units at the record position
	Supply       money.Units        `json:"supply"`  // sum of their units
	Totals       []DistributedAsset `json:"totals,omitempty"`
}

// DistributedAsset is what was distributed in one asset: Inbox = Fee + Pool, and
// Pool = Payable + Held.
type DistributedAsset struct {
	Asset   money.Asset  `json:"asset"`
	Inbox   money.Amount `json:"inbox"`   // taken from the token's inbox
	Fee     money.Amount `json:"fee"`     // to the platform
	Pool    money.Amount `json:"pool"`    // to the holders
	Payable money.Amount `json:"payable"` // shares that may be paid
	Held    money.Amount `json:"held"`    // shares of holders who may not be paid
	Planned money.Amount `json:"planned"` // planned payouts, from this pool and from amounts carried over
	Carried money.Amount `json:"carried"` // left payable after planning
}

// PayoutsPlanned is a part of the payouts that a distribution or a payout run
// led to.
type PayoutsPlanned struct {
	Distribution string          `json:"distribution"` // or the payout run
	Token        Token           `json:"token"`
	Rail         Rail            `json:"rail"`
	Control      uint64          `json:"control"` // position of the declaration
	Part         int             `json:"part"`
	Parts        int             `json:"parts"`
	Payouts      []PlannedPayout `json:"payouts"`
}

// PlannedPayout is one payment to be made.
type PlannedPayout struct {
	Payout string       `json:"payout"` // its id
	Holder Holder       `json:"holder"`
	Asset  money.Asset  `json:"asset"`
	Amount money.Amount `json:"amount"` // whole minor units, above zero
}

// PayoutsChanged is a part of the changes that a decision made to the states of
// payouts.
type PayoutsChanged struct {
	Control uint64          `json:"control"` // position of the decision
	Batch   string          `json:"batch"`   // empty if a person corrected a payout
	Rail    Rail            `json:"rail"`
	Part    int             `json:"part"`
	Parts   int             `json:"parts"`
	Changes []PayoutOutcome `json:"changes"`
}

func (DistributionMade) Kind() string { return "distribution_made" }
func (PayoutsPlanned) Kind() string   { return "payouts_planned" }
func (PayoutsChanged) Kind() string   { return "payouts_changed" }

func (DistributionMade) paid() {}
func (PayoutsPlanned) paid()   {}
func (PayoutsChanged) paid()   {}

// MaxPaid is the largest encoded message of PAYOUT in bytes: about 2,500
// planned payouts.
const MaxPaid = 512 << 10

const paidVersion = 1

// sheet is the form of a message of PAYOUT: one JSON object without white
// space, its members in this order.
type sheet struct {
	V    int             `json:"v"`
	Kind string          `json:"kind"`
	Body json.RawMessage `json:"body"`
}

// AppendPaid appends the bytes of p to dst. Equal messages give equal bytes. It
// fails if there are more than [MaxPaid] bytes.
func AppendPaid(dst []byte, p Paid) ([]byte, error) {
	body, err := appendPaidBody(nil, p)
	if err != nil {
		return dst, fmt.Errorf("encoding %s: %w", p.Kind(), err)
	}
	out, err := appendAround(dst, sheet{V: paidVersion, Kind: p.Kind(), Body: emptyBody}, body)
	if err != nil {
		return dst, fmt.Errorf("encoding %s: %w", p.Kind(), err)
	}
	if n := len(out) - len(dst); n > MaxPaid {
		return dst, fmt.Errorf("encoding %s: %d bytes are more than %d", p.Kind(), n, MaxPaid)
	}
	return out, nil
}

func appendPaidBody(dst []byte, p Paid) ([]byte, error) {
	switch v := p.(type) {
	case PayoutsPlanned:
		if list := v.Payouts; len(list) > 0 {
			v.Payouts = []PlannedPayout{}
			return appendFramed(dst, v, list, appendPlanned)
		}
	case PayoutsChanged:
		if list := v.Changes; len(list) > 0 {
			v.Changes = []PayoutOutcome{}
			return appendFramed(dst, v, list, appendOutcome)
		}
	}
	return appendJSON(dst, p)
}

// DecodePaid reads exactly what [AppendPaid] writes.
func DecodePaid(data []byte) (Paid, error) {
	var s sheet
	if len(data) > MaxPaid {
		return nil, fmt.Errorf("decoding a message of PAYOUT: %d bytes are more than %d", len(data), MaxPaid)
	}
	if err := strict.Decode(data, &s); err != nil {
		return nil, fmt.Errorf("decoding a message of PAYOUT: %w", err)
	}
	if s.V != paidVersion {
		return nil, fmt.Errorf("decoding a message of PAYOUT: version %d is not %d", s.V, paidVersion)
	}
	var p Paid
	var err error
	switch s.Kind {
	case DistributionMade{}.Kind():
		p, err = decodePaid[DistributionMade](s.Body)
	case PayoutsPlanned{}.Kind():
		p, err = decodePaid[PayoutsPlanned](s.Body)
	case PayoutsChanged{}.Kind():
		p, err = decodePaid[PayoutsChanged](s.Body)
	case PayoutRunMade{}.Kind():
		p, err = decodePaid[PayoutRunMade](s.Body)
	default:
		err = fmt.Errorf("unknown kind %q", Clip(s.Kind))
	}
	if err != nil {
		return nil, fmt.Errorf("decoding a message of PAYOUT: %w", err)
	}
	again, err := AppendPaid(nil, p)
	if err != nil {
		return nil, fmt.Errorf("decoding a message of PAYOUT: %w", err)
	}
	if at := difference(data, again); at >= 0 {
		return nil, fmt.Errorf("decoding %s: not in canonical form from byte %d", s.Kind, at)
	}
	return p, nil
}

func decodePaid[P Paid](data []byte) (Paid, error) {
	var p P
	if err := strict.Decode(data, &p); err != nil {
		return nil, fmt.Errorf("body of %s: %w", p.Kind(), err)
	}
	return p, nil
}
