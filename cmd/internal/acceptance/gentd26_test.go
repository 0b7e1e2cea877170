package acceptance

import (
	"maps"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/published"
)

// summary is the whole store in a few figures.
type summary struct {
	Received, Accepted, Late, Duplicate, Refused, Suspended int

	Meters []struct {
		Meter, Quantity string
		Events          int
	}
	JournalHash string `json:"journal_hash"`
}

func (s *server) summary() (sum summary) {
	s.t.Helper()
	s.ask("GET", "/v1/summary", "", "", &sum)
	return sum
}

// "GenTD26 jobs, the id taken from the row's content: failed, pending and
// processing rows are not billed, 26,373 accepted, 19 duplicates, exactly
// 762,761 GPU-seconds billed; a full second sending changes nothing."
func TestTheJobsAreBilledOnceHoweverOftenTheyAreSent(t *testing.T) {
	t.Parallel()
	trace, dir := published.Path(t, "1-usage/gentd26-lora-request-trace.csv"), t.TempDir()
	s := up(t, dir)
	aliquot(t, "apply", "-f", "examples/gentd26/jobs/book.yaml", "--data", dir).ok(t)
	send := func(batch string) (sent struct {
		Sent, Skipped, Refused int
		Outcomes               struct{ Accepted, Late, Duplicate, Refused int }
	}) {
		aliquot(t, "usage", "send", trace, "--map", "examples/gentd26/jobs/map.yaml", "--no-resume", "--wait",
			"--batch", batch, "--data", dir, "--json").ok(t).into(t, &sent)
		return sent
	}
	first := send("5000")
	if first.Sent != 26_392 || first.Skipped != 431 || first.Refused != 0 || first.Outcomes.Accepted != 26_373 || first.Outcomes.Duplicate != 19 {
		t.Fatalf("first sending: %+v", first)
	}
	once, found := s.summary(), s.balances()
	if once.Accepted != 26_373 || once.Duplicate != 19 || once.Refused != 0 || len(once.Meters) != 1 || once.Meters[0].Quantity != "762761" {
		t.Fatalf("after the first sending: %+v", once)
	}
	second := send("777")
	if second.Outcomes.Accepted != 0 || second.Outcomes.Duplicate != 26_392 {
		t.Errorf("second sending: %+v", second)
	}
	twice := s.summary()
	if twice.JournalHash != once.JournalHash || !maps.Equal(found, s.balances()) {
		t.Errorf("the second sending changed something: %+v", twice)
	}
	if twice.Accepted != 26_373 || twice.Duplicate != 19+26_392 || twice.Meters[0].Quantity != "762761" {
		t.Errorf("after the second sending: %+v", twice)
	}
	s.clean(true)
	s.stop()
}

// "The node series bills exactly 624,764,262.3666666666755 ms (quantities keep
// up to 18 decimals; more is refused, never rounded)."
func TestTheNodesAreBilledToTheLastDecimal(t *testing.T) {
	t.Parallel()
	trace := published.Path(t, "1-usage/gentd26-node-pipeline-inference-ms.csv")
	d := demo(t, "--book", "examples/gentd26/nodes/book.yaml", "--trace", trace, "--map", "examples/gentd26/nodes/map.yaml")
	if d.Billed["gpu.ms"] != "624764262.3666666666755" || *d.Accepted != 34_421 {
		t.Errorf("billed %v of %d events", d.Billed, *d.Accepted)
	}
}
