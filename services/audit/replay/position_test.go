package replay_test

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/replay"
	"github.com/aliquot-engine/aliquot/services/audit/state"
)

// stateOf is the state of a live store.
func stateOf(t *testing.T, db *store.DB) (s *settlement.State) {
	t.Helper()
	err := db.Snapshot(t.Context(), func(snapshot *store.Snapshot) (err error) {
		s, err = state.Of(snapshot)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func replayed(t *testing.T, config replay.Config) replay.Result {
	t.Helper()
	config.Dir = t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := replay.Run(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheStateRootIsTheSameWithoutTheStore(t *testing.T) {
	t.Parallel()
	w := audittest.Story(t)
	w.Stop()
	said := stateOf(t, w.DB)
	for name, config := range map[string]replay.Config{
		"with the store":        {From: sources(w), Live: w.DB},
		"at said positions":     {From: sources(w), Expected: said},
		"as far as there is":    {From: sources(w)},
		"at a position of them": {From: sources(w), At: replay.AsOf{Usage: said.Partitions[0].Usage}},
	} {
		r := replayed(t, config)
		r.Root(said.Root)
		if !r.Identical || r.State == nil || r.State.Root != said.Root || r.Messages == 0 {
			t.Errorf("%s: %+v, %+v", name, r, r.Difference)
		}
	}
	r := replayed(t, replay.Config{From: sources(w)})
	r.Root(strings.Repeat("0", 64))
	if r.Identical || r.Difference == nil || r.Difference.Where != "state root" || r.Difference.Replayed != said.Root {
		t.Errorf("another root: %+v", r.Difference)
	}
	other := *said
	other.Parts = slices.Clone(said.Parts)
	other.Parts[4].Rows++
	other.Root = "another"
	r = replayed(t, replay.Config{From: sources(w), Expected: &other})
	if r.Identical || r.Difference == nil || !strings.Contains(r.Difference.Where, other.Parts[4].Name) {
		t.Errorf("another relation: %+v", r.Difference)
	}
}

// Fails when a relation is left out of the root, or when its rows are not
// separated.
func TestEveryChangeChangesTheStateRoot(t *testing.T) {
	t.Parallel()
	w := audittest.Story(t)
	w.Stop()
	root := stateOf(t, w.DB).Root
	const one = `x'80000000000000000000000000000001'`
	for _, statement := range []string{
		`UPDATE outcome SET runs = (SELECT runs FROM outcome ORDER BY position DESC LIMIT 1) WHERE position = (SELECT min(position) FROM outcome)`,
		`DELETE FROM journal WHERE cut = (SELECT max(cut) FROM journal WHERE id < 2 << 40)`,
		`UPDATE tally SET events = events + 1 WHERE outcome = 1`,
		`UPDATE suspense SET quantity = ` + one,
		`UPDATE span SET last = last + 1`,
		`UPDATE original SET position = position + 1`,
		`UPDATE handover SET amount = ` + one,
		`DELETE FROM settled_period WHERE period = '2026-11-20'`,
		`UPDATE distribution SET holders = holders + 1`,
		`UPDATE pool SET fee = ` + one,
		`UPDATE share SET amount = ` + one + ` WHERE holder = 'dave'`,
		`UPDATE entitlement SET held = ` + one,
		`UPDATE payout SET state = 'confirmed' WHERE holder = 'dave'`,
		`UPDATE batch SET rail = 'sepa'`,
		`UPDATE payout_message SET data = x'7b7d' WHERE number = 1`,
		`UPDATE balance SET credit = ` + one + ` WHERE account = (SELECT id FROM account WHERE name = 'rail:csv:paid')`,
		`UPDATE cursor SET hash = zeroblob(32)`,
		`UPDATE cursor SET control = control - 1`,
	} {
		db := changed(t, w, statement)
		if s := stateOf(t, db); s.Root == root {
			t.Errorf("%s does not change the root", statement)
		}
	}
	// Values that are not a function of the streams are not in the root.
	for _, statement := range []string{`UPDATE cursor SET created = created + 1`, `UPDATE writer SET relayed = relayed - 1`} {
		db := changed(t, w, statement)
		if s := stateOf(t, db); s.Root != root {
			t.Errorf("%s changes the root", statement)
		}
	}
}

// The test records the state of a world several times while it is at rest, and
// derives each of these states later.
func TestAnyPositionCanBeAskedFor(t *testing.T) {
	t.Parallel()
	w := audittest.New(t)
	amount := func(text string) events.CardRule {
		return events.CardRule{Meter: "gpu.seconds", Price: audittest.Amount(t, text), Per: audittest.Quantity(t, "1")}
	}
	type point struct {
		said    *settlement.State
		control uint64
		time    time.Time
	}
	var points []point
	rest := func(control int) {
		t.Helper()
		w.Rest()
		s := stateOf(t, w.DB)
		points = append(points, point{s, uint64(control), audittest.Late.Add(time.Duration(control) * time.Second)})
	}
	w.Declare(
		events.ProviderDeclared{Provider: "acme"},
		events.BookDeclared{Book: "eu", Provider: "acme", Calendar: "day", TimeZone: "UTC", Asset: "USDC", FutureSeconds: 300},
		events.MeterDeclared{Meter: "gpu.seconds", Book: "eu", Unit: "s"},
		events.NodeDeclared{Node: "n1", Book: "eu"},
		events.CustomerDeclared{Customer: "ann", Book: "eu"},
		events.QuotePolicyDeclared{Pair: "USDC/USD", Fixed: audittest.Amount(t, "1")},
		events.CardDeclared{Card: "std", Version: 1, Book: "eu", Currency: "USD", Effective: audittest.Noon.AddDate(-1, 0, 0), Rules: []events.CardRule{amount("2")}},
		events.TokenDeclared{Token: "REV", Book: "eu", Pool: true, Minimum: audittest.Amount(t, "0.01")},
		events.WaterfallDeclared{Token: "REV", FeeBasisPoints: 250},
	)
	rest(9)
	w.Move("REV", "issue", events.Movement{Kind: events.Issued, To: "carol", Units: units(7)}, events.Movement{Kind: events.Issued, To: "dave", Units: units(5)})
	w.Send("eu", "acme", audittest.Event{Sequence: 1, Node: "n1", Customer: "ann", Quantity: "10"})
	rest(9)
	w.Declare(events.DepositRecorded{Book: "eu", Customer: "ann", Asset: "USDC", Amount: audittest.Amount(t, "15"), Reference: "bank-1"})
	w.Send("eu", "acme", audittest.Event{Sequence: 2, Node: "n1", Customer: "ann", Quantity: "1"})
	rest(10)
	w.Declare(events.PeriodClosed{Book: "eu", Period: "2026-11-20"})
	rest(11)
	w.Distribute("d1", events.TokenDeclared{Token: "REV", Book: "eu", Pool: true}, "2026-11-20")
	rest(12)
	w.Declare(events.PayoutsSubmitted{Batch: "d1:csv", Rail: "csv", Distribution: "d1"})
	w.Send("eu", "acme", audittest.Event{Sequence: 3, Node: "n1", Customer: "ann", Quantity: "100"})
	rest(13)
	w.Stop()

	roots := map[string]bool{}
	for i, p := range points {
		roots[p.said.Root] = true
		at := replay.AsOf{Usage: p.said.Partitions[0].Usage}
		for _, config := range []replay.Config{
			{From: sources(w), At: at, Balances: true},
			{From: sources(w), At: at, Live: w.DB},
		} {
			r := replayed(t, config)
			if !r.Identical || r.State == nil || r.State.Root != p.said.Root || r.AsOf != at.String() {
				t.Errorf("point %d, %v: %+v, %+v\nderived %+v\nsaid    %+v", i, at, r, r.Difference, r.State, p.said)
			}
			if config.Balances && i > 0 && len(r.Balances) == 0 {
				t.Errorf("point %d has no balances", i)
			}
		}
		for _, at := range []replay.AsOf{{Control: p.control}, {Time: p.time}, {Time: p.time.Add(time.Second / 2)}} {
			r := replayed(t, replay.Config{From: sources(w), At: at})
			if !r.Identical || r.Control != p.control || r.Usage > p.said.Partitions[0].Usage || r.State.Distributed != p.control {
				t.Errorf("point %d, %v: %+v", i, at, r)
			}
		}
	}
	if len(roots) != len(points) {
		t.Errorf("%d roots of %d points", len(roots), len(points))
	}
	for _, at := range []replay.AsOf{{Usage: 1 << 40}, {Usage: 1, Partition: 3}, {Control: 14}, {Time: audittest.Noon}} {
		if r, err := replay.Run(t.Context(), replay.Config{From: sources(w), At: at, Dir: t.TempDir()}); err == nil {
			t.Errorf("%v: %+v", at, r)
		}
	}
}

func TestPositionsAreReadFromText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		want replay.AsOf
	}{
		{"usage=7", replay.AsOf{Usage: 7}},
		{"usage=3/9000", replay.AsOf{Usage: 9000, Partition: 3}},
		{"control=12", replay.AsOf{Control: 12}},
		{"2026-11-20T12:00:00Z", replay.AsOf{Time: audittest.Noon}},
		{"2026-11-20T14:00:00.5+02:00", replay.AsOf{Time: audittest.Noon.Add(time.Second / 2)}},
	} {
		got, err := replay.ParseAsOf(test.text)
		if err != nil || got != test.want {
			t.Errorf("%q is %+v, %v", test.text, got, err)
		}
		again, err := replay.ParseAsOf(got.String())
		if err != nil || again != got {
			t.Errorf("%q is written %q", test.text, got)
		}
	}
	for _, text := range []string{"", "7", "usage=", "usage=0", "usage=-1", "usage=1/", "usage=/1", "usage=70000/1", "control=x", "control=0", "yesterday", "0001-01-01T00:00:00Z", "control=18446744073709551615"} {
		if got, err := replay.ParseAsOf(text); err == nil || got != (replay.AsOf{}) {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
}

func FuzzParseAsOf(f *testing.F) {
	for _, text := range []string{"usage=7", "usage=3/9000", "control=12", "2026-11-20T12:00:00Z"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := replay.ParseAsOf(text)
		if err != nil {
			return
		}
		if again, err := replay.ParseAsOf(got.String()); err != nil || again != got {
			t.Errorf("%q is %+v, written %q, which is %+v, %v", text, got, got, again, err)
		}
	})
}

func FuzzParseOutcome(f *testing.F) {
	f.Add([]byte(`{"identical":true,"state":{"state_root":"00"},"balances":[{"account":"platform:fees","asset":"USDC","debit":"0","credit":"1.5"}]}`))
	f.Add([]byte(`{"balances":[{"account":"a"},{"account":"a"}]}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := replay.ParseOutcome(data)
		if err == nil && (len(o.Balances) == 0 || !slices.IsSortedFunc(o.Balances, func(a, b replay.Balance) int {
			return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Asset, b.Asset))
		})) {
			t.Errorf("%+v", o)
		}
	})
}
