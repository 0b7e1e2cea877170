package pricing

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func amount(t testing.TB, s string) money.Amount {
	t.Helper()
	a, err := money.ParseAmount(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func quantity(t testing.TB, s string) money.Quantity {
	t.Helper()
	q, err := money.ParseQuantity(s)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// day is noon of a day of January 2026.
func day(n int) time.Time { return time.Date(2026, 1, n, 12, 0, 0, 0, time.UTC) }

// attributes reads "a=1 b=2".
func attributes(s string) []events.Attribute {
	var all []events.Attribute
	for _, pair := range strings.Fields(s) {
		name, value, _ := strings.Cut(pair, "=")
		all = append(all, events.Attribute{Name: name, Value: value})
	}
	slices.SortFunc(all, byName)
	return all
}

// declare makes a version of a card from rules "meter a=1 b=2 @price".
func declare(t testing.TB, name string, version int, effective time.Time, rules ...string) events.CardDeclared {
	d := events.CardDeclared{Card: events.Card(name), Version: version, Book: "book", Currency: "USD", Effective: effective}
	for _, text := range rules {
		head, price, _ := strings.Cut(text, "@")
		meter, match, _ := strings.Cut(head, " ")
		r := events.CardRule{Meter: events.Meter(meter), Match: map[string]string{}, Price: amount(t, price), Per: quantity(t, "1")}
		for _, a := range attributes(match) {
			r.Match[a.Name] = a.Value
		}
		d.Rules = append(d.Rules, r)
	}
	return d
}

func TestFindFollowsThePackageComment(t *testing.T) {
	type cards = []events.CardDeclared
	one := cards{declare(t, "a", 1, day(1), "gpu @1", "gpu model=h100 @2", "gpu region=eu model=h100 @3", "gpu region=eu @4", "tokens @9")}
	dated := cards{
		declare(t, "a", 1, day(10), "gpu @1"),
		declare(t, "a", 2, day(20), "gpu @2"),
	}
	for _, c := range []struct {
		name  string
		cards cards
		meter string
		with  string
		end   time.Time
		want  string // card@version:rule, or nothing
	}{
		{"a rule without pairs matches every event of its meter", one, "gpu", "", day(5), "a@1:0"},
		{"and of no other meter", one, "disk", "", day(5), ""},
		// Fails when the first match wins.
		{"most pairs win", one, "gpu", "model=h100 region=eu", day(5), "a@1:2"},
		{"an attribute that no rule names changes nothing", one, "gpu", "zone=4 model=h100 alpha=1", day(5), "a@1:1"},
		{"an attribute with another value does not match", one, "gpu", "model=a100", day(5), "a@1:0"},
		{"an attribute whose value is a prefix does not match", one, "gpu", "model=h1001", day(5), "a@1:0"},
		{"a value counts as bytes: case matters", one, "gpu", "model=H100", day(5), "a@1:0"},
		{"of equal rules the earlier wins", cards{declare(t, "a", 1, day(1), "gpu x=1 @1", "gpu y=1 @2", "gpu x=1 @3")}, "gpu", "x=1 y=1", day(5), "a@1:0"},
		{"nothing is in force before the first version", dated, "gpu", "", day(10).Add(-1), ""},
		// Fails when "not after" becomes "before".
		{"a version is in force at its own instant", dated, "gpu", "", day(10), "a@1:0"},
		{"until a nanosecond before the next", dated, "gpu", "", day(20).Add(-1), "a@1:0"},
		{"where the next is in force", dated, "gpu", "", day(20), "a@2:0"},
		{"a backdated version counts from its own date to the date of its predecessor",
			append(slices.Clone(dated), declare(t, "a", 3, day(15), "gpu @3")), "gpu", "", day(17), "a@3:0"},
		// Fails when the highest version wins regardless of its date.
		{"and gives way to an earlier version that is effective later",
			append(slices.Clone(dated), declare(t, "a", 3, day(15), "gpu @3")), "gpu", "", day(21), "a@2:0"},
		{"of two versions of one date the higher is in force",
			append(slices.Clone(dated), declare(t, "a", 3, day(20), "gpu @3")), "gpu", "", day(20), "a@3:0"},
		{"a version that drops a rule ends it", cards{
			declare(t, "a", 1, day(1), "gpu @1"), declare(t, "a", 2, day(9), "tokens @1")}, "gpu", "", day(9), ""},
		{"another card goes on then", cards{
			declare(t, "a", 1, day(1), "gpu @1"), declare(t, "a", 2, day(9), "tokens @1"), declare(t, "b", 1, day(1), "gpu @5")}, "gpu", "", day(9), "b@1:0"},
		{"pairs go before dates", cards{
			declare(t, "a", 1, day(1), "gpu x=1 @1"), declare(t, "b", 1, day(2), "gpu @1")}, "gpu", "x=1", day(9), "a@1:0"},
		{"of as many pairs the card of the later date wins", cards{
			declare(t, "a", 1, day(1), "gpu x=1 @1"), declare(t, "b", 1, day(2), "gpu y=1 @1")}, "gpu", "x=1 y=1", day(9), "b@1:0"},
		{"whatever the order of names", cards{
			declare(t, "a", 1, day(2), "gpu x=1 @1"), declare(t, "b", 1, day(1), "gpu y=1 @1")}, "gpu", "x=1 y=1", day(9), "a@1:0"},
		// Fails when the last of equals wins.
		{"of the same date the first name wins", cards{
			declare(t, "b", 1, day(1), "gpu @1"), declare(t, "a", 1, day(1), "gpu @1"), declare(t, "c", 1, day(1), "gpu @1")}, "gpu", "", day(9), "a@1:0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var table Table
			for _, d := range c.cards {
				if err := table.Add(d); err != nil {
					t.Fatal(err)
				}
			}
			line, ok := table.find("book", events.Meter(c.meter), attributes(c.with), c.end.UnixNano())
			got := ""
			if ok {
				got = fmt.Sprintf("%s:%d", line.Card, line.Rule)
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if _, ok := table.find("other", events.Meter(c.meter), attributes(c.with), c.end.UnixNano()); ok {
				t.Error("another book found it")
			}
		})
	}
}

func TestAddRefusesWhatItCannotPriceWith(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*events.CardDeclared)
		want   string
	}{
		{"a version that is known", func(d *events.CardDeclared) { d.Version = 1 }, "version: the next one is 2"},
		{"a gap", func(d *events.CardDeclared) { d.Version = 3 }, "version: the next one is 2"},
		{"no rules", func(d *events.CardDeclared) { d.Rules = nil }, "rules: 0 rules are not between"},
		{"a price below zero", func(d *events.CardDeclared) { d.Rules[0].Price = money.Atto(-1) }, "rules[0].price"},
		{"a price per nothing", func(d *events.CardDeclared) { d.Rules[0].Per = money.Quantity{} }, "rules[0].per"},
		{"a granularity below zero", func(d *events.CardDeclared) { d.Rules[0].Granularity = quantity(t, "-1") }, "rules[0].granularity"},
		{"a rule of no meter", func(d *events.CardDeclared) { d.Rules[0].Meter = "" }, "rules[0].meter"},
		{"a pair of no name", func(d *events.CardDeclared) { d.Rules[0].Match = map[string]string{"": "x"} }, "rules[0].match"},
		{"no currency", func(d *events.CardDeclared) { d.Currency = "" }, "currency"},
		{"a date before 1970", func(d *events.CardDeclared) { d.Effective = time.Unix(-1, 0) }, "effective"},
		{"a date beyond 2262", func(d *events.CardDeclared) { d.Effective = time.Unix(1<<40, 0) }, "effective"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var table Table
			if err := table.Add(declare(t, "a", 1, day(1), "gpu @1")); err != nil {
				t.Fatal(err)
			}
			d := declare(t, "a", 2, day(2), "gpu @2")
			c.change(&d)
			err := table.Add(d)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if line, _ := table.find("book", "gpu", nil, day(3).UnixNano()); line.Card != "a@1" || table.Revision() != 1 {
				t.Errorf("the table changed: %+v", line)
			}
		})
	}
}

func TestMergeLetsTheNodeAndThePlanOverride(t *testing.T) {
	for _, c := range []struct{ name, event, node, plan, want string }{
		{"nothing", "", "", "", ""},
		{"an event's own", "a=1 c=3", "", "", "a=1 c=3"},
		// Fails when the event overrides its node.
		{"a node's, which override", "a=1 c=3", "b=2 c=4", "", "a=1 b=2 c=4"},
		{"a plan goes where its name belongs", "a=1 z=2", "b=2", "gold", "a=1 b=2 plan=gold z=2"},
		// Fails when an event can choose its own plan.
		{"a plan overrides what others say it is", "plan=free", "plan=node", "gold", "plan=gold"},
		{"without a plan an event may name one", "plan=free", "", "", "plan=free"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := []events.Attribute{{Name: "kept", Value: "before"}}
			got := merge(dst, attributes(c.event), attributes(c.node), c.plan)
			if got[0] != dst[0] || !slices.Equal(got[1:], attributes(c.want)) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
