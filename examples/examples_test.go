// Package examples has no code: its tests keep the examples true.
package examples

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/apply"
	"github.com/aliquot-engine/aliquot/internal/mapping"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

func TestEveryExampleIsABookAndAMapThatFit(t *testing.T) {
	books, err := filepath.Glob("*/book*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	deeper, err := filepath.Glob("*/*/book*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if books = append(books, deeper...); len(books) < 4 {
		t.Fatalf("only %v", books)
	}
	for _, path := range books {
		t.Run(path, func(t *testing.T) {
			bodies, err := apply.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			document, err := os.ReadFile(filepath.Join(filepath.Dir(path), "map.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			m, err := mapping.Parse(document)
			if err != nil {
				t.Fatal(err)
			}
			// Nothing in it is void, and it is the book of the map.
			declared := directory.New()
			var book, card, pair bool
			for i, body := range bodies {
				if err := declared.Apply(uint64(i+1), events.Decision{ID: body.Kind() + string(rune('a'+i)), Actor: "operator:test", At: time.Unix(1_700_000_000, 0), Body: body}); err != nil {
					t.Errorf("%s: %v", body.Kind(), err)
				}
				switch b := body.(type) {
				case events.BookDeclared:
					book = book || b.Book == m.Book && b.ReceivedFromEvent && b.HorizonSeconds == 0
				case events.CardDeclared:
					card = card || b.Book == m.Book && len(b.Rules) > 0
				case events.QuotePolicyDeclared:
					pair = b.Pair == "USDC/USD" && b.Fixed.IsZero() == strings.HasSuffix(path, "quoted.yaml")
				}
			}
			if !book || !pair || !card {
				t.Errorf("it does not declare the book %s as its map needs it, with a card and a quote", m.Book)
			}
			if !m.DeclareNodes || !m.DeclareCustomers || !m.ReceivedFromEvent {
				t.Error("another file of the same columns would need other declarations")
			}
		})
	}
}
