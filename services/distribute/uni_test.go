package distribute_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/published"
	"github.com/aliquot-engine/aliquot/internal/registerfile"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/services/distribute"
	"github.com/aliquot-engine/aliquot/services/distribute/rails"
)

// The published list of 252,803 holders, without the zero address, as a register, and the published
// sanctions list: a million is shared to the last atto, one holder is held, and
// everybody else whose share reaches a minor unit is paid.
//
// Fails when: shares are rounded each by itself (the sum is off), the list is
// compared in the case it is written in (nobody is held), or the held holder's
// share goes to the others.
func TestAMillionOverTheUNIList(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a register of 252,803: the same goroutines run over small ones")
	}
	const sanctioned = events.Holder("0xdcbeffbecce100cce9e4b153c4e15cb885643193")
	file := published.Open(t, "5-holders/uniswap-uni-claims-252803.csv")
	list, err := registerfile.ReadList(published.Open(t, "7-compliance/ofac-2024-09-27-ETH.txt"), "")
	if err != nil {
		t.Fatal(err)
	}
	s := newStreams(t)
	s.basics("0", 0)
	for _, part := range registerfile.Decisions("ofac-eth", list) {
		s.decide(part)
	}
	imported, err := registerfile.Open(file, registerfile.Options{LeaveOutZero: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := imported.Messages(events.Movements{Token: "acme", Actor: "operator:ada", At: start}, "", func(m *events.Movements) error {
		data, err := events.AppendMovements(nil, m)
		s.publish(s.register, eventlog.RegisterSubject("acme"), data, err)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.decide(events.PeriodClosed{Book: "acme-eu", Period: "2026-01"})
	s.settle("acme-eu", "acme", "2026-01", map[money.Asset]string{"USDC": "1000000"})
	db := openStore(t)
	r := s.run(db, "uni", 0, nil)
	declaration := s.declare("uni", "acme", "2026-01")
	began := time.Now()
	at := s.decide(declaration)
	r.wait(t, at)
	t.Logf("%d holders distributed to in %v", imported.Holders, time.Since(began))
	if reason, err := r.VoidReason(t.Context(), at); err != nil || reason != "" {
		t.Fatalf("void: %s, %v", reason, err)
	}
	checkBooks(t, db)

	d, ok, err := db.Distribution(t.Context(), "uni")
	if err != nil || !ok || d.Holders != 252_802 || d.Supply != imported.Supply {
		t.Fatalf("%+v, %v, %v", d, ok, err)
	}
	if got := d.Pools[0]; got.Pool != amount(t, "1000000") {
		t.Errorf("the pool is %v", got.Pool)
	}
	var sum money.Amount
	held, unpaid := 0, 0
	if err := db.Shares(t.Context(), "uni", "USDC", func(share distribution.Share) (err error) {
		sum, err = sum.Add(share.Amount)
		whole, _, e := share.Amount.FloorMinor("USDC")
		if whole.IsZero() {
			unpaid++
		}
		if !share.Held.IsZero() {
			held++
			if share.Holder != sanctioned || share.Held != share.Amount {
				t.Errorf("%s: %v of %v is held", share.Holder, share.Held, share.Amount)
			}
		}
		return errors.Join(err, e)
	}); err != nil {
		t.Fatal(err)
	}
	if sum != amount(t, "1000000") || held != 1 {
		t.Errorf("shares of %v, %d held", sum, held)
	}
	if want := 252_802 - 1 - unpaid; d.Pools[0].Payouts != want {
		t.Errorf("%d payouts, want %d: everybody but one held and %d below a minor unit", d.Pools[0].Payouts, want, unpaid)
	}

	// Handed over, exported twice, confirmed twice.
	began = time.Now()
	_, submission, err := distribute.Submission(t.Context(), db, "uni")
	if err != nil || submission != (events.PayoutsSubmitted{Batch: "uni:csv", Rail: "csv", Distribution: "uni"}) {
		t.Fatalf("%+v, %v", submission, err)
	}
	r.wait(t, s.decide(submission))
	t.Logf("submitted in %v", time.Since(began))
	export := func() string {
		t.Helper()
		batch, ok, err := distribute.BatchOf(t.Context(), db, "uni:csv")
		if err != nil || !ok || len(batch.Payouts) != d.Pools[0].Payouts {
			t.Fatalf("%d payouts exported, %v, %v", len(batch.Payouts), ok, err)
		}
		var file strings.Builder
		if kind, err := batch.Export(&file); err != nil || kind != "text/csv" {
			t.Fatalf("exported as %q, %v", kind, err)
		}
		return file.String()
	}
	instruction := export()
	var outcomes []events.PayoutOutcome
	if err := db.Payouts(t.Context(), "uni", distribution.Submitted, func(p distribution.Payout) error {
		outcomes = append(outcomes, events.PayoutOutcome{Payout: p.ID, State: "confirmed", Reference: "r"})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	last := uint64(0)
	for _, part := range rails.Confirmations("uni:csv", "csv", outcomes[:len(outcomes)/4]) {
		s.decide(part)
		last = s.decide(part)
	}
	r.wait(t, last)
	t.Logf("a quarter confirmed twice in %v", time.Since(began))
	if again := export(); again != instruction {
		t.Errorf("exported again, %d bytes are not the %d before", len(again), len(instruction))
	}
	checkBooks(t, db)
	totals, err := db.PayoutTotals(context.Background(), "uni")
	if err != nil || len(totals) != 2 || totals[0].State != distribution.Submitted || totals[1].State != distribution.Confirmed || totals[1].Count != len(outcomes)/4 {
		t.Errorf("%+v, %v", totals, err)
	}
}
