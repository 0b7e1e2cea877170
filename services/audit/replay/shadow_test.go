package replay_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/replay"
)

// balances lists the balances of a live store.
func balances(t *testing.T, w *audittest.World) (list []replay.Balance) {
	t.Helper()
	err := w.DB.Snapshot(t.Context(), func(s *store.Snapshot) error {
		all, err := s.Balances("")
		for _, b := range all {
			list = append(list, replay.Balance{Account: b.Account, Asset: b.Asset, Debit: b.Debit, Credit: b.Credit})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// likeThat checks that the shadow of a world has the balances of another world,
// in which the cards were different from the beginning.
func likeThat(t *testing.T, w, other *audittest.World, config replay.Config) {
	t.Helper()
	w.Stop()
	other.Stop()
	config.From, config.Balances = sources(w), true
	var all []replay.Result
	for _, live := range []*store.DB{w.DB, nil} {
		config.Live = live
		all = append(all, replayed(t, config))
	}
	want, was := balances(t, other), balances(t, w)
	for i, r := range all {
		if !r.Shadow || r.Difference != nil || r.Identical || len(r.Accounts) == 0 {
			t.Fatalf("run %d: %+v %+v", i, r, r.Difference)
		}
		if !slices.Equal(r.Balances, want) {
			for j := range min(len(want), len(r.Balances)) {
				if want[j] != r.Balances[j] {
					t.Fatalf("run %d: %+v, in the other world %+v", i, r.Balances[j], want[j])
				}
			}
			t.Fatalf("run %d: %d balances, in the other world %d", i, len(r.Balances), len(want))
		}
		if !slices.Equal(r.Accounts, all[0].Accounts) {
			t.Errorf("with and without the store: %v and %v", all[0].Accounts, r.Accounts)
		}
	}
	for _, a := range all[0].Accounts {
		net := func(list []replay.Balance) money.Amount {
			i := slices.IndexFunc(list, func(b replay.Balance) bool { return b.Account == a.Account && b.Asset == a.Asset })
			if i < 0 {
				return money.Amount{}
			}
			n, err := list[i].Credit.Sub(list[i].Debit)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if sum, err := a.Was.Net().Add(a.Difference); err != nil || a.Was.Net() != net(was) || a.Is.Net() != net(want) || sum != a.Is.Net() {
			t.Errorf("%+v", a)
		}
	}
}

// Fails when a shadow reads the real LEDGER, or when barriers name other
// decisions.
func TestAShadowIsTheWorldWithAnotherCard(t *testing.T) {
	t.Parallel()
	var cards []events.CardDeclared
	w := audittest.Retold(t, func(b events.Body) events.Body {
		if c, ok := b.(events.CardDeclared); ok {
			c.Rules = slices.Clone(c.Rules)
			c.Rules[1].Price = audittest.Amount(t, "9.75")
			cards = append(cards, c)
		}
		return b
	}, nil)
	other := audittest.Retold(t, func(b events.Body) events.Body {
		if _, ok := b.(events.CardDeclared); ok {
			return cards[0]
		}
		return b
	}, nil)
	likeThat(t, w, other, replay.Config{Cards: cards})
}

// told is a small story in which a card may be declared in the middle.
func told(t *testing.T, middle ...events.CardDeclared) (w *audittest.World, since uint64) {
	t.Helper()
	w = audittest.New(t)
	w.Declare(
		events.ProviderDeclared{Provider: "acme"},
		events.BookDeclared{Book: "eu", Provider: "acme", Calendar: "day", TimeZone: "UTC", Asset: "USDC", FutureSeconds: 300},
		events.MeterDeclared{Meter: "gpu.seconds", Book: "eu", Unit: "s"},
		events.NodeDeclared{Node: "n1", Book: "eu"},
		events.CustomerDeclared{Customer: "ann", Book: "eu"},
		events.QuotePolicyDeclared{Pair: "USDC/USD", Fixed: audittest.Amount(t, "1")},
		card(t, 1, "2"),
		events.TokenDeclared{Token: "REV", Book: "eu", Pool: true, Minimum: audittest.Amount(t, "0.01")},
		events.WaterfallDeclared{Token: "REV", FeeBasisPoints: 250},
	)
	w.Move("REV", "issue", events.Movement{Kind: events.Issued, To: "carol", Units: units(7)}, events.Movement{Kind: events.Issued, To: "dave", Units: units(5)})
	w.Send("eu", "acme", audittest.Event{Sequence: 1, Node: "n1", Customer: "ann", Quantity: "10.000000000000000001"})
	w.Declare(events.DepositRecorded{Book: "eu", Customer: "ann", Asset: "USDC", Amount: audittest.Amount(t, "1500"), Reference: "bank-1"})
	since, err := w.Control.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range middle {
		w.Declare(c)
	}
	w.Send("eu", "acme", audittest.Event{Sequence: 2, Node: "n1", Customer: "ann", Quantity: "31"})
	w.Declare(events.PeriodClosed{Book: "eu", Period: "2026-11-20"})
	w.Distribute("d1", events.TokenDeclared{Token: "REV", Book: "eu", Pool: true}, "2026-11-20")
	w.Declare(events.PayoutsSubmitted{Batch: "d1:csv", Rail: "csv", Distribution: "d1"})
	w.Rest()
	return w, since
}

func card(t *testing.T, version int, price string) events.CardDeclared {
	return events.CardDeclared{Card: "std", Version: version, Book: "eu", Currency: "USD", Effective: audittest.Noon.AddDate(-1, 0, version), Rules: []events.CardRule{
		{Meter: "gpu.seconds", Price: audittest.Amount(t, price), Per: audittest.Quantity(t, "1")},
	}}
}

func TestAShadowMayBeginInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name          string
		really, other []events.CardDeclared
		put           []events.CardDeclared
	}{
		{"where nothing was declared", nil, []events.CardDeclared{card(t, 2, "3")}, []events.CardDeclared{card(t, 2, "3")}},
		{"whatever version the file says", nil, []events.CardDeclared{card(t, 2, "3")}, []events.CardDeclared{{
			Card: "std", Version: 1, Book: "eu", Currency: "USD", Effective: card(t, 2, "3").Effective, Rules: card(t, 2, "3").Rules}}},
		{"in place of what was declared later", []events.CardDeclared{card(t, 2, "5"), card(t, 3, "7")}, []events.CardDeclared{card(t, 2, "4")}, []events.CardDeclared{card(t, 2, "4")}},
		{"two versions", []events.CardDeclared{card(t, 2, "5")}, []events.CardDeclared{card(t, 2, "4"), card(t, 3, "0.3")}, []events.CardDeclared{card(t, 3, "0.3"), card(t, 2, "4")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, since := told(t, test.really...)
			other, _ := told(t, test.other...)
			likeThat(t, w, other, replay.Config{Cards: test.put, Since: since})
		})
	}
}

func TestACardThatCannotStandInIsAnError(t *testing.T) {
	t.Parallel()
	w, _ := told(t)
	w.Stop()
	unknown := card(t, 1, "2")
	unknown.Card = "other"
	broken := card(t, 1, "2")
	broken.Rules = nil
	for name, config := range map[string]replay.Config{
		"of another name":  {Cards: []events.CardDeclared{unknown}},
		"since the future": {Cards: []events.CardDeclared{card(t, 2, "3")}, Since: 1000},
		"without rules":    {Cards: []events.CardDeclared{broken}},
	} {
		config.From, config.Dir = sources(w), t.TempDir()
		if r, err := replay.Run(t.Context(), config); err == nil || !strings.Contains(err.Error(), "card") {
			t.Errorf("%s: %v, %+v", name, err, r)
		}
	}
}

// "another code version": the result of its replay is compared, account by
// account.
func TestWhatAnotherProgramSaidIsCompared(t *testing.T) {
	t.Parallel()
	w, _ := told(t)
	other, _ := told(t, card(t, 2, "3"))
	w.Stop()
	other.Stop()
	said := replayed(t, replay.Config{From: sources(other), Balances: true})
	against := &replay.Outcome{State: said.State, Balances: said.Balances}
	r := replayed(t, replay.Config{From: sources(other), Balances: true})
	if r.Against(against); !r.Identical || len(r.Accounts) > 0 {
		t.Errorf("the same: %+v %+v", r, r.Difference)
	}
	r = replayed(t, replay.Config{From: sources(w), Balances: true})
	r.Against(against)
	if r.Identical || r.Difference == nil || len(r.Accounts) == 0 {
		t.Fatalf("%+v", r)
	}
	for _, a := range r.Accounts {
		if back, err := a.Is.Net().Sub(a.Difference); err != nil || back != a.Was.Net() || a.Was == a.Is {
			t.Errorf("%+v", a)
		}
	}
}
