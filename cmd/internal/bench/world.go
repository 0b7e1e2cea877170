package bench

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// The world of the usage is a provider with 400 nodes, half of them GPUs billed
// by the second and half inference servers billed by the token, and 100
// customers, a few of which use most. In variants without aggregation, a round
// of singles has a node and a customer for each event.
const (
	provider  = "bench"
	nodes     = 400
	customers = 100
	singles   = 20_000

	shapes = 24 // bodies that are encoded before the run and patched during it
	seed   = 20260714
)

var meters = [2]struct {
	name       events.Meter
	price, per string
}{
	{"gpu.seconds", "1.99", "3600"},
	{"llm.tokens.output", "10.00", "1000000"},
}

const declarations = `
kind: Provider
provider: bench
---
kind: QuotePolicy
pair: USDC/USD
fixed: 1
`

// bookDeclarations are the declarations of the book of one partition, with its
// name and the partition as arguments.
const bookDeclarations = `---
kind: Book
book: %[1]s
provider: bench
partition: %[2]d
calendar: day
asset: USDC
---
kind: Meter
meter: gpu.seconds
book: %[1]s
unit: s
---
kind: Meter
meter: llm.tokens.output
book: %[1]s
unit: token
---
kind: Card
card: %[1]s
version: 1
book: %[1]s
currency: USD
effective: 2020-01-01T00:00:00Z
rules:
  - meter: gpu.seconds
    price: 1.99
    per: 3600
  - meter: llm.tokens.output
    price: 10.00
    per: 1000000
`

// declared returns the declarations for a number of partitions, with a book in
// each.
func declared(partitions int) string {
	text := declarations
	for p := range partitions {
		text += fmt.Sprintf(bookDeclarations, bookName(p), p)
	}
	return text
}

func bookName(partition int) events.Book {
	if partition == 0 {
		return "bench"
	}
	return events.Book(fmt.Sprintf("bench-%d", partition))
}

// perPartition is how many numbers of nodes and customers each partition has:
// every node and customer is in one book.
const perPartition = 100_000

func nodeName(partition, i int) events.Node {
	return events.Node(fmt.Sprintf("node-%06d", partition*perPartition+i))
}

func customerName(partition, i int) events.Customer {
	return events.Customer(fmt.Sprintf("customer-%06d", partition*perPartition+i))
}

// names returns the nodes and customers that a variant's usage names in the book
// of a partition.
func names(partition int, single bool) (n []events.Node, c []events.Customer) {
	ofNodes, ofCustomers := nodes, customers
	if single {
		ofNodes, ofCustomers = singles, singles
	}
	for i := range ofNodes {
		n = append(n, nodeName(partition, i))
	}
	for i := range ofCustomers {
		c = append(c, customerName(partition, i))
	}
	return n, c
}

// usage makes up the events of one shape. Identities are patched when a body is
// sent, and so are nodes and customers if every event has its own.
func usage(random *rand.Rand, v Variant, partition int, day time.Time, n int) ([]events.Usage, money.Amount, error) {
	list := make([]events.Usage, n)
	total := money.Amount{}
	for i := range list {
		at := random.IntN(nodes)
		// The least of three, so that a fifth of the customers have half of the
		// usage.
		who := min(random.IntN(customers), random.IntN(customers), random.IntN(customers))
		m := meters[at%2]
		text := fmt.Sprintf("%d.%03d", 1+random.IntN(59), random.IntN(1000))
		attribute := events.Attribute{Name: "model", Value: []string{"H100", "A100", "L40S"}[at/2%3]}
		if at%2 == 1 {
			text = fmt.Sprint(1 + random.IntN(4000))
			attribute.Value = []string{"llama-3-70b", "mixtral-8x7b"}[at/2%2]
		}
		quantity, err := money.ParseQuantity(text)
		if err != nil {
			return nil, total, err
		}
		price, err := money.ParsePrice(m.price, m.per)
		if err != nil {
			return nil, total, err
		}
		one, err := money.ParseAmount("1")
		if err != nil {
			return nil, total, err
		}
		rate, err := price.Rate(one)
		if err != nil {
			return nil, total, err
		}
		charge, err := rate.Charge(quantity)
		if err != nil {
			return nil, total, err
		}
		if total, err = total.Add(charge); err != nil {
			return nil, total, err
		}
		end := day.Add(firstSecond + time.Duration(i%1000)*time.Millisecond).UnixNano()
		list[i] = events.Usage{
			Source: source(0), Sequenced: !v.ids, Sequence: firstSequence + uint64(i),
			Node: nodeName(partition, at), Customer: customerName(partition, who), Meter: m.name, Quantity: quantity,
			Start: end - int64(duration), End: end, Attributes: []events.Attribute{attribute},
		}
		if v.single {
			list[i].Node, list[i].Customer = nodeName(partition, i), customerName(partition, i)
		}
		if v.ids {
			list[i].Sequence, list[i].ID = 0, string(appendID(nil, uint64(i)))
		}
	}
	return list, total, nil
}

// source is the source that numbers the events of a sender.
func source(sender int) string { return fmt.Sprintf("//bench.example/meter/%03d", sender) }
