// Package demo makes up a day of a compute provider: nodes in several regions,
// customers of uneven size, quotes that vary and leave the peg for an hour,
// holders with a long tail, and everything that goes wrong on such a day.
//
// The method: every choice comes from PCG streams, each seeded with the world's
// seed and a number of its own, so that changing one part does not change
// another. [World.Next] returns the day hour by hour, in the order in which a
// provider experiences it.
//
// # Invariants
//
//   - Equal seeds and sizes give equal documents and events, on any machine.
//   - Quantities, prices and rates are decimals or integers; chances are integer
//     weights. There is no float.
//   - The memory needed for a day is that of its busiest hour.
package demo

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Names of what the demo declares.
const (
	Provider = events.Provider("meridian")
	Book     = events.Book("meridian-cloud")
	Asset    = "USDC"
	Pair     = events.Pair("USDC/USD")
	List     = "screening-demo"

	Operator = "ines.okafor"  // the person who runs the day
	Releaser = "marta.lindqv" // the person who releases the usage that waited for a price

	TokenEurope = events.Token("EUCOMPUTE") // the nodes in Europe
	TokenWorld  = events.Token("WORLDGPU")  // every other node
)

// Meters of the demo. The last two exist to be refused.
const (
	gpuSeconds   = events.Meter("gpu.seconds")
	tokensInput  = events.Meter("llm.tokens.input")
	tokensOutput = events.Meter("llm.tokens.output")
	storageHours = events.Meter("storage.gb_hours") // no rule of a card prices it
	licences     = events.Meter("licence.units")    // its price makes absurd quantities overflow
)

// Date is the day. It is fixed, so that a seed gives the same journal whenever
// it runs.
var Date = time.Date(2026, time.March, 4, 0, 0, 0, 0, time.UTC)

// Period is the day as a period.
const Period = events.Period("2026-03-04")

// Config sizes a world. A field that is zero takes its default.
type Config struct {
	Seed      uint64
	Events    int // usage events of the day, without resent, late and malformed ones; 200,000
	Nodes     int // 300
	Customers int // 60
	Holders   int // distinct, over both tokens; 5,000
}

// Limits of a world's sizes.
const (
	maxEvents  = 50_000_000
	maxNodes   = 20_000
	maxHolders = 1_000_000
)

// Validate reports all problems together.
func (c Config) Validate() error {
	var problems []error
	check := func(name string, n, least, most int) {
		if n != 0 && (n < least || n > most) {
			problems = append(problems, fmt.Errorf("%s: %d is not between %d and %d", name, n, least, most))
		}
	}
	check("events", c.Events, 1_000, maxEvents)
	check("nodes", c.Nodes, len(regions), maxNodes)
	check("customers", c.Customers, 10, 10_000)
	check("holders", c.Holders, 100, maxHolders)
	return errors.Join(problems...)
}

// World is one made-up provider and its day. It is not safe for concurrent use.
type World struct {
	Config
	Nodes     []Node
	Customers []Customer

	hour     int
	sent     []uint64 // by region: the last sequence given
	kept     []events.Usage
	quotes   market
	weights  []uint64 // of customers, summed up
	byRegion [][]int  // indexes into Nodes
}

// New makes a world. It fails for the reasons of [Config.Validate].
func New(c Config) (*World, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	for _, d := range []struct {
		n *int
		v int
	}{{&c.Events, 200_000}, {&c.Nodes, 300}, {&c.Customers, 60}, {&c.Holders, 5_000}} {
		if *d.n == 0 {
			*d.n = d.v
		}
	}
	w := &World{Config: c, sent: make([]uint64, len(regions))}
	w.buildFleet()
	w.buildCustomers()
	w.quotes = newMarket(w.stream("quotes"))
	return w, nil
}

// stream returns a random source of its own for each name.
func (w *World) stream(name string) *rand.Rand {
	number := uint64(14695981039346656037) // FNV-1a, 64 bits
	for i := range len(name) {
		number = (number ^ uint64(name[i])) * 1099511628211
	}
	return rand.New(rand.NewPCG(w.Seed, number))
}

