package explain_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/explain"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata; review the difference")

func sources(w *audittest.World) explain.Sources {
	return explain.Sources{Usage: []*eventlog.Stream{w.Usage}, Control: w.Control, Ledger: w.Ledger, Store: w.DB, IDs: w.IDs}
}

// Every kind of id, and what comes of it, to be read. Fails when a charge is
// computed with another card or quote than settle had (the postings are summed
// again from their events), when a share is not its quota, and when the carry
// counts another token or a later decision.
func TestExplanations(t *testing.T) {
	w := audittest.Story(t)
	payouts := map[string]string{}
	for _, id := range []string{"d1", "d2"} {
		if err := w.DB.Payouts(t.Context(), id, "", func(p distribution.Payout) error {
			payouts[id+" "+string(p.Holder)] = p.ID
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	for _, id := range []string{
		"meter-1#3", "meter-1#0/2", "meter-1#a", "meter-1#s1", "meter-1#s3", "meter-1#free", "meter-1#41",
		payouts["d1 carol"], payouts["d2 dave"], "d2", "settle-0-1", "settle-0-1/0/1", "settle-0-5/1/0", "distribute-1", "distribute-1/1/0",
	} {
		n, err := explain.Explain(t.Context(), sources(w), id)
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		fmt.Fprintf(&out, "> explain %s\n", id)
		if err := explain.Write(&out, &n); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(out.String(), "NOT equal") || strings.Contains(out.String(), "No posting") {
		t.Error("something is not as computed again")
	}
	got := out.String()
	for _, mask := range [][2]string{
		{`\bsettle-0-\d+`, "settle-0-…"}, {`\b0/\d+/`, "0/…/"}, {`(USAGE|at) position \d+`, "$1 position …"}, {`LEDGER up to \d+`, "LEDGER up to …"},
		{`settle-0-…/\d+/(\d+|…)`, "settle-0-…/…"}, {`distribute-(\d+)/0/…/`, "distribute-$1/0/"},
	} {
		// Positions in USAGE and LEDGER are a matter of when the loop is idle.
		got = regexp.MustCompile(mask[0]).ReplaceAllString(got, mask[1])
	}
	const file = "testdata/story.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("run with -update to see the difference; got\n%s", got)
	}
}

func TestWhatWasRefusedIsExplainedByItsHandle(t *testing.T) {
	w := audittest.Story(t)
	first, err := explain.Explain(t.Context(), sources(w), "meter-1#a")
	if err != nil {
		t.Fatal(err)
	}
	position := strings.Split(first.ID, "/")[1]
	for ordinal, want := range []string{"accepted", "refused: unknown_node", "a duplicate", "refused: conflict", "accepted"} {
		n, err := explain.Explain(t.Context(), sources(w), fmt.Sprintf("0/%s/%d", position, ordinal))
		if err != nil || !strings.Contains(n.Summary, "was "+want) {
			t.Errorf("%d: %s, %v", ordinal, n.Summary, err)
		}
	}
}

func TestWhatNothingIsCalledIsUnknown(t *testing.T) {
	w := audittest.Story(t)
	for _, id := range []string{"", "x", "po-00000000000000000000000000000000", "0/1/0", "0/15/99", "0/99999/0", "7/1/0", "meter-1#nobody", "meter-1#99", "meter-1#1/1", "other#1", "settle-0-999", "settle-0-0", "settle-0-1/0/99", "settle-0-1/9/0", "settle-0-1/0", "settle-0-1/0/0/0", "settle-0-1/x/0", "settle-9-1/0/0", "#", "##", "//", "-1/2/3"} {
		if n, err := explain.Explain(t.Context(), sources(w), id); !errors.Is(err, explain.ErrUnknown) {
			t.Errorf("%q: %s, %v", id, n.Summary, err)
		}
	}
}
