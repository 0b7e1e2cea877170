package register

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func units(n uint64) money.Units { return money.UnitsOf(n) }

// lines writes a register as "holder units(frozen)" for comparison by eye.
func lines(r *Register) string {
	var b strings.Builder
	for _, h := range r.Holdings() {
		fmt.Fprintf(&b, "%s %v(%v) ", h.Holder, h.Units, h.Frozen)
	}
	return strings.TrimSpace(b.String())
}

// Every row says which mistake would fail it.
func TestMovements(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*Register) error
		want string // holdings afterwards; the start is alice 100, bob 50 of which 20 are frozen
		void string // part of the reason; empty: not void
	}{
		{"units are issued to a new holder", func(r *Register) error { return r.Issue("carol", units(7)) }, "alice 100(0) bob 50(20) carol 7(0)", ""},
		{"nothing cannot be issued", func(r *Register) error { return r.Issue("carol", units(0)) }, "", "no units"},
		{"the supply cannot exceed 128 bits", func(r *Register) error {
			return r.Issue("carol", money.Units{Hi: 1<<64 - 1, Lo: 1<<64 - 1})
		}, "", "supply"},
		{"a transfer moves free units", func(r *Register) error { return r.Transfer("bob", "alice", units(30)) }, "alice 130(0) bob 20(20)", ""},
		// Fails when a transfer counts all units instead of the free ones.
		{"a transfer cannot touch frozen units", func(r *Register) error { return r.Transfer("bob", "alice", units(31)) }, "", "30 can be moved"},
		{"a transfer to oneself is none", func(r *Register) error { return r.Transfer("bob", "bob", units(1)) }, "", "itself"},
		{"a stranger has nothing to transfer", func(r *Register) error { return r.Transfer("zed", "bob", units(1)) }, "", "it has 0"},
		{"a holder without units is not in the register", func(r *Register) error { return r.Transfer("alice", "bob", units(100)) }, "bob 150(20)", ""},
		{"burning takes units out of the supply", func(r *Register) error { return r.Burn("alice", units(40)) }, "alice 60(0) bob 50(20)", ""},
		{"burning cannot touch frozen units", func(r *Register) error { return r.Burn("bob", units(31)) }, "", "30 can be moved"},
		{"a forced transfer takes frozen units after the free ones", func(r *Register) error { return r.ForceTransfer("bob", "alice", units(35)) }, "alice 135(0) bob 15(15)", ""},
		// Fails when a forced transfer reduces the freeze by what it moved.
		{"a forced transfer of free units leaves the freeze", func(r *Register) error { return r.ForceTransfer("bob", "alice", units(30)) }, "alice 130(0) bob 20(20)", ""},
		{"a forced transfer of some free units leaves the freeze too", func(r *Register) error { return r.ForceTransfer("bob", "alice", units(10)) }, "alice 110(0) bob 40(20)", ""},
		{"more than all cannot be forced", func(r *Register) error { return r.ForceTransfer("bob", "alice", units(51)) }, "", "it has 50"},
		{"a part is frozen on top of another", func(r *Register) error { return r.Freeze("bob", units(30)) }, "alice 100(0) bob 50(50)", ""},
		{"more than all cannot be frozen", func(r *Register) error { return r.Freeze("bob", units(31)) }, "", "20 of its 50"},
		{"a whole holder is frozen with what arrives later", func(r *Register) error {
			if err := r.Freeze("alice", units(0)); err != nil {
				return err
			}
			return r.Transfer("bob", "alice", units(5))
		}, "alice 105(105) bob 45(20)", ""},
		{"a frozen holder cannot be frozen again", func(r *Register) error {
			_ = r.Freeze("alice", units(0))
			return r.Freeze("alice", units(0))
		}, "alice 100(100) bob 50(20)", "already"},
		{"unfreezing the whole leaves a frozen part", func(r *Register) error {
			_ = r.Freeze("bob", units(0))
			return r.Unfreeze("bob", units(0))
		}, "alice 100(0) bob 50(20)", ""},
		{"a part is unfrozen", func(r *Register) error { return r.Unfreeze("bob", units(5)) }, "alice 100(0) bob 50(15)", ""},
		{"more than is frozen cannot be unfrozen", func(r *Register) error { return r.Unfreeze("bob", units(21)) }, "", "only 20"},
		{"what is not frozen cannot be unfrozen", func(r *Register) error { return r.Unfreeze("alice", units(0)) }, "", "not frozen"},
		// Fails when a recovery leaves the freeze behind: a holder could unfreeze
		// itself.
		{"a recovery takes units and freezes along", func(r *Register) error { return r.Recover("bob", "bob2") }, "alice 100(0) bob2 50(20)", ""},
		{"a recovery may add to a wallet in use", func(r *Register) error { return r.Recover("bob", "alice") }, "alice 150(20)", ""},
		// Fails when the successor takes the lost wallet's freeze instead of
		// both: a recovery would unfreeze a holder who is frozen as a whole.
		{"a recovery leaves a successor that is frozen as a whole so", func(r *Register) error {
			_ = r.Freeze("alice", units(0))
			return r.Recover("bob", "alice")
		}, "alice 150(150)", ""},
		{"a recovery takes the freeze of the whole along, for what arrives later too", func(r *Register) error {
			_ = r.Freeze("bob", units(0))
			if err := r.Recover("bob", "bob2"); err != nil {
				return err
			}
			return r.Transfer("alice", "bob2", units(5))
		}, "alice 95(0) bob2 55(55)", ""},
		{"a wallet without units takes its freeze along", func(r *Register) error {
			_ = r.Freeze("zed", units(0))
			return r.Recover("zed", "alice")
		}, "alice 100(100) bob 50(20)", ""},
		{"a wallet without units can be recovered", func(r *Register) error { return r.Recover("zed", "alice") }, "alice 100(0) bob 50(20)", ""},
		{"a recovery to itself is none", func(r *Register) error { return r.Recover("bob", "bob") }, "", "itself"},
		// Fails when the second of two recoveries is not checked: they would form
		// a circle.
		{"a recovered wallet cannot come back", func(r *Register) error {
			_ = r.Recover("bob", "bob2")
			return r.Recover("bob2", "bob")
		}, "alice 100(0) bob2 50(20)", "recovered"},
		// Fails when only recoveries that move units check whether the new wallet
		// was recovered: wallets without units could form a circle, and a search
		// for the successor would not end.
		{"a wallet without units cannot be recovered to a recovered one", func(r *Register) error {
			_ = r.Recover("bob", "bob2")
			return r.Recover("zed", "bob")
		}, "alice 100(0) bob2 50(20)", "recovered"},
		{"two wallets without units form no circle", func(r *Register) error {
			_ = r.Recover("yan", "zed")
			return r.Recover("zed", "yan")
		}, "", "recovered"},
		{"a recovered wallet cannot receive", func(r *Register) error {
			_ = r.Recover("bob", "bob2")
			return r.Transfer("alice", "bob", units(1))
		}, "alice 100(0) bob2 50(20)", "recovered"},
		{"a recovered wallet cannot be frozen", func(r *Register) error {
			_ = r.Recover("bob", "bob2")
			return r.Freeze("bob", units(0))
		}, "alice 100(0) bob2 50(20)", "recovered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &Register{}
			for _, err := range []error{r.Issue("alice", units(100)), r.Issue("bob", units(50)), r.Freeze("bob", units(20))} {
				if err != nil {
					t.Fatal(err)
				}
			}
			err := c.do(r)
			if c.void == "" && err != nil {
				t.Fatalf("void: %v", err)
			}
			if c.void != "" && (err == nil || !strings.Contains(err.Error(), c.void)) {
				t.Fatalf("got %v, want a reason with %q", err, c.void)
			}
			want := c.want
			if want == "" {
				want = "alice 100(0) bob 50(20)" // void: as before
			}
			if got := lines(r); got != want {
				t.Fatalf("got %s\nwant %s", got, want)
			}
		})
	}
}

