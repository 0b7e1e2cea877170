package acceptance

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/cloudevents"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// day begins the days on which the usage of these tests ends.
var day = time.Date(2024, time.May, 1, 0, 0, 0, 0, time.UTC)

const days = 6

// period is the n-th day's.
func period(n int) string { return day.AddDate(0, 0, n).Format(time.DateOnly) }

// declarations are a book whose price is 1 a unit, so that a charge is its
// quantity to the last decimal.
func declarations(nodes, customers []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
kind: Provider
provider: %[1]s
---
kind: Book
book: %[2]s
provider: %[1]s
calendar: day
asset: USDC
horizon: none
---
kind: Meter
meter: unit
book: %[2]s
unit: u
---
kind: QuotePolicy
pair: USDC/USD
fixed: 1
---
kind: Card
card: one
version: 1
book: %[2]s
currency: USD
effective: 2020-01-01T00:00:00Z
rules:
  - meter: unit
    price: 1
---
kind: Token
token: T1
book: %[2]s
all_nodes: true
---
kind: Waterfall
token: T1
fee: 2.5%%
---
kind: Nodes
book: %[2]s
nodes: [%[3]s]
---
kind: Customers
book: %[2]s
customers: [%[4]s]
`, provider, book, strings.Join(nodes, ", "), strings.Join(customers, ", "))
	return b.String()
}

// names are prefix0, prefix1, …
func names(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return out
}

// source makes usage of one node, numbered by itself or by ids.
type source struct {
	name      string
	node      string
	customers []string
	sequenced bool
	packed    bool
	next      uint64
	random    *rand.Rand
}

// newSources makes six sources, one a node, in every form: the i-th is the same
// for the same seed.
func newSources(seed uint64) (sources []*source, nodes, customers []string) {
	nodes, customers = names("n", 6), names("c", 3)
	for i, node := range nodes {
		sources = append(sources, &source{
			name: "/source/" + node, node: node, customers: customers,
			sequenced: i < 4, packed: i%2 == 1, random: rand.New(rand.NewPCG(seed, uint64(i))),
		})
	}
	return sources, nodes, customers
}

// more makes the next events.
func (s *source) more(t testing.TB, n int) []events.Usage {
	out := make([]events.Usage, n)
	for i := range out {
		s.next++
		// Up to 10¹⁹ atto: sums reach all 18 decimals.
		quantity, err := money.QuantityFromMantissa(0, s.random.Uint64N(1e19)+1, 18)
		if err != nil {
			t.Fatal(err)
		}
		end := day.Add(time.Duration(s.random.Int64N(days*24*3600)) * time.Second)
		out[i] = events.Usage{
			Source: s.name, Sequenced: s.sequenced, Sequence: s.next,
			Node: events.Node(s.node), Customer: events.Customer(s.customers[s.random.IntN(len(s.customers))]),
			Meter: "unit", Quantity: quantity, Start: end.Add(-time.Minute).UnixNano(), End: end.UnixNano(),
		}
		if !s.sequenced {
			out[i].ID, out[i].Sequence = fmt.Sprintf("id-%d", s.next), 0
		}
	}
	return out
}

// encode writes events as the source sends them.
func (s *source) encode(t testing.TB, list []events.Usage) (kind string, body []byte) {
	if !s.packed {
		body = append(body, '[')
		for i := range list {
			if i > 0 {
				body = append(body, ',')
			}
			body = cloudevents.Append(body, &list[i])
		}
		return batched, append(body, ']')
	}
	var builder packed.Builder
	builder.Reset(provider, s.sequenced)
	var raw packed.RawUsage
	for i := range list {
		if err := raw.Set(&list[i]); err != nil {
			t.Fatal(err)
		}
		if !builder.Add(&raw) {
			t.Fatal("the segment is full")
		}
	}
	segment := builder.AppendTo(nil)
	return packedForm, append(binary.AppendUvarint(nil, uint64(len(segment))), segment...)
}

// total adds decimals exactly.
type total struct{ big.Rat }

// addAll adds quantities of events.
func (t *total) addAll(list []events.Usage) {
	for i := range list {
		t.addText(list[i].Quantity.String())
	}
}

func (t *total) addText(s string) {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic("not a decimal: " + s)
	}
	t.Add(&t.Rat, r)
}

// is compares with a decimal; an empty text is nothing.
func (t *total) is(s string) bool {
	if s == "" {
		s = "0"
	}
	r, ok := new(big.Rat).SetString(s)
	return ok && t.Cmp(r) == 0
}

func (t *total) String() string { return t.FloatString(18) }
