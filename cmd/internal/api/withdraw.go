package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/quotes"
)

// Withdrawn is the result of withdrawing a round, with the postings that the
// round has priced.
type Withdrawn struct {
	Decided
	Priced []Priced `json:"priced" doc:"Postings that the round has priced, alone or in a median: they do not change."`
}

// Priced is a posting that rests on a round.
type Priced struct {
	Row      string         `json:"row" doc:"Journal row, which explain takes."`
	Book     events.Book    `json:"book"`
	Period   events.Period  `json:"period" doc:"Period in which it is posted."`
	Origin   events.Period  `json:"origin" doc:"Period of the events."`
	Debit    ledger.Account `json:"debit"`
	Credit   ledger.Account `json:"credit"`
	Meter    events.Meter   `json:"meter"`
	Quantity money.Quantity `json:"quantity"`
	Amount   money.Amount   `json:"amount"`
	Asset    money.Asset    `json:"asset"`
	Quote    string         `json:"quote"`
	Events   uint64         `json:"events"`
}

func (s *Server) withdrawals() {
	register(s, http.MethodPost, "/v1/quotes/withdraw", "withdraw-round", "Take back a round of quotes, and list what it has priced",
		func(ctx context.Context, in *struct {
			Body events.RoundWithdrawn
		}) (*answer[Withdrawn], error) {
			done, err := s.decideOne(ctx, "", in.Body)
			if err != nil {
				return nil, err
			}
			priced, err := s.pricedAt(ctx, in.Body)
			if err != nil {
				return nil, err
			}
			return &answer[Withdrawn]{Withdrawn{done.Body, priced}}, nil
		})
}

// pricedAt reads the whole journal to find what a round has priced: withdrawals
// are rare, so no index is stored for them.
func (s *Server) pricedAt(ctx context.Context, round events.RoundWithdrawn) (list []Priced, err error) {
	list = []Priced{}
	asset, _, _ := round.Pair.Split()
	id := quotes.RoundID(round.Source, round.Round)
	err = s.Store.Snapshot(ctx, func(now *store.Snapshot) error {
		return now.Entries("", func(writer string, row store.Written, r *ledger.Record) error {
			for i := range r.Entries {
				e := &r.Entries[i]
				for _, p := range e.Postings {
					if string(p.Asset) == asset && slices.Contains(quotes.Rounds(p.Quote), id) {
						list = append(list, Priced{fmt.Sprintf("%s-%d", writer, row.Number), e.Book, e.Period, e.Origin, p.Debit, p.Credit, p.Meter, p.Quantity, p.Amount, p.Asset, p.Quote, p.Events})
					}
				}
			}
			return nil
		})
	})
	return list, err
}
