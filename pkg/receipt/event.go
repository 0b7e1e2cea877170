package receipt

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/leaf"
	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/pkg/pricing"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// EventOf returns what the leaves of an event and of its context cover.
func EventOf(provider events.Provider, book events.Book, u *events.Usage) Event {
	e := Event{
		Provider: provider, Book: book, Source: u.Source, Name: u.ID,
		Node: u.Node, Customer: u.Customer, Meter: u.Meter, Quantity: u.Quantity,
		Start: time.Unix(0, u.Start).UTC(), End: time.Unix(0, u.End).UTC(), Replaces: u.Replaces, Retracts: u.Retracts,
	}
	if u.Sequenced {
		e.Epoch, e.Sequence = u.Epoch, &u.Sequence
	}
	for _, a := range u.Attributes {
		e.Attributes = append(e.Attributes, Attribute(a))
	}
	return e
}

// usage returns the event in the form that services use.
func (e *Event) usage() events.Usage {
	u := events.Usage{
		Source: e.Source, ID: e.Name, Node: e.Node, Customer: e.Customer, Meter: e.Meter, Quantity: e.Quantity,
		Start: e.Start.UnixNano(), End: e.End.UnixNano(), Replaces: e.Replaces, Retracts: e.Retracts,
	}
	if e.Sequence != nil {
		u.Sequenced, u.Epoch, u.Sequence = true, e.Epoch, *e.Sequence
	}
	for _, a := range e.Attributes {
		u.Attributes = append(u.Attributes, events.Attribute(a))
	}
	return u
}

// context returns the event's context.
func (e *Event) context() leaf.Context {
	c := leaf.Context{Provider: e.Provider, Book: e.Book, Source: e.Source, Epoch: e.Epoch, Meter: e.Meter}
	for _, a := range e.Attributes {
		c.Attributes = append(c.Attributes, events.Attribute(a))
	}
	return c
}

// within verifies that the event and its context are in the message.
func (v *verification) within(e *Event, message *tlog.UsageLeaf) error {
	path, err := v.path(e.Path)
	if err != nil {
		return err
	}
	u := e.usage()
	if !time.Unix(0, u.Start).Equal(e.Start) || !time.Unix(0, u.End).Equal(e.End) {
		return errTimes
	}
	leaf, err := tlog.EventHash(e.Context.Number, &u)
	if err != nil {
		return err
	}
	if e.Ordinal >= message.Events || tlog.VerifyInclusion(leaf, e.Ordinal, message.Leaves(), path, message.EventRoot) != nil {
		return fmt.Errorf("the event is not in its message: %w", errRoot)
	}
	if path, err = v.path(e.Context.Path); err != nil {
		return err
	}
	c := e.context()
	if e.Context.Number >= message.Contexts || tlog.VerifyInclusion(tlog.ContextHash(&c), message.Events+e.Context.Number, message.Leaves(), path, message.EventRoot) != nil {
		return fmt.Errorf("the event's provider, book, source, meter and attributes are not in its message: %w", errRoot)
	}
	return nil
}

// named returns the name of an event, as its source gave it. A part that could
// be mistaken for more than one part is quoted.
func (e *Event) named() plain.Phrase {
	part := func(s string) string {
		if strings.Contains(s, "#") {
			return strconv.Quote(s)
		}
		return plain.Word(s)
	}
	if e.Sequence != nil {
		return plain.Phrase(fmt.Sprintf("%s#%d/%d", part(e.Source), e.Epoch, *e.Sequence))
	}
	return plain.Phrase(part(e.Source) + "#" + part(e.Name))
}

var (
	errTwoNames    = errors.New("has a sequence and a name")
	errTimes       = errors.New("a time is beyond what nanoseconds since 1970 can say")
	errEpoch       = errors.New("has an epoch and no sequence")
	errAmends      = errors.New("replaces one event and retracts another")
	errNoBatch     = errors.New("the message is not a batch of events")
	errRuns        = errors.New("the runs of outcomes are not those that the leaf has the hash of")
	errNoOutcome   = errors.New("the leaf does not contain the outcome of the event")
	errNoBarrier   = errors.New("the leaf before it is not a barrier")
	errBarrierData = errors.New("the barrier shown is not the one in its leaf, or carries no root")
	errLate        = errors.New("the barrier is not before the event")
	errNotYet      = errors.New("a decision is shown that was not in effect")
	errNotCharged  = errors.New("a charge is shown for an event that was not accepted")
	errAttributes  = errors.New("the attributes do not ascend by name")
)