// Book returns the declarations of the day as a file for `aliquot apply`.
func (w *World) Book() []byte {
	var b strings.Builder
	b.WriteString(declarations)
	b.WriteString("---\nkind: Nodes\nbook: " + string(Book) + "\nnodes:\n")
	for _, n := range w.Nodes {
		fmt.Fprintf(&b, "  - node: %s\n    attributes: {region: %s, gpu: %s, model: %s}\n", n.Name, n.Region, n.GPU, n.Model)
	}
	b.WriteString("---\nkind: Customers\nbook: " + string(Book) + "\ncustomers:\n")
	for _, c := range w.Customers {
		fmt.Fprintf(&b, "  - {customer: %s, name: %q, plan: %s}\n", c.Name, c.Title, c.Plan)
	}
	fmt.Fprintf(&b, "---\nkind: Token\ntoken: %s\nbook: %s\nminimum_payout: 1.50\nnodes:\n", TokenEurope, Book)
	for _, n := range w.Nodes {
		if n.europe {
			fmt.Fprintf(&b, "  - %s\n", n.Name)
		}
	}
	fmt.Fprintf(&b, "---\nkind: Token\ntoken: %s\nbook: %s\nall_nodes: true\nminimum_payout: 1.50\n", TokenWorld, Book)
	fmt.Fprintf(&b, "---\nkind: Waterfall\ntoken: %s\nfee: 2.5%%\n", TokenEurope)
	fmt.Fprintf(&b, "---\nkind: Waterfall\ntoken: %s\nfee: 1.75%%\n", TokenWorld)
	return []byte(b.String())
}

// declarations are the declarations that do not depend on the seed. The prices of
// GPU-hours and tokens are of the size that clouds asked in 2026.
const declarations = `kind: Provider
provider: meridian
name: Meridian Cloud
---
kind: Book
book: meridian-cloud
provider: meridian
calendar: day
asset: USDC
received: event # the demo's day lies in the past
---
kind: Meter
meter: gpu.seconds
book: meridian-cloud
unit: s
max: 10000000
---
kind: Meter
meter: llm.tokens.input
book: meridian-cloud
unit: token
---
kind: Meter
meter: llm.tokens.output
book: meridian-cloud
unit: token
---
kind: Meter
meter: storage.gb_hours
book: meridian-cloud
unit: GBh
---
kind: Meter
meter: licence.units
book: meridian-cloud
unit: one
---
kind: QuotePolicy
pair: USDC/USD
heartbeat: 10m
margin: 60s
min_sources: 2
max_deviation: 1%
peg: 1
peg_warn: 0.5%
peg_hold: 2%
---
kind: Card
card: gpu
version: 1
book: meridian-cloud
currency: USD
effective: 2026-01-01T00:00:00Z
rules:
  - {meter: gpu.seconds, match: {gpu: H200}, price: 2.89, per: 3600, granularity: 1}
  - {meter: gpu.seconds, match: {gpu: H100}, price: 1.99, per: 3600, granularity: 1}
  - {meter: gpu.seconds, match: {gpu: H100, plan: committed}, price: 1.49, per: 3600, granularity: 1}
  - {meter: gpu.seconds, match: {gpu: H100, region: ap-south}, price: 2.19, per: 3600, granularity: 1}
  - {meter: gpu.seconds, match: {gpu: A100}, price: 1.29, per: 3600, granularity: 1}
  - {meter: gpu.seconds, match: {gpu: L40S}, price: 0.79, per: 3600}
  - {meter: gpu.seconds, match: {gpu: L40S, plan: committed}, price: 0.67, per: 3600}
  - {meter: licence.units, price: 1000000}
---
kind: Card
card: tokens
version: 1
book: meridian-cloud
currency: USD
effective: 2026-01-01T00:00:00Z
rules:
  - {meter: llm.tokens.input, match: {model: large}, price: 2.50, per: 1000000}
  - {meter: llm.tokens.output, match: {model: large}, price: 10.00, per: 1000000}
  - {meter: llm.tokens.input, match: {model: medium}, price: 0.60, per: 1000000}
  - {meter: llm.tokens.output, match: {model: medium}, price: 2.40, per: 1000000}
  - {meter: llm.tokens.input, price: 0.15, per: 1000000}
  - {meter: llm.tokens.output, price: 0.60, per: 1000000}
---
# From 18:00 of the day on: the large model becomes cheaper.
kind: Card
card: tokens
version: 2
book: meridian-cloud
currency: USD
effective: 2026-03-04T18:00:00Z
rules:
  - {meter: llm.tokens.input, match: {model: large}, price: 2.00, per: 1000000}
  - {meter: llm.tokens.output, match: {model: large}, price: 8.00, per: 1000000}
  - {meter: llm.tokens.input, match: {model: medium}, price: 0.60, per: 1000000}
  - {meter: llm.tokens.output, match: {model: medium}, price: 2.40, per: 1000000}
  - {meter: llm.tokens.input, price: 0.15, per: 1000000}
  - {meter: llm.tokens.output, price: 0.60, per: 1000000}
`
