package acceptance

import "testing"

// The bounded part of the task proofs: of many events each receipt is short and
// verifies, and a replay gives the same again. How long that takes, the task says.
// Fails when a receipt shows more of its message than one event needs.
func TestOneEventAmongManyHasAShortReceipt(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("settles 200,000 events")
	}
	var report struct {
		Variants []struct {
			Events int
			Proof  struct {
				Receipts, Longest int
				Replay            float64 `json:"replay_seconds"`
			}
		}
	}
	aliquot(t, "bench", "--variant", "packed", "--events", "200000", "--no-latency", "--proofs", "--folder", t.TempDir(), "--json").ok(t).into(t, &report)
	if len(report.Variants) != 1 {
		t.Fatalf("%d variants", len(report.Variants))
	}
	v := report.Variants[0]
	if v.Events != 200_000 || v.Proof.Receipts != 100 || v.Proof.Replay == 0 {
		t.Errorf("%+v", v)
	}
	if n := v.Proof.Longest; n == 0 || n > 8<<10 {
		t.Errorf("the longest receipt has %d bytes, at most 8,192 are allowed", n)
	}
}
