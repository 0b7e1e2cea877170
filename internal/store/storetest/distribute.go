package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// aStep is a step being put together.
type aStep struct{ distribution.Step }

// distributed is a step to a position of CONTROL and one of LEDGER.
func distributed(control, read uint64) *aStep {
	return &aStep{distribution.Step{
		Control: distribution.Mark{Created: 5, Position: control, Hash: [32]byte{1, byte(control)}},
		Ledger:  distribution.Mark{Created: 6, Position: read, Hash: [32]byte{2, byte(read)}},
	}}
}

// record adds a journal record, and a message for PAYOUT that is it.
func (s *aStep) record(t *testing.T, postings ...ledger.Posting) {
	t.Helper()
	r := record(s.Control.Position, postings...)
	data, err := ledger.AppendRecord(nil, &r)
	must(t, err)
	s.Messages = append(s.Messages, distribution.Message{Token: "t", Record: len(s.Records)})
	s.Records, s.Encoded = append(s.Records, r), append(s.Encoded, data)
}

func distributor(t *testing.T, db *store.DB) {
	ctx := t.Context()
	if c, err := db.DistributeCursor(ctx); err != nil || c.Epoch != 0 {
		t.Errorf("before there was one: %+v, %v", c, err)
	}
	first, cursor, err := db.Distribute(ctx, "first")
	if err != nil || cursor.Epoch != 1 || cursor.Control.Position != 0 || cursor.Control.Hash != [32]byte{} {
		t.Fatalf("%+v, %v", cursor, err)
	}
	step := distributed(3, 2)
	step.Handovers = []distribution.Handover{
		{Token: "t", Asset: "USDC", Position: 1, Period: "2025-12", Amount: atto(5)}, {Token: "t", Asset: "USDC", Position: 1, Period: "2026-01", Amount: atto(2)},
		{Token: "t", Asset: "USDC", Position: 2, Period: "2026-01", Amount: atto(1)}, {Token: "t", Asset: "USDC", Position: 2, Period: "2026-02", Amount: atto(9)},
	}
	step.Settlements = []distribution.Settlement{{Book: "b", Period: "2026-01", Position: 2}}
	step.Voids = []distribution.Void{{Control: 2, Reason: "because"}}
	step.record(t, post("token:t:inbox", "token:t:pool", atto(3)))
	for range 2 {
		must(t, first.Commit(ctx, cursor.Control, cursor.Ledger, &step.Step)) // again: its answer was lost
	}
	// Other messages at those positions are other streams: fails when the positions
	// alone say that a commit is done.
	for name, change := range map[string]func(*distribution.Step){
		"CONTROL": func(s *distribution.Step) { s.Control.Hash[31]++ }, "LEDGER": func(s *distribution.Step) { s.Ledger.Hash[31]++ },
		"CONTROL made anew": func(s *distribution.Step) { s.Control.Created++ }, "LEDGER made anew": func(s *distribution.Step) { s.Ledger.Created++ },
	} {
		other := step.Step
		change(&other)
		if err := first.Commit(ctx, cursor.Control, cursor.Ledger, &other); !errors.Is(err, distribution.ErrFenced) {
			t.Errorf("a commit of another message at the same position of %s: %v", name, err)
		}
	}
	for _, c := range []struct {
		period  events.Period
		through uint64
		want    int64
	}{{"2025-12", 2, 5}, {"2026-01", 1, 7}, {"2026-01", 2, 8}, {"2026-02", 2, 17}, {"2026-03", 1, 7}} {
		inbox, err := first.Inbox(ctx, "t", c.period, c.through)
		if err != nil || len(inbox) != 1 || inbox[0].Amount != atto(c.want) {
			t.Errorf("inbox for %s at %d: %v, %v; want %d", c.period, c.through, inbox, err, c.want)
		}
	}
	if inbox, err := first.Inbox(ctx, "t", "2025-11", 2); err != nil || len(inbox) != 0 {
		t.Errorf("inbox for a period before: %v, %v", inbox, err)
	}
	if messages, err := first.Messages(ctx, 1, 10); err != nil || len(messages) != 1 {
		t.Errorf("messages: %v, %v", messages, err)
	}
	other := *distributed(4, 2)
	other.Handovers, other.Voids = step.Handovers, step.Voids
	if err := first.Commit(ctx, cursor.Control, cursor.Ledger, &other.Step); !errors.Is(err, distribution.ErrFenced) {
		t.Errorf("from behind the cursor: %v", err)
	}
	must(t, first.Owned(ctx))
	second, now, err := db.Distribute(ctx, "second")
	must(t, err)
	must(t, second.Owned(ctx))
	if err := first.Owned(ctx); !errors.Is(err, distribution.ErrFenced) {
		t.Errorf("asked whether it owns distribution, after another took over: %v", err)
	}
	if now.Epoch != 2 || now.Control != step.Control || now.Ledger != step.Ledger {
		t.Fatalf("%+v", now)
	}
	before := contents(t, db)
	if err := first.Commit(ctx, step.Control, step.Ledger, &other.Step); !errors.Is(err, distribution.ErrFenced) {
		t.Errorf("after another took over: %v", err)
	}
	if err := second.Commit(ctx, step.Control, step.Ledger, &other.Step); err == nil || errors.Is(err, distribution.ErrFenced) {
		t.Errorf("the same handover was written twice: %v", err)
	}
	if after := contents(t, db); after != before {
		t.Errorf("commits that failed have written:\n%s\nbefore:\n%s", after, before)
	}
	other.Handovers, other.Voids = nil, nil
	must(t, second.Commit(ctx, step.Control, step.Ledger, &other.Step))
	for period, want := range map[events.Period]uint64{"2025-12": 2, "2026-01": 2, "2026-02": 0} {
		if at, err := second.SettledAt(ctx, "b", period); err != nil || at != want {
			t.Errorf("%s is settled at %d, %v", period, at, err)
		}
	}
	// A distribution takes what reaches it, once, whatever the order of periods and
	// positions that distributions come in.
	next, from := *distributed(5, 3), other.Step
	next.Made = &distribution.Distribution{ID: "d", Token: "t", Book: "b", Period: "2026-01", Control: 5, Ledger: 1, Register: 2,
		Pools: []distribution.Pool{{Asset: "USDC", Inbox: atto(7), Pool: atto(7)}}}
	must(t, second.Commit(ctx, from.Control, from.Ledger, &next.Step))
	for _, c := range []struct {
		period  events.Period
		through uint64
		want    []money.Amount
	}{{"2026-01", 1, nil}, {"2026-01", 2, []money.Amount{atto(1)}}, {"2025-12", 2, nil}, {"2026-02", 2, []money.Amount{atto(10)}}} {
		inbox, err := second.Inbox(ctx, "t", c.period, c.through)
		var amounts []money.Amount
		for _, h := range inbox {
			amounts = append(amounts, h.Amount)
		}
		must(t, err)
		same(t, fmt.Sprintf("inbox for %s at %d after a distribution", c.period, c.through), amounts, c.want)
	}
	if v, ok, err := db.DistributeVoid(ctx, 2); err != nil || !ok || v.Reason != "because" {
		t.Errorf("%+v, %v, %v", v, ok, err)
	}
}

