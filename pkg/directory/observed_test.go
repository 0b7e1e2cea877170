package directory

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Fails when an observation from the future has an effect, when a bound is off
// by a nanosecond, or when a period is closed before its end without a word.
func TestNothingIsObservedBeforeItHappens(t *testing.T) {
	round := func(pair events.Pair, times ...string) events.QuotesObserved {
		o := events.QuotesObserved{Pair: pair, Source: "feed"}
		for i, text := range times {
			o.Rounds = append(o.Rounds, events.Round{Round: string(rune('a' + i)), Time: at(text), Rate: amount("1")})
		}
		return o
	}
	closing := func(book events.Book, period events.Period, reason string) events.PeriodClosed {
		return events.PeriodClosed{Book: book, Period: period, Early: reason != "", Reason: reason}
	}
	record := func(text string) events.DistributionDeclared {
		return events.DistributionDeclared{Distribution: "d", Token: "GPU1", Period: "2026-10", RecordDate: at(text)}
	}
	wide := us
	wide.FutureSeconds = 3600
	for _, c := range []struct {
		why   string
		more  []events.Body // declared before
		body  events.Body
		field string // of the refusal; empty: it is allowed
	}{
		{"a quote of 2062", nil, round("USDC/USD", "2062-01-01T00:00:00Z"), "rounds[0].time"},
		{"a quote at the tolerance", nil, round("USDC/USD", "2026-11-22T12:05:00Z"), ""},
		{"a quote a nanosecond beyond it", nil, round("USDC/USD", "2026-11-22T12:05:00.000000001Z"), "rounds[0].time"},
		{"the first round that is beyond it is named", nil, round("USDC/USD", "2026-11-22T12:05:00Z", "2026-11-22T12:06:00Z", "2026-11-22T12:07:00Z"), "rounds[1].time"},
		{"the widest book of the asset counts", []events.Body{wide}, round("USDC/USD", "2026-11-22T13:00:00Z"), ""},
		{"and no further", []events.Body{wide}, round("USDC/USD", "2026-11-22T13:00:00.000000001Z"), "rounds[0].time"},
		{"an asset without a book has five minutes", []events.Body{wide}, round("EURC/EUR", "2026-11-22T12:05:00.000000001Z"), "rounds[0].time"},
		{"a quote of the last year there is", nil, round("USDC/USD", "2261-12-31T23:59:59Z"), "rounds[0].time"},

		{"a record date of next year", nil, record("2027-06-01T00:00:00Z"), "record_date"},
		{"a record date at the tolerance", nil, record("2026-11-22T12:05:00Z"), ""},
		{"a record date a nanosecond beyond it", nil, record("2026-11-22T12:05:00.000000001Z"), "record_date"},

		{"a month that has ended", nil, closing("eu", "2026-10", ""), ""},
		{"the running month", nil, closing("eu", "2026-11", ""), "period"},
		{"the running month, early", nil, closing("eu", "2026-11", "the customer leaves"), ""},
		{"a month of the next century, early", nil, closing("eu", "2126-11", "typing"), "period"},
		{"the next month, early", nil, closing("eu", "2026-12", "typing"), "period"},
		{"today, of a book of days", nil, closing("us", "2026-11-22", ""), "period"},
		{"yesterday", nil, closing("us", "2026-11-21", ""), ""},
		{"tomorrow, early, in a book without tolerance", nil, closing("us", "2026-11-23", "typing"), "period"},
		{"a month that ended, early all the same", nil, closing("eu", "2026-10", "to be sure"), ""},
	} {
		f := declared(t)
		f.do(c.more...)
		f.do(events.PeriodClosed{Book: "eu", Period: "2026-09"})
		err := f.d.Future(c.body, noon)
		var found events.Problems
		switch {
		case c.field == "" && err != nil:
			t.Errorf("%s: %v", c.why, err)
		case c.field != "" && (!errors.As(err, &found) || len(found) != 1 || found[0].Field != c.field):
			t.Errorf("%s: %v", c.why, err)
		}
		// The fold asks the very same.
		applied := f.d.Apply(f.d.Position()+1, events.Decision{ID: "x", Actor: "a", At: noon, Body: c.body})
		if _, declares := c.body.(events.DistributionDeclared); declares && c.field == "" {
			continue // Void for another reason: 2026-10 is open.
		}
		if (applied == nil) != (c.field == "") || err != nil && applied.Error() != err.Error() {
			t.Errorf("%s: applied with %v", c.why, applied)
		}
	}
}

