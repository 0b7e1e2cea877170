package api

import (
	"reflect"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/services/distribute"
	"github.com/aliquot-engine/aliquot/services/distribute/rails"
)

// Holders are paid in what was collected, so a batch may have several assets. Fails
// when the amounts of a batch become one sum.
func TestABatchAddsEachAssetByItself(t *testing.T) {
	amount := func(text string) money.Amount {
		a, err := money.ParseAmount(text)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	b := distribute.RailBatch{Rail: "csv", Batch: rails.Batch{Name: "T1:2026-10:csv", Payouts: []rails.Payout{
		{Asset: "USDT", Amount: amount("1")}, {Asset: "USDC", Amount: amount("2")}, {Asset: "USDT", Amount: amount("4")},
	}}}
	sum, err := summed(&b)
	if err != nil {
		t.Fatal(err)
	}
	if got := sum.Amounts; sum.Payouts != 3 || !reflect.DeepEqual(got, []Sum{{"USDC", amount("2")}, {"USDT", amount("5")}}) {
		t.Errorf("%d payouts of %v", sum.Payouts, got)
	}
}
