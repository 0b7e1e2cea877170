package directory

import (
	"errors"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// A caller who says the same again is answered with what became of it: fails when the
// position is that of the repeat, or when another decision of the id passes for it.
func TestTheSameDecisionAgainIsFoundWhereItTookEffect(t *testing.T) {
	f := declared(t)
	deposit := events.DepositRecorded{Book: "eu", Customer: "lab", Asset: "USDC", Amount: amount("5"), Reference: "wire"}
	if err := f.applyAs("wire-1", deposit); err != nil {
		t.Fatal(err)
	}
	at := f.d.Position()
	if err := f.applyAs("wire-1", deposit); err == nil {
		t.Fatal("a repeat took effect")
	}
	if position, reason := f.d.Taken("wire-1", deposit); position != at || !errors.Is(reason, ErrRepeat) {
		t.Errorf("at %d, %v; it took effect at %d", position, reason, at)
	}
	other := deposit
	other.Amount = amount("6")
	if position, reason := f.d.Taken("wire-1", other); position != at || reason == nil || errors.Is(reason, ErrRepeat) {
		t.Errorf("another deposit of that id: at %d, %v", position, reason)
	}
	if position, reason := f.d.Taken("wire-2", deposit); position != 0 || reason != nil {
		t.Errorf("an id that nobody used: at %d, %v", position, reason)
	}
	f.do(events.DepositReversed{Book: "eu", Customer: "lab", Asset: "USDC", Amount: amount("5"), Reference: "wire", Deposit: "wire-1", Reason: "another's"})
	if position, reason := f.d.Taken("wire-1", deposit); position != at || reason == nil || errors.Is(reason, ErrRepeat) {
		t.Errorf("a deposit that was reversed: at %d, %v", position, reason)
	}
}
