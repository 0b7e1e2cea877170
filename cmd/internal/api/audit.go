package api

import (
	"context"
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

// Checked is the result of checking every invariant.
type Checked struct {
	OK     bool          `json:"ok"`
	Checks []check.Check `json:"checks"`
}

func (s *Server) audits() {
	register(s, http.MethodGet, "/v1/summary", "summary", "Summarise the store in a few figures",
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
			list, err := check.Run(ctx, s.Store, check.Streams{Usage: s.Usage, Control: s.Control}, in.Deep)
			if err != nil {
				return nil, err
			}
			return &answer[Checked]{Checked{check.All(list), list}}, nil
		})
	s.replays()
	register(s, http.MethodGet, "/v1/explain", "explain", "Show where a figure comes from and where it goes",
		func(ctx context.Context, in *struct {
			ID string `query:"id" doc:"A payout, a distribution, a journal row, or a usage event as source#id, source#sequence, source#epoch/sequence or partition/position/ordinal; with source, only the id that the source gave it."`
			EventIdentity
		}) (*answer[explain.Node], error) {
			id, err := s.named(ctx, in.ID, in.EventIdentity)
			if err != nil {
				return nil, err
			}
			node, err := explain.Explain(ctx, s.explained(), id)
			if err != nil {
				return nil, unnamed(err)
			}
			return &answer[explain.Node]{node}, nil
		})
	register(s, http.MethodGet, "/v1/statements/provider/{id}", "provider-statement", "State what happened to a provider's money",
		func(ctx context.Context, in *struct {
			ID events.Provider `path:"id"`
			ofPeriod
		}) (*stated[statement.OfProvider], error) {
			var books []events.Book
			calendars := []events.Calendar{}
			known := false
			s.Engine.Directory(func(d *directory.Directory) {
				_, known = d.Provider(in.ID)
				for _, b := range d.Books() {
					if b.Provider == in.ID {
						books = append(books, b.Book)
						calendars = append(calendars, events.Calendar(b.Calendar))
					}
				}
			})
			if !known {
				return nil, huma.Error404NotFound(fmt.Sprintf("provider %q is not declared", in.ID))
			}
			if err := in.check(calendars...); err != nil {
				return nil, err
			}
			missing, err := s.reading(ctx)
			if err != nil {
				return nil, err
			}
			made, err := statement.Provider(ctx, s.Store, in.ID, books, in.Period)
			if err != nil {
				return nil, err
			}
			return &stated[statement.OfProvider]{missing, made}, nil
		})
	register(s, http.MethodGet, "/v1/statements/customer/{id}", "customer-statement", "State what happened to a customer's money",
		func(ctx context.Context, in *struct {
			ID events.Customer `path:"id"`
			ofPeriod
		}) (*stated[statement.OfCustomer], error) {
			known, calendar := false, events.Calendar("")
			s.Engine.Directory(func(d *directory.Directory) {
				var c events.CustomerDeclared
				c, known = d.Customer(in.ID)
				if book, ok := d.Book(c.Book); ok {
					calendar = events.Calendar(book.Calendar)
				}
			})
			if !known {
				return nil, huma.Error404NotFound(fmt.Sprintf("customer %q is not declared", in.ID))
			}
			if err := in.check(calendar); err != nil {
				return nil, err
			}
			missing, err := s.reading(ctx)
			if err != nil {
				return nil, err
			}
			made, err := statement.Customer(ctx, s.Store, in.ID, in.Period)
			if err != nil {
				return nil, err
			}
			return &stated[statement.OfCustomer]{missing, made}, nil
		})
	register(s, http.MethodGet, "/v1/statements/holder/{id}", "holder-statement", "State what happened to a holder's money",
		func(ctx context.Context, in *struct {
			ID string `path:"id"`
			ofPeriod
		}) (*stated[statement.OfHolder], error) {
			holder, err := events.ParseHolder(in.ID)
			if err != nil {
				return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("holder: %v", err))
			}
			if err := in.check("month", "day"); err != nil {
				return nil, err
			}
			missing, err := s.reading(ctx)
			if err != nil {
				return nil, err
			}
			made, err := statement.Holder(ctx, s.Store, holder, in.Period)
			if err == nil && made.Empty() {
				err = s.registered(ctx, made.Holder)
			}
			if err != nil {
				return nil, err
			}
			return &stated[statement.OfHolder]{missing, made}, nil
		})
}

// ofPeriod limits a statement to one period.
type ofPeriod struct {
	Period events.Period `query:"period" doc:"Only usage, deposits and distributions of this period, such as 2026-10; all periods if it is absent."`
}

// check refuses, with 422, a label that does not belong to any of the
// calendars.
func (p ofPeriod) check(calendars ...events.Calendar) error {
	if p.Period == "" {
		return nil
	}
	var reason error
	for _, c := range calendars {
		if _, _, err := c.Parse(p.Period); err == nil {
			return nil
		} else if reason == nil {
			reason = err
		}
	}
	return huma.Error422UnprocessableEntity(fmt.Sprintf("query.period: %v", reason))
}

// registered returns nil if any register names the holder, and otherwise the
// answer for a caller who asks about an unknown holder.
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
	return huma.Error404NotFound(fmt.Sprintf("holder %q is in no register, and was never owed anything", holder))
}
