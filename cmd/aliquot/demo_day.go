package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/cmd/internal/demo"
	"github.com/aliquot-engine/aliquot/pkg/client"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// demoDay plays the generated day in the order in which a provider would
// experience it.
type demoDay struct {
	*stage
	world   *demo.World
	command *demoCommand
	result  *demoResult
	client  *client.Client

	mu    sync.Mutex // guards the result's counts while batches are sent
	began time.Time  // of streaming
}

// agents is how many agents send at the same time.
const agents = 4

func (d *demoDay) run(ctx context.Context) (*demoResult, error) {
	seed := d.world.Seed
	d.result = &demoResult{
		Seed: &seed, Book: demo.Book, Notes: []string{}, Reasons: map[events.Reason]uint64{}, regions: map[events.Node]string{},
	}
	for _, n := range d.world.Nodes {
		d.result.regions[n.Name] = n.Region
	}
	if d.as == "" {
		d.as, d.server.as = demo.Operator, demo.Operator
	}
	for _, step := range []func(context.Context) error{d.declare, d.prepay, d.live, d.goWrong, d.release, d.settleUp, d.late, d.payOut} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	d.result.example = "meridian/agent/us-east#0/17"
	return d.result, nil
}

func (d *demoDay) declare(ctx context.Context) error {
	if err := d.apply(ctx, "meridian.yaml", d.world.Book()); err != nil {
		return err
	}
	for _, token := range []events.Token{demo.TokenEurope, demo.TokenWorld} {
		if err := d.importRegister(ctx, token, "register.csv", d.world.Register(token)); err != nil {
			return err
		}
	}
	var list strings.Builder
	for _, h := range d.world.Screened() {
		fmt.Fprintln(&list, h)
	}
	return d.importHolds(ctx, demo.List, []byte(list.String()))
}

// prepaying is how many customers pay in advance, and ahead is how much each of
// them pays.
const (
	prepaying = 3
	ahead     = "1500.00"
)

func (d *demoDay) prepay(ctx context.Context) error {
	for _, c := range d.world.Customers[:prepaying] {
		if err := d.deposit(ctx, c.Name, ahead, "prepayment-2026-03"); err != nil {
			return err
		}
	}
	d.progress.step("%d customers paid %s %s each in advance", prepaying, ahead, demo.Asset)
	return nil
}

func (d *demoDay) deposit(ctx context.Context, customer events.Customer, amount, reference string) error {
	in := map[string]string{"book": string(demo.Book), "customer": string(customer), "asset": demo.Asset, "amount": amount, "reference": reference}
	if err := d.server.call(ctx, http.MethodPost, "/v1/deposits", in, nil); err != nil {
		return fmt.Errorf("recording a deposit of %s: %w", customer, err)
	}
	return nil
}

// live streams the day hour by hour: first the quotes, then the usage.
func (d *demoDay) live(ctx context.Context) error {
	d.began = time.Now()
	if err := d.connect(); err != nil {
		return err
	}
	for hour := 0; ; hour++ {
		h, ok := d.world.Next()
		if !ok {
			break
		}
		if err := d.observe(ctx, h.Quotes); err != nil {
			return fmt.Errorf("recording quotes of %s: %w", h.Start.Format("15:04"), err)
		}
		if err := d.stream(ctx, h.Batches); err != nil {
			return fmt.Errorf("streaming %s: %w", h.Start.Format("15:04"), err)
		}
		quote := h.Quotes[0].Rounds[len(h.Quotes[0].Rounds)-1].Rate
		d.progress.update(func() string {
			return fmt.Sprintf("%s  USDC/USD %s  %d events sent, %d/s, %d refused, %s", h.Start.Add(time.Hour).Format("15:04"), quote,
				d.result.Sent, rate(d.result.Sent, d.began), d.result.refusedAtOnce, d.lag(ctx))
		})
		// Restarts are spread evenly over the day.
		if n := d.command.Restarts; n > 0 && (hour+1)*(n+1)/24 > hour*(n+1)/24 && hour < 23 {
			if err := d.restart(ctx); err != nil {
				return fmt.Errorf("restarting: %w", err)
			}
			if err := d.connect(); err != nil {
				return err
			}
			d.progress.step("services restarted after %d events", d.result.Sent)
		}
	}
	d.progress.step("%d events of a day sent at %d/s", d.result.Sent, rate(d.result.Sent, d.began))
	return nil
}

