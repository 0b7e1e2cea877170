package events

import (
	"errors"
	"fmt"
	"strings"
)

// This file checks each decision by itself. Whether it can take effect at its
// position is decided by the directory. Every Validate returns all problems at
// once as [Problems], or nil.

// Validate checks the envelope and then the body.
func (d Decision) Validate() error {
	var p Problems
	p.name("id", d.ID)
	p.name("actor", string(d.Actor))
	p.optionalName("approver", string(d.Approver))
	if d.Approver != "" && d.Approver == d.Actor {
		p.add("approver", "is the actor: nobody approves their own decision")
	}
	p.time("at", d.At)
	if d.Body == nil {
		p.add("body", "is missing")
		return p.orNil()
	}
	if err := d.Body.Validate(); err != nil {
		var found Problems
		if !errors.As(err, &found) {
			found = Problems{{Field: d.Body.Kind(), Detail: err.Error()}}
		}
		p = append(p, found...)
	}
	return p.orNil()
}

// Validate implements [Body].
func (b ProviderDeclared) Validate() error {
	var p Problems
	p.name("provider", string(b.Provider))
	p.text("name", b.Name)
	return p.orNil()
}

// Validate implements [Body].
func (b BookDeclared) Validate() error {
	var p Problems
	p.name("book", string(b.Book))
	p.name("provider", string(b.Provider))
	if b.Calendar != "day" && b.Calendar != "month" {
		p.add("calendar", "%q is neither day nor month", Clip(b.Calendar))
	}
	if b.TimeZone != "UTC" {
		p.add("time_zone", "%q is not UTC, the only one of rules version 1", Clip(b.TimeZone))
	}
	p.payable("asset", b.Asset)
	p.seconds("horizon_seconds", b.HorizonSeconds)
	p.seconds("future_seconds", b.FutureSeconds)
	if b.Partition < 0 || b.Partition > 4095 {
		p.add("partition", "%d is not between 0 and 4095", b.Partition)
	}
	return p.orNil()
}

// Validate implements [Body].
func (b NodeDeclared) Validate() error {
	var p Problems
	p.name("node", string(b.Node))
	p.name("book", string(b.Book))
	p.attributes("attributes", b.Attributes)
	return p.orNil()
}

// Validate implements [Body].
func (b CustomerDeclared) Validate() error {
	var p Problems
	p.name("customer", string(b.Customer))
	p.name("book", string(b.Book))
	p.text("name", b.Name)
	p.text("plan", b.Plan)
	return p.orNil()
}

// Validate implements [Body].
func (b MeterDeclared) Validate() error {
	var p Problems
	p.name("meter", string(b.Meter))
	p.name("book", string(b.Book))
	if b.Unit == "" {
		p.add("unit", "is empty")
	}
	p.text("unit", b.Unit)
	p.quantity("max", b.Max)
	return p.orNil()
}

// Validate implements [Body].
func (b CardDeclared) Validate() error {
	var p Problems
	p.name("card", string(b.Card))
	if b.Version < 1 {
		p.add("version", "%d is below 1", b.Version)
	}
	p.name("book", string(b.Book))
	p.asset("currency", b.Currency)
	p.time("effective", b.Effective)
	if len(b.Rules) == 0 || len(b.Rules) > MaxRules {
		p.add("rules", "%d rules are not between 1 and %d", len(b.Rules), MaxRules)
	}
	for i, r := range b.Rules {
		at := fmt.Sprintf("rules[%d].", i)
		p.name(at+"meter", string(r.Meter))
		p.attributes(at+"match", r.Match)
		p.notNegative(at+"price", r.Price.Sign())
		if r.Per.Sign() <= 0 {
			p.add(at+"per", "is not above zero")
		}
		p.quantity(at+"granularity", r.Granularity)
	}
	return p.orNil()
}

// Validate implements [Body].
func (b QuotePolicyDeclared) Validate() error {
	var p Problems
	p.pair("pair", b.Pair)
	p.notNegative("fixed", b.Fixed.Sign())
	p.seconds("heartbeat_seconds", b.HeartbeatSeconds)
	p.seconds("margin_seconds", b.MarginSeconds)
	p.notNegative("max_deviation", b.MaxDeviation.Sign())
	p.notNegative("peg", b.Peg.Sign())
	p.notNegative("peg_warn", b.PegWarn.Sign())
	p.notNegative("peg_hold", b.PegHold.Sign())
	if b.MinSources < 0 || b.MinSources > 64 {
		p.add("min_sources", "%d is not between 0 and 64", b.MinSources)
	}
	if b.Fixed.Sign() > 0 {
		return p.orNil()
	}
	// Without a fixed quote only the guards prevent wrong prices.
	if b.HeartbeatSeconds == 0 {
		p.add("heartbeat_seconds", "is zero: without a fixed quote, how old one may be must be said")
	}
	if b.MinSources == 0 {
		p.add("min_sources", "is zero: at least one source must be fresh")
	}
	switch {
	case b.Peg.Sign() > 0 && b.PegHold.Sign() == 0:
		p.add("peg_hold", "is zero: a peg needs the band beyond which nothing is priced")
	case b.Peg.Sign() == 0 && (b.PegHold.Sign() != 0 || b.PegWarn.Sign() != 0):
		p.add("peg", "is zero, but a band around it is given")
	case b.PegWarn.Cmp(b.PegHold) > 0:
		p.add("peg_warn", "is above peg_hold")
	}
	return p.orNil()
}

