package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"zombiezen.com/go/sqlite"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Fails when neighbours does not compare names, when alike does not compare
// references, and when payoutsFrom skips a name that it did not find.
func TestPayoutsAreChangedAndReadAsIfOneByOne(t *testing.T) {
	engine := opened(t, filepath.Join(t.TempDir(), "store.db"))
	db := store.New(engine, nil)
	want := map[string]distribution.Payout{}
	list := distribution.Payouts{Distribution: "d"}
	for i := range 400 {
		p := distribution.Payout{ID: fmt.Sprintf("po-%03d", i*2), Asset: "USDC", Holder: "h", Amount: money.Atto(1), State: distribution.Planned}
		list.List = append(list.List, p)
		want[p.ID] = p
	}
	other := distribution.Payouts{Distribution: "e", List: list.List}
	err := engine.write(t.Context(), func(conn *sqlite.Conn) error {
		return errors.Join(made(conn, &distribution.Distribution{Control: 1, ID: "d"}), made(conn, &distribution.Distribution{Control: 2, ID: "e"}),
			payouts(conn, list), payouts(conn, other))
	})
	if err != nil {
		t.Fatal(err)
	}
	write := func(list []distribution.Change) error {
		return engine.write(t.Context(), func(conn *sqlite.Conn) error { return changes(conn, list) })
	}
	states := []distribution.State{distribution.Submitted, distribution.Confirmed, distribution.Failed}
	seed := uint32(1)
	random := func(n int) int {
		seed = seed*1664525 + 1013904223
		return int(seed>>8) % n
	}
	for round := range 60 {
		var step []distribution.Change
		gap, run := 1+random(12), 1+random(40)
		for i := random(20); i < 400; i++ {
			if i%run == 0 {
				i += random(gap)
			}
			id := fmt.Sprintf("po-%03d", i*2)
			p, ok := want[id]
			if !ok {
				break
			}
			c := distribution.Change{Distribution: "d", Payout: id, State: states[(i/run+round)%3], Reference: []string{"", "a", "b"}[random(1+round%3)]}
			p.State = c.State
			if c.Reference != "" {
				p.Reference = c.Reference
			}
			want[id] = p
			step = append(step, c)
		}
		if err := write(step); err != nil {
			t.Fatal(err)
		}
	}
	for _, every := range []int{1, 2, 7, 9, 30, 399} {
		var names, got []string
		for i := -1; i < 810; i += every { // odd ones are not there
			names = append(names, fmt.Sprintf("po-%03d", i))
		}
		slices.Sort(names)
		err := db.PayoutsOf(t.Context(), "d", names, func(p distribution.Payout) error {
			got = append(got, p.ID)
			if p != want[p.ID] {
				t.Errorf("got %+v, want %+v", p, want[p.ID])
			}
			return nil
		})
		wanted := slices.DeleteFunc(names, func(name string) bool { _, ok := want[name]; return !ok })
		if err != nil || !slices.Equal(got, wanted) {
			t.Errorf("every %d: got %v, want %v, %v", every, got, wanted, err)
		}
	}
	err = db.Payouts(t.Context(), "e", "", func(p distribution.Payout) error {
		if p.State != distribution.Planned {
			t.Errorf("another distribution's payout %s is %s", p.ID, p.State)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for _, ids := range [][]string{{"po-001"}, {"po-000", "po-001", "po-004"}, {"po-000", "po-002", "po-003"}} {
		var step []distribution.Change
		for _, id := range ids {
			step = append(step, distribution.Change{Distribution: "d", Payout: id, State: "lost"})
		}
		if err := write(step); err == nil {
			t.Errorf("%v were changed, and one of them is not there", ids)
		}
	}
	if err := write([]distribution.Change{{Distribution: "x", Payout: "po-000"}}); !errors.Is(err, store.ErrUnknownDistribution) {
		t.Errorf("a distribution that is not there: %v", err)
	}
}
