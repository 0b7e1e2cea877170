package issue_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/issue"
)

// What was read of CONTROL for one receipt, even for one that rests on a later
// decision, does not change any byte of the next: in every order, each receipt is
// equal to one that is made without any previous reading.
func TestReceiptsAreTheSameWithDecisionsThatWereRead(t *testing.T) {
	k := keep(t, audittest.Story(t))
	ids := []string{"meter-1#3", "meter-1#a", "meter-1#41", "meter-1#free", "meter-1#s1", k.payoutOf(t, "d1", "carol"), k.payoutOf(t, "d2", "dave")}
	for i := 1; i <= 40; i++ {
		ids = append(ids, fmt.Sprintf("meter-1#%d", i))
	}
	fresh := map[string][]byte{}
	made := func(from issue.Sources, id string) []byte {
		t.Helper()
		r, err := issue.Issue(t.Context(), from, id)
		if err != nil {
			return []byte(err.Error())
		}
		data, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	charged := 0
	for _, id := range ids {
		fresh[id] = made(k.sources(), id)
		if bytes.Contains(fresh[id], []byte(`"charge"`)) {
			charged++
		}
	}
	if charged < 3 {
		t.Fatalf("%d receipts of this story have a charge", charged)
	}
	backwards := slices.Clone(ids)
	slices.Reverse(backwards)
	from := k.sources()
	from.Decisions = issue.NewDecisions()
	for _, id := range append(append(ids, backwards...), ids...) {
		if got := made(from, id); !bytes.Equal(got, fresh[id]) {
			t.Fatalf("the receipt of %s is\n%s\nwithout decisions that were read it is\n%s", id, got, fresh[id])
		}
	}
}
