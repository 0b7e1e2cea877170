package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/quotes"
)

// demoOwn plays the user's own input: a book, a trace and a map.
type demoOwn struct {
	*stage
	command *demoCommand
	source  *source
	book    api.Book
	result  *demoResult
}

// smallRegister has the holders of the token if no register is given.
const smallRegister = `holder,units
holder-01,350000
holder-02,210000
holder-03,130000
holder-04,90000
holder-05,70000
holder-06,55000
holder-07,40000
holder-08,30000
holder-09,20000
holder-10,5000
`

// demoToken is declared if a book has no token: it stands for all nodes and
// charges no fee.
const demoToken = `kind: Token
token: DEMO
book: %[1]q
all_nodes: true
---
kind: Waterfall
token: DEMO
fee: 0%%
`

func (o *demoOwn) run(ctx context.Context) (*demoResult, error) {
	c := o.command
	o.result = &demoResult{Notes: []string{}}
	if len(c.Release) > 0 && o.as == "" {
		return nil, errors.New("--release needs --as NAME: a release names the person who is responsible for it")
	}
	var err error
	if o.source, err = openSource(c.Trace, c.Map, c.Shift, c.Received); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{o.declare, o.observe, o.holders, o.stream, o.release, o.settleUp, o.payOut} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return o.result, nil
}

// declare applies the book, and adds what the demo needs and the book lacks.
func (o *demoOwn) declare(ctx context.Context) error {
	document, err := os.ReadFile(o.command.Book)
	if err != nil {
		return err
	}
	if err := o.apply(ctx, o.command.Book, document); err != nil {
		return err
	}
	if err := o.findBook(ctx); err != nil {
		return err
	}
	if o.source.m.DeclareNodes || o.source.m.DeclareCustomers {
		survey, err := o.source.surveyed()
		if err != nil {
			return err
		}
		o.progress.step("declaring %d nodes and %d customers of the trace", len(survey.Nodes), len(survey.Customers))
	}
	if _, err := o.server.declareNames(ctx, o.source, o.book.Book); err != nil {
		return err
	}
	if len(o.book.Tokens) > 0 {
		return nil
	}
	o.result.note("the book declares no token: the token DEMO, over all its nodes and without a fee, was declared for it")
	if err := o.apply(ctx, "token.yaml", fmt.Appendf(nil, demoToken, o.book.Book)); err != nil {
		return err
	}
	o.book.Tokens = []events.Token{"DEMO"}
	return nil
}

// apply declares a file and fails if a declaration is void.
func (st *stage) apply(ctx context.Context, name string, document []byte) error {
	done, err := st.server.apply(ctx, name, document)
	if err != nil {
		return err
	}
	for _, v := range done.Void {
		return fmt.Errorf("%s: %s", name, v.WhyVoid())
	}
	st.progress.step("applied %d declarations of %s", done.Applied, name)
	return nil
}

// findBook finds the book that the map names, or the only one.
func (o *demoOwn) findBook(ctx context.Context) error {
	var books []api.Book
	if err := o.server.call(ctx, http.MethodGet, "/v1/books", nil, &books); err != nil {
		return err
	}
	name := o.source.m.Book
	for _, b := range books {
		if b.Book == name || name == "" && len(books) == 1 {
			o.book = b
			o.result.Book = b.Book
			return nil
		}
	}
	return fmt.Errorf("%s: book: %q is not declared in %s", o.command.Map, name, o.command.Book)
}

func (o *demoOwn) observe(ctx context.Context) error {
	if o.command.Quotes == "" {
		return nil
	}
	pair := string(o.book.Asset) + "/USD"
	quotes := quotesImport{File: o.command.Quotes, Pair: pair, Source: "chainlink", Decimals: -1}
	file, err := quotes.read()
	if err != nil {
		return err
	}
	var done api.Observed
	observed := events.QuotesObserved{Pair: events.Pair(pair), Source: quotes.Source, Rounds: file.Rounds}
	if err := o.server.call(ctx, http.MethodPost, "/v1/quotes", observed, &done); err != nil {
		return err
	}
	for _, r := range done.Refused {
		return fmt.Errorf("%s: line %d: %s", o.command.Quotes, file.Lines[r.Index], r.Reason)
	}
	for _, v := range done.Void {
		return fmt.Errorf("%s: %s", o.command.Quotes, v.Reason)
	}
	o.progress.step("recorded %d rounds of %s", len(observed.Rounds), pair)
	return nil
}

