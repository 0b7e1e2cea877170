package quotes

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

const usdc = events.Pair("USDC/USD")

func amount(t testing.TB, s string) money.Amount {
	t.Helper()
	if s == "" {
		return money.Amount{}
	}
	a, err := money.ParseAmount(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// at is a second of a short day that all tables here use.
func at(second int64) time.Time { return time.Unix(1_700_000_000+second, 0).UTC() }

// observe adds "source round second rate" lines to a board.
func observe(t testing.TB, b *Board, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if err := try(t, b, line); err != nil {
			t.Fatal(err)
		}
	}
}

func try(t testing.TB, b *Board, line string) error {
	t.Helper()
	o := events.QuotesObserved{Pair: usdc}
	for _, part := range strings.Split(line, ";") {
		var source, round, rate string
		var second int64
		if _, err := fmt.Sscan(part, &source, &round, &second, &rate); err != nil {
			t.Fatal(err)
		}
		o.Source = source
		o.Rounds = append(o.Rounds, events.Round{Round: round, Time: at(second), Rate: amount(t, rate)})
	}
	return b.Observe(o)
}

func policy(t testing.TB, change func(*events.QuotePolicyDeclared)) events.QuotePolicyDeclared {
	p := events.QuotePolicyDeclared{
		Pair: usdc, HeartbeatSeconds: 60, MarginSeconds: 10, MinSources: 1,
		Peg: amount(t, "1"), PegWarn: amount(t, "0.005"), PegHold: amount(t, "0.02"),
	}
	if change != nil {
		change(&p)
	}
	return p
}

func TestAtDecidesAsThePackageCommentSays(t *testing.T) {
	two := func(p *events.QuotePolicyDeclared) { p.MinSources = 2 }
	narrow := func(p *events.QuotePolicyDeclared) { p.MinSources = 2; p.MaxDeviation = amount(t, "0.01") }
	for _, c := range []struct {
		name   string
		policy func(*events.QuotePolicyDeclared)
		rounds []string
		end    time.Time
		want   string // reason, or quote and id, and "warn"
	}{
		{"an event before the first observation is held", nil, []string{"a 1 10 1"}, at(9), "missing"},
		{"an event at the very instant of an observation uses it", nil, []string{"a 1 10 1"}, at(10), "1 a#1"},
		{"the latest observation not after the end counts", nil, []string{"a 1 10 1; a 2 20 1.001; a 3 30 1.002"}, at(29), "1.001 a#2"},
		// Fails when age ≤ window becomes age < window.
		{"an observation exactly as old as allowed prices", nil, []string{"a 1 10 1"}, at(80), "1 a#1"},
		{"a nanosecond later it is stale", nil, []string{"a 1 10 1"}, at(80).Add(1), "stale"},
		{"an observation after the end does not make it fresh", nil, []string{"a 1 10 1; a 2 200 1"}, at(100), "stale"},
		{"one fresh source where two are wanted is too few", two, []string{"a 1 10 1", "b 1 60 1"}, at(100), "few"},
		{"no fresh source where two are wanted is stale", two, []string{"a 1 10 1", "b 1 10 1"}, at(100), "stale"},
		{"two sources give their mean", two, []string{"a 1 10 1", "b 7 10 1.001"}, at(20), "1.0005 median:a#1,b#7"},
		// Fails when the mean is floored: 2 attos of difference, so the mean of odd attos ties to even.
		{"a mean between two attos goes to the even one", two, []string{"a 1 10 1.000000000000000001", "b 1 10 1.000000000000000002"}, at(20), "1.000000000000000002 median:a#1,b#1"},
		{"a mean between two attos goes down to the even one", two, []string{"a 1 10 1", "b 1 10 1.000000000000000001"}, at(20), "1 median:a#1,b#1"},
		// Fails when the mean of all replaces the median: 1 + 1.001 + 1.009.
		{"three sources give the middle one, and the id names all", nil, []string{"c 1 10 1.001", "a 1 10 1.004", "b 1 10 1"}, at(20), "1.001 median:a#1,b#1,c#1"},
		{"a stale source has no vote", nil, []string{"a 1 10 1.004", "b 1 90 1"}, at(100), "1 b#1"},
		{"sources apart by exactly the bound price", narrow, []string{"a 1 10 0.995", "b 1 10 1.005"}, at(20), "1 median:a#1,b#1"},
		// Fails when the deviation guard is removed.
		{"sources apart by an atto more are held", narrow, []string{"a 1 10 0.995", "b 1 10 1.005000000000000002"}, at(20), "deviating"},
		{"any two sources count, not only neighbours of the median", narrow, []string{"a 1 10 0.994", "b 1 10 1", "c 1 10 1.006"}, at(20), "deviating"},
		{"a quote off the peg by exactly the hold prices with a warning", nil, []string{"a 1 10 0.98"}, at(20), "0.98 a#1 warn"},
		// Fails when the peg guard looks at one side only.
		{"a quote below the peg by an atto more is held", nil, []string{"a 1 10 0.979999999999999999"}, at(20), "off_peg"},
		{"a quote above the peg by an atto more is held", nil, []string{"a 1 10 1.020000000000000001"}, at(20), "off_peg"},
		{"a quote off the peg by exactly the warning does not warn", nil, []string{"a 1 10 0.995"}, at(20), "0.995 a#1"},
		{"a quote off the peg by an atto more warns", nil, []string{"a 1 10 0.994999999999999999"}, at(20), "0.994999999999999999 a#1 warn"},
		{"a peg without a bound holds whatever is off it", func(p *events.QuotePolicyDeclared) { p.PegHold = money.Amount{} }, []string{"a 1 10 1.000000000000000001"}, at(20), "off_peg"},
		{"no peg holds nothing", func(p *events.QuotePolicyDeclared) { p.Peg = money.Amount{} }, []string{"a 1 10 3"}, at(20), "3 a#1"},
		{"a fixed quote needs no observation", func(p *events.QuotePolicyDeclared) { p.Fixed = amount(t, "1") }, nil, at(20), "1 fixed"},
		{"a policy without a heartbeat prices only at the instant of an observation", func(p *events.QuotePolicyDeclared) { p.HeartbeatSeconds, p.MarginSeconds = 0, 0 }, []string{"a 1 10 1"}, at(11), "stale"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Board
			if err := b.SetPolicy(policy(t, c.policy)); err != nil {
				t.Fatal(err)
			}
			observe(t, &b, c.rounds...)
			v := b.At(usdc, c.end.UnixNano())
			got := v.Quote.String() + " " + v.ID
			if v.Held {
				got = string(v.Reason)
				if !v.Quote.IsZero() || v.ID != "" {
					t.Errorf("held, and yet it has the quote %v %q", v.Quote, v.ID)
				}
			} else if v.Warn {
				got += " warn"
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if end := c.end.UnixNano(); end < v.From || end >= v.Until {
				t.Errorf("%d is outside its own verdict's [%d, %d)", end, v.From, v.Until)
			}
		})
	}
}

func TestAPairWithoutPolicyIsHeldAndEqualAssetsNeedNone(t *testing.T) {
	var b Board
	observe(t, &b, "a 1 10 1")
	if v := b.For("USDC", "USD", at(10).UnixNano()); !v.Held || v.Reason != NoPolicy {
		t.Errorf("got %+v", v)
	}
	if v := b.For("USD", "USD", at(10).UnixNano()); v.Held || v.Quote != money.One || v.ID != "" {
		t.Errorf("got %+v", v)
	}
}

func TestObserveTakesARepeatAndRefusesAChange(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"an equal repeat", "a 1 10 1; a 2 20 1.1", ""},
		{"a repeat that goes on with news", "a 2 20 1.1; a 3 30 1.2", ""},
		// Fails when a known round is skipped without comparing.
		{"another rate for a known round", "a 2 20 1.2", "is known"},
		{"another time for a known round", "a 2 21 1.1", "is known"},
		{"the same round twice in one message, unlike", "a 3 30 1; a 3 30 2", "is known"},
		{"an unknown round between known ones", "a 9 15 1", "not after"},
		{"an unknown round at the time of the last, with another rate", "a 9 20 1", "1.1 is known of that time"},
		{"an unknown round at a time before, with another rate", "a 9 10 1.1", "1 is known of that time"},
		{"a known rate under another name, last", "a 9 20 1.1", ""},
		{"a known rate under another name, before", "a 9 10 1", ""},
		{"two names of a new one", "a 3 30 1; a 4 30 1; a 5 40 1", ""},
		{"two rates at a new time", "a 3 30 1; a 4 30 2", "1 is known of that time"},
		{"a rate of zero", "a 3 30 0", "not above 0"},
		{"a rate below zero", "a 3 30 -1", "not above 0"},
		{"a rate beyond every bound", "a 3 30 1000000000000000001", "at most"},
		{"a round that could not be told from two", "a 3#4 30 1", "separates"},
		{"news before a fault are not taken either", "a 3 30 1; a 4 29 1", "not after"},
		{"another source may speak of earlier times", "b 1 5 1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Board
			observe(t, &b, "a 1 10 1; a 2 20 1.1")
			before := b.Revision()
			err := try(t, &b, c.line)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if b.Revision() != before {
				t.Error("the board changed")
			}
			if _, ok := b.Round(usdc, "a", "3"); ok {
				t.Error("a part of a refused observation was taken")
			}
		})
	}
	var b Board
	observe(t, &b, "a 1 10 1; a 2 20 1.1")
	if rate, ok := b.Round(usdc, "a", "2"); !ok || rate != amount(t, "1.1") {
		t.Errorf("round 2: got %v, %v", rate, ok)
	}
	if _, ok := b.Round(usdc, "b", "2"); ok {
		t.Error("a round of an unknown source")
	}
}

