// Package directory knows what has been declared: providers, books, nodes,
// customers, meters, cards, policies, tokens, keys, screening lists, closings.
//
// The method is a fold: [Directory.Apply] takes the decisions of CONTROL in
// order, one at a time, and either applies each of them or returns why it has
// no effect. Ingest, settle, distribute and audit all fold the same stream with
// this code, each up to the position that it has read, so that they never
// disagree about what was declared at a position.
//
// # Invariants
//
//   - A decision that is void or repeated changes nothing.
//   - The state depends only on the decisions and their order.
//   - What settled figures depend on never changes: a card's version, a book's
//     provider, calendar, asset and partition, a meter's unit, the book of a
//     node, customer or token.
//   - Ids of books, nodes, customers and tokens are unique over all books.
//   - A node's revenue goes to at most one token.
//   - No observation is later than the time of its recording by more than the
//     book's tolerance.
//   - While a screening list is replaced, a holder who is on both versions
//     stays listed.
//   - Slices are returned in ascending order, the same every time.
//
// A Directory is not safe for concurrent use: callers that share one must guard
// it.
package directory

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// ErrRepeat means that the same decision, with the same id and body, has taken
// effect before, so that this one has no effect. It is not a fault: a sender
// that did not receive the first answer may treat it as success.
var ErrRepeat = errors.New("the same decision has taken effect before")

// ErrOrder means that a decision was applied out of order, which is a fault of
// the caller and not of the decision.
var ErrOrder = errors.New("applying decisions out of order")

// Void is a decision of CONTROL that has no effect, with the reason.
type Void struct {
	Position uint64
	ID       string
	Kind     string
	Reason   string
}

// maxVoids is how many void decisions are remembered, the latest ones.
const maxVoids = 1_000

// Directory is the fold of CONTROL up to a position. It keeps one small hash
// for the id of each decision that took effect, so that it grows with decisions
// and not with usage. Quotes are excepted, because the quote board recognises
// their repetitions.
type Directory struct {
	position uint64
	ids      map[string]taken
	voids    []Void

	providers     map[events.Provider]events.ProviderDeclared
	books         map[events.Book]*book
	nodes         map[events.Node]*node
	customers     map[events.Customer]events.CustomerDeclared
	policies      map[events.Pair]events.QuotePolicyDeclared
	tokens        map[events.Token]events.TokenDeclared
	tokenOf       map[events.Node]events.Token // nodes that a token names
	waterfalls    map[events.Token]events.WaterfallDeclared
	keys          map[string]key
	secrets       map[string]string // SHA-256 or NKey → key
	screens       []*screen         // ascending by list
	distributions map[string]events.DistributionDeclared
	batches       map[string]events.PayoutsSubmitted
	runs          map[string]events.PayoutRunDeclared
	corrected     map[string]uint64 // by distribution or run: position of the last correction
	reversed      map[string]bool   // deposits, by the id of their decision
	// deposited is the sum of all deposits in all assets, including reversed
	// ones. It is only compared with a limit.
	deposited money.Amount
}

// New returns the directory before the first decision.
func New() *Directory {
	return &Directory{
		ids:           map[string]taken{},
		providers:     map[events.Provider]events.ProviderDeclared{},
		books:         map[events.Book]*book{},
		nodes:         map[events.Node]*node{},
		customers:     map[events.Customer]events.CustomerDeclared{},
		policies:      map[events.Pair]events.QuotePolicyDeclared{},
		tokens:        map[events.Token]events.TokenDeclared{},
		tokenOf:       map[events.Node]events.Token{},
		waterfalls:    map[events.Token]events.WaterfallDeclared{},
		keys:          map[string]key{},
		secrets:       map[string]string{},
		distributions: map[string]events.DistributionDeclared{},
		batches:       map[string]events.PayoutsSubmitted{},
		runs:          map[string]events.PayoutRunDeclared{},
		corrected:     map[string]uint64{},
		reversed:      map[string]bool{},
	}
}

// Position returns the position in CONTROL of the last decision applied, or 0.
func (d *Directory) Position() uint64 { return d.position }

// Voids returns the latest decisions without effect, ascending by position.
// They include repetitions, whose reason is the text of [ErrRepeat].
func (d *Directory) Voids() []Void { return d.voids }

