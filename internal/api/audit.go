package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/audit/check"
	"github.com/aliquot-engine/aliquot/services/audit/explain"
	"github.com/aliquot-engine/aliquot/services/audit/statement"
	"github.com/aliquot-engine/aliquot/services/audit/summary"
)

// Checked is what became of every invariant.
type Checked struct {
	OK     bool          `json:"ok"`
	Checks []check.Check `json:"checks"`
}

func (s *Server) audits() {
	register(s, http.MethodGet, "/v1/summary", "summary", "The whole store in a few figures",
		func(ctx context.Context, _ *struct{}) (*answer[summary.Summary], error) {
			sum, err := summary.Run(ctx, s.Store)
			if err != nil {
				return nil, err
			}
			return &answer[summary.Summary]{sum}, nil
		})
	register(s, http.MethodGet, "/v1/check", "check", "Verify every invariant at one cut",
		func(ctx context.Context, in *struct {
			Deep bool `query:"deep" doc:"Read the usage stream as well, and count every event in it."`
		}) (*answer[Checked], error) {
			list, err := check.Run(ctx, s.Store, s.Usage, in.Deep, s.More...)
			if err != nil {
				return nil, err
			}
			return &answer[Checked]{Checked{check.All(list), list}}, nil
		})
	s.replays()
	register(s, http.MethodGet, "/v1/explain", "explain", "Where a figure comes from and goes to",
		func(ctx context.Context, in *struct {
			ID string `query:"id" required:"true" doc:"A payout, a distribution, a journal row, or a usage event as source#id, source#sequence, source#epoch/sequence or partition/position/ordinal."`
		}) (*answer[explain.Node], error) {
			node, err := explain.Explain(ctx, explain.Sources{Usage: s.Usage, Control: s.Control, Ledger: s.Ledger, More: s.More, Store: s.Store, IDs: s.IDs}, in.ID)
			if errors.Is(err, explain.ErrUnknown) {
				return nil, huma.Error404NotFound(err.Error())
			}
			if err != nil {
				return nil, err
			}
			return &answer[explain.Node]{node}, nil
		})
	register(s, http.MethodGet, "/v1/statements/provider/{id}", "provider-statement", "What happened to a provider's money",
		func(ctx context.Context, in *struct {
			ID events.Provider `path:"id"`
		}) (*answer[statement.OfProvider], error) {
			var books []events.Book
			known := false
			s.Engine.Directory(func(d *directory.Directory) {
				_, known = d.Provider(in.ID)
				for _, b := range d.Books() {
					if b.Provider == in.ID {
						books = append(books, b.Book)
					}
				}
			})
			if !known {
				return nil, huma.Error404NotFound(fmt.Sprintf("provider %q is not declared", in.ID))
			}
			made, err := statement.Provider(ctx, s.Store, in.ID, books)
			if err != nil {
				return nil, err
			}
			return &answer[statement.OfProvider]{made}, nil
		})
	register(s, http.MethodGet, "/v1/statements/customer/{id}", "customer-statement", "What happened to a customer's money",
		func(ctx context.Context, in *struct {
			ID events.Customer `path:"id"`
		}) (*answer[statement.OfCustomer], error) {
			known := false
			s.Engine.Directory(func(d *directory.Directory) { _, known = d.Customer(in.ID) })
			if !known {
				return nil, huma.Error404NotFound(fmt.Sprintf("customer %q is not declared", in.ID))
			}
			made, err := statement.Customer(ctx, s.Store, in.ID)
			if err != nil {
				return nil, err
			}
			return &answer[statement.OfCustomer]{made}, nil
		})
	register(s, http.MethodGet, "/v1/statements/holder/{id}", "holder-statement", "What happened to a holder's money",
		func(ctx context.Context, in *struct {
			ID string `path:"id"`
		}) (*answer[statement.OfHolder], error) {
			made, err := statement.Holder(ctx, s.Store, events.CanonicalHolder(in.ID))
			if err == nil && made.Empty() {
				err = s.registered(ctx, made.Holder)
			}
			if err != nil {
				return nil, err
			}
			return &answer[statement.OfHolder]{made}, nil
		})
}

// registered is nil where a holder is named in some register, and otherwise the
// answer to whoever asks for somebody unknown.
func (s *Server) registered(ctx context.Context, holder events.Holder) error {
	var tokens []events.TokenDeclared
	s.Engine.Directory(func(d *directory.Directory) { tokens = d.Tokens() })
	for _, token := range tokens {
		found := false
		err := s.movements(ctx, token.Token, func(_ uint64, m *events.Movements) bool {
			for i := range m.Movements {
				found = found || m.Movements[i].To == holder || m.Movements[i].From == holder
			}
			return !found
		})
		if err != nil {
			return unavailable(err)
		}
		if found {
			return nil
		}
	}
	return huma.Error404NotFound(fmt.Sprintf("holder %q is in no register, and nothing was ever owed to them", holder))
}
