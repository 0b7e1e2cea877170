package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Closed is the result of closing a period.
type Closed struct {
	Decided
	LedgerPosition uint64        `json:"ledger_position" doc:"Position in LEDGER up to which the closing is published."`
	Usage          UsageIncluded `json:"usage"`
	// Waiting is the usage that the closing leaves without a price.
	Waiting []Waiting `json:"waiting" doc:"Quantities of closed periods that wait for a price: they are charged when they are released, in the open period."`
}

// Covered is the result of one decision about money that covers usage.
type Covered struct {
	Decided
	Usage UsageIncluded `json:"usage"`
}

// Outstanding is the result of the deposits of all customers who owed
// something.
type Outstanding struct {
	Applied
	Usage UsageIncluded `json:"usage"`
}

// covering makes a decision that covers the usage of a book with money. The
// decision takes effect at a barrier that follows all usage accepted before, so
// that usage is settled by then.
func (s *Server) covering(ctx context.Context, book events.Book, id string, body events.Body) (*answer[Covered], error) {
	var decided *answer[Decided]
	usage, err := s.including(ctx, book, func([]UsageThrough) (err error) {
		decided, err = s.decideOne(ctx, id, body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &answer[Covered]{Covered{decided.Body, usage}}, nil
}

func (s *Server) moneyIn() {
	register(s, http.MethodPost, "/v1/deposits", "deposit", "Record that a customer's money has arrived, and collect what it covers",
		func(ctx context.Context, in *struct {
			Body struct {
				Book      events.Book     `json:"book"`
				Customer  events.Customer `json:"customer"`
				Asset     money.Asset     `json:"asset"`
				Amount    money.Amount    `json:"amount"`
				Reference string          `json:"reference" minLength:"1" doc:"The payer's or the bank's reference: a request with the same reference is the same deposit."`
			}
		}) (*answer[Covered], error) {
			b := in.Body
			return s.covering(ctx, b.Book, events.DepositID(b.Book, b.Customer, b.Reference), events.DepositRecorded{
				Book: b.Book, Customer: b.Customer, Asset: b.Asset, Amount: b.Amount, Reference: b.Reference,
			})
		})
	register(s, http.MethodPost, "/v1/deposits/outstanding", "deposit-outstanding", "Record that every customer of a book paid what it owes, rounded up to the next minor unit",
		func(ctx context.Context, in *struct {
			Body struct {
				Book      events.Book `json:"book"`
				Reference string      `json:"reference" minLength:"1"`
			}
		}) (*answer[Outstanding], error) {
			return s.depositOutstanding(ctx, in.Body.Book, in.Body.Reference)
		})
	register(s, http.MethodPost, "/v1/collections", "collect", "Let prepaid money cover what is owed",
		func(ctx context.Context, in *struct {
			Body events.CollectionRequested
		}) (*answer[Covered], error) {
			return s.covering(ctx, in.Body.Book, "", in.Body)
		})
	register(s, http.MethodPost, "/v1/periods/close", "close-period", "Close a book's periods up to and including one",
		func(ctx context.Context, in *struct {
			Body events.PeriodClosed
		}) (*answer[Closed], error) {
			var err error
			if in.Body.RestsOn, err = s.published(); err != nil {
				return nil, unavailable(err)
			}
			done, err := s.covering(ctx, in.Body.Book, events.ClosingID(in.Body.Book, in.Body.Period), in.Body)
			if err != nil {
				return nil, err
			}
			if err := s.Engine.WaitPublished(ctx); err != nil {
				return nil, unavailable(err)
			}
			last, err := s.Ledger.Last(ctx)
			if err != nil {
				return nil, unavailable(err)
			}
			waiting, err := s.waiting(ctx, in.Body.Book)
			if err != nil {
				return nil, err
			}
			closed := Closed{Decided: done.Body.Decided, LedgerPosition: last, Usage: done.Body.Usage, Waiting: []Waiting{}}
			for _, w := range waiting {
				if w.Period <= in.Body.Period { // labels of one calendar sort as their periods do
					closed.Waiting = append(closed.Waiting, w)
				}
			}
			return &answer[Closed]{closed}, nil
		})
	register(s, http.MethodPost, "/v1/periods/reopen", "reopen-period", "Reopen a closed period and every later one, if no distribution rests on them",
		func(ctx context.Context, in *struct {
			Body events.PeriodReopened
		}) (*answer[Decided], error) {
			var err error
			if in.Body.Void, err = s.voidDistributions(ctx, in.Body.Book, in.Body.Period); err != nil {
				return nil, err
			}
			return s.decideOne(ctx, "", in.Body)
		})
	register(s, http.MethodPost, "/v1/deposits/reverse", "reverse-deposit", "Take back a deposit that has covered nothing",
		func(ctx context.Context, in *struct {
			Body struct {
				Book      events.Book     `json:"book"`
				Customer  events.Customer `json:"customer"`
				Asset     money.Asset     `json:"asset"`
				Amount    money.Amount    `json:"amount"`
				Reference string          `json:"reference" minLength:"1" doc:"Reference of the deposit."`
				Reason    string          `json:"reason" minLength:"1" doc:"Reason for taking it back."`
			}
		}) (*answer[Decided], error) {
			b := in.Body
			id := events.DepositID(b.Book, b.Customer, b.Reference)
			// This is checked before anything is recorded: a reversal that is
			// void at its barrier could not be tried again.
			has := ledger.CustomerPrepaid(b.Customer)
			rows, err := s.Store.Balances(ctx, string(has))
			if err != nil {
				return nil, err
			}
			var prepaid money.Amount
			for _, row := range rows {
				if row.Account == has && row.Asset == b.Asset {
					if prepaid, err = row.Credit.Sub(row.Debit); err != nil {
						return nil, err
					}
				}
			}
			again := events.DepositReversalID(b.Book, b.Customer, b.Reference)
			if prepaid.Cmp(b.Amount) < 0 && !s.known(again) {
				return nil, huma.Error409Conflict(fmt.Sprintf("amount: %v %s are left of the prepaid money of customer %s, less than the deposit of %v", prepaid, b.Asset, b.Customer, b.Amount))
			}
			return s.decideOne(ctx, again, events.DepositReversed{
				Book: b.Book, Customer: b.Customer, Asset: b.Asset, Amount: b.Amount, Reference: b.Reference, Deposit: id, Reason: b.Reason,
			})
		})
}

// voidDistributions returns the declarations of distributions of a period and
// later ones that are void. It waits until distribution has taken every
// declaration; one that is void then stays void.
func (s *Server) voidDistributions(ctx context.Context, book events.Book, period events.Period) (list []string, err error) {
	last, err := s.Control.Last(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	if err := s.effective(ctx, last, "waiting for the result of the decisions up to control record %d", last); err != nil {
		return nil, err
	}
	var declared []string
	s.Engine.Directory(func(d *directory.Directory) { declared = d.Resting(book, period) })
	for _, id := range declared {
		_, made, err := s.Store.Distribution(ctx, id)
		if err != nil {
			return nil, err
		}
		if !made {
			list = append(list, id)
		}
	}
	return list, nil
}

// known reports whether a decision with this id has taken effect.
func (s *Server) known(id string) (known bool) {
	s.Engine.Directory(func(d *directory.Directory) { known = d.Known(id) })
	return known
}

// depositOutstanding records that every customer paid the charges for usage
// that was accepted before. Customers that paid under the same reference before
// are not charged again.
func (s *Server) depositOutstanding(ctx context.Context, book events.Book, reference string) (*answer[Outstanding], error) {
	var done *answer[Applied]
	usage, err := s.including(ctx, book, func(through []UsageThrough) (err error) {
		missing, err := s.settled(ctx, through, settleBound)
		if err != nil {
			return err
		}
		if missing != "" {
			return huma.Error503ServiceUnavailable("the amounts owed are not known yet: " + missing + "; ask again later")
		}
		done, err = s.payOutstanding(ctx, book, reference)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &answer[Outstanding]{Outstanding{Applied: done.Body, Usage: usage}}, nil
}

// payOutstanding decides the deposits of what is owed now.
func (s *Server) payOutstanding(ctx context.Context, book events.Book, reference string) (*answer[Applied], error) {
	proposals, err := s.settleUp(ctx, book, reference)
	if err != nil {
		return nil, err
	}
	paid := make([]bool, len(proposals))
	s.Engine.Directory(func(d *directory.Directory) {
		for i, p := range proposals {
			at, _ := d.Taken(p.id, p.body)
			paid[i] = at > 0
		}
	})
	fresh, repeated := proposals[:0:0], 0
	for i, p := range proposals {
		if paid[i] {
			repeated++
			continue
		}
		fresh = append(fresh, p)
	}
	done, err := s.decided(ctx, fresh)
	if err != nil {
		return nil, err
	}
	done.Body.Unchanged += repeated
	return done, nil
}

// settleUp proposes one deposit for each customer and asset with something
// owed.
func (s *Server) settleUp(ctx context.Context, book events.Book, reference string) ([]proposal, error) {
	owed, err := s.Store.Outstanding(ctx, book, "")
	if err != nil {
		return nil, err
	}
	var proposals []proposal
	for i := 0; i < len(owed); {
		first, sum := owed[i], money.Amount{}
		for ; i < len(owed) && owed[i].Customer == first.Customer && owed[i].Asset == first.Asset; i++ {
			if sum, err = sum.Add(owed[i].Amount); err != nil {
				return nil, fmt.Errorf("adding what %s owes: %w", first.Customer, err)
			}
		}
		pay, _, err := sum.CeilMinor(first.Asset)
		if err != nil {
			return nil, fmt.Errorf("rounding what %s owes up: %w", first.Customer, err)
		}
		if pay.IsZero() {
			continue
		}
		proposals = append(proposals, proposal{
			id: events.DepositID(book, first.Customer, reference),
			body: events.DepositRecorded{
				Book: book, Customer: first.Customer, Asset: first.Asset, Amount: pay,
				Reference: reference,
			},
		})
	}
	return proposals, nil
}