// holders imports the register of every token of the book, and the screening list.
func (o *demoOwn) holders(ctx context.Context) error {
	register, name := []byte(smallRegister), "small-register.csv"
	if o.command.Register == "" {
		o.result.note("no register was given: ten made-up holders hold the token")
	} else {
		var err error
		if register, err = os.ReadFile(o.command.Register); err != nil {
			return err
		}
		name = o.command.Register
	}
	for _, token := range o.book.Tokens {
		if err := o.importRegister(ctx, token, name, register); err != nil {
			return err
		}
	}
	if o.command.Holds == "" {
		return nil
	}
	list, err := os.ReadFile(o.command.Holds)
	if err != nil {
		return err
	}
	return o.importHolds(ctx, "demo", list)
}

func (st *stage) importRegister(ctx context.Context, token events.Token, name string, file []byte) error {
	var done api.Imported
	if err := st.server.send(ctx, http.MethodPost, "/v1/registers/"+url.PathEscape(string(token))+"/import?leave_out_zero=true&file="+url.QueryEscape(filepath.Base(name)), "text/csv", bytes.NewReader(file), &done); err != nil {
		return err
	}
	st.progress.step("register of %s: %d holders, %s units", token, done.Holders, done.Units)
	if done.LeftOut != "" {
		st.progress.step("  not imported: %s units of the zero address, which cannot own units", done.LeftOut)
	}
	return nil
}

func (st *stage) importHolds(ctx context.Context, name string, list []byte) error {
	var done api.Screened
	if err := st.server.send(ctx, http.MethodPost, "/v1/holds/"+name, "text/plain", bytes.NewReader(list), &done); err != nil {
		return err
	}
	st.progress.step("screening list %s: %d entries, %d of them holders", name, done.Entries, done.Matches)
	return nil
}

// stream sends the trace, with the restarts that were asked for.
func (o *demoOwn) stream(ctx context.Context) error {
	c := o.command
	survey, err := o.source.surveyed()
	if err != nil {
		return err
	}
	total, began := survey.Counts.Events, time.Now()
	for part := range c.Restarts + 1 {
		send := sending{server: o.server, provider: o.book.Provider, source: o.source, batch: c.Batch, skip: o.result.trace.Sent}
		if part < c.Restarts {
			if send.limit = total*(part+1)/(c.Restarts+1) - send.skip; send.limit == 0 {
				continue
			}
		}
		send.acknowledged = func(sent *Sent, _ int64) {
			n := sent.Sent
			o.progress.update(func() string {
				return fmt.Sprintf("%d of %d events sent, %d/s, %s", n, total, rate(n, began), o.lag(ctx))
			})
		}
		sent, err := send.run(ctx)
		if err != nil {
			return err
		}
		o.result.trace.merge(sent)
		if part < c.Restarts {
			if err := o.restart(ctx); err != nil {
				return fmt.Errorf("restarting: %w", err)
			}
			o.progress.step("services restarted after %d events", sent.Sent)
		}
	}
	t := &o.result.trace
	o.result.Sent, o.result.Skipped, o.result.refusedAtOnce, o.result.Refusals = t.Sent+t.Unmapped, t.Skipped, t.Refused, t.Refusals
	o.result.Reasons = t.reasons()
	o.progress.step("sent %d events at %d/s: %d refused, %d rows skipped by the map's filters", t.Sent, rate(t.Sent, began), t.Refused, t.Skipped)
	return o.waitSettled(ctx)
}

// lag says how far settlement has come.
func (st *stage) lag(ctx context.Context) string {
	var status api.Status
	if st.server.call(ctx, http.MethodGet, "/v1/status", nil, &status) != nil || len(status.Partition) == 0 {
		return "settling"
	}
	p := status.Partition[0]
	return fmt.Sprintf("settled %d of %d messages", p.Settled, p.Last)
}

func (st *stage) waitSettled(ctx context.Context) error {
	if err := st.server.call(ctx, http.MethodPost, "/v1/settled", nil, nil); err != nil {
		return fmt.Errorf("waiting for settlement: %w", err)
	}
	return nil
}

