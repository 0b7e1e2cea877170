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

type suspenseCommand struct {
	List    suspenseList    `cmd:"" help:"List the quantities that wait for a price."`
	Release suspenseRelease `cmd:"" help:"Price the usage that waits for a pair at a named round; --as names the person responsible for it."`
}

type suspenseList struct{}

func (suspenseList) Run(ctx context.Context, r *root) error {
	var waiting []api.Waiting
	if err := r.ask(ctx, http.MethodGet, "/v1/suspense", nil, &waiting); err != nil {
		return err
	}
	return r.print(waiting, func(w io.Writer) {
		if len(waiting) == 0 {
			fmt.Fprintln(w, "no usage waits for a price")
			return
		}
		t := plain.NewTable(w, "BOOK", "NODE", "CUSTOMER", "METER", "CARD", "PAIR", "PERIOD", "QUANTITY", "EVENTS")
		for _, l := range waiting {
			t.Row(l.Book, l.Node, l.Customer, l.Meter, l.Card, l.Pair, l.Period, l.Quantity, l.Events)
		}
		t.End()
	})
}

type suspenseRelease struct {
	Pair   string `default:"USDC/USD" help:"Asset and currency."`
	Source string `default:"chainlink" help:"Source of the round."`
	Round  string `required:"" help:"Round whose rate prices the waiting usage."`
	Book   string `help:"Only this book."`
	Reason string `required:"" help:"Reason for using this round."`
}

func (c *suspenseRelease) Run(ctx context.Context, r *root) error {
	if r.As == "" && r.Token == "" {
		return misused("--as NAME is needed: a release names the person who is responsible for it")
	}
	var done api.Decided
	in := events.SuspenseReleased{Pair: events.Pair(c.Pair), Book: events.Book(c.Book), Source: c.Source, Round: c.Round, Reason: c.Reason}
	if err := r.ask(ctx, http.MethodPost, "/v1/suspense/release", in, &done); err != nil {
		return err
	}
	return r.decided(done)
}
