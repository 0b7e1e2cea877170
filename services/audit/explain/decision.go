package explain

import (
	"errors"
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/pricing"
	"github.com/aliquot-engine/aliquot/pkg/quotes"
)

// decided says who decided something, and when.
type decided struct {
	position uint64
	kind     string
	actor    events.Actor
	approver events.Actor
	at       time.Time
}

func (d *decided) String() string {
	s := fmt.Sprintf("%s at CONTROL position %d, on %s", d.actor, d.position, stamp(d.at.UnixNano()))
	if d.approver != "" {
		s += ", approved by " + string(d.approver)
	}
	return s
}

// decisions are the decisions to which figures refer: card versions, rounds,
// fees, and the causes of entries.
type decisions struct {
	list       []decided           // by position, from 1
	ids        map[string][]uint64 // positions of the decisions with an id
	cards      map[string]declaredCard
	table      pricing.Table // the cards, compiled
	rounds     map[string]observed
	fixed      map[events.Pair][]fixed
	waterfalls map[events.Token][]fee
	submitted  map[string][]batch      // by distribution
	corrected  map[string][]correction // by payout
}

// batch is a file of payouts: who handed it to the rail, and who recorded each
// of the rail's answers.
type batch struct {
	decided
	name    string
	answers []decided
}

// correction is a person's decision about a payout that overrides the rail's
// answer.
type correction struct {
	decided
	events.PayoutCorrected
}

func (c *correction) String() string {
	return fmt.Sprintf("%v: from %s to %s, because %q", &c.decided, c.From, c.State, c.Reason)
}

type declaredCard struct {
	decided
	events.CardDeclared
}

type observed struct {
	decided
	events.Round
}

type fixed struct {
	decided
	rate money.Amount
}

type fee struct {
	decided
	basisPoints int
}

func cardKey(book events.Book, card string) string { return string(book) + "\n" + card }

func roundKey(pair events.Pair, round string) string { return string(pair) + "\n" + round }

// decisions reads CONTROL, once for each question.
func (e *explainer) decisions() (*decisions, error) {
	if e.known != nil {
		return e.known, nil
	}
	last, err := e.Control.Last(e.ctx)
	if err != nil {
		return nil, err
	}
	known := &decisions{
		cards: map[string]declaredCard{}, rounds: map[string]observed{}, fixed: map[events.Pair][]fixed{}, waterfalls: map[events.Token][]fee{},
		submitted: map[string][]batch{}, corrected: map[string][]correction{}, ids: map[string][]uint64{},
	}
	void, err := e.undistributed()
	if err != nil {
		return nil, err
	}
	declared := directory.New()
	if last > 0 {
		r, err := e.Control.Read(e.ctx, 1, "")
		if err != nil {
			return nil, err
		}
		defer r.Stop()
		for at := uint64(0); at < last; {
			m, err := r.Next(e.ctx)
			if err != nil {
				return nil, err
			}
			at = m.Seq
			decision, err := events.DecodeDecision(m.Data)
			applied := declared.Apply(at, decision)
			if errors.Is(applied, directory.ErrOrder) {
				return nil, applied
			}
			known.add(at, decision, err == nil, err == nil && applied == nil && !void[at])
		}
	}
	e.known = known
	return known, nil
}

// undistributed returns the decisions that had no effect on distribution.
func (e *explainer) undistributed() (map[uint64]bool, error) {
	list, err := e.snapshot.DistributeVoids()
	if err != nil {
		return nil, err
	}
	void := make(map[uint64]bool, len(list))
	for _, v := range list {
		void[v.Control] = !v.Partly
	}
	return void, nil
}

// add keeps the first decision about each thing: cards and rounds never change,
// so a later one is a repetition or void. A decision without effect is only
// listed.
func (k *decisions) add(position uint64, decision events.Decision, readable, effect bool) {
	if !readable {
		k.list = append(k.list, decided{position: position, kind: "unreadable"})
		return
	}
	d := decided{position, decision.Body.Kind(), decision.Actor, decision.Approver, decision.At}
	k.list = append(k.list, d)
	k.ids[decision.ID] = append(k.ids[decision.ID], position)
	if !effect {
		return
	}
	switch b := decision.Body.(type) {
	case events.CardDeclared:
		if key := cardKey(b.Book, pricing.Ref(b.Card, b.Version)); k.cards[key].position == 0 {
			k.cards[key] = declaredCard{d, b}
			_ = k.table.Add(b) // A version that is refused has no rules.
		}
	case events.QuotesObserved:
		for _, r := range b.Rounds {
			if key := roundKey(b.Pair, quotes.RoundID(b.Source, r.Round)); k.rounds[key].position == 0 {
				k.rounds[key] = observed{d, r}
			}
		}
	case events.QuotePolicyDeclared:
		if b.Fixed.Sign() > 0 {
			k.fixed[b.Pair] = append(k.fixed[b.Pair], fixed{d, b.Fixed})
		}
	case events.PayoutsSubmitted:
		k.submitted[b.Distribution] = append(k.submitted[b.Distribution], batch{decided: d, name: b.Batch})
	case events.PayoutsConfirmed:
		if b.Part == 0 { // A large answer consists of many parts, and the first one is enough.
			k.answered(b.Batch, d)
		}
	case events.PayoutCorrected:
		k.corrected[b.Payout] = append(k.corrected[b.Payout], correction{d, b})
	case events.WaterfallDeclared:
		k.waterfalls[b.Token] = append(k.waterfalls[b.Token], fee{d, b.FeeBasisPoints})
	}
}

