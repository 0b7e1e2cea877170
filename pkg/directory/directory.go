// Package directory knows what has been declared: providers, books, nodes,
// customers, meters, cards, policies, tokens, keys, screening lists, closings.
//
// The method is a fold: [Directory.Apply] takes the decisions of CONTROL in
// order, one at a time, and either gives each its effect or says why it has
// none. Ingest, settle, distribute and audit all fold the same stream with this
// code, each as far as it has read, so that they never disagree about what was
// declared at a position.
//
// # Invariants
//
//   - A decision that is void, or a repeat, changes nothing.
//   - The state depends on the decisions and their order alone.
//   - What settled figures rest on never changes: a card's version, a book's
//     provider, calendar, asset and partition, a meter's unit, the book of a
//     node, customer or token.
//   - Ids of books, nodes, customers and tokens are unique over all books.
//   - A node's revenue goes to at most one token.
//   - Nothing that is observed lies after it was recorded, by more than the book's
//     tolerance.
//   - Nobody who is on a screening list is unlisted while the list is replaced.
//   - What is returned as a slice is in ascending order, the same every time.
//
// A Directory is not safe for concurrent use: callers that share one guard it.
package directory

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// ErrRepeat says that the same decision, by id and body, has taken effect
// before: this one has none. It is an answer, not a fault: the sender did not
// hear the first answer and may take this one for it.
var ErrRepeat = errors.New("the same decision has taken effect before")

// ErrOrder says that a decision was applied out of order, which is a fault of
// the caller and no property of the decision.
var ErrOrder = errors.New("applying decisions out of order")

// Void is a decision of CONTROL that has no effect, and why.
type Void struct {
	Position uint64
	ID       string
	Kind     string
	Reason   string
}

// maxVoids is how many void decisions are remembered, the latest ones.
const maxVoids = 1_000

// Directory is the fold of CONTROL up to a position. It keeps one small hash
// for the id of each decision that took effect (quotes excepted, whose repeats
// the quote board knows), so that it grows with decisions and not with usage.
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
	tokenOf       map[events.Node]events.Token // named by a token
	waterfalls    map[events.Token]events.WaterfallDeclared
	keys          map[string]key
	secrets       map[string]string // SHA-256 or NKey → key
	screens       []*screen         // ascending by list
	distributions map[string]events.DistributionDeclared
	batches       map[string]events.PayoutsSubmitted
	runs          map[string]events.PayoutRunDeclared
	corrected     map[string]uint64 // by distribution or run: position of the last correction
	reversed      map[string]bool   // deposits, by the id of their decision
	// deposited is the sum of all deposits of all assets, reversed ones included:
	// a bound, not a figure.
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

// Voids returns the latest decisions without effect, ascending by position:
// repeats too, whose reason is the text of [ErrRepeat].
func (d *Directory) Voids() []Void { return d.voids }

// Apply gives the decision at position its effect. An error is why it has none:
// [ErrRepeat], or the reason for which it is void; only an error that is
// [ErrOrder] is the caller's fault. The decision at position 1 comes first, and
// none is left out.
//
// The id of a void decision may be used again: once what it lacked is there,
// the same decision can be sent again.
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

// Taken returns the position at which the decision of an id took effect, and why
// this one would not: [ErrRepeat] where it decides the same. Position 0 and nil
// where the id is free; quotes are not remembered.
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

// contentOf hashes what was decided. Half of a SHA-256 leaves 64 bits against
// collisions, and both sides of one would come from the same operator.
func contentOf(body events.Body) ([16]byte, error) {
	text, err := events.AppendContent(nil, body)
	if err != nil {
		return [16]byte{}, err
	}
	sum := sha256.Sum256(text)
	return [16]byte(sum[:16]), nil
}

// Known reports whether a decision with this id has taken effect. Observations of
// quotes are known to the quote board alone.
func (d *Directory) Known(id string) bool {
	_, known := d.ids[id]
	return known
}

// Same reports whether a declaration says what is in effect already, so that
// declaring it again would change nothing. It is false for everything that is
// done rather than declared, as a deposit, and for a part of a screening list
// of several parts: those replace each other only together, see [Directory.Unchanged].
func (d *Directory) Same(body events.Body) bool {
	now, ok := d.current(body)
	return ok && equal(now, body)
}

// Declared reports whether what a body declares is declared already, in these words
// or in others.
func (d *Directory) Declared(body events.Body) bool {
	_, ok := d.current(body)
	return ok
}

// Unchanged reports of each body whether it is [Directory.Same]. The parts of a
// screening list are the same only where all of them are.
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
