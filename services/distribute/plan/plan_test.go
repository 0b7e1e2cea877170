package plan

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/register"
)

func amount(t testing.TB, s string) money.Amount {
	t.Helper()
	a, err := money.ParseAmount(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func nobody(events.Holder) bool { return false }

func on(list ...events.Holder) func(events.Holder) bool {
	return func(h events.Holder) bool { return slices.Contains(list, h) }
}

func holding(h events.Holder, units, frozen uint64) register.Holding {
	return register.Holding{Holder: h, Units: money.UnitsOf(units), Frozen: money.UnitsOf(frozen)}
}

func owed(t testing.TB, h events.Holder, payable, held string) distribution.Entitlement {
	t.Helper()
	return distribution.Entitlement{Holder: h, Payable: amount(t, payable), Held: amount(t, held)}
}

// text writes a plan's result: "holder payable/held", then the payouts.
func text(p *Plan) string {
	var b strings.Builder
	for _, e := range p.Entitlements {
		fmt.Fprintf(&b, "%s %v/%v, ", e.Holder, e.Payable, e.Held)
	}
	b.WriteString("paid")
	for _, x := range p.Payouts {
		fmt.Fprintf(&b, " %s %v", x.Holder, x.Amount)
	}
	return b.String()
}

func TestPlans(t *testing.T) {
	two := []register.Holding{holding("ann", 1, 0), holding("ben", 1, 0)}
	for _, c := range []struct {
		name string
		in   Input
		want string
	}{
		{
			"whole minor units are paid and the rest is carried", Input{Inbox: amount(t, "0.000003"), Holdings: two},
			"ann 0.0000005/0, ben 0.0000005/0, paid ann 0.000001 ben 0.000001",
		},
		{ // Fails when the carry is left out of the next payout.
			"a carry completes a minor unit",
			Input{Inbox: amount(t, "0.000001"), Holdings: two, Entitlements: []distribution.Entitlement{owed(t, "ann", "0.0000005", "0")}},
			"ann 0/0, ben 0.0000005/0, paid ann 0.000001",
		},
		{ // Fails when the minimum is compared with < instead of <=, or with the share alone.
			"the minimum counts what was carried, and is enough by itself",
			Input{Inbox: amount(t, "4"), Minimum: amount(t, "3"), Holdings: two, Entitlements: []distribution.Entitlement{owed(t, "ben", "1", "0")}},
			"ann 2/0, ben 0/0, paid ben 3",
		},
		{ // Fails when the minimum is compared with the part of a minor unit that is not paid.
			"a minimum between two minor units is reached by the next one",
			Input{Inbox: amount(t, "6.0000015"), Minimum: amount(t, "3.0000005"), Holdings: two, Entitlements: []distribution.Entitlement{owed(t, "ben", "0.0000005", "0")}},
			"ann 3.00000075/0, ben 0.00000025/0, paid ben 3.000001",
		},
		{ // Fails when a lost wallet is only considered if something is payable.
			"what was held for a lost wallet goes along, and stays held where the successor is listed",
			Input{
				Inbox: amount(t, "4"), Holdings: two, Entitlements: []distribution.Entitlement{owed(t, "old", "0", "5"), owed(t, "older", "0", "7")},
				Recoveries: []register.Recovery{{Old: "old", New: "ann"}, {Old: "older", New: "zoe"}}, Listed: on("zoe"),
			},
			"ann 0/0, ben 0/0, old 0/0, older 0/0, zoe 0/7, paid ann 7 ben 2",
		},
		{ // Fails when only the holdings say who is frozen: seizing the units would pay out what was held.
			"a frozen holder whose units were taken away is paid nothing",
			Input{Inbox: amount(t, "4"), Holdings: two, Frozen: on("cyd"), Entitlements: []distribution.Entitlement{owed(t, "cyd", "1", "5")}},
			"ann 0/0, ben 0/0, cyd 0/6, paid ann 2 ben 2",
		},
		{ // Fails when what is payable to a listed holder stays payable.
			"what a listed holder has carried is held as well",
			Input{Inbox: amount(t, "4"), Holdings: two, Listed: on("ann"), Entitlements: []distribution.Entitlement{owed(t, "ann", "1", "0")}},
			"ann 0/3, ben 0/0, paid ben 2",
		},
		{
			"who is no longer listed is paid what was held",
			Input{Inbox: amount(t, "4"), Holdings: two, Entitlements: []distribution.Entitlement{owed(t, "ann", "0", "7")}},
			"ann 0/0, ben 0/0, paid ann 9 ben 2",
		},
		{ // Fails when the frozen part is rounded up, or by units instead of by money.
			"a third frozen is a third held, rounded down",
			Input{Inbox: amount(t, "0.000000000000000010"), Holdings: []register.Holding{holding("ann", 3, 1)}},
			"ann 0.000000000000000007/0.000000000000000003, paid",
		},
		{ // Fails when the frozen part is rounded to the nearest atto: of 6.67, 6 are held.
			"two thirds frozen are two thirds held, rounded down too",
			Input{Inbox: amount(t, "0.000000000000000010"), Holdings: []register.Holding{holding("ann", 3, 2)}},
			"ann 0.000000000000000004/0.000000000000000006, paid",
		},
		{ // Fails when a part of nothing is rounded up to an atto.
			"of one atto nothing is held where nearly everything is frozen",
			Input{Inbox: amount(t, "0.000000000000000001"), Holdings: []register.Holding{holding("ann", 100, 99)}},
			"ann 0.000000000000000001/0, paid",
		},
		{ // Fails when a part that is unfrozen releases what another part still holds.
			"while a part is frozen nothing held is released",
			Input{Inbox: amount(t, "4"), Holdings: []register.Holding{holding("ann", 4, 1)}, Entitlements: []distribution.Entitlement{owed(t, "ann", "0", "7")}},
			"ann 0/8, paid ann 3",
		},
		{
			"wholly frozen holds everything, the carry too",
			Input{Inbox: amount(t, "4"), Holdings: []register.Holding{holding("ann", 4, 4)}, Entitlements: []distribution.Entitlement{owed(t, "ann", "1", "0")}},
			"ann 0/5, paid",
		},
		{
			"who has sold everything is still paid what is owed",
			Input{Inbox: amount(t, "4"), Holdings: two[:1], Entitlements: []distribution.Entitlement{owed(t, "zoe", "5", "0")}},
			"ann 0/0, zoe 0/0, paid ann 4 zoe 5",
		},
		{ // Fails when only the first of two recoveries is followed.
			"what a lost wallet is owed follows every recovery",
			Input{
				Inbox: amount(t, "4"), Holdings: two[:1], Entitlements: []distribution.Entitlement{owed(t, "old", "5", "0"), owed(t, "zoe", "1", "0")},
				Recoveries: []register.Recovery{{Old: "old", New: "mid"}, {Old: "mid", New: "new"}},
			},
			"ann 0/0, mid 0/0, new 0/0, old 0/0, zoe 0/0, paid ann 4 new 5 zoe 1",
		},
		{ // Fails when screening only checks the new wallet.
			"the wallet to which a listed one was recovered is screened out",
			Input{
				Inbox: amount(t, "4"), Holdings: []register.Holding{holding("new", 1, 0)}, Listed: on("old"),
				Recoveries: []register.Recovery{{Old: "old", New: "mid"}, {Old: "mid", New: "new"}},
			},
			"new 0/4, paid",
		},
		{
			"the fee comes first", Input{Inbox: amount(t, "100"), FeeBasisPoints: 1_000, Holdings: two},
			"ann 0/0, ben 0/0, paid ann 45 ben 45",
		},
		{
			"a fee of everything leaves no shares", Input{Inbox: amount(t, "100"), FeeBasisPoints: 10_000, Holdings: two},
			"ann 0/0, ben 0/0, paid",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.in.Asset, c.in.Token, c.in.Distribution, c.in.Rail = "USDC", "tok", "d", "csv"
			if c.in.Listed == nil {
				c.in.Listed = nobody
			}
			p, err := New(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := text(p); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			check(t, c.in, p)
		})
	}
}

func TestPlansThatCannotBe(t *testing.T) {
	one := []register.Holding{holding("ann", 1, 0)}
	for _, c := range []struct {
		name, want string
		in         Input
	}{
		{"nobody to share among", "no holder", Input{Asset: "USDC", Inbox: amount(t, "1")}},
		{"an asset without a minor unit", "minor unit", Input{Asset: "WAT", Inbox: amount(t, "1"), Holdings: one}},
		{"a fee above the whole", "basis points", Input{Asset: "USDC", Inbox: amount(t, "1"), Holdings: one, FeeBasisPoints: 10_001}},
		{"holders out of order", "ascend", Input{Asset: "USDC", Inbox: amount(t, "1"), Holdings: []register.Holding{holding("b", 1, 0), holding("a", 1, 0)}}},
		{"entitlements out of order", "ascending", Input{Asset: "USDC", Inbox: amount(t, "1"), Holdings: one, Entitlements: []distribution.Entitlement{{Holder: "b"}, {Holder: "a"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.in.Listed = nobody
			if _, err := New(c.in); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

// check checks the invariants of the package comment, one by one.
func check(t *testing.T, in Input, p *Plan) {
	t.Helper()
	sum := func(a, b money.Amount) money.Amount {
		c, err := a.Add(b)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if sum(p.Fee, p.Pool) != in.Inbox {
		t.Errorf("fee %v and pool %v are not the inbox %v", p.Fee, p.Pool, in.Inbox)
	}
	var shares money.Amount
	for i, s := range p.Shares {
		shares = sum(shares, s.Amount)
		// Fails when a share is made payable first and held afterwards.
		if Screen(in.Recoveries, in.Listed)(s.Holder) && s.Held != s.Amount {
			t.Errorf("%s is screened out, and %v of %v is held", s.Holder, s.Held, s.Amount)
		}
		if s.Held.Cmp(s.Amount) > 0 || s.Held.Sign() < 0 || s.Holder != in.Holdings[i].Holder {
			t.Errorf("%s: %v of %v held", s.Holder, s.Held, s.Amount)
		}
	}
	if shares != p.Pool {
		t.Errorf("shares of %v are not the pool of %v", shares, p.Pool)
	}

	// Adding the postings to what was owed before gives what is owed after.
	balances := map[ledger.Account]money.Amount{ledger.TokenInbox(in.Token): in.Inbox}
	for _, e := range in.Entitlements {
		balances[ledger.HolderPayable(e.Holder)], balances[ledger.HolderHeld(e.Holder)] = e.Payable, e.Held
	}
	for _, x := range append(slices.Clone(p.Distributed), p.PaidOut...) {
		if err := x.Valid(); err != nil {
			t.Error(err)
		}
		rest, err := balances[x.Debit].Sub(x.Amount)
		if err != nil || rest.Sign() < 0 {
			t.Errorf("%s is overdrawn by a posting of %v", x.Debit, x.Amount)
		}
		balances[x.Debit] = rest
		balances[x.Credit] = sum(balances[x.Credit], x.Amount)
	}
	for _, e := range p.Entitlements {
		if balances[ledger.HolderPayable(e.Holder)] != e.Payable || balances[ledger.HolderHeld(e.Holder)] != e.Held {
			t.Errorf("%s: postings give %v and %v, the plan %v and %v", e.Holder,
				balances[ledger.HolderPayable(e.Holder)], balances[ledger.HolderHeld(e.Holder)], e.Payable, e.Held)
		}
		delete(balances, ledger.HolderPayable(e.Holder))
		delete(balances, ledger.HolderHeld(e.Holder))
		whole, _, err := e.Payable.FloorMinor(in.Asset)
		if err != nil || !whole.IsZero() && whole.Cmp(in.Minimum) >= 0 {
			t.Errorf("%s: %v is left payable", e.Holder, e.Payable)
		}
	}
	var paid money.Amount
	blocked := Screen(in.Recoveries, in.Listed)
	for i, x := range p.Payouts {
		paid = sum(paid, x.Amount)
		if _, err := x.Amount.Minor(in.Asset); err != nil || x.Amount.Sign() <= 0 || x.Amount.Cmp(in.Minimum) < 0 {
			t.Errorf("payout of %v to %s: %v", x.Amount, x.Holder, err)
		}
		if blocked(x.Holder) {
			t.Errorf("%s is screened out and paid", x.Holder)
		}
		if i > 0 && p.Payouts[i-1].Holder >= x.Holder {
			t.Errorf("payouts are not ascending at %s", x.Holder)
		}
	}
	for account, left := range balances {
		want := money.Amount{}
		switch account {
		case ledger.PlatformFees:
			want = p.Fee
		case ledger.RailInFlight(in.Rail):
			want = paid
		}
		if left != want {
			t.Errorf("%s is left with %v, want %v", account, left, want)
		}
	}
}

// FuzzPlan makes holdings, freezes, entitlements, recoveries and a screening list
// from the fuzzer's input, and checks the invariants.
func FuzzPlan(f *testing.F) {
	f.Add([]byte("a long seed gives a mixed register with freezes and recoveries of some"), uint64(1<<60), 250, uint64(1))
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, uint64(3_000_000_000_000), 0, uint64(0))
	f.Fuzz(func(t *testing.T, seed []byte, inbox uint64, basisPoints int, minimum uint64) {
		in := Input{
			Distribution: "d", Token: "tok", Asset: "USDC", Rail: "csv", FeeBasisPoints: basisPoints,
			Inbox: money.AmountFromLimbs(0, inbox), Minimum: money.AmountFromLimbs(0, minimum),
		}
		r := &register.Register{}
		listed := map[events.Holder]bool{}
		for i := 0; i+4 <= len(seed); i += 4 {
			word := binary.LittleEndian.Uint32(seed[i:])
			h := events.Holder(fmt.Sprintf("h%02d", word%40))
			switch word >> 8 % 8 {
			case 0:
				_ = r.Freeze(h, money.UnitsOf(uint64(word>>16)%50))
			case 1:
				_ = r.Recover(h, events.Holder(fmt.Sprintf("h%02d", word>>16%40)))
			case 2:
				listed[h] = true
			default:
				_ = r.Issue(h, money.UnitsOf(uint64(word>>16)))
			}
			if at, ok := find(in.Entitlements, h); !ok && word>>11%2 == 0 {
				e := distribution.Entitlement{Holder: h, Payable: money.AmountFromLimbs(0, uint64(word)<<20)}
				if word>>12%2 == 0 {
					e.Held = money.AmountFromLimbs(0, uint64(word)<<16)
				}
				in.Entitlements = slices.Insert(in.Entitlements, at, e)
			}
		}
		in.Holdings, in.Recoveries = r.Holdings(), r.Recoveries()
		in.Listed = func(h events.Holder) bool { return listed[h] }
		p, err := New(in)
		if err != nil {
			return
		}
		check(t, in, p)
	})
}
