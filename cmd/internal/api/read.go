package api

import (
	"context"
	"net/http"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Waiting is a quantity of usage that waits for a price.
type Waiting struct {
	Book     events.Book     `json:"book"`
	Node     events.Node     `json:"node"`
	Customer events.Customer `json:"customer"`
	Meter    events.Meter    `json:"meter"`
	Card     string          `json:"card" doc:"card@version whose rule will price it."`
	Rule     int             `json:"rule"`
	Pair     events.Pair     `json:"pair" doc:"Pair whose quote is missing."`
	Period   events.Period   `json:"period" doc:"Period of the events."`
	Quantity money.Quantity  `json:"quantity"`
	Events   uint64          `json:"events"`
}

// Balance is what an account holds in one asset, over all its writers.
type Balance struct {
	Account ledger.Account `json:"account"`
	Asset   money.Asset    `json:"asset"`
	Debit   money.Amount   `json:"debit"`
	Credit  money.Amount   `json:"credit"`
	Net     money.Amount   `json:"net" doc:"Debit minus credit."`
}

// Tally counts the events of one node and period by outcome.
type Tally struct {
	Book    events.Book    `json:"book"`
	Node    events.Node    `json:"node" doc:"Empty if the event names no node of the book."`
	Period  events.Period  `json:"period"`
	Outcome events.Outcome `json:"outcome" doc:"1 accepted, 2 late, 3 duplicate, 4 refused."`
	Reason  events.Reason  `json:"reason,omitempty"`
	Events  uint64         `json:"events"`
}

// waiting returns the usage that waits for a price in a book, or in all books
// if book is empty.
func (s *Server) waiting(ctx context.Context, book events.Book) ([]Waiting, error) {
	lines, err := s.Store.Suspense(ctx, book)
	if err != nil {
		return nil, err
	}
	out := make([]Waiting, len(lines))
	for i, l := range lines {
		out[i] = Waiting{l.Book, l.Node, l.Customer, l.Meter, l.Card, l.Rule, l.Pair, l.Period, l.Quantity, l.Events}
	}
	return out, nil
}

func (s *Server) reads() {
	register(s, http.MethodGet, "/v1/suspense", "list-suspense", "List the quantities that wait for a price",
		func(ctx context.Context, in *struct {
			Book events.Book `query:"book"`
		}) (*answer[[]Waiting], error) {
			out, err := s.waiting(ctx, in.Book)
			if err != nil {
				return nil, err
			}
			return &answer[[]Waiting]{out}, nil
		})
	register(s, http.MethodGet, "/v1/balances", "list-balances", "List the balances of accounts",
		func(ctx context.Context, in *struct {
			Prefix string `query:"prefix" doc:"Only accounts whose names begin with this."`
		}) (*answer[[]Balance], error) {
			rows, err := s.Store.Balances(ctx, in.Prefix)
			if err != nil {
				return nil, err
			}
			out := make([]Balance, len(rows))
			for i, r := range rows {
				out[i] = Balance{r.Account, r.Asset, r.Debit, r.Credit, ledger.Balance{Debit: r.Debit, Credit: r.Credit}.Net()}
			}
			return &answer[[]Balance]{out}, nil
		})
	register(s, http.MethodGet, "/v1/tallies", "list-tallies", "Count events by node, period and outcome",
		func(ctx context.Context, in *struct {
			Book events.Book `query:"book"`
		}) (*answer[[]Tally], error) {
			rows, err := s.Store.Tallies(ctx, in.Book)
			if err != nil {
				return nil, err
			}
			out := make([]Tally, len(rows))
			for i, t := range rows {
				out[i] = Tally{t.Book, t.Node, t.Period, t.Outcome, t.Reason, t.Events}
			}
			return &answer[[]Tally]{out}, nil
		})
}