// release prices waiting usage at the rounds that were named.
func (o *demoOwn) release(ctx context.Context) error {
	before, err := o.waiting(ctx)
	if err != nil {
		return err
	}
	var pairs []events.Pair
	var held uint64
	for _, l := range before {
		held += l.Events
		if !slices.Contains(pairs, l.Pair) {
			pairs = append(pairs, l.Pair)
		}
	}
	if held > 0 {
		o.progress.step("%d events wait for a price", held)
	}
	for _, named := range o.command.Release {
		source, round, ok := quotes.ParseRound(named)
		if !ok {
			return fmt.Errorf("--release: %q is not SOURCE#ROUND", named)
		}
		for _, pair := range pairs {
			released, err := o.releaseAt(ctx, o.as, pair, source, round, "named on the command line")
			if err != nil {
				return err
			}
			o.result.Released += released
		}
	}
	return nil
}

func (st *stage) waiting(ctx context.Context) (list []api.Waiting, err error) {
	err = st.server.call(ctx, http.MethodGet, "/v1/suspense", nil, &list)
	return list, err
}

// releaseAt prices the usage that waits for a pair at a round, and counts its
// events.
func (st *stage) releaseAt(ctx context.Context, who string, pair events.Pair, source, round, reason string) (released uint64, err error) {
	count := func() (n uint64, err error) {
		list, err := st.waiting(ctx)
		for _, l := range list {
			n += l.Events
		}
		return n, err
	}
	before, err := count()
	if err != nil {
		return 0, err
	}
	body := events.SuspenseReleased{Pair: pair, Source: source, Round: round, Reason: reason}
	if err := st.by(who).call(ctx, http.MethodPost, "/v1/suspense/release", body, nil); err != nil {
		return 0, fmt.Errorf("releasing usage that waits for %s: %w", pair, err)
	}
	after, err := count()
	if err != nil {
		return 0, err
	}
	st.progress.step("%s released %d events at %s#%s", who, before-after, source, round)
	return before - after, nil
}

// settleUp lets every customer pay what it owes, and closes every period that
// the trace touches.
func (o *demoOwn) settleUp(ctx context.Context) error {
	in := map[string]string{"book": string(o.book.Book), "reference": "demo"}
	var done api.Applied
	if err := o.server.call(ctx, http.MethodPost, "/v1/deposits/outstanding", in, &done); err != nil {
		return fmt.Errorf("recording the customers' payments: %w", err)
	}
	o.progress.step("%d customers paid what they owe, rounded up to the next minor unit", done.Applied)
	survey, err := o.source.surveyed()
	if err != nil {
		return err
	}
	if survey.Counts.Events == 0 {
		return nil
	}
	at := survey.Last
	if begin := o.begin(); !begin.IsZero() {
		at += begin.UnixNano() - survey.Start
	}
	last, _, _ := o.book.Calendar.Bounds(at)
	// The last period may not have ended yet.
	return o.closePeriod(ctx, o.book.Book, last, "a demo closes everything that it has sent", o.result)
}

func (o *demoOwn) begin() time.Time {
	if !o.source.options.Begin.IsZero() {
		return o.source.options.Begin
	}
	return o.source.m.Begin
}

// closePeriod closes a period. If the period has not ended, early is the reason
// for closing it.
func (st *stage) closePeriod(ctx context.Context, book events.Book, period events.Period, early string, result *demoResult) error {
	var closed api.Closed
	in := events.PeriodClosed{Book: book, Period: period, Early: early != "", Reason: early}
	if err := st.server.call(ctx, http.MethodPost, "/v1/periods/close", in, &closed); err != nil {
		return fmt.Errorf("closing %s: %w", period, err)
	}
	result.Closed = period
	st.progress.step("closed %s up to %s", book, period)
	return nil
}

func (o *demoOwn) payOut(ctx context.Context) error {
	if o.result.Closed == "" {
		return nil
	}
	for _, token := range o.book.Tokens {
		made, paid, err := o.distribute(ctx, token, o.result.Closed, confirmed, o.result)
		if err != nil {
			return err
		}
		if made == nil {
			continue
		}
		o.progress.step("%s: %s %s to %d holders, %d payouts confirmed", made.Distribution, made.Pool, made.Asset, made.Holders, len(paid))
		o.result.distributed(made, paid)
	}
	return nil
}
