package events_test

import (
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/admissiontest"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Fails when an objection has another reason, or when two change places.
func TestTheFirstObjectionCounts(t *testing.T) {
	order := []struct {
		objection events.Objections
		reason    events.Reason
	}{
		{events.AgainstSign, events.Negative}, {events.AgainstInterval, events.BadInterval},
		{events.AgainstAmendment, events.Unsupported},
		{events.AgainstNode, events.UnknownNode}, {events.AgainstCustomer, events.UnknownCustomer}, {events.AgainstMeter, events.UnknownMeter},
		{events.AgainstQuantity, events.Absurd},
		{events.AgainstFuture, events.FromFuture}, {events.AgainstAge, events.BeyondHorizon},
	}
	if got := events.Objections(0).First(); got != "" {
		t.Errorf("no objection has the reason %s", got)
	}
	for i, first := range order {
		for _, second := range order[i:] {
			if got := (first.objection | second.objection).First(); got != first.reason {
				t.Errorf("%s and %s: %s counts", first.reason, second.reason, got)
			}
		}
	}
}

// Fails when a bound is taken as excluded, or when a fault of the format is not seen.
func TestBoundsOfAdmissionAreIncluded(t *testing.T) {
	largest, err := money.ParseQuantity("100")
	if err != nil {
		t.Fatal(err)
	}
	more, err := money.ParseQuantity("100.000000000000000001")
	if err != nil {
		t.Fatal(err)
	}
	below, err := money.ParseQuantity("-1")
	if err != nil {
		t.Fatal(err)
	}
	w := events.Window{Earliest: 10, Latest: 20}
	for _, c := range []struct {
		name       string
		quantity   money.Quantity
		start, end int64
		want       events.Objections
	}{
		{"the earliest", largest, 10, 10, 0},
		{"before it", largest, 9, 9, events.AgainstAge},
		{"the latest", largest, 20, 20, 0},
		{"an interval that ends after the latest", largest, 10, 21, 0},
		{"after it", largest, 21, 21, events.AgainstFuture},
		{"above the largest", more, 15, 15, events.AgainstQuantity},
		{"below zero", below, 15, 15, events.AgainstSign},
		{"an end before the start", largest, 15, 14, events.AgainstInterval},
	} {
		if got := w.Admit(0, c.quantity, largest, c.start, c.end); got != c.want {
			t.Errorf("%s: objections %b, want %b", c.name, got, c.want)
		}
	}
}

// gate admits the good event of the suite.
type gate struct{ book events.BookDeclared }

func (g *gate) Node(node []byte) (packed.Route, bool) {
	return packed.Route{Book: g.book.Book, Window: g.book.Window(admissiontest.Received, false)}, string(node) == "gpu"
}

func (g *gate) Customer(_ events.Book, customer []byte) bool { return string(customer) == "lab" }

func (g *gate) Meter(_ events.Book, meter []byte) (money.Quantity, bool) {
	largest, _ := money.ParseQuantity("100")
	return largest, string(meter) == "s"
}

func TestTheCollectorAdmits(t *testing.T) {
	g := &gate{}
	for _, b := range admissiontest.Declared() {
		if book, ok := b.(events.BookDeclared); ok {
			g.book = book
		}
	}
	for _, c := range admissiontest.Cases() {
		var raw packed.RawUsage
		if err := raw.Set(&c.Usage); err != nil {
			t.Fatal(err)
		}
		var collector packed.Collector
		collector.Reset(admissiontest.Provider, g)
		got := events.Reason("")
		if fault := collector.Add(&raw); fault != nil {
			got = fault.Reason
		}
		if got != c.Want {
			t.Errorf("%s: %q counts, want %q", c.Name, got, c.Want)
		}
	}
}