// Apply applies the decision at a position. An error is the reason why the
// decision has no effect: [ErrRepeat], or why it is void. Only [ErrOrder] is a
// fault of the caller, who must apply every decision from position 1 on, in
// order.
//
// The id of a void decision may be used again: once the missing declaration
// exists, the same decision can be sent again.
func (d *Directory) Apply(position uint64, decision events.Decision) error {
	if position != d.position+1 {
		return fmt.Errorf("%w: %d after %d", ErrOrder, position, d.position)
	}
	d.position = position
	err := d.apply(decision)
	if err != nil {
		kind := ""
		if decision.Body != nil {
			kind = decision.Body.Kind()
		}
		if len(d.voids) >= 2*maxVoids {
			d.voids = append(d.voids[:0], d.voids[len(d.voids)-maxVoids:]...)
		}
		d.voids = append(d.voids, Void{Position: position, ID: decision.ID, Kind: kind, Reason: err.Error()})
	}
	return err
}

func (d *Directory) apply(decision events.Decision) error {
	if err := decision.Validate(); err != nil {
		return err
	}
	_, quotes := decision.Body.(events.QuotesObserved)
	var content [16]byte
	if !quotes {
		var err error
		if content, err = contentOf(decision.Body); err != nil {
			return err
		}
		if _, reason := d.repeats(decision.ID, content); reason != nil {
			return reason
		}
	}
	if err := d.Future(decision.Body, decision.At); err != nil {
		return err
	}
	if err := d.effect(decision.ID, decision.Body); err != nil {
		return err
	}
	if !quotes {
		d.ids[decision.ID] = taken{content, d.position}
	}
	return nil
}

// taken is a decision that took effect: a hash of its body, and its position.
type taken struct {
	content  [16]byte
	position uint64
}

// Taken returns the position at which the decision with an id took effect, and
// why this body would not take effect under the same id: [ErrRepeat] if it
// decides the same. It returns position 0 and nil if the id is free; ids of
// quotes are not remembered.
func (d *Directory) Taken(id string, body events.Body) (position uint64, reason error) {
	content, err := contentOf(body)
	if err != nil {
		return 0, err
	}
	return d.repeats(id, content)
}

func (d *Directory) repeats(id string, content [16]byte) (position uint64, reason error) {
	before, seen := d.ids[id]
	switch {
	case !seen:
		return 0, nil
	case d.reversed[id]:
		return before.position, fmt.Errorf("a reversal of deposit %q was decided: record it with another reference", id)
	case before.content == content:
		return before.position, ErrRepeat
	}
	return before.position, fmt.Errorf("id %q has been used for another decision", id)
}

// contentOf hashes what was decided. Half of a SHA-256 gives 64 bits of
// protection against collisions, and both sides of a collision would come from
// the same operator.
func contentOf(body events.Body) ([16]byte, error) {
	text, err := events.AppendContent(nil, body)
	if err != nil {
		return [16]byte{}, err
	}
	sum := sha256.Sum256(text)
	return [16]byte(sum[:16]), nil
}

// Known reports whether a decision with this id has taken effect. Only the
// quote board knows observations of quotes.
func (d *Directory) Known(id string) bool {
	_, known := d.ids[id]
	return known
}

// Same reports whether a declaration is identical to the one in effect, so that
// declaring it again would change nothing. It is false for decisions that are
// done once, such as a deposit, and for one part of a screening list of several
// parts, because the parts are only replaced together: see
// [Directory.Unchanged].
func (d *Directory) Same(body events.Body) bool {
	now, ok := d.current(body)
	return ok && equal(now, body)
}

// Declared reports whether the thing that a body declares is already declared,
// with the same or with another content.
func (d *Directory) Declared(body events.Body) bool {
	_, ok := d.current(body)
	return ok
}

// Unchanged reports for each body whether it is [Directory.Same]. The parts of
// a screening list count as unchanged only if all of them are.
func (d *Directory) Unchanged(bodies []events.Body) []bool {
	same := make([]bool, len(bodies))
	parts := map[string]int{}
	for i, body := range bodies {
		same[i] = d.Same(body)
		if l, ok := body.(events.HoldersListed); ok && l.Parts > 1 {
			if s := d.screen(l.List); s != nil && s.has(l) {
				parts[l.List]++
			}
		}
	}
	for i, body := range bodies {
		if l, ok := body.(events.HoldersListed); ok && l.Parts > 1 {
			same[i] = parts[l.List] == l.Parts
		}
	}
	return same
}

func equal(a, b events.Body) bool {
	one, err := events.AppendBody(nil, a)
	if err != nil {
		return false
	}
	two, err := events.AppendBody(nil, b)
	return err == nil && bytes.Equal(one, two)
}
