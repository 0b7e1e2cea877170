package plan

import (
	"math/rand/v2"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/register"
)

func TestPayoutRuns(t *testing.T) {
	for _, c := range []struct {
		name string
		in   Input
		want string
	}{
		{"what came back goes out again, to the same holder", Input{Entitlements: []distribution.Entitlement{owed(t, "ann", "2.0000005", "0")}}, "ann 0.0000005/0, paid ann 2"},
		{"nothing is shared out", Input{Holdings: []register.Holding{holding("ann", 1, 0)}}, "ann 0/0, paid"},
		{"what is held is released once nothing is frozen", Input{Entitlements: []distribution.Entitlement{owed(t, "ann", "0", "3"), owed(t, "ben", "0", "4")}, Holdings: []register.Holding{holding("ann", 2, 1), holding("ben", 2, 0)}}, "ann 0/3, ben 0/0, paid ben 4"},
		{"what is payable to one frozen in part is paid", Input{Entitlements: []distribution.Entitlement{owed(t, "ann", "1", "3")}, Holdings: []register.Holding{holding("ann", 2, 1)}}, "ann 0/3, paid ann 1"},
		{"what is payable to the listed becomes held", Input{Entitlements: []distribution.Entitlement{owed(t, "ann", "1", "3")}, Listed: on("ann")}, "ann 0/4, paid"},
		{"the minimum counts", Input{Entitlements: []distribution.Entitlement{owed(t, "ann", "2.999999", "0"), owed(t, "ben", "3", "0")}, Minimum: amount(t, "3")}, "ann 2.999999/0, ben 0/0, paid ben 3"},
		{"a recovered wallet is paid as its successor", Input{Entitlements: []distribution.Entitlement{owed(t, "ann", "2", "1")}, Recoveries: []register.Recovery{{Old: "ann", New: "zoe"}}}, "ann 0/0, zoe 0/0, paid zoe 3"},
		{"who was paid twice is paid nothing", Input{Entitlements: []distribution.Entitlement{owed(t, "ann", "-2", "0")}}, "ann -2/0, paid"},
		{"what becomes free covers what was paid twice first", Input{Entitlements: []distribution.Entitlement{owed(t, "ann", "-2", "5")}}, "ann 0/0, paid ann 3"},
		{"what was paid twice stays where the rest is held", Input{Entitlements: []distribution.Entitlement{owed(t, "ann", "-2", "5")}, Listed: on("ann")}, "ann -2/5, paid"},
		{"what was paid twice goes along with a recovery", Input{Entitlements: []distribution.Entitlement{owed(t, "ann", "-2", "0"), owed(t, "zoe", "1.5", "0")}, Recoveries: []register.Recovery{{Old: "ann", New: "zoe"}}}, "ann 0/0, zoe -0.5/0, paid"},
	} {
		c.in.Distribution, c.in.Token, c.in.Asset, c.in.Rail = "r1", "t", "USDC", "csv"
		if c.in.Listed == nil {
			c.in.Listed = nobody
		}
		p, err := Pay(c.in)
		if err != nil {
			t.Fatal(c.name, err)
		}
		if got := text(p); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if p.Shares != nil || !p.Fee.IsZero() || !p.Pool.IsZero() {
			t.Errorf("%s: it divides something", c.name)
		}
		accounts(t, c.name, &c.in, p)
	}
}

// accounts checks that the postings of a run change what each holder is owed from
// before to after, and create nothing. Fails when a posting is missing, is one
// too many, or has another amount.
func accounts(t *testing.T, name string, in *Input, p *Plan) {
	t.Helper()
	at := map[string]money.Amount{}
	change := func(account string, a money.Amount, err error) {
		if err == nil {
			at[account], err = at[account].Add(a)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range in.Entitlements {
		change("holder:"+string(e.Holder)+":payable", e.Payable, nil)
		change("holder:"+string(e.Holder)+":held", e.Held, nil)
	}
	for _, q := range append(p.Distributed, p.PaidOut...) {
		if q.Amount.Sign() <= 0 {
			t.Errorf("%s: a posting of %v", name, q.Amount)
		}
		less, err := q.Amount.Neg()
		change(string(q.Debit), less, err)
		change(string(q.Credit), q.Amount, nil)
	}
	for _, e := range p.Entitlements {
		for account, want := range map[string]money.Amount{"holder:" + string(e.Holder) + ":payable": e.Payable, "holder:" + string(e.Holder) + ":held": e.Held} {
			if at[account] != want {
				t.Errorf("%s: %s is %v in the journal, and %v in the table", name, account, at[account], want)
			}
			delete(at, account)
		}
	}
	for _, x := range p.Payouts {
		less, err := x.Amount.Neg()
		change("rail:csv:in_flight", less, err)
	}
	for account, a := range at {
		if !a.IsZero() {
			t.Errorf("%s: %s is left with %v", name, account, a)
		}
	}
}

// Checks the invariants of the package for payout runs over random debts.
func TestPayoutRunsKeepWhatThePackageSays(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	names := []events.Holder{"ann", "ben", "cyd", "dan", "eve"}
	for range 3_000 {
		in := Input{Distribution: "r", Token: "t", Asset: "USDC", Rail: "csv", Minimum: money.Atto(random.Int64N(3) * 1_000_000_000_000)}
		listed := map[events.Holder]bool{}
		for _, h := range names {
			listed[h] = random.IntN(4) == 0
			if random.IntN(3) > 0 {
				in.Entitlements = append(in.Entitlements, distribution.Entitlement{Holder: h, Payable: money.Atto(random.Int64N(9e12) - 3e12), Held: money.Atto(random.Int64N(5e12))})
			}
			if random.IntN(2) == 0 {
				in.Holdings = append(in.Holdings, holding(h, 4, uint64(random.IntN(5))))
			}
		}
		if random.IntN(3) == 0 {
			in.Recoveries = []register.Recovery{{Old: names[random.IntN(5)], New: "zoe"}}
		}
		in.Listed = func(h events.Holder) bool { return listed[h] }
		p, err := Pay(in)
		if err != nil {
			t.Fatal(err)
		}
		accounts(t, "random debts", &in, p)
		blocked := Screen(in.Recoveries, in.Listed)
		for _, x := range p.Payouts {
			if whole, _, err := x.Amount.FloorMinor("USDC"); err != nil || whole != x.Amount || x.Amount.Sign() <= 0 || x.Amount.Cmp(in.Minimum) < 0 || blocked(x.Holder) {
				t.Fatalf("%s is paid %v at a minimum of %v (%v)", x.Holder, x.Amount, in.Minimum, err)
			}
		}
	}
}
