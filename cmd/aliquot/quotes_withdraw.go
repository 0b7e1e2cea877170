package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

type quotesWithdraw struct {
	Pair   string `default:"USDC/USD" help:"Asset and currency."`
	Source string `default:"chainlink" help:"Source of the round."`
	Round  string `required:"" help:"Round to take back."`
	Reason string `required:"" help:"Reason for taking it back."`
}

func (c *quotesWithdraw) Run(ctx context.Context, r *root) error {
	if r.As == "" && r.Token == "" {
		return misused("--as NAME is needed: a withdrawal names the person who is responsible for it")
	}
	var done api.Withdrawn
	in := events.RoundWithdrawn{Pair: events.Pair(c.Pair), Source: c.Source, Round: c.Round, Reason: c.Reason}
	if err := r.ask(ctx, http.MethodPost, "/v1/quotes/withdraw", in, &done); err != nil {
		return err
	}
	return r.print(done, func(w io.Writer) {
		plain.Fprintf(w, "round %s of %s is withdrawn (control record %d)\n", c.Round, c.Source, done.Position)
		if len(done.Priced) == 0 {
			fmt.Fprintln(w, "it has priced nothing")
			return
		}
		fmt.Fprintln(w, "it has priced the following postings, which do not change:")
		t := plain.NewTable(w, "ROW", "BOOK", "PERIOD", "CUSTOMER", "NODE", "METER", "QUANTITY", "AMOUNT", "ASSET", "EVENTS")
		for _, p := range done.Priced {
			t.Row(p.Row, p.Book, p.Origin, p.Debit, p.Credit, p.Meter, p.Quantity, p.Amount, p.Asset, p.Events)
		}
		t.End()
	})
}
