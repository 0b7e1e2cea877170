package apply

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"
	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/cmd/internal/document"
	"github.com/aliquot-engine/aliquot/internal/registerfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Defaults of a book.
const (
	defaultHorizon = 35 * 24 * 60 * 60 // seconds
	defaultFuture  = 300               // seconds
)

func (p *parser) document(n *yaml.Node) {
	p.at = map[string]*yaml.Node{}
	if n.Kind != yaml.MappingNode {
		p.Problem(n, "", "should be a mapping that begins with kind")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != "kind" {
			continue
		}
		kind := n.Content[i+1]
		read := reader(kind.Value)
		if read == nil {
			p.Problem(kind, "kind", "%q is not one of %s", document.Clip(kind.Value), documentNames())
			return
		}
		read(p, n)
		return
	}
	p.Problem(n, "kind", "is missing")
}

// key declares a public nkey: a secret does not belong into a file.
func (p *parser) key(n *yaml.Node) {
	f := p.mapping(n, "", "kind", "key", "provider", "nkey")
	b := events.KeyIssued{Key: f.text("key"), NKey: f.text("nkey"), Scope: "provider", Provider: events.Provider(f.text("provider"))}
	if len(problemsOf(b)) == 0 && !nkeys.IsValidPublicUserKey(b.NKey) {
		p.Problem(p.at["nkey"], "nkey", "has a wrong letter: its checksum is not that of what stands before it")
	}
	p.declare(n, "", b)
}

func (p *parser) provider(n *yaml.Node) {
	f := p.mapping(n, "", "kind", "provider", "name")
	p.declare(n, "", events.ProviderDeclared{Provider: events.Provider(f.text("provider")), Name: f.text("name")})
}

func (p *parser) book(n *yaml.Node) {
	f := p.mapping(n, "", "kind", "book", "provider", "calendar", "time_zone", "asset", "horizon", "future", "received", "partition")
	b := events.BookDeclared{
		Book:              events.Book(f.text("book")),
		Provider:          events.Provider(f.text("provider")),
		Calendar:          f.text("calendar"),
		TimeZone:          f.text("time_zone"),
		Asset:             money.Asset(f.text("asset")),
		FutureSeconds:     f.seconds("future", defaultFuture),
		ReceivedFromEvent: f.choice("received", "event", "now"),
		Partition:         f.number("partition", 0),
	}
	if b.Calendar == "" && f.value["calendar"] == nil {
		b.Calendar = "month"
	}
	if b.TimeZone == "" && f.value["time_zone"] == nil {
		b.TimeZone = "UTC"
	}
	if h := f.value["horizon"]; h == nil || h.Value != "none" {
		b.HorizonSeconds = f.seconds("horizon", defaultHorizon)
		if b.HorizonSeconds == 0 && h != nil && h.Kind == yaml.ScalarNode {
			p.Problem(h, "horizon", "is zero: write none for a book without horizon")
		}
	}
	p.declare(n, "", b)
}

func (p *parser) meter(n *yaml.Node) {
	f := p.mapping(n, "", "kind", "meter", "book", "unit", "max")
	p.declare(n, "", events.MeterDeclared{
		Meter: events.Meter(f.text("meter")), Book: events.Book(f.text("book")), Unit: f.text("unit"), Max: f.quantity("max", "0"),
	})
}

func (p *parser) quotePolicy(n *yaml.Node) {
	f := p.mapping(n, "", "kind", "pair", "fixed", "heartbeat", "margin", "max_deviation", "min_sources", "peg", "peg_warn", "peg_hold")
	b := events.QuotePolicyDeclared{
		Pair:             events.Pair(f.text("pair")),
		Fixed:            f.amount("fixed"),
		HeartbeatSeconds: f.seconds("heartbeat", 0),
		MarginSeconds:    f.seconds("margin", 0),
		MaxDeviation:     f.fraction("max_deviation"),
		Peg:              f.amount("peg"),
		PegWarn:          f.fraction("peg_warn"),
		PegHold:          f.fraction("peg_hold"),
	}
	if f.value["fixed"] == nil {
		b.MinSources = f.number("min_sources", 1)
	} else {
		if b.Fixed.IsZero() {
			p.Problem(f.value["fixed"], "fixed", "is zero")
		}
		for _, guard := range []string{"heartbeat", "margin", "max_deviation", "min_sources", "peg", "peg_warn", "peg_hold"} {
			if v := f.value[guard]; v != nil {
				p.Problem(v, guard, "has no meaning together with fixed")
			}
		}
	}
	p.declare(n, "", b)
}

func (p *parser) card(n *yaml.Node) {
	f := p.mapping(n, "", "kind", "card", "version", "book", "currency", "effective", "rules")
	b := events.CardDeclared{
		Card:      events.Card(f.text("card")),
		Version:   f.number("version", 1),
		Book:      events.Book(f.text("book")),
		Currency:  money.Asset(f.text("currency")),
		Effective: f.instant("effective"),
	}
	for i, item := range f.items("rules") {
		r := p.mapping(item, fmt.Sprintf("rules[%d].", i), "meter", "match", "price", "per", "granularity")
		if r.value["price"] == nil && item.Kind == yaml.MappingNode {
			p.Problem(item, r.path+"price", "is missing: write 0 for what is free")
		}
		b.Rules = append(b.Rules, events.CardRule{
			Meter:       events.Meter(r.text("meter")),
			Match:       r.attributes("match"),
			Price:       r.amount("price"),
			Per:         r.quantity("per", "1"),
			Granularity: r.quantity("granularity", "0"),
		})
	}
	p.declare(n, "", b)
}