func TestSuccessorFollowsEveryRecovery(t *testing.T) {
	r := &Register{}
	_ = r.Recover("a", "b")
	_ = r.Recover("b", "c")
	if got := r.Successor("a"); got != "c" {
		t.Fatalf("got %s, want c", got)
	}
	if got := r.Recoveries(); !slices.Equal(got, []Recovery{{"a", "b"}, {"b", "c"}}) {
		t.Fatalf("got %v", got)
	}
}

// Fails when ids are not remembered (an import sent twice doubles the supply), or
// when a void movement cancels the rest of its message.
func TestMessages(t *testing.T) {
	r := &Register{}
	message := events.Movements{ID: "m1", Movements: []events.Movement{
		{Kind: events.Issued, To: "alice", Units: units(5)},
		{Kind: events.Burned, From: "bob", Units: units(1)},
		{ID: "chain:7", Kind: events.Transferred, From: "alice", To: "carol", Units: units(2)},
		{Kind: events.Recovered, From: "carol", To: "dave"},
		{Kind: events.Frozen, From: "dave"},
		{Kind: events.Unfrozen, From: "dave"},
		{Kind: events.ForcedTransfer, From: "dave", To: "erin", Units: units(1)},
	}}
	voids, err := r.Apply(&message)
	if err != nil || len(voids) != 1 || voids[0].Movement != "m1/1" {
		t.Fatalf("%v, %v", voids, err)
	}
	const want = "alice 3(0) dave 1(0) erin 1(0)"
	if got := lines(r); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	if _, err := r.Apply(&message); !errors.Is(err, ErrRepeat) {
		t.Fatalf("the same message again: %v", err)
	}
	message.ID = "m2"
	message.Movements = message.Movements[2:3]
	if voids, err := r.Apply(&message); err != nil || len(voids) != 1 || !errors.Is(voids[0].Reason, ErrRepeat) {
		t.Fatalf("the same movement in another message: %v, %v", voids, err)
	}
	if got := lines(r); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

// Adds new holders below all others, again and again. Fails when merge forgets
// the rest of the base.
func TestHoldersInDescendingOrder(t *testing.T) {
	const n = 5_000
	r := &Register{}
	for i := range n {
		if err := r.Issue(events.Holder(fmt.Sprintf("h%05d", n-i)), units(1)); err != nil {
			t.Fatal(err)
		}
	}
	if list := r.Holdings(); len(list) != n || list[0].Holder != "h00001" || list[n-1].Holder != "h05000" {
		t.Fatalf("%d holders", len(list))
	}
}

// oracle is the simplest implementation of a register: maps, and small numbers.
type oracle struct {
	units, part map[events.Holder]uint64
	whole, gone map[events.Holder]bool
}

func (o *oracle) free(h events.Holder) uint64 {
	if o.whole[h] {
		return 0
	}
	return o.units[h] - o.part[h]
}

func (o *oracle) move(kind byte, a, b events.Holder, n uint64) bool {
	switch kind {
	case 0: // issue
		if n == 0 || o.gone[a] {
			return false
		}
		o.units[a] += n
	case 1: // burn
		if n == 0 || o.free(a) < n {
			return false
		}
		o.units[a] -= n
	case 2: // transfer
		if n == 0 || a == b || o.gone[b] || o.free(a) < n {
			return false
		}
		o.units[a] -= n
		o.units[b] += n
	case 3: // forced transfer
		if n == 0 || a == b || o.gone[b] || o.units[a] < n {
			return false
		}
		o.units[a] -= n
		o.units[b] += n
		o.part[a] = min(o.part[a], o.units[a])
	case 4: // freeze
		if o.gone[a] || (n == 0 && o.whole[a]) || (n > 0 && o.part[a]+n > o.units[a]) {
			return false
		}
		o.part[a] += n
		o.whole[a] = o.whole[a] || n == 0
	case 5: // unfreeze
		if (n == 0 && !o.whole[a]) || o.part[a] < n {
			return false
		}
		o.part[a] -= n
		o.whole[a] = o.whole[a] && n > 0
	case 6: // recover
		if a == b || o.gone[a] || o.gone[b] {
			return false
		}
		o.units[b] += o.units[a]
		o.part[b] += o.part[a]
		o.whole[b] = o.whole[b] || o.whole[a]
		o.units[a], o.part[a], o.whole[a], o.gone[a] = 0, 0, false, true
	}
	return true
}

func move(r *Register, kind byte, a, b events.Holder, n uint64) error {
	switch kind {
	case 0:
		return r.Issue(a, units(n))
	case 1:
		return r.Burn(a, units(n))
	case 2:
		return r.Transfer(a, b, units(n))
	case 3:
		return r.ForceTransfer(a, b, units(n))
	case 4:
		return r.Freeze(a, units(n))
	case 5:
		return r.Unfreeze(a, units(n))
	default:
		return r.Recover(a, b)
	}
}

func FuzzRegister(f *testing.F) {
	f.Add([]byte{0, 1, 0, 9, 4, 1, 0, 3, 2, 1, 2, 6, 6, 1, 3, 0, 3, 3, 2, 3})
	f.Add([]byte{0, 1, 0, 9, 4, 1, 0, 0, 0, 2, 0, 1, 6, 2, 1, 0, 5, 1, 0, 0, 1, 1, 0, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		r := &Register{}
		o := &oracle{map[events.Holder]uint64{}, map[events.Holder]uint64{}, map[events.Holder]bool{}, map[events.Holder]bool{}}
		for i := 0; i+4 <= len(script); i += 4 {
			kind := script[i] % 7
			a := events.Holder(fmt.Sprintf("h%02d", script[i+1]%16))
			b := events.Holder(fmt.Sprintf("h%02d", script[i+2]%16))
			n := uint64(script[i+3] % 32)
			before := lines(r)
			err := move(r, kind, a, b, n)
			if done := o.move(kind, a, b, n); done != (err == nil) {
				t.Fatalf("step %d (%d %s %s %d): the oracle says %v, the register %v", i/4, kind, a, b, n, done, err)
			}
			if err != nil && lines(r) != before {
				t.Fatalf("step %d was void and changed %s to %s", i/4, before, lines(r))
			}
			var sum money.Units
			var want strings.Builder
			for _, h := range slices.Sorted(maps.Keys(o.units)) {
				if o.units[h] == 0 {
					continue
				}
				frozen := o.part[h]
				if o.whole[h] {
					frozen = o.units[h]
				}
				fmt.Fprintf(&want, "%s %d(%d) ", h, o.units[h], frozen)
			}
			if got := lines(r); got != strings.TrimSpace(want.String()) {
				t.Fatalf("step %d: got %s\nwant %s", i/4, got, want.String())
			}
			for _, h := range r.Holdings() {
				sum, _ = sum.Add(h.Units)
				if h.Frozen.Cmp(h.Units) > 0 {
					t.Fatalf("step %d: %s has %v of %v frozen", i/4, h.Holder, h.Frozen, h.Units)
				}
			}
			if sum != r.Supply() || len(r.Holdings()) != r.Len() {
				t.Fatalf("step %d: supply %v, sum %v; %d holders of %d", i/4, r.Supply(), sum, len(r.Holdings()), r.Len())
			}
		}
	})
}

// New holders are merged after about every thousand. An order that is neither
// ascending nor descending crosses a merge many times. Fails when enter uses a
// place that a merge has moved.
func TestManyHoldersInAnyOrder(t *testing.T) {
	const n = 20_011 // a prime, so that the stride reaches every holder
	r := &Register{}
	for i := range uint64(n) {
		h := events.Holder(fmt.Sprintf("h%05d", i*7919%n))
		if err := r.Issue(h, units(i+1)); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			// One unit is passed round between the base and the new holders.
			if err := r.Transfer(h, events.Holder(fmt.Sprintf("h%05d", (i-1)*7919%n)), units(1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	list := r.Holdings()
	if len(list) != n || !slices.IsSortedFunc(list, func(a, b Holding) int { return strings.Compare(string(a.Holder), string(b.Holder)) }) {
		t.Fatalf("%d holders, sorted: want %d", len(list), n)
	}
	if want := units(n * (n + 1) / 2); r.Supply() != want {
		t.Fatalf("supply %v, want %v", r.Supply(), want)
	}
	for i := range uint64(n) {
		want := i + 1
		if i == 0 {
			want = 2
		} else if i == n-1 {
			want = n - 1
		}
		if got := r.Units(events.Holder(fmt.Sprintf("h%05d", i*7919%n))); got != units(want) {
			t.Fatalf("holder %d has %v, want %d", i, got, want)
		}
	}
}

// TestASnapshotStaysAsItWas fails when merge writes into the text that earlier
// snapshots share.
func TestASnapshotStaysAsItWas(t *testing.T) {
	r := &Register{}
	_ = r.Issue("b", units(1))
	before := r.Holdings()
	_ = r.Issue("a", units(2))
	_ = r.Burn("b", units(1))
	if after := r.Holdings(); len(before) != 1 || before[0].Holder != "b" || before[0].Units != units(1) || after[0].Holder != "a" {
		t.Fatalf("before %v, after %v", before, after)
	}
}
