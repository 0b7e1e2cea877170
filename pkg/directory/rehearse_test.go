package directory

import (
	"reflect"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Fails when clone leaves out a table that some declaration changes.
func TestARehearsalChangesNothing(t *testing.T) {
	f, untouched := declared(t), declared(t)
	list := events.HoldersListed{List: "ofac", Parts: 2, Holders: []events.Holder{"alice"}}
	for _, each := range []*fold{f, untouched} {
		each.do(list, events.KeyIssued{Key: "k", SHA256: strings.Repeat("a", 64), Scope: "operator"})
	}
	second := card
	second.Version = 2
	list.Part, list.Holders = 1, []events.Holder{"bob"}
	bodies := []events.Body{
		events.ProviderDeclared{Provider: "globex"},
		events.BookDeclared{Book: "asia", Provider: "globex", Calendar: "day", TimeZone: "UTC", Asset: "USDC"},
		events.BookDeclared{Book: "eu", Provider: "acme", Calendar: "month", TimeZone: "UTC", Asset: "USDC", HorizonSeconds: 60},
		events.NodeDeclared{Node: "gpu-3", Book: "eu"}, events.NodeDeclared{Node: "gpu-2", Book: "eu", Attributes: map[string]string{"gpu": "A100"}},
		events.CustomerDeclared{Customer: "lab", Book: "eu", Plan: "free"}, events.CustomerDeclared{Customer: "new", Book: "asia"},
		events.MeterDeclared{Meter: "tokens", Book: "eu", Unit: "1"}, second,
		events.QuotePolicyDeclared{Pair: "USDC/EUR", Fixed: amount("1")},
		events.TokenDeclared{Token: "GPU1", Book: "eu", Nodes: []events.Node{"gpu-2"}}, events.TokenDeclared{Token: "ALL", Book: "eu", Pool: true},
		events.WaterfallDeclared{Token: "GPU1", FeeBasisPoints: 1},
		events.KeyRevoked{Key: "k"}, events.KeyIssued{Key: "l", SHA256: strings.Repeat("b", 64), Scope: "auditor"}, list,
	}
	reasons, after := f.d.Rehearse(bodies)
	for i, reason := range reasons {
		if reason != nil {
			t.Errorf("%s: %v", bodies[i].Kind(), reason)
		}
	}
	if !reflect.DeepEqual(f.d, untouched.d) {
		t.Errorf("the rehearsal changed the directory to\n%s\nfrom\n%s", f.state(), untouched.state())
	}
	// It is the directory that CONTROL would give.
	f.do(bodies...)
	if !sameDeclarations(after, f.d) {
		t.Errorf("rehearsed\n%s\nand in effect\n%s", (&fold{t: t, d: after}).state(), f.state())
	}
}

// sameDeclarations compares what declarations change: a rehearsal has no
// positions and no ids.
func sameDeclarations(a, b *Directory) bool {
	one, two := a.clone(), b.clone()
	one.position, two.position, one.ids, two.ids, one.voids, two.voids = 0, 0, nil, nil, nil, nil
	return reflect.DeepEqual(one, two)
}

func TestARehearsalSaysWhatWouldBeVoid(t *testing.T) {
	later := card
	later.Version = 3
	for _, test := range []struct {
		name   string
		bodies []events.Body
		want   []string // of each body: part of the reason, or empty
	}{
		{"what refers to what comes before it", []events.Body{events.NodeDeclared{Node: "n", Book: "new"}, events.BookDeclared{Book: "new", Provider: "acme", Calendar: "day", TimeZone: "UTC", Asset: "USDC"}}, []string{`book "new" is not declared`, ""}},
		{"what refers to what is void", []events.Body{events.BookDeclared{Book: "new", Provider: "nobody", Calendar: "day", TimeZone: "UTC", Asset: "USDC"}, events.NodeDeclared{Node: "n", Book: "new"}}, []string{`provider "nobody" is not declared`, `book "new" is not declared`}},
		{"against what stands", []events.Body{events.NodeDeclared{Node: "gpu-1", Book: "us"}, events.CustomerDeclared{Customer: "lab", Book: "us"}}, []string{`node "gpu-1" is of book "eu"`, `customer "lab" is of book "eu"`}},
		{"a card that leaves a gap", []events.Body{later}, []string{"would leave a gap"}},
		{"what stands in the same words", []events.Body{acme, eu, gpu1, card, peg, token, falls}, make([]string, 7)},
		{"what cannot be meant at all", []events.Body{events.NodeDeclared{Node: "a b", Book: "eu"}}, []string{"node"}},
		{"a node of two tokens in one file", []events.Body{events.TokenDeclared{Token: "X", Book: "eu", Nodes: []events.Node{"gpu-2"}}, events.TokenDeclared{Token: "Y", Book: "eu", Nodes: []events.Node{"gpu-2"}}}, []string{"", `belongs to token "X"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			reasons, _ := declared(t).d.Rehearse(test.bodies)
			for i, want := range test.want {
				switch reason := reasons[i]; {
				case want == "" && reason != nil:
					t.Errorf("declaration %d is void: %v", i, reason)
				case want != "" && (reason == nil || !strings.Contains(reason.Error(), want)):
					t.Errorf("declaration %d: %v, want %q", i, reason, want)
				}
			}
		})
	}
}