func (p *parser) node(n *yaml.Node) {
	f := p.mapping(n, "", "kind", "node", "book", "attributes")
	p.declare(n, "", events.NodeDeclared{Node: events.Node(f.text("node")), Book: events.Book(f.text("book")), Attributes: f.attributes("attributes")})
}

// nodes reads a list of nodes, each a name or a mapping, or a CSV file of them.
// Attributes of the list are those of each node that has no other of that name.
func (p *parser) nodes(n *yaml.Node) {
	f := p.mapping(n, "", "kind", "book", "attributes", "nodes", "from", "columns")
	book, common := events.Book(f.text("book")), f.attributes("attributes")
	f.each("nodes", func(item *yaml.Node, path string) {
		if item.Kind == yaml.ScalarNode {
			name, _ := p.Scalar(item, path)
			p.at[path+".node"] = item
			p.declare(item, path+".", events.NodeDeclared{Node: events.Node(name), Book: book, Attributes: maps.Clone(common)})
			return
		}
		one := p.mapping(item, path+".", "node", "attributes")
		p.declare(item, path+".", events.NodeDeclared{
			Node: events.Node(one.text("node")), Book: book, Attributes: merge(common, one.attributes("attributes")),
		})
	})
	if !f.source("nodes") {
		return
	}
	c := p.columns(&f, "node")
	p.table(&f, c, func(r row) {
		own := map[string]string{}
		for _, pair := range c.attributes {
			if value := r.cell(pair.column); value != "" {
				own[pair.name] = value
			}
		}
		p.declareRow(r, events.NodeDeclared{Node: events.Node(r.cell(c.of["node"])), Book: book, Attributes: merge(common, own)})
	})
}

// merge gives own the common attributes that it lacks.
func merge(common, own map[string]string) map[string]string {
	if len(common) == 0 {
		return own
	}
	all := maps.Clone(common)
	maps.Copy(all, own)
	return all
}

func (p *parser) customer(n *yaml.Node) {
	f := p.mapping(n, "", "kind", "customer", "book", "name", "plan")
	p.declare(n, "", events.CustomerDeclared{
		Customer: events.Customer(f.text("customer")), Book: events.Book(f.text("book")), Name: f.text("name"), Plan: f.text("plan"),
	})
}

func (p *parser) customers(n *yaml.Node) {
	f := p.mapping(n, "", "kind", "book", "plan", "customers", "from", "columns")
	book, plan := events.Book(f.text("book")), f.text("plan")
	f.each("customers", func(item *yaml.Node, path string) {
		b := events.CustomerDeclared{Book: book, Plan: plan}
		if item.Kind == yaml.ScalarNode {
			name, _ := p.Scalar(item, path)
			p.at[path+".customer"] = item
			b.Customer = events.Customer(name)
		} else {
			one := p.mapping(item, path+".", "customer", "name", "plan")
			b.Customer, b.Name = events.Customer(one.text("customer")), one.text("name")
			if own := one.text("plan"); own != "" {
				b.Plan = own
			}
		}
		p.declare(item, path+".", b)
	})
	if !f.source("customers") {
		return
	}
	c := p.columns(&f, "customer", "name", "plan")
	p.table(&f, c, func(r row) {
		b := events.CustomerDeclared{
			Customer: events.Customer(r.cell(c.of["customer"])), Book: book, Name: r.cell(c.of["name"]), Plan: r.cell(c.of["plan"]),
		}
		if b.Plan == "" {
			b.Plan = plan
		}
		p.declareRow(r, b)
	})
}

func (p *parser) token(n *yaml.Node) {
	f := p.mapping(n, "", "kind", "token", "book", "nodes", "all_nodes", "minimum_payout")
	b := events.TokenDeclared{
		Token: events.Token(f.text("token")), Book: events.Book(f.text("book")),
		Pool: f.choice("all_nodes", "true", "false"), Minimum: f.amount("minimum_payout"),
	}
	for _, name := range f.texts("nodes") {
		b.Nodes = append(b.Nodes, events.Node(name))
	}
	p.declare(n, "", b)
}

func (p *parser) waterfall(n *yaml.Node) {
	f := p.mapping(n, "", "kind", "token", "fee")
	if f.value["fee"] == nil {
		p.Problem(n, "fee", "is missing: write 0%% for none")
	}
	p.declare(n, "", events.WaterfallDeclared{Token: events.Token(f.text("token")), FeeBasisPoints: f.basisPoints("fee")})
}

// holds reads a screening list: holders one by one, or a file that has them.
func (p *parser) holds(n *yaml.Node) {
	f := p.mapping(n, "", "kind", "list", "holders", "from", "column")
	var holders []events.Holder
	for i, name := range f.texts("holders") {
		holder, err := events.ParseHolder(name)
		if err != nil {
			field := fmt.Sprintf("holders[%d]", i)
			p.Problem(p.at[field], field, "%v", err)
			continue
		}
		holders = append(holders, holder)
	}
	if f.source("holders") {
		if content := p.openFrom(&f); content != nil {
			read, err := registerfile.ReadList(content, f.text("column"))
			_ = content.Close() // Only read.
			if err != nil {
				for text := range strings.Lines(err.Error()) {
					line, detail := lineFirst(strings.TrimSpace(text))
					p.Report(f.text("from"), line, 1, "", detail)
				}
			}
			holders = append(holders, read...)
		}
	}
	slices.Sort(holders)
	holders = slices.Compact(holders)
	for _, part := range registerfile.Decisions(f.text("list"), holders) {
		p.declare(n, "", part)
	}
}
