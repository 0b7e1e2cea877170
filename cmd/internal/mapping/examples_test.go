package mapping_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/apply"
	"github.com/aliquot-engine/aliquot/cmd/internal/mapping"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

func TestEveryExampleIsABookAndAMapThatFit(t *testing.T) {
	books, err := filepath.Glob("../../../examples/*/book*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	deeper, err := filepath.Glob("../../../examples/*/*/book*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if books = append(books, deeper...); len(books) < 4 {
		t.Fatalf("only %v", books)
	}
	for _, path := range books {
		t.Run(path, func(t *testing.T) {
			declarations, err := apply.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			document, err := os.ReadFile(filepath.Join(filepath.Dir(path), "map.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			m, err := mapping.Parse("map.yaml", document)
			if err != nil {
				t.Fatal(err)
			}
			// Nothing in it is void, and it is the book of the map.
			declared := directory.New()
			var book, card, pair bool
			for i, declaration := range declarations {
				body := declaration.Body
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

// The totals were worked out by hand from the rows.
func TestRentedGPUsAreGPUsTimesHours(t *testing.T) {
	document, err := os.ReadFile("../../../examples/gpu-rental/map.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m, err := mapping.Parse("map.yaml", document)
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.Open("../../../examples/gpu-rental/usage.csv", mapping.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	type rental struct{ node, customer, quantity, start, end string }
	var got []rental
	for {
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || item.Refusal != nil {
			t.Fatal(err, item.Refusal)
		}
		u := item.Usage
		clock := func(ns int64) string { return time.Unix(0, ns).UTC().Format("01-02T15:04") }
		got = append(got, rental{string(u.Node), string(u.Customer), u.Quantity.String(), clock(u.Start), clock(u.End)})
	}
	want := []rental{
		{"projects-research-regions-eu-central-instances-", "conversation-lab", "43200", "10-05T06:00", "10-05T07:30"},
		{"projects-research-regions-eu-central-instances-", "protein-gmbh", "7200", "10-05T08:00", "10-05T09:00"},
		// Clocks went from 3 back to 2 in between.
		{"projects-research-instances-l40s-node-2", "conversation-lab", "10800", "10-24T23:30", "10-25T02:30"},
	}
	if len(got) != len(want) || r.Counts().Skipped != 1 {
		t.Fatalf("got %+v, %+v", got, r.Counts())
	}
	for i := range want {
		if !strings.HasPrefix(got[i].node, want[i].node) || len(got[i].node) > 64 || i == 0 && got[0].node != got[1].node {
			t.Errorf("node %s", got[i].node)
		}
		if got[i].node = want[i].node; got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
}
