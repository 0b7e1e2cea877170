package demo

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/apply"
	"github.com/aliquot-engine/aliquot/internal/registerfile"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// day runs a world to its end and returns everything that it sends.
func day(t *testing.T, c Config) (w *World, hours []Hour) {
	t.Helper()
	w, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	for {
		h, ok := w.Next()
		if !ok {
			return w, hours
		}
		hours = append(hours, h)
	}
}

func TestEqualSeedsGiveEqualDays(t *testing.T) {
	c := Config{Seed: 7, Events: 2_000, Nodes: 40, Customers: 12, Holders: 200}
	text := func(c Config) string {
		w, hours := day(t, c)
		return fmt.Sprintf("%s\n%v\n%v\n%v\n%s\n%v", w.Book(), hours, w.Late(), w.Faults(), w.Register(TokenWorld), w.Screened())
	}
	first := text(c)
	if text(c) != first {
		t.Error("the same seed gave another day")
	}
	c.Seed++
	if text(c) == first {
		t.Error("another seed gave the same day")
	}
}

// Fails when the number of events of each region and hour is rounded
// separately.
func TestADayHasAsManyEventsAsAskedFor(t *testing.T) {
	for _, n := range []int{1_000, 5_003} {
		_, hours := day(t, Config{Seed: 1, Events: n})
		total := 0
		for _, h := range hours {
			for _, b := range h.Batches {
				if strings.HasPrefix(b.Source, "meridian/agent/") {
					total += len(b.Events)
				}
			}
		}
		if total != n {
			t.Errorf("%d events, asked for %d", total, n)
		}
	}
}

func TestEveryAgentNumbersItsEventsWithoutGaps(t *testing.T) {
	w, hours := day(t, Config{Seed: 3, Events: 4_000})
	last := map[string]uint64{}
	from, until := Date.UnixNano(), Date.AddDate(0, 0, 1).UnixNano()
	take := func(batches []Batch) {
		for _, b := range batches {
			for _, u := range b.Events {
				if u.End <= from || u.End > until || u.Start > u.End {
					t.Fatalf("interval %d to %d is not of the day", u.Start, u.End)
				}
				if u.Quantity.Sign() <= 0 {
					t.Fatalf("quantity %s", u.Quantity)
				}
				if !u.Sequenced {
					continue
				}
				if u.Sequence != last[b.Source]+1 {
					t.Fatalf("%s: sequence %d after %d", b.Source, u.Sequence, last[b.Source])
				}
				last[b.Source] = u.Sequence
			}
		}
	}
	for _, h := range hours {
		take(h.Batches)
	}
	take(w.Late())
	if len(last) != len(regions) {
		t.Errorf("%d agents", len(last))
	}
}

// Package apply accepts the declarations, and no directory finds one of them
// void.
func TestTheBookIsInOrder(t *testing.T) {
	w, err := New(Config{Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	bodies, err := apply.Parse("book.yaml", w.Book())
	if err != nil {
		t.Fatal(err)
	}
	d := directory.New()
	for i, b := range bodies {
		if err := d.Apply(uint64(i+1), events.Decision{ID: fmt.Sprint(i), Actor: "test", At: Date, Body: b}); err != nil {
			t.Errorf("%s: %v", b.Kind(), err)
		}
	}
	for _, token := range []events.Token{TokenEurope, TokenWorld} {
		if _, ok := d.Token(token); !ok {
			t.Errorf("token %s is not declared", token)
		}
	}
	for _, token := range []events.Token{TokenEurope, TokenWorld} {
		sum, err := registerfile.ReadHoldings(bytes.NewReader(w.Register(token)), registerfile.Options{}, func(events.Holder, money.Units) error { return nil })
		if err != nil || sum.Holders != 3_000 {
			t.Errorf("register of %s: %d holders, %v", token, sum.Holders, err)
		}
	}
	for i, h := range w.Screened() {
		token := []events.Token{TokenEurope, TokenWorld}[i]
		if !strings.Contains(string(w.Register(token)), string(h)) {
			t.Errorf("the screened holder %s holds no %s", h, token)
		}
	}
}

// The market leaves the band in which usage is priced once, and is near the peg
// otherwise; the sources never differ too much.
func TestTheMarketFallsOnce(t *testing.T) {
	_, hours := day(t, Config{Seed: 5, Events: 1_000})
	falls, below := 0, false
	for _, h := range hours {
		for i, round := range h.Quotes[0].Rounds {
			low, high := round.Rate, round.Rate
			for _, q := range h.Quotes[1:] {
				if q.Rounds[i].Rate.Cmp(low) < 0 {
					low = q.Rounds[i].Rate
				}
				if q.Rounds[i].Rate.Cmp(high) > 0 {
					high = q.Rounds[i].Rate
				}
			}
			if apart, err := high.Sub(low); err != nil || apart.Cmp(amount(t, "0.005")) > 0 {
				t.Fatalf("round %s: the sources are %s apart", round.Round, apart)
			}
			if now := high.Cmp(amount(t, "0.98")) < 0; now != below {
				below = now
				if now {
					falls++
				}
			}
			if round.Round == ReleaseRound && round.Rate.Cmp(amount(t, "0.99")) < 0 {
				t.Errorf("the round that prices what waited is %s", round.Rate)
			}
		}
	}
	if falls != 1 || below {
		t.Errorf("fell %d times, below at the end: %t", falls, below)
	}
}

func TestEveryReasonIsAmongTheFaults(t *testing.T) {
	w, _ := day(t, Config{Seed: 1, Events: 2_000})
	var seen []events.Reason
	for _, f := range w.Faults() {
		if len(f.Body) == 0 || len(f.Reasons) == 0 {
			t.Errorf("%s: empty", f.Says)
		}
		seen = append(seen, f.Reasons...)
	}
	for _, reason := range []events.Reason{
		events.Malformed, events.Missing, events.WrongType, events.TooLong, events.TooLarge, events.BadText, events.BadNumber,
		events.Negative, events.Absurd, events.TooPrecise, events.BadTime, events.BadInterval, events.FromFuture, events.BeyondHorizon,
		events.UnknownNode, events.UnknownCustomer, events.UnknownMeter, events.Conflict, events.NoRate, events.Overflow,
		events.Unsupported, events.Unauthorized,
	} {
		if !slices.Contains(seen, reason) {
			t.Errorf("nothing is wrong in the way %q", reason)
		}
	}
}

func TestAWorldRefusesAbsurdSizes(t *testing.T) {
	for _, c := range []Config{{Events: -1}, {Events: 10}, {Nodes: 3}, {Nodes: 1_000_000}, {Customers: 1}, {Holders: 5}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

func amount(t *testing.T, s string) money.Amount {
	t.Helper()
	a, err := money.ParseAmount(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func BenchmarkHour(b *testing.B) {
	began, n := time.Now(), 0
	for b.Loop() {
		w, err := New(Config{Seed: 1, Events: 50_000})
		if err != nil {
			b.Fatal(err)
		}
		for h, ok := w.Next(); ok; h, ok = w.Next() {
			for _, one := range h.Batches {
				n += len(one.Events)
			}
		}
	}
	b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(n), "ns/event")
}
