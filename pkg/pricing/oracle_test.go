package pricing

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// oracle is steps 1 to 3 of the package comment once more: every candidate of
// every version in force, sorted, the first taken.
func oracle(cards []events.CardDeclared, book events.Book, meter events.Meter, with []events.Attribute, end int64) string {
	inForce := map[events.Card]events.CardDeclared{}
	for _, d := range cards {
		now, ok := inForce[d.Card]
		if d.Book != book || d.Effective.UnixNano() > end || ok && (d.Effective.Before(now.Effective) ||
			d.Effective.Equal(now.Effective) && d.Version < now.Version) {
			continue
		}
		inForce[d.Card] = d
	}
	type candidate struct {
		card events.CardDeclared
		rule int
	}
	var all []candidate
	for _, d := range inForce {
		for i, r := range d.Rules {
			matched := r.Meter == meter
			for name, value := range r.Match {
				matched = matched && slices.Contains(with, events.Attribute{Name: name, Value: value})
			}
			if matched {
				all = append(all, candidate{d, i})
			}
		}
	}
	if len(all) == 0 {
		return ""
	}
	slices.SortFunc(all, func(a, b candidate) int {
		if x, y := len(a.card.Rules[a.rule].Match), len(b.card.Rules[b.rule].Match); x != y {
			return y - x
		}
		if c := b.card.Effective.Compare(a.card.Effective); c != 0 {
			return c
		}
		if c := strings.Compare(string(a.card.Card), string(b.card.Card)); c != 0 {
			return c
		}
		return a.rule - b.rule
	})
	return fmt.Sprintf("%s@%d:%d", all[0].card.Card, all[0].card.Version, all[0].rule)
}

// FuzzFind checks the invariants of the package comment on random cards: lines
// equal the oracle's, stand in all of [From, Until), and do not depend on the
// order in which cards came.
func FuzzFind(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 2))
		word := func(of string) string { return string(of[random.IntN(len(of))]) }
		versions := map[events.Card]int{}
		var cards []events.CardDeclared
		for range 1 + random.IntN(12) {
			d := events.CardDeclared{Card: events.Card(word("cab")), Book: events.Book(word("xxy")), Currency: "USD", Effective: time.Unix(random.Int64N(12), 0)}
			name := events.Card(d.Book) + "/" + d.Card
			versions[name]++
			d.Version = versions[name]
			for range 1 + random.IntN(4) {
				r := events.CardRule{Meter: events.Meter(word("mn")), Price: amount(t, "1"), Per: quantity(t, "1"), Match: map[string]string{}}
				for range random.IntN(3) {
					r.Match[word("pqr")] = word("12")
				}
				d.Rules = append(d.Rules, r)
			}
			cards = append(cards, d)
		}
		var table, shuffled Table
		for _, d := range cards {
			if err := table.Add(d); err != nil {
				t.Fatal(err)
			}
		}
		// Another order of cards, the versions of each in theirs.
		byCard := slices.Clone(cards)
		slices.SortStableFunc(byCard, func(a, b events.CardDeclared) int { return strings.Compare(string(b.Card), string(a.Card)) })
		for _, d := range byCard {
			if err := shuffled.Add(d); err != nil {
				t.Fatal(err)
			}
		}
		for range 30 {
			var with []events.Attribute
			for _, name := range []string{"p", "q", "r"} {
				if random.IntN(3) > 0 {
					with = append(with, events.Attribute{Name: name, Value: word("12")})
				}
			}
			end := time.Unix(random.Int64N(14)-1, random.Int64N(3)-1).UnixNano()
			line, ok := table.find("x", "m", with, end)
			got := ""
			if ok {
				got = fmt.Sprintf("%s:%d", line.Card, line.Rule)
			}
			want := oracle(cards, "x", "m", with, end)
			if got != want {
				t.Fatalf("at %d with %v: got %q, want %q", end, with, got, want)
			}
			if again, found := shuffled.find("x", "m", with, end); again != line || found != ok {
				t.Fatalf("at %d with %v: cards in another order gave %+v, not %+v", end, with, again, line)
			}
			if end < line.From || end >= line.Until {
				t.Fatalf("%d is outside its own [%d, %d)", end, line.From, line.Until)
			}
			low, high := max(line.From, -5e9), min(line.Until, 20e9)
			for _, inside := range []int64{low, high - 1, low + random.Int64N(high-low)} {
				if there := oracle(cards, "x", "m", with, inside); there != want {
					t.Fatalf("%q of %d claims [%d, %d), but at %d it is %q", want, end, line.From, line.Until, inside, there)
				}
			}
		}
	})
}