// observe records the rounds that each source has seen, before the usage that
// they price.
func (d *demoDay) observe(ctx context.Context, quotes []events.QuotesObserved) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, q := range quotes {
		group.Go(func() error { return d.by("feeds").call(ctx, http.MethodPost, "/v1/quotes", q, nil) })
	}
	return group.Wait()
}

func (d *demoDay) connect() (err error) {
	d.client, err = client.New(client.Config{URL: d.server.url, Token: d.server.token, Provider: demo.Provider, ReceivedFromEvent: true})
	return err
}

// stream sends batches, several at once. It sends those that are marked as resent
// twice, as if their first answers had been lost.
func (d *demoDay) stream(ctx context.Context, batches []demo.Batch) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(agents)
	for _, b := range batches {
		times := 1
		if b.Resent {
			times = 2
		}
		for part := range slices.Chunk(b.Events, d.command.Batch) {
			group.Go(func() error {
				for range times {
					if err := d.send(ctx, part); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	return group.Wait()
}

func (d *demoDay) send(ctx context.Context, list []events.Usage) error {
	answer, err := d.client.Send(ctx, list)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.result.Sent += len(list)
	d.refuse(answer.Answer)
	return nil
}

func (d *demoDay) refuse(answer events.Answer) {
	d.result.refusedAtOnce += answer.Refused
	for _, r := range answer.Refusals {
		d.result.Reasons[r.Reason]++
		if len(d.result.Refusals) < 2*shownRefusals {
			d.result.Refusals = append(d.result.Refusals, refusedRow{ID: r.ID, Field: r.Field, Reason: r.Reason, Detail: r.Detail})
		}
	}
}

// goWrong submits one example of every fault.
func (d *demoDay) goWrong(ctx context.Context) error {
	for _, f := range d.world.Faults() {
		answer, err := d.submit(ctx, &f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Says, err)
		}
		d.result.Sent += f.Events
		if f.Events == 0 {
			d.result.RefusedBodies++
		}
		d.refuse(answer)
		d.result.expected = append(d.result.expected, f.Reasons...)
		names := make([]string, len(f.Reasons))
		for i, reason := range f.Reasons {
			names[i] = string(reason)
		}
		d.result.faults = append(d.result.faults, fmt.Sprintf("%s: %s", f.Says, strings.Join(names, ", ")))
	}
	d.progress.step("%d faulty submissions sent: their valid events are accepted, the others are refused", len(d.result.faults))
	return d.waitSettled(ctx)
}

// submit posts a body unchanged.
func (d *demoDay) submit(ctx context.Context, f *demo.Fault) (answer events.Answer, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.server.url+"/v1/events", bytes.NewReader(f.Body))
	if err != nil {
		return answer, err
	}
	h := request.Header
	h.Set("Authorization", "Bearer "+d.server.token)
	h.Set("Content-Type", f.Media)
	h.Set("Aliquot-Provider", string(demo.Provider))
	if f.Encoding != "" {
		h.Set("Content-Encoding", f.Encoding)
	}
	if !f.Live {
		h.Set("Aliquot-Received", "event")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return answer, err
	}
	// A problem that refuses the whole submission has its reason under the same
	// name.
	if err := json.Unmarshal(body, &answer); err != nil {
		return answer, fmt.Errorf("%s: %w", response.Status, err)
	}
	if len(answer.Refusals) == 0 && response.StatusCode >= http.StatusBadRequest {
		return answer, fmt.Errorf("%s: %s", response.Status, body)
	}
	return answer, nil
}

// release prices the usage that waited during the hours off the peg.
func (d *demoDay) release(ctx context.Context) (err error) {
	lines, err := d.waiting(ctx)
	if err != nil || len(lines) == 0 {
		return err
	}
	d.progress.step("%d lines wait for a price: the quote was more than 2 %% off its peg", len(lines))
	d.result.Released, err = d.releaseAt(ctx, demo.Releaser, demo.Pair, demo.ReleaseSource, demo.ReleaseRound, "first round back on the peg")
	return err
}

// settleUp lets the customers pay, all but three of them in full, and closes
// the day.
func (d *demoDay) settleUp(ctx context.Context) error {
	owed, err := d.owed(ctx)
	if err != nil {
		return err
	}
	// The eighth largest pays three fifths; the eleventh and the twelfth pay
	// nothing.
	paid := 0
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(agents)
	for rank, b := range owed {
		amount, _, err := b.Net.CeilMinor(b.Asset)
		if rank == 7 && err == nil {
			amount, err = money.MulDiv(b.Net, money.UnitsOf(3), money.UnitsOf(5))
			if err == nil {
				amount, _, err = amount.FloorMinor(b.Asset)
			}
		}
		if err != nil {
			return fmt.Errorf("rounding what %s pays: %w", middle(b), err)
		}
		if rank == 10 || rank == 11 || amount.Sign() <= 0 {
			continue
		}
		group.Go(func() error {
			return d.deposit(within, events.Customer(middle(b)), amount.String(), "invoice-2026-03-04")
		})
		paid++
	}
	if err := group.Wait(); err != nil {
		return err
	}
	d.progress.step("%d customers paid, one of them only in part; two paid nothing", paid)
	return d.closePeriod(ctx, demo.Book, demo.Period, "", d.result)
}

// owed lists what customers owe after their prepaid money was collected, the
// largest amounts first.
func (d *demoDay) owed(ctx context.Context) ([]api.Balance, error) {
	// Prepaid money covers first.
	if err := d.server.call(ctx, http.MethodPost, "/v1/collections", events.CollectionRequested{Book: demo.Book}, nil); err != nil {
		return nil, fmt.Errorf("collecting: %w", err)
	}
	var all []api.Balance
	if err := d.server.call(ctx, http.MethodGet, "/v1/balances?prefix=customer:", nil, &all); err != nil {
		return nil, err
	}
	return slices.SortedFunc(slices.Values(suffixed(all, ledger.Receivable.Suffix())), func(a, b api.Balance) int {
		if c := b.Net.Cmp(a.Net); c != 0 {
			return c
		}
		return strings.Compare(string(a.Account), string(b.Account))
	}), nil
}

// late sends usage that agents kept while they were cut off.
func (d *demoDay) late(ctx context.Context) error {
	if err := d.stream(ctx, d.world.Late()); err != nil {
		return fmt.Errorf("streaming late usage: %w", err)
	}
	d.progress.step("two agents that were cut off sent usage of the closed day: it is charged in the next period")
	return d.waitSettled(ctx)
}

// payOut distributes both pools. The bank returns three of the payouts.
func (d *demoDay) payOut(ctx context.Context) error {
	returned := 0
	answer := func(i int) (state, reference string) {
		if i == 7 || i == 70 || i == 700 {
			returned++
			return "returned", "account closed"
		}
		return confirmed(i)
	}
	for _, token := range []events.Token{demo.TokenEurope, demo.TokenWorld} {
		made, paid, err := d.distribute(ctx, token, demo.Period, answer, d.result)
		if err != nil {
			return err
		}
		if made == nil {
			continue
		}
		d.progress.step("%s: %s %s to %d holders, %d payouts confirmed", made.Distribution, made.Pool, made.Asset, made.Holders, len(paid))
		d.result.distributed(made, paid)
	}
	if returned > 0 {
		d.result.returned = []string{fmt.Sprintf("%d payouts came back from the bank: the holders are still owed these amounts, and receive them with the next payout", returned)}
	}
	return nil
}
