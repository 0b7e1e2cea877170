package events

import (
	"crypto/sha256"
	"strings"
	"testing"
)

// Ids are in the streams: a repeated request is recognised by them. Fails when
// the grammar of one changes.
func TestIdsKeepTheirGrammar(t *testing.T) {
	confirmed := PayoutsConfirmed{Batch: "GPU1:2026-11:csv", Rail: "csv", Parts: 1, Results: []PayoutOutcome{{Payout: "po-1", State: "confirmed"}}}
	answer, err1 := ConfirmationID(confirmed, 0)
	later, err2 := ConfirmationID(confirmed, 17)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	for _, c := range []struct{ name, got, want string }{
		{"a deposit", DepositID("acme-eu", "globex", "INV-7"), "deposit:acme-eu:globex:INV-7"},
		{"a reference with a space", DepositID("acme-eu", "globex", "INV 7"), "deposit::8f372a1e75ebb8f0264f35f3cb798cb4"},
		{"a reference with a colon", DepositID("acme-eu", "globex", "INV:7"), "deposit::4a4fe533e6fb5ceb307fbb97964308f2"},
		{"a long reference", DepositID("acme-eu", "globex", strings.Repeat("x", 200)), "deposit::8e8fb8c89f7a451467317021a920d6da"},
		{"a reversal", DepositReversalID("acme-eu", "globex", "INV-7"), "deposit-reversal:acme-eu:globex:INV-7"},
		{"a closing", ClosingID("acme-eu", "2026-11"), "close:acme-eu:2026-11"},
		{"an observation", ObservationID("USDC/USD", "chainlink", "1", "9"), "quotes:USDC/USD:chainlink:1:9"},
		{"a declaration", DeclarationID("GPU1:2026-11"), "distribution::c5fea2eaff7a866f180cd8bd9046ffb5"},
		{"a submission", SubmissionID("GPU1:2026-11:csv"), "submit::7112d3082c27a0d2692d06b227d666a1"},
		{"a correction", CorrectionID("po-1", "failed", "", "why", 2), "correct:po-1:failed::why:2"},
		{"an answer", answer, "confirm:d1414560ef6f54356cedcf4f64efe905"},
		{"an answer after a correction", later, answer + ":17"},
		{"a distribution", DistributionID("GPU1", "2026-11", 1), "GPU1:2026-11"},
		{"the second of a period", DistributionID("GPU1", "2026-11", 2), "GPU1:2026-11:2"},
		{"a run", RunID("GPU1", 1), "GPU1:run:1"},
		{"a batch", BatchID("GPU1:2026-11", "csv"), "GPU1:2026-11:csv"},
		{"an import", ImportID(sha256.Sum256([]byte("x"))), "import-2d711642b726b044"},
		{"a message of it", ImportMessageID("import-2d711642b726b044", 3), "import-2d711642b726b044/3"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.name, c.got, c.want)
		}
	}
	if !IsOfImport("import-2d/3", "import-2d") || !IsOfImport("import-2d/3/1", "import-2d") || IsOfImport("import-2d7/3", "import-2d") {
		t.Error("a message belongs to the import whose id is before its slash")
	}
}