// Validate implements [Body].
func (b QuotesObserved) Validate() error {
	var p Problems
	p.pair("pair", b.Pair)
	p.source("source", b.Source)
	if len(b.Rounds) == 0 {
		p.add("rounds", "is empty")
	}
	for i, r := range b.Rounds {
		at := fmt.Sprintf("rounds[%d].", i)
		p.name(at+"round", r.Round)
		p.time(at+"time", r.Time)
		if i > 0 && r.Time.Before(b.Rounds[i-1].Time) {
			p.add(at+"time", "is before the round above it: rounds are ascending in time")
		}
		if r.Rate.Sign() <= 0 {
			p.add(at+"rate", "is not above zero")
		}
	}
	return p.orNil()
}

// source checks a name that must not contain '#', which separates source and
// round in a quote.
func (p *Problems) source(field, s string) {
	p.name(field, s)
	if strings.Contains(s, "#") {
		p.add(field, "name has the character '#', which separates a source from its round")
	}
}

// Validate implements [Body].
func (b SuspenseReleased) Validate() error {
	var p Problems
	p.pair("pair", b.Pair)
	p.optionalName("book", string(b.Book))
	p.source("source", b.Source)
	p.name("round", b.Round)
	if strings.TrimSpace(b.Reason) == "" {
		p.add("reason", "is empty: say why it is released")
	}
	p.text("reason", b.Reason)
	return p.orNil()
}

// Validate implements [Body].
func (b DepositRecorded) Validate() error {
	var p Problems
	p.name("book", string(b.Book))
	p.name("customer", string(b.Customer))
	p.payable("asset", b.Asset)
	if b.Amount.Sign() <= 0 {
		p.add("amount", "is not above zero")
	} else if _, err := b.Asset.Decimals(); err == nil {
		if _, err := b.Amount.Minor(b.Asset); err != nil {
			p.add("amount", "%v is not a whole number of the minor unit of %s", b.Amount, b.Asset)
		}
	}
	p.text("reference", b.Reference)
	return p.orNil()
}

// Validate implements [Body].
func (b CollectionRequested) Validate() error {
	var p Problems
	p.name("book", string(b.Book))
	p.optionalName("customer", string(b.Customer))
	return p.orNil()
}

// Validate implements [Body].
func (b PeriodClosed) Validate() error {
	var p Problems
	p.name("book", string(b.Book))
	p.period("period", b.Period)
	p.text("reason", b.Reason)
	switch said := strings.TrimSpace(b.Reason) != ""; {
	case b.Early && !said:
		p.add("reason", "is empty: a period that is closed early needs one")
	case !b.Early && b.Reason != "":
		p.add("reason", "is given, but early is not set")
	}
	p.states("rests_on", b.RestsOn)
	return p.orNil()
}

// Validate implements [Body].
func (b PeriodReopened) Validate() error {
	var p Problems
	p.name("book", string(b.Book))
	p.period("period", b.Period)
	p.reason(b.Reason)
	for i, id := range b.Void {
		at := fmt.Sprintf("void_distributions[%d]", i)
		p.name(at, id)
		if i > 0 && id <= b.Void[i-1] {
			p.add(at, "is not after the one above it: ids ascend")
		}
	}
	return p.orNil()
}

// Validate implements [Body].
func (b RoundWithdrawn) Validate() error {
	var p Problems
	p.pair("pair", b.Pair)
	p.source("source", b.Source)
	p.name("round", b.Round)
	p.reason(b.Reason)
	return p.orNil()
}

// Validate implements [Body].
func (b DepositReversed) Validate() error {
	var p Problems
	if err := (DepositRecorded{Book: b.Book, Customer: b.Customer, Asset: b.Asset, Amount: b.Amount, Reference: b.Reference}).Validate(); err != nil {
		var found Problems
		errors.As(err, &found)
		p = append(p, found...)
	}
	p.name("deposit", b.Deposit)
	p.reason(b.Reason)
	return p.orNil()
}

// reason checks the reason for taking a decision back.
func (p *Problems) reason(s string) {
	if strings.TrimSpace(s) == "" {
		p.add("reason", "is empty: a decision that takes another one back says why")
	}
	p.text("reason", s)
}

func (p *Problems) period(field string, label Period) {
	calendar := Calendar("month")
	if len(label) > len("2006-01") {
		calendar = "day"
	}
	_, _, err := calendar.Parse(label)
	switch {
	case err == nil && len(label) >= len("2006-01"):
	case errors.Is(err, errPeriodRange):
		p.add(field, "%q is not between 1970-01 and 2262-03, or 2262-04-10: the range of times", Clip(string(label)))
	default:
		p.add(field, "%q is neither a month as 2006-01 nor a day as 2006-01-02", Clip(string(label)))
	}
}
