package directory

import (
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// rule is what the directory does with the decisions of one kind.
type rule struct {
	// effect changes the state, or returns why it must not. It checks everything
	// before it changes anything.
	effect func(d *Directory, id string, body events.Body) error
	// current returns the declaration in force that a body would replace; nil
	// for kinds that are done once and not declared.
	current func(d *Directory, body events.Body) (now events.Body, ok bool)
	// future returns the times in a body that are too far after its recording,
	// see [Directory.Future]; nil for kinds without times.
	future func(d *Directory, body events.Body, at time.Time) events.Problems
}

// rules has the rule of each of [events.Kinds].
var rules = map[string]rule{
	events.ProviderDeclared{}.Kind():     {effect: takes((*Directory).declareProvider), current: stands((*Directory).currentProvider)},
	events.BookDeclared{}.Kind():         {effect: takes((*Directory).declareBook), current: stands((*Directory).currentBook)},
	events.NodeDeclared{}.Kind():         {effect: takes((*Directory).declareNode), current: stands((*Directory).currentNode)},
	events.CustomerDeclared{}.Kind():     {effect: takes((*Directory).declareCustomer), current: stands((*Directory).currentCustomer)},
	events.MeterDeclared{}.Kind():        {effect: takes((*Directory).declareMeter), current: stands((*Directory).currentMeter)},
	events.CardDeclared{}.Kind():         {effect: takes((*Directory).declareCard), current: stands((*Directory).currentCard)},
	events.QuotePolicyDeclared{}.Kind():  {effect: takes((*Directory).declarePolicy), current: stands((*Directory).currentPolicy)},
	events.QuotesObserved{}.Kind():       {effect: elsewhere, future: ahead((*Directory).roundsAhead)}, // The quote board of settle keeps them.
	events.SuspenseReleased{}.Kind():     {effect: takes((*Directory).checkRelease)},
	events.DepositRecorded{}.Kind():      {effect: takes((*Directory).recordDeposit)},
	events.CollectionRequested{}.Kind():  {effect: takes((*Directory).checkCollection)},
	events.PeriodClosed{}.Kind():         {effect: takesID((*Directory).closePeriod), future: ahead((*Directory).closingAhead)},
	events.PeriodReopened{}.Kind():       {effect: takes((*Directory).reopenPeriod)},
	events.RoundWithdrawn{}.Kind():       {effect: elsewhere}, // The quote board of settle knows the rounds.
	events.DepositReversed{}.Kind():      {effect: takes((*Directory).reverseDeposit)},
	events.TokenDeclared{}.Kind():        {effect: takes((*Directory).declareToken), current: stands((*Directory).currentToken)},
	events.WaterfallDeclared{}.Kind():    {effect: takes((*Directory).declareWaterfall), current: stands((*Directory).currentWaterfall)},
	events.KeyIssued{}.Kind():            {effect: takes((*Directory).issueKey), current: stands((*Directory).currentKey)},
	events.KeyRevoked{}.Kind():           {effect: takes((*Directory).revokeKey)},
	events.HoldersListed{}.Kind():        {effect: takes((*Directory).listHolders), current: stands((*Directory).currentList)},
	events.DistributionDeclared{}.Kind(): {effect: takes((*Directory).declareDistribution), future: ahead((*Directory).recordAhead)},
	events.PayoutsSubmitted{}.Kind():     {effect: takes((*Directory).submitPayouts)},
	events.PayoutsConfirmed{}.Kind():     {effect: takes((*Directory).checkConfirmation)},
	events.PayoutCorrected{}.Kind():      {effect: takes((*Directory).checkCorrection)},
	events.PayoutRunDeclared{}.Kind():    {effect: takes((*Directory).declareRun)},
}

// elsewhere is the effect of decisions that change nothing here.
func elsewhere(*Directory, string, events.Body) error { return nil }

func takes[B events.Body](f func(*Directory, B) error) func(*Directory, string, events.Body) error {
	return takesID(func(d *Directory, _ string, b B) error { return f(d, b) })
}

func takesID[B events.Body](f func(*Directory, string, B) error) func(*Directory, string, events.Body) error {
	return func(d *Directory, id string, body events.Body) error {
		b, ok := body.(B)
		if !ok {
			return fmt.Errorf("a body of type %T has no effect", body)
		}
		return f(d, id, b)
	}
}

func stands[B events.Body](f func(*Directory, B) (B, bool)) func(*Directory, events.Body) (events.Body, bool) {
	return func(d *Directory, body events.Body) (events.Body, bool) {
		b, ok := body.(B)
		if !ok {
			return nil, false
		}
		return f(d, b)
	}
}

func ahead[B events.Body](f func(*Directory, B, time.Time) events.Problems) func(*Directory, events.Body, time.Time) events.Problems {
	return func(d *Directory, body events.Body, at time.Time) events.Problems {
		b, ok := body.(B)
		if !ok {
			return nil
		}
		return f(d, b, at)
	}
}

// ruleOf returns the rule of a body, or the zero rule if it has none.
func ruleOf(body events.Body) rule {
	if body == nil {
		return rule{}
	}
	return rules[body.Kind()]
}

// effect changes the state, or returns why it must not.
func (d *Directory) effect(id string, body events.Body) error {
	r := ruleOf(body)
	if r.effect == nil {
		return fmt.Errorf("a body of type %T has no effect", body)
	}
	return r.effect(d, id, body)
}

// current returns the declaration in force that body would replace.
func (d *Directory) current(body events.Body) (now events.Body, ok bool) {
	r := ruleOf(body)
	if r.current == nil {
		return nil, false
	}
	return r.current(d, body)
}

func (d *Directory) currentProvider(b events.ProviderDeclared) (now events.ProviderDeclared, ok bool) {
	now, ok = d.providers[b.Provider]
	return now, ok
}

func (d *Directory) currentBook(b events.BookDeclared) (now events.BookDeclared, ok bool) {
	if known := d.books[b.Book]; known != nil {
		return known.declared, true
	}
	return now, false
}

func (d *Directory) currentNode(b events.NodeDeclared) (now events.NodeDeclared, ok bool) {
	if known := d.nodes[b.Node]; known != nil {
		return known.declared, true
	}
	return now, false
}

func (d *Directory) currentCustomer(b events.CustomerDeclared) (now events.CustomerDeclared, ok bool) {
	now, ok = d.customers[b.Customer]
	return now, ok
}

func (d *Directory) currentMeter(b events.MeterDeclared) (now events.MeterDeclared, ok bool) {
	if known := d.books[b.Book]; known != nil {
		now, ok = known.meters[b.Meter]
	}
	return now, ok
}

func (d *Directory) currentCard(b events.CardDeclared) (now events.CardDeclared, ok bool) {
	if known := d.books[b.Book]; known != nil && b.Version >= 1 && b.Version <= len(known.cards[b.Card]) {
		return known.cards[b.Card][b.Version-1], true
	}
	return now, false
}

func (d *Directory) currentPolicy(b events.QuotePolicyDeclared) (now events.QuotePolicyDeclared, ok bool) {
	now, ok = d.policies[b.Pair]
	return now, ok
}

func (d *Directory) currentToken(b events.TokenDeclared) (now events.TokenDeclared, ok bool) {
	now, ok = d.tokens[b.Token]
	return now, ok
}

func (d *Directory) currentWaterfall(b events.WaterfallDeclared) (now events.WaterfallDeclared, ok bool) {
	now, ok = d.waterfalls[b.Token]
	return now, ok
}

func (d *Directory) currentKey(b events.KeyIssued) (now events.KeyIssued, ok bool) {
	if known, issued := d.keys[b.Key]; issued && !known.revoked {
		return known.issued, true
	}
	return now, false
}

func (d *Directory) currentList(b events.HoldersListed) (now events.HoldersListed, ok bool) {
	if s := d.screen(b.List); s != nil && b.Parts == 1 && s.has(b) {
		return b, true
	}
	return now, false
}
