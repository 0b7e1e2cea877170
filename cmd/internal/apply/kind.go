package apply

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// kind is what is the same for all declarations of one kind.
type kind struct {
	// rank puts what is referred to before what refers to it.
	rank int
	// identity names what is declared, such as `node "gpu-7"`.
	identity func(events.Body) string
	// format returns the document that declares a body, for encoding/json.
	format func(events.Body) (any, error)
}

// kinds has an entry for each of [events.Kinds] that stands.
var kinds = map[string]kind{
	events.ProviderDeclared{}.Kind():    declares(0, nameProvider, formatProvider),
	events.BookDeclared{}.Kind():        declares(1, nameBook, formatBook),
	events.MeterDeclared{}.Kind():       declares(2, nameMeter, formatMeter),
	events.QuotePolicyDeclared{}.Kind(): declares(3, namePolicy, formatPolicy),
	events.CardDeclared{}.Kind():        declares(4, nameCard, formatCard),
	events.NodeDeclared{}.Kind():        declares(5, nameNode, formatNode),
	events.CustomerDeclared{}.Kind():    declares(6, nameCustomer, formatCustomer),
	events.TokenDeclared{}.Kind():       declares(7, nameToken, formatToken),
	events.WaterfallDeclared{}.Kind():   declares(8, nameWaterfall, formatWaterfall),
	events.KeyIssued{}.Kind():           declares(9, nameKey, formatKey),
	events.HoldersListed{}.Kind():       declares(9, nameList, formatList),
}

// documents are the kinds of documents, in the order of the format's description.
// A kind of declaration has one or more of them: a list of nodes declares nodes.
var documents = []struct {
	name     string // in the field kind
	declares string // kind of the bodies
	read     func(*parser, *yaml.Node)
}{
	{"Provider", events.ProviderDeclared{}.Kind(), (*parser).provider},
	{"Book", events.BookDeclared{}.Kind(), (*parser).book},
	{"Meter", events.MeterDeclared{}.Kind(), (*parser).meter},
	{"QuotePolicy", events.QuotePolicyDeclared{}.Kind(), (*parser).quotePolicy},
	{"Card", events.CardDeclared{}.Kind(), (*parser).card},
	{"Node", events.NodeDeclared{}.Kind(), (*parser).node},
	{"Nodes", events.NodeDeclared{}.Kind(), (*parser).nodes},
	{"Customer", events.CustomerDeclared{}.Kind(), (*parser).customer},
	{"Customers", events.CustomerDeclared{}.Kind(), (*parser).customers},
	{"Token", events.TokenDeclared{}.Kind(), (*parser).token},
	{"Waterfall", events.WaterfallDeclared{}.Kind(), (*parser).waterfall},
	{"Holds", events.HoldersListed{}.Kind(), (*parser).holds},
	{"Key", events.KeyIssued{}.Kind(), (*parser).key},
}

func declares[B events.Body](rank int, identity func(B) string, format func(B) (any, error)) kind {
	return kind{
		rank:     rank,
		identity: func(b events.Body) string { return identity(b.(B)) },
		format:   func(b events.Body) (any, error) { return format(b.(B)) },
	}
}

// reader returns what reads the documents of a name, or nil.
func reader(name string) func(*parser, *yaml.Node) {
	for _, d := range documents {
		if d.name == name {
			return d.read
		}
	}
	return nil
}

// documentNames lists every kind of document, for a message.
func documentNames() string {
	names := make([]string, len(documents))
	for i, d := range documents {
		names[i] = d.name
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// sorted puts declarations into an order in which each can take effect.
func sorted(all []Declaration) []Declaration {
	slices.SortStableFunc(all, func(a, b Declaration) int {
		if c := kinds[a.Body.Kind()].rank - kinds[b.Body.Kind()].rank; c != 0 {
			return c
		}
		if a, ok := a.Body.(events.CardDeclared); ok {
			return a.Version - b.Body.(events.CardDeclared).Version
		}
		return 0
	})
	return all
}

// Identity names what a body declares, such as `node "gpu-7"`; of other bodies it
// returns the kind.
func Identity(body events.Body) string {
	if k, ok := kinds[body.Kind()]; ok {
		return k.identity(body)
	}
	return body.Kind()
}

func nameProvider(b events.ProviderDeclared) string { return fmt.Sprintf("provider %q", b.Provider) }

func nameBook(b events.BookDeclared) string { return fmt.Sprintf("book %q", b.Book) }

func nameMeter(b events.MeterDeclared) string {
	return fmt.Sprintf("meter %q of book %q", b.Meter, b.Book)
}

func namePolicy(b events.QuotePolicyDeclared) string {
	return fmt.Sprintf("quote policy of %q", b.Pair)
}

func nameCard(b events.CardDeclared) string {
	return fmt.Sprintf("version %d of card %q of book %q", b.Version, b.Card, b.Book)
}

func nameNode(b events.NodeDeclared) string { return fmt.Sprintf("node %q", b.Node) }

func nameCustomer(b events.CustomerDeclared) string { return fmt.Sprintf("customer %q", b.Customer) }

func nameToken(b events.TokenDeclared) string { return fmt.Sprintf("token %q", b.Token) }

func nameWaterfall(b events.WaterfallDeclared) string { return fmt.Sprintf("waterfall of %q", b.Token) }

func nameKey(b events.KeyIssued) string { return fmt.Sprintf("key %q", b.Key) }

func nameList(b events.HoldersListed) string {
	return fmt.Sprintf("part %d of list %q", b.Part, b.List)
}
