package api

import (
	"context"
	"net/http"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Book is one declared book.
type Book struct {
	Book              events.Book     `json:"book"`
	Provider          events.Provider `json:"provider"`
	Asset             money.Asset     `json:"asset"`
	Calendar          events.Calendar `json:"calendar" doc:"Length of a period: day or month."`
	ReceivedFromEvent bool            `json:"received_from_event" doc:"Whether imports may take the time of receipt from the event."`
	Open              events.Period   `json:"open,omitempty" doc:"The period after the last closed one; empty before the first closing."`
	Nodes             int             `json:"nodes"`
	Customers         int             `json:"customers"`
	Tokens            []events.Token  `json:"tokens"`
}

func (s *Server) books() {
	register(s, http.MethodGet, "/v1/books", "list-books", "List the declared books",
		func(context.Context, *struct{}) (*answer[[]Book], error) {
			out := []Book{}
			s.Engine.Directory(func(d *directory.Directory) {
				tokens := d.Tokens()
				for _, b := range d.Books() {
					one := Book{
						Book: b.Book, Provider: b.Provider, Asset: b.Asset, Calendar: events.Calendar(b.Calendar),
						ReceivedFromEvent: b.ReceivedFromEvent, Tokens: []events.Token{},
						Nodes: len(d.Nodes(b.Book)), Customers: len(d.Customers(b.Book)),
					}
					one.Open, _ = b.Open()
					for _, t := range tokens {
						if t.Book == b.Book {
							one.Tokens = append(one.Tokens, t.Token)
						}
					}
					out = append(out, one)
				}
			})
			return &answer[[]Book]{out}, nil
		})
}
