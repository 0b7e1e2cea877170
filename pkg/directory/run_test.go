package directory

import (
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Distributions and payout runs share one space of names, since a payout has one
// or the other; and each rests on what was decided before it. Fails when one kind
// is not looked for among the other, or when a declaration may rest on itself.
func TestDistributionsAndRunsHaveOneNameEachAndRestOnWhatWasBefore(t *testing.T) {
	f := declared(t)
	f.do(events.PeriodClosed{Book: "eu", Period: "2026-10"})
	distribution := func(id string, control uint64) events.DistributionDeclared {
		return events.DistributionDeclared{Distribution: id, Token: "GPU1", Period: "2026-10", ControlSeq: control, RecordDate: noon}
	}
	run := func(id string, control uint64) events.PayoutRunDeclared {
		return events.PayoutRunDeclared{Run: id, Token: "GPU1", ControlSeq: control}
	}
	own := func() uint64 { return f.d.Position() + 1 }
	f.void("a distribution that rests on itself", distribution("d", own()), "is not before the declaration's own")
	f.void("a distribution that rests on what comes", distribution("d", own()+1), "is not before the declaration's own")
	f.void("a run that rests on itself", run("r", own()), "is not before the declaration's own")
	f.void("a run that rests on what comes", run("r", own()+1), "is not before the declaration's own")
	f.do(distribution("d", own()-1))
	f.do(run("r", own()-1))
	f.void("a run by the name of a distribution", run("d", 1), "another distribution or payout run")
	f.void("a distribution by the name of a run", distribution("r", 1), "declared already")
	f.void("a run by the name of a run", run("r", 1), "another distribution or payout run")
	f.void("a distribution by the name of a distribution", distribution("d", 1), "declared already")
	f.void("a run of a token that is not declared", events.PayoutRunDeclared{Run: "r2", Token: "GPU9"}, "is not declared")
	for id, want := range map[string]events.Token{"d": "GPU1", "r": "GPU1", "x": ""} {
		if token, ok := f.d.PaidFor(id); token != want || ok != (want != "") {
			t.Errorf("%s pays for %q, %v", id, token, ok)
		}
	}
}

// A batch is of one distribution on one rail. Fails when a second one of its name
// is told apart by its rail alone, or when another rail answers for it.
func TestABatchIsOfOneDistributionOnOneRail(t *testing.T) {
	f := declared(t)
	f.do(events.PeriodClosed{Book: "eu", Period: "2026-10"})
	for _, id := range []string{"d1", "d2"} {
		f.do(events.DistributionDeclared{Distribution: id, Token: "GPU1", Period: "2026-10", ControlSeq: 1, RecordDate: noon})
	}
	f.do(events.PayoutRunDeclared{Run: "r1", Token: "GPU1", ControlSeq: 1})
	first := events.PayoutsSubmitted{Batch: "b1", Rail: "csv", Distribution: "d1"}
	f.void("a batch of nothing", events.PayoutsSubmitted{Batch: "b1", Rail: "csv", Distribution: "d9"}, "is not declared")
	f.do(first, first, events.PayoutsSubmitted{Batch: "b2", Rail: "csv", Distribution: "r1"})
	f.void("a batch of another distribution", events.PayoutsSubmitted{Batch: "b1", Rail: "csv", Distribution: "d2"}, `of distribution "d1"`)
	f.void("a batch of a run", events.PayoutsSubmitted{Batch: "b1", Rail: "csv", Distribution: "r1"}, `of distribution "d1"`)
	f.void("a batch on another rail", events.PayoutsSubmitted{Batch: "b1", Rail: "evm", Distribution: "d1"}, `on rail "csv"`)
	answer := events.PayoutsConfirmed{Batch: "b1", Rail: "evm", Parts: 1, Results: []events.PayoutOutcome{{Payout: "po-1", State: "confirmed"}}}
	f.void("an answer of another rail", answer, "was not submitted to rail")
	answer.Batch, answer.Rail = "b9", "csv"
	f.void("an answer for a batch that was not submitted", answer, "was not submitted to rail")
	answer.Batch = "b1"
	f.do(answer)
}
