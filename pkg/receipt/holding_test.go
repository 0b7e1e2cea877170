package receipt

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Where a receipt has only the holder's movements, its share must be its part of
// the pool to the atto. Fails when a share of one atto more or less passes, also
// where the part is a whole number of attos and there is nothing to round.
func TestAShareIsItsPartOfThePoolToTheAtto(t *testing.T) {
	for _, c := range []struct {
		name                string
		pool, units, supply int64
		fair                []int64 // the shares that may be
	}{
		{"a third of ten", 10, 1, 3, []int64{3, 4}},
		{"two thirds of ten", 10, 2, 3, []int64{6, 7}},
		{"a third of nine has nothing to round", 9, 1, 3, []int64{3}},
		{"all of it", 10, 3, 3, []int64{10}},
		{"no units", 10, 0, 3, []int64{0}},
		{"nothing to share", 0, 1, 3, []int64{0}},
		{"less than an atto", 1, 1, 1000, []int64{0, 1}},
		{"a supply of nobody", 10, 1, 0, nil},
	} {
		fair := map[int64]bool{}
		for _, share := range c.fair {
			fair[share] = true
		}
		for share := int64(-1); share <= 12; share++ {
			var v verification
			err := v.quota(&Payout{Units: money.UnitsOf(uint64(c.units)), Share: money.Atto(share)},
				&events.DistributionMade{Supply: money.UnitsOf(uint64(c.supply))}, money.Atto(c.pool))
			if fair[share] != (err == nil) {
				t.Errorf("%s: a share of %d attos: %v", c.name, share, err)
			}
			if (err == nil) != (len(v.verdict.Proved) == 1) {
				t.Errorf("%s: a share of %d attos proves %q", c.name, share, v.verdict.Proved)
			}
			if c.supply == 0 && !errors.Is(err, errSupply) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}

// Where a receipt has the whole register, holding, supply and share follow from
// it. Fails when one of them is taken on the word of the distribution, or when
// movements of another token count.
func TestTheWholeRegisterSaysWhoHoldsWhat(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	register := func(token events.Token, id string, list ...events.Movement) shown {
		for i := range list {
			list[i].Effective = at
		}
		data, err := events.AppendMovements(nil, &events.Movements{ID: id, Token: token, Actor: "operator:ada", At: at, Movements: list})
		if err != nil {
			t.Fatal(err)
		}
		return shown{Message: &Message{Log: registerLog}, data: data}
	}
	issued := func(to events.Holder, units uint64) events.Movement {
		return events.Movement{Kind: events.Issued, To: to, Units: money.UnitsOf(units)}
	}
	messages := []shown{
		register("T", "m1", issued("ann", 1), issued("ben", 2)),
		register("U", "m2", issued("ann", 5)),
		register("T", "m3", issued("cyd", 1)),
	}
	for _, c := range []struct {
		name                 string
		units, supply, share uint64
		upTo                 uint64 // what the distribution rests on
		holder               events.Holder
		want                 string // in the fault; empty: it is proved
	}{
		{"as it is: a quarter of ten, and the atto that is left over goes to the first", 1, 4, 3, 3, "ann", ""},
		{"as it is, for who has a half", 2, 4, 5, 3, "ben", ""},
		{"a supply of more", 1, 5, 3, 3, "ann", "add up to the supply"},
		{"a supply of less", 1, 3, 3, 3, "ann", "add up to the supply"},
		{"a supply of another token's units too", 1, 9, 3, 3, "ann", "add up to the supply"},
		{"no supply", 1, 0, 3, 3, "ann", "add up to the supply"},
		{"units of another token too", 6, 4, 3, 3, "ann", "the holder held 1 units, not 6"},
		{"no units", 0, 4, 3, 3, "ann", "the holder held 1 units, not 0"},
		{"an atto less than the division gives", 1, 4, 2, 3, "ann", "the share is"},
		{"an atto that is the first holder's", 1, 4, 3, 3, "cyd", "the share is"},
		{"a share of a stranger", 0, 4, 1, 3, "zoe", "the holder has no units, and a share"},
		{"a message that the distribution does not rest on", 1, 3, 3, 2, "ann", "does not rest"},
		{"fewer messages than the distribution rests on", 1, 4, 3, 4, "ann", "not complete"},
	} {
		v := verification{}
		for i := range messages {
			m := *messages[i].Message
			m.Position = uint64(i) + 1
			v.messages = append(v.messages, shown{&m, messages[i].data})
		}
		err := v.holding(&Payout{Token: "T", Holder: c.holder, Units: money.UnitsOf(c.units), Share: money.Atto(int64(c.share)), Evidence: WholeRegister},
			events.DistributionDeclared{RegisterSeq: c.upTo}, &events.DistributionMade{Supply: money.UnitsOf(c.supply)}, money.Atto(10))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