// event verifies an event's receipt.
func (v *verification) event(e *Event) error {
	switch {
	case e.Sequence != nil && e.Name != "":
		return errTwoNames
	case e.Sequence == nil && e.Epoch != 0:
		return errEpoch
	case e.Replaces != "" && e.Retracts != "":
		return errAmends
	case !slices.IsSortedFunc(e.Attributes, func(a, b Attribute) int { return strings.Compare(a.Name, b.Name) }):
		return errAttributes
	case !strings.HasPrefix(e.Log, usagePrefix):
		return fmt.Errorf("%s: %w", e.Log, errWrongLog)
	}
	message, err := v.usageLeaf(e.Log, &e.Message)
	if err != nil {
		return fmt.Errorf("the event's message: %w", err)
	}
	if message.Kind != events.Batch {
		return errNoBatch
	}
	if err := v.within(e, &message); err != nil {
		return err
	}
	v.verdict.ID = string(e.named())
	v.prove("event %s of provider %s: %v %s on node %s for customer %s, from %s to %s", e.named(), e.Provider, e.Quantity, e.Meter, e.Node, e.Customer, stamp(e.Start), stamp(e.End))
	v.prove("it is event %d of the %d at position %d of %s, in book %s", e.Ordinal, message.Events, message.Position, e.Log, e.Book)
	outcome, err := e.outcome(&message)
	if err != nil {
		return err
	}
	v.prove("it was %s", plain.Phrase(outcome.Words()))
	charged := outcome.Outcome == events.Accepted || outcome.Outcome == events.Late
	if e.Charge == nil {
		if charged {
			v.state("what it cost: this receipt has no charge")
		}
		return nil
	}
	if !charged {
		return errNotCharged
	}
	return v.charge(e, message.Position)
}

func (e *Event) outcome(message *tlog.UsageLeaf) (settlement.Run, error) {
	if message.Folded {
		if sha256.Sum256(e.Runs) != message.RunsHash {
			return settlement.Run{}, errRuns
		}
		runs, err := tlog.DecodeRuns(e.Runs)
		if err != nil {
			return settlement.Run{}, err
		}
		message.Runs = runs
	} else if e.Runs != nil {
		return settlement.Run{}, errRuns
	}
	run, ok := message.At(e.Ordinal)
	if !ok {
		return run, errNoOutcome
	}
	return run, nil
}

// charge computes an event's charge from the decisions shown.
func (v *verification) charge(e *Event, position uint64) error {
	if e.Barrier == nil {
		return errNoBarrier
	}
	barrier, err := v.usageLeaf(e.Log, e.Barrier)
	if err != nil {
		return fmt.Errorf("the barrier: %w", err)
	}
	switch {
	case barrier.Kind != events.Barrier:
		return errNoBarrier
	case barrier.Position >= position:
		return errLate
	}
	if err := v.rested(e, &barrier); err != nil {
		return err
	}
	priced, err := v.priced(e, barrier.Control)
	if err != nil {
		return err
	}
	c := e.Charge
	if c.Asset != priced.Asset || c.Amount != priced.Amount || c.Billed != priced.Billed || c.Card != priced.Card || c.Rule != priced.Rule || c.Quote != priced.Quote || c.Rate != priced.Rate {
		return fmt.Errorf("the charge is %v %s by rule %d of %s at %v (%s), not %v %s by rule %d of %s at %v (%s)",
			priced.Amount, priced.Asset, priced.Rule, priced.Card, priced.Rate, priced.Quote, c.Amount, c.Asset, c.Rule, c.Card, c.Rate, c.Quote)
	}
	quote := "no quote needed"
	if c.Quote != "" {
		quote = plain.Sentence("%v (%s)", c.Rate, c.Quote)
	}
	v.prove("it cost %v %s: %v %s by rule %d of %s, quote %s, computed again", c.Amount, c.Asset, c.Billed, e.Meter, c.Rule, c.Card, plain.Phrase(quote))
	v.prove("the decisions it was priced by were in effect: CONTROL up to %d, by the barrier at position %d", barrier.Control, barrier.Position)
	v.state("that no other decision up to CONTROL position %d replaced the ones shown", barrier.Control)
	if c.Posted != "" {
		partition, _, _ := strings.Cut(strings.TrimPrefix(e.Log, usagePrefix), "-")
		if !isRow(c.Posted, "settle-"+partition) {
			return fmt.Errorf("row %.80q: %w", c.Posted, errRow)
		}
		v.state("that journal row %q has the charge in its sum", c.Posted)
	}
	return nil
}

