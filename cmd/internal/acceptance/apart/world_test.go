package apart

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/client"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// provider has a book in each of two partitions, with a node each.
const (
	provider = "acme"
	books    = 2
	yaml     = "application/yaml"
	asJSON   = "application/json"
)

// day is the period that all usage belongs to.
var day = time.Date(2024, time.May, 1, 0, 0, 0, 0, time.UTC)

const period = "2024-05-01"

func book(n int) string { return fmt.Sprintf("book%d", n) }

// declare declares the books at a price of 1 a unit, so that a charge is its
// quantity.
func (i *installation) declare() {
	i.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "kind: Provider\nprovider: %s\n---\nkind: QuotePolicy\npair: USDC/USD\nfixed: 1\n", provider)
	for n := range books {
		fmt.Fprintf(&b, `---
kind: Book
book: book%[2]d
provider: %[1]s
calendar: day
asset: USDC
horizon: none
partition: %[2]d
---
kind: Meter
meter: unit
book: book%[2]d
unit: u
---
kind: Card
card: card%[2]d
version: 1
book: book%[2]d
currency: USD
effective: 2020-01-01T00:00:00Z
rules:
  - meter: unit
    price: 1
---
kind: Token
token: T%[2]d
book: book%[2]d
all_nodes: true
---
kind: Waterfall
token: T%[2]d
fee: 2.5%%
---
kind: Nodes
book: book%[2]d
nodes: [n%[2]d]
---
kind: Customers
book: book%[2]d
customers: [c%[2]d]
`, provider, n)
	}
	var done struct{ Void []any }
	i.ask("POST", "/v1/apply?file=test.yaml", yaml, b.String(), &done)
	if len(done.Void) > 0 {
		i.t.Fatalf("void: %v", done.Void)
	}
	for n := range books {
		i.ask("POST", fmt.Sprintf("/v1/registers/T%d/import?file=r.csv", n), "text/csv", "holder,units\na,1\nb,2\nc,4\n", nil)
	}
}

// sender sends numbered usage to both books, and sends a batch again until it is
// answered.
type sender struct {
	client *client.Client
	name   string
	next   uint64
	pause  time.Duration // between batches
	sent   [books]int    // acknowledged, by book
}

func newSender(t testing.TB, i *installation, name string, format client.Format) *sender {
	t.Helper()
	c, err := client.New(client.Config{
		URL: i.url, Token: i.token, Provider: provider, Format: format,
		FirstWait: 50 * time.Millisecond, LastWait: time.Second, HTTP: &http.Client{Timeout: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &sender{client: c, name: name}
}

// batch makes the next events; an event is one unit.
func (s *sender) batch(n int) []events.Usage {
	one, _ := money.QuantityFromMantissa(0, 1, 0) // 1 is in range
	list := make([]events.Usage, n)
	for j := range list {
		s.next++
		at := int(s.next) % books
		end := day.Add(time.Duration(s.next%86_000) * time.Second)
		list[j] = events.Usage{
			Source: s.name, Sequenced: true, Sequence: s.next, Node: events.Node(fmt.Sprint("n", at)),
			Customer: events.Customer(fmt.Sprint("c", at)), Meter: "unit", Quantity: one,
			Start: end.Add(-time.Second).UnixNano(), End: end.UnixNano(),
		}
	}
	return list
}

// send sends so many batches of 1,000.
func (s *sender) send(ctx context.Context, batches int) error {
	for range batches {
		time.Sleep(s.pause)
		list := s.batch(1000)
		result, err := s.client.Send(ctx, list)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if result.Accepted != len(list) {
			return fmt.Errorf("%s: %d of %d accepted: %+v", s.name, result.Accepted, len(list), result.Refusals)
		}
		for j := range list {
			s.sent[int(list[j].Sequence)%books]++
		}
	}
	return nil
}

// sendAll lets every sender send while something is done, and returns when both
// are.
func sendAll(t testing.TB, senders []*sender, batches int, meanwhile func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	var running sync.WaitGroup
	failed := make(chan error, len(senders))
	for _, s := range senders {
		running.Go(func() {
			if err := s.send(ctx, batches); err != nil {
				failed <- err
			}
		})
	}
	meanwhile()
	running.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	if t.Failed() {
		t.FailNow()
	}
}

// counts are the outcomes of events by book.
type counts struct{ accepted, late, duplicate, refused [books]int }

func (i *installation) counts() (c counts) {
	i.t.Helper()
	for n := range books {
		var all []struct{ Outcome, Events int }
		i.ask("GET", "/v1/tallies?book="+book(n), "", "", &all)
		for _, row := range all {
			switch events.Outcome(row.Outcome) {
			case events.Accepted:
				c.accepted[n] += row.Events
			case events.Late:
				c.late[n] += row.Events
			case events.Duplicate:
				c.duplicate[n] += row.Events
			default:
				c.refused[n] += row.Events
			}
		}
	}
	return c
}

// exact asserts that every event that was acknowledged is settled, once, and
// charged at its price of 1. probes is how many others were sent to the first book.
func (i *installation) exact(senders []*sender, probes int) counts {
	i.t.Helper()
	i.ask("POST", "/v1/settled", "", "", nil)
	have := i.counts()
	var balances []struct{ Account, Credit string }
	i.ask("GET", "/v1/balances?prefix=node:", "", "", &balances)
	for n := range books {
		sent := 0
		if n == 0 {
			sent = probes
		}
		for _, s := range senders {
			sent += s.sent[n]
		}
		if got := have.accepted[n] + have.late[n]; got != sent || have.refused[n] != 0 {
			i.t.Errorf("%s: %d events were acknowledged, %d are settled, %d refused", book(n), sent, got, have.refused[n])
		}
		earned := ""
		for _, b := range balances {
			if b.Account == fmt.Sprintf("node:n%d:earned", n) {
				earned = b.Credit
			}
		}
		if sent > 0 && strings.TrimSuffix(earned, ".0") != fmt.Sprint(sent) {
			i.t.Errorf("%s: %d events were acknowledged, their node earned %s", book(n), sent, earned)
		}
	}
	return have
}

// clean asserts that check and replay find nothing.
func (i *installation) clean() {
	i.t.Helper()
	i.asks("check", "--deep", "--json").ok(i.t)
	i.asks("replay", "--json").ok(i.t)
}

// deposit records a deposit of one unit, which is in effect once both settlers
// and the distributor have it; the same reference again is the same deposit.
func (i *installation) deposit(ctx context.Context, reference string) error {
	body := fmt.Sprintf(`{"book":"book0","customer":"c0","asset":"USDC","amount":"1","reference":%q}`, reference)
	status, answer, err := i.do(ctx, "POST", "/v1/deposits", asJSON, []byte(body))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%d %s", status, tail(string(answer)))
	}
	return err
}