// answered adds an answer to its batch.
func (k *decisions) answered(name string, d decided) {
	for _, list := range k.submitted {
		for i := range list {
			b := &list[i]
			if b.name == name {
				b.answers = append(b.answers, d)
			}
		}
	}
}

// at returns the decision at a position.
func (k *decisions) at(position uint64) (decided, bool) {
	if position == 0 || position > uint64(len(k.list)) {
		return decided{}, false
	}
	return k.list[position-1], true
}

// cause explains the decision that an entry names.
func (e *explainer) cause(ref string) (Node, bool, error) {
	var position uint64
	if _, err := fmt.Sscanf(ref, "control:%d", &position); err != nil {
		return Node{}, false, nil
	}
	known, err := e.decisions()
	if err != nil {
		return Node{}, false, err
	}
	d, ok := known.at(position)
	if !ok {
		return Node{}, false, nil
	}
	return Node{Kind: "decision", ID: ref, Summary: summary(&d)}, true, nil
}

// summary says in one line what was decided, by whom, at which position and
// when.
func summary(d *decided) string {
	words := "Decision that cannot be read"
	if k, ok := events.KindOf(d.kind); ok {
		words = k.Words
	}
	return fmt.Sprintf("%s by %v", words, d)
}

// card explains a version of a card: who declared it, and its rules for a
// meter.
func (e *explainer) card(book events.Book, card string, meter events.Meter) (Node, error) {
	n := Node{Kind: "card", ID: card}
	known, err := e.decisions()
	if err != nil {
		return n, err
	}
	c, ok := known.cards[cardKey(book, card)]
	if !ok {
		n.Summary = fmt.Sprintf("Card %s of book %s was never declared: the journal does not match the streams. Run replay", card, book)
		return n, nil
	}
	n.Summary = fmt.Sprintf("Card %s of book %s, in force from %s", card, book, stamp(c.Effective.UnixNano()))
	n.fact("declared by", &c.decided)
	for r := range known.table.Rules(book, meter, card) {
		n.fact(fmt.Sprintf("rule %d", r.Rule), r.String())
	}
	return n, nil
}

// quote explains where a posting's quote comes from; ok is false if no quote
// was needed.
func (e *explainer) quote(pair events.Pair, id string, control uint64) (n Node, ok bool, err error) {
	if id == "" {
		return n, false, nil
	}
	known, err := e.decisions()
	if err != nil {
		return n, false, err
	}
	n = Node{Kind: "quote", ID: id}
	if id == quotes.Fixed {
		n.Summary = fmt.Sprintf("Quote of %s, fixed by policy", pair)
		for _, f := range known.fixed[pair] {
			if f.position <= control {
				n.Facts = []Fact{{"rate", f.rate.String()}, {"fixed by", f.decided.String()}}
			}
		}
		return n, true, nil
	}
	rounds := quotes.Rounds(id)
	if len(rounds) == 1 {
		return known.round(pair, rounds[0]), true, nil
	}
	n.Summary = "Quote of " + string(pair) + ", the median of several sources"
	for _, one := range rounds {
		n.From = append(n.From, known.round(pair, one))
	}
	return n, true, nil
}

// pair returns the pair whose quote a charge needed.
func (k *decisions) pair(book events.Book, p *ledger.Posting) events.Pair {
	return quotes.PairOf(p.Asset, k.cards[cardKey(book, p.Card)].Currency)
}

func (k *decisions) round(pair events.Pair, id string) Node {
	n := Node{Kind: "quote", ID: id}
	r, ok := k.rounds[roundKey(pair, id)]
	if !ok {
		n.Summary = fmt.Sprintf("Quote round %s of %s was never observed: the journal does not match the streams. Run replay", id, pair)
		return n
	}
	n.Summary = fmt.Sprintf("Quote round %s of %s: %v at %s", id, pair, r.Rate, stamp(r.Time.UnixNano()))
	n.fact("recorded by", &r.decided)
	return n
}