// rested compares the tree of CONTROL with the root that the barrier carries.
func (v *verification) rested(e *Event, barrier *tlog.UsageLeaf) error {
	if e.BarrierData == nil {
		return nil
	}
	if sha256.Sum256(e.BarrierData) != barrier.Data {
		return errBarrierData
	}
	var message events.Message
	if _, err := message.Decode(e.BarrierData, nil); err != nil {
		return err
	}
	if message.Kind != events.Barrier || message.Control != barrier.Control || message.Root == nil {
		return errBarrierData
	}
	carried, err := v.carries(controlLog, message.Control, tlog.Hash(*message.Root))
	if err == nil && !carried {
		err = fmt.Errorf("%s: %w", controlLog, errNoTree)
	}
	if err != nil {
		return err
	}
	v.prove("the barrier carries the root of CONTROL up to %d, in which these decisions are", message.Control)
	return nil
}

// priced prices an event by the decisions of the receipt.
func (v *verification) priced(e *Event, effective uint64) (c Charge, err error) {
	var tariff pricing.Tariff
	var node []events.Attribute
	plan, card := "", ""
	ofNode, ofCustomer := false, false
	for i := range v.decisions {
		d := &v.decisions[i]
		if d.position > effective {
			return c, fmt.Errorf("CONTROL %d: %w", d.position, errNotYet)
		}
		switch b := d.decision.Body.(type) {
		case events.BookDeclared:
			if b.Book == e.Book {
				c.Asset = b.Asset
			}
		case events.NodeDeclared:
			if b.Node == e.Node && b.Book == e.Book {
				node, ofNode = node[:0], true
				for _, name := range slices.Sorted(maps.Keys(b.Attributes)) {
					node = append(node, events.Attribute{Name: name, Value: b.Attributes[name]})
				}
			}
		case events.CustomerDeclared:
			if b.Customer == e.Customer && b.Book == e.Book {
				plan, ofCustomer = b.Plan, true
			}
		case events.CardDeclared:
			if card != "" {
				return c, errors.New("more than one card is shown")
			}
			card = pricing.Ref(b.Card, b.Version)
			// Earlier versions are not shown, but a table requires them.
			b.Version = 1
			err = tariff.Learn(b)
		case events.QuotePolicyDeclared, events.QuotesObserved, events.RoundWithdrawn:
			err = tariff.Learn(b)
		default:
			err = fmt.Errorf("a %s prices nothing", b.Kind())
		}
		if err != nil {
			return c, fmt.Errorf("CONTROL %d: %w", d.position, err)
		}
		v.decided(d)
	}
	switch {
	case c.Asset == "":
		return c, fmt.Errorf("the declaration of book %s is not shown", e.Book)
	case !ofNode:
		return c, fmt.Errorf("the declaration of node %s is not shown", e.Node)
	case !ofCustomer:
		return c, fmt.Errorf("the declaration of customer %s is not shown", e.Customer)
	}
	u := e.usage()
	facts := pricing.FactsOf(&u, e.Book, c.Asset, node, plan)
	price := tariff.Price(&facts)
	switch price.State {
	case pricing.NoRate:
		return c, errors.New("no rule of the card shown matches")
	case pricing.Waits:
		return c, fmt.Errorf("the quotes shown give no price: %s", price.Quote.Reason)
	}
	charge, err := price.Charge(u.Quantity)
	if err != nil {
		return c, err
	}
	if charge.Waits {
		return c, errors.New("the charge does not fit at the quotes shown")
	}
	c.Card, c.Rule, c.Quote, c.Rate = card, price.Line.Rule, price.Quote.ID, price.Quote.Quote
	c.Billed, c.Amount = charge.Billed, charge.Amount
	return c, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