// made is a step that makes distributions of so many payouts each.
func made(id string, control uint64, payouts int) *aStep {
	step := distributed(control, control)
	step.Made = &distribution.Distribution{
		ID: id, Token: "t", Book: "b", Period: "2026-01", Control: control, Ledger: 1, Register: 2,
		RecordDate: time.Date(2026, 2, 1, 0, 0, 0, 123, time.UTC), Rail: "csv", Holders: payouts, Supply: money.Units{Hi: math.MaxUint64, Lo: math.MaxUint64},
		Pools: []distribution.Pool{{Asset: "EURC", Inbox: atto(2), Fee: atto(1), Pool: atto(1)},
			{Asset: "USDC", Inbox: atto(100), FeeBasisPoints: 250, Fee: atto(2), Pool: atto(98), Held: atto(1), Payouts: payouts, Planned: atto(97)}},
	}
	list := distribution.Payouts{Distribution: id}
	for i := range payouts {
		list.List = append(list.List, distribution.Payout{ID: fmt.Sprintf("po-%03d", i*2), Asset: "USDC", Holder: "h", Amount: atto(1), State: distribution.Planned})
	}
	step.Payouts = []distribution.Payouts{list}
	return step
}

func payouts(t *testing.T, db *store.DB) {
	ctx := t.Context()
	d, at, err := db.Distribute(ctx, "me")
	must(t, err)
	control, read := at.Control, at.Ledger
	commit := func(step *aStep) error {
		err := d.Commit(ctx, control, read, &step.Step)
		if err == nil {
			control, read = step.Control, step.Ledger
		}
		return err
	}
	must(t, commit(made("d", 1, 400)))
	must(t, commit(made("e", 2, 400)))
	want := map[string]distribution.Payout{}
	for _, p := range made("d", 1, 400).Payouts[0].List {
		want[p.ID] = p
	}
	next := uint64(2)
	change := func(list []distribution.Change) error {
		next++
		step := distributed(next, next)
		step.Changes = list
		err := commit(step)
		if err != nil {
			next--
		}
		return err
	}
	states := []distribution.State{distribution.Submitted, distribution.Confirmed, distribution.Failed}
	seed := uint32(1)
	random := func(n int) int {
		seed = seed*1664525 + 1013904223
		return int(seed>>8) % n
	}
	for round := range 20 {
		var list []distribution.Change
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
			list = append(list, c)
		}
		must(t, change(list))
	}
	for _, every := range []int{1, 2, 7, 9, 30, 399} {
		var names, got []string
		for i := -1; i < 810; i += every { // odd ones are not there
			names = append(names, fmt.Sprintf("po-%03d", i))
		}
		slices.Sort(names)
		err := d.PayoutsOf(ctx, "d", names, func(p distribution.Payout) error {
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
	must(t, d.Payouts(ctx, "e", "", func(p distribution.Payout) error {
		if p.State != distribution.Planned {
			t.Errorf("another distribution's payout %s is %s", p.ID, p.State)
		}
		return nil
	}))
	for _, ids := range [][]string{{"po-001"}, {"po-000", "po-001", "po-004"}, {"po-000", "po-002", "po-003"}} {
		var list []distribution.Change
		for _, id := range ids {
			list = append(list, distribution.Change{Distribution: "d", Payout: id, State: "lost"})
		}
		if err := change(list); err == nil {
			t.Errorf("%v were changed, and one of them is not there", ids)
		}
	}
	if err := change([]distribution.Change{{Distribution: "x", Payout: "po-000"}}); !errors.Is(err, store.ErrUnknownDistribution) {
		t.Errorf("a distribution that is not there: %v", err)
	}
}
