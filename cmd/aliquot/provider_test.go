package main

import (
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

func TestWhoseUsageItIs(t *testing.T) {
	book := func(name, provider string) api.Book {
		var b api.Book
		b.Book, b.Provider = events.Book(name), events.Provider(provider)
		return b
	}
	for _, test := range []struct {
		name  string
		books []api.Book
		book  events.Book
		want  events.Provider
		fails string // part of the error
	}{
		{"the only provider", []api.Book{book("eu", "acme")}, "", "acme", ""},
		{"the only provider of two books", []api.Book{book("eu", "acme"), book("us", "acme")}, "", "acme", ""},
		{"the provider of the second book of two providers", []api.Book{book("eu", "acme"), book("us", "globex")}, "us", "globex", ""},
		{"the provider of the third book of three providers", []api.Book{book("eu", "acme"), book("us", "globex"), book("asia", "initech")}, "asia", "initech", ""},
		{"a book that is not declared among two providers", []api.Book{book("eu", "acme"), book("us", "globex")}, "asia", "", `book "asia" is not declared`},
		{"two providers and no book named", []api.Book{book("eu", "acme"), book("us", "globex")}, "", "", "--provider NAME is needed"},
		{"three providers, of which the last repeats the first", []api.Book{book("eu", "acme"), book("us", "globex"), book("asia", "acme")}, "", "", "there are 2 providers"},
		{"nothing is declared", nil, "", "", "no book is declared"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := providerOf(test.books, test.book)
			if got != test.want || (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("got %q, %v; want %q and an error with %q", got, err, test.want, test.fails)
			}
		})
	}
}