func TestAnEarlyClosingSaysWhy(t *testing.T) {
	for _, c := range []events.PeriodClosed{
		{Book: "eu", Period: "2026-11", Early: true},
		{Book: "eu", Period: "2026-11", Early: true, Reason: " \t"},
		{Book: "eu", Period: "2026-11", Reason: "why"},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "reason") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Fails when a period is reopened that a distribution rests on, when an earlier
// one is reopened with it, or when the same closing cannot be decided again.
func TestAPeriodIsReopenedWhileNothingRestsOnIt(t *testing.T) {
	f := declared(t)
	reopen := func(p events.Period) events.PeriodReopened {
		return events.PeriodReopened{Book: "eu", Period: p, Reason: "mistaken"}
	}
	closed := func(want events.Period, through string) {
		t.Helper()
		b, _ := f.d.Book("eu")
		if b.Closed != want || b.ClosedThrough != at(through).UnixNano() {
			t.Errorf("closed up to %q, %v, not %q", b.Closed, time.Unix(0, b.ClosedThrough).UTC(), want)
		}
	}
	f.void("a period that was never closed", reopen("2026-09"), "is not closed")
	october := events.PeriodClosed{Book: "eu", Period: "2026-10"}
	if err := f.applyAs("close:2026-10", october); err != nil {
		t.Fatal(err)
	}
	f.do(events.PeriodClosed{Book: "eu", Period: "2026-12"})
	f.void("one after the last", reopen("2027-01"), "is not closed")
	f.void("one of another calendar", reopen("2026-10-01"), "not of the form")
	f.void("no reason", events.PeriodReopened{Book: "eu", Period: "2026-12"}, "reason")
	if f.d.Apply(f.d.Position()+1, events.Decision{ID: "close:2026-10", Actor: "a", At: recorded, Body: october}) != ErrRepeat {
		t.Error("a closing that stands is no repeat")
	}
	f.do(reopen("2026-11"))
	closed("2026-10", "2026-11-01T00:00:00Z")
	// Fails when the closing that ends where the reopened period begins is forgotten.
	if err := f.applyAs("close:2026-10", october); err != ErrRepeat {
		t.Errorf("the closing before the reopened period, said again: %v", err)
	}
	if p, _ := f.d.Posting("eu", at("2026-11-15T00:00:00Z").UnixNano()); p.Late || p.Period != "2026-11" {
		t.Errorf("usage of a reopened period is posted as %+v", p)
	}
	f.do(events.DistributionDeclared{Distribution: "d1", Token: "GPU1", Period: "2026-10", RecordDate: noon})
	f.void("a distribution rests on it", reopen("2026-10"), `distribution "d1" rests on`)
	f.void("and on those before it", reopen("2026-09"), `distribution "d1" rests on`)
	// Fails when one void distribution frees another, or those that are void are not
	// passed over.
	over := func(p events.Period, ids ...string) events.PeriodReopened {
		return events.PeriodReopened{Book: "eu", Period: p, Reason: "mistaken", Void: ids}
	}
	f.void("another one is void", over("2026-10", "d0"), `distribution "d1" rests on`)
	f.void("ids that do not ascend", over("2026-10", "d1", "d0"), "ascend")
	if got := f.d.Resting("eu", "2026-10"); !slices.Equal(got, []string{"d1"}) || f.d.Resting("us", "2026-10-01") != nil || f.d.Resting("eu", "2026-11") != nil {
		t.Errorf("%q rest on 2026-10", got)
	}
	if _, after := f.d.Rehearse([]events.Body{over("2026-10", "d1")}); after.ClosedThrough("eu") != at("2026-10-01T00:00:00Z").UnixNano() {
		t.Error("a void distribution keeps its period closed")
	}
	// Another book's distribution rests on nothing of this one: fails when every
	// distribution is asked for.
	f.do(events.PeriodClosed{Book: "us", Period: "2026-10-01"}, events.PeriodReopened{Book: "us", Period: "2026-10-01", Reason: "mistaken"})
	if b, _ := f.d.Book("us"); b.ClosedThrough != at("2026-10-01T00:00:00Z").UnixNano() {
		t.Errorf("the other book is closed up to %v", time.Unix(0, b.ClosedThrough).UTC())
	}
	f.do(events.PeriodClosed{Book: "eu", Period: "2026-12"}, reopen("2026-12"))
	closed("2026-11", "2026-12-01T00:00:00Z")

	// Without a distribution, a closing can be taken back and decided again.
	g := declared(t)
	if err := g.applyAs("close:2026-10", october); err != nil {
		t.Fatal(err)
	}
	g.do(reopen("2026-09"))
	if err := g.applyAs("close:2026-10", october); err != nil {
		t.Errorf("closed again: %v", err)
	}
	if err := g.applyAs("close:2026-10", october); err != ErrRepeat {
		t.Errorf("closed twice: %v", err)
	}
}

// Fails when a deposit is reversed that was not recorded so, or twice, or when
// its reference brings it back.
func TestADepositIsReversedOnce(t *testing.T) {
	f := declared(t)
	deposit := events.DepositRecorded{Book: "eu", Customer: "lab", Asset: "USDC", Amount: amount("10"), Reference: "wire 1"}
	reversal := events.DepositReversed{Book: "eu", Customer: "lab", Asset: "USDC", Amount: amount("10"), Reference: "wire 1", Deposit: "wire-1", Reason: "another's"}
	f.void("before it is recorded", reversal, "is recorded")
	if err := f.applyAs("wire-1", deposit); err != nil {
		t.Fatal(err)
	}
	for why, wrong := range map[string]func(*events.DepositReversed){
		"another amount":    func(b *events.DepositReversed) { b.Amount = amount("10.000001") },
		"another reference": func(b *events.DepositReversed) { b.Reference = "wire 2" },
		"another decision":  func(b *events.DepositReversed) { b.Deposit = "d-3" },
	} {
		b := reversal
		wrong(&b)
		f.void(why, b, "is recorded")
	}
	f.do(reversal)
	f.void("twice", reversal, "was decided before")
	if err := f.applyAs("wire-1", deposit); err == nil || !strings.Contains(err.Error(), "a reversal of deposit") {
		t.Errorf("the same deposit again: %v", err)
	}
}

// The bounds of a closing in time, each included. Fails when a period that ends as
// it is closed counts as not ended, or when one that begins at the end of the
// book's tolerance cannot be closed early.
func TestAPeriodIsClosedFromItsEndOnOrEarlyFromItsBeginning(t *testing.T) {
	for _, c := range []struct {
		name, on string // when it is recorded; the book's tolerance is 300 s
		early    bool
		want     string // part of the reason; empty: it takes effect
	}{
		{"at its end", "2026-12-01T00:00:00Z", false, ""},
		{"a nanosecond before", "2026-11-30T23:59:59.999999999Z", false, "has not ended"},
		{"a nanosecond before, early", "2026-11-30T23:59:59.999999999Z", true, ""},
		{"within the tolerance, not early", "2026-11-30T23:55:00Z", false, "has not ended"},
		{"at its beginning, early", "2026-11-01T00:00:00Z", true, ""},
		{"at its beginning, less the tolerance, early", "2026-10-31T23:55:00Z", true, ""},
		{"a nanosecond before that", "2026-10-31T23:54:59.999999999Z", true, "has not begun"},
	} {
		f := declared(t)
		body := events.PeriodClosed{Book: "eu", Period: "2026-11", Early: c.early}
		if c.early {
			body.Reason = "the book ends"
		}
		err := f.d.Apply(f.d.Position()+1, events.Decision{ID: "close", Actor: "operator:alice", At: at(c.on), Body: body})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// Fails when a deposit beyond the limit keeps its id, counts, or can be reversed
// against what another deposit brought; and when reversing one makes room again.
func TestADepositBeyondTheLimitLeavesNothing(t *testing.T) {
	f := declared(t)
	deposit := func(text string) events.DepositRecorded {
		return events.DepositRecorded{Book: "eu", Customer: "lab", Asset: "USDC", Amount: amount(text), Reference: "wire"}
	}
	reversal := func(text, id string) events.DepositReversed {
		return events.DepositReversed{Book: "eu", Customer: "lab", Asset: "USDC", Amount: amount(text), Reference: "wire", Deposit: id, Reason: "another's"}
	}
	const whole = "1329227995784915872.903807" // the limit, in whole minor units
	if err := f.applyAs("one", deposit("1")); err != nil {
		t.Fatal(err)
	}
	if err := f.applyAs("much", deposit(whole)); err == nil || !strings.Contains(err.Error(), "limit of the ledger") {
		t.Fatalf("a deposit beyond the limit: %v", err)
	}
	f.void("reversed", reversal(whole, "much"), "is recorded")
	f.do(reversal("1", "one"))
	const rest = "1329227995784915871.903807"
	if err := f.applyAs("much", deposit(whole)); err == nil {
		t.Error("a reversal made room below the limit")
	}
	if err := f.applyAs("much", deposit(rest)); err != nil {
		t.Errorf("the id of a void deposit, used for what fits: %v", err)
	}
}
