package summary_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/summary"
)

func total(t *testing.T, list ...money.Amount) (sum money.Amount) {
	t.Helper()
	for _, a := range list {
		var err error
		if sum, err = sum.Add(a); err != nil {
			t.Fatal(err)
		}
	}
	return sum
}

// Fails when an account is added to another figure, or when one side of it is
// lost.
func TestTheFiguresAddUp(t *testing.T) {
	w := audittest.Story(t)
	s, err := summary.Run(t.Context(), w.DB)
	if err != nil || len(s.Assets) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	a := s.Assets[0]
	for _, sum := range []struct {
		name       string
		have, want money.Amount
	}{
		{"charged = earned", a.Charged, a.Earned},
		{"charged = collected + owed", a.Charged, total(t, a.Collected, a.Owed)},
		{"deposited = collected + prepaid", a.Deposited, total(t, a.Collected, a.Prepaid)},
		{"collected = providers + fees + pool + undistributed", a.Collected, total(t, a.Providers, a.Fees, a.Pool, a.Undistributed)},
		{"pool = paid + in flight + planned + held + carried", a.Pool, total(t, a.Paid, a.InFlight, a.Planned, a.Held, a.Carried)},
		{"in flight = what was handed over and not answered", a.InFlight, audittest.Amount(t, "12.609784")},
		{"planned = the payouts of the second distribution", a.Planned, audittest.Amount(t, "4.4605")},
	} {
		if sum.have != sum.want || sum.have.IsZero() {
			t.Errorf("%s: %v, %v", sum.name, sum.have, sum.want)
		}
	}
	// 40 numbered events and 5 of them again; a, b, a, a, free; s1, s2; 41, 42; s3.
	if s.Received != 55 || s.Accepted != 45 || s.Late != 2 || s.Duplicate != 6 || s.Refused != 2 || s.Suspended != 1 || s.SuspendedLines != 1 || s.Distributions != 2 {
		t.Errorf("%+v", s)
	}
	if len(s.Meters) != 1 || s.Meters[0].Quantity != audittest.Quantity(t, "73868.125") || len(s.Reasons) != 2 || len(s.Waiting) != 1 || s.Waiting[0].Quantity != audittest.Quantity(t, "9") {
		t.Errorf("%+v", s)
	}
}

func TestNothingHasAnEmptySummary(t *testing.T) {
	s, err := summary.Run(t.Context(), audittest.New(t).DB)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(s)
	if err != nil || strings.Contains(string(data), "null") {
		t.Errorf("%s, %v", data, err)
	}
	// The SHA-256 of no bytes.
	if s.JournalHash != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Error(s.JournalHash)
	}
}