func TestSetPolicyRefusesWhatCouldNotBeCompared(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*events.QuotePolicyDeclared)
	}{
		{"no pair", func(p *events.QuotePolicyDeclared) { p.Pair = "USDC" }},
		{"a heartbeat below zero", func(p *events.QuotePolicyDeclared) { p.HeartbeatSeconds = -1 }},
		{"a margin of centuries", func(p *events.QuotePolicyDeclared) { p.MarginSeconds = 1 << 60 }},
		{"a fraction below zero", func(p *events.QuotePolicyDeclared) { p.PegHold = amount(t, "-0.1") }},
		{"a fraction above 100", func(p *events.QuotePolicyDeclared) { p.MaxDeviation = amount(t, "100.1") }},
		{"a peg beyond every bound", func(p *events.QuotePolicyDeclared) { p.Peg = amount(t, "1e19") }},
		{"sources below zero", func(p *events.QuotePolicyDeclared) { p.MinSources = -1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Board
			if err := b.SetPolicy(policy(t, c.change)); err == nil {
				t.Error("was taken")
			}
			if b.Revision() != 0 {
				t.Error("the board changed")
			}
		})
	}
}

func TestACachedVerdictCostsNoAllocation(t *testing.T) {
	var b Board
	if err := b.SetPolicy(policy(t, func(p *events.QuotePolicyDeclared) { p.Fixed = money.One })); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { b.At(usdc, at(0).UnixNano()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAt(b *testing.B) {
	var board Board
	if err := board.SetPolicy(policy(b, nil)); err != nil {
		b.Fatal(err)
	}
	for i := range int64(10_000) {
		observe(b, &board, fmt.Sprintf("a %d %d 1.001", i, i*60))
	}
	end := at(300_000).UnixNano()
	b.ReportAllocs()
	for b.Loop() {
		board.At(usdc, end)
	}
}
