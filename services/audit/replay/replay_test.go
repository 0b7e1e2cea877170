package replay_test

import (
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/sqlite"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/replay"
	"github.com/aliquot-engine/aliquot/services/audit/summary"
)

// sources returns the streams of a world.
func sources(w *audittest.World) replay.Sources {
	return replay.Sources{Usage: []*eventlog.Stream{w.Usage}, Control: w.Control, Register: w.Register, Ledger: w.Ledger, Payout: w.Payout}
}

func run(t *testing.T, w *audittest.World) replay.Result { return against(t, w, w.DB) }

// against replays a world's streams and compares with a store.
func against(t *testing.T, w *audittest.World, db *store.DB) replay.Result {
	t.Helper()
	r, err := replay.Run(t.Context(), replay.Config{From: sources(w), Live: db, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheStreamsGiveTheSameAgain(t *testing.T) {
	t.Parallel()
	w := audittest.Story(t)
	r := run(t, w)
	if !r.Identical || r.Difference != nil {
		t.Fatalf("%+v", r.Difference)
	}
	s, err := summary.Run(t.Context(), w.DB)
	if err != nil {
		t.Fatal(err)
	}
	if r.JournalHash != s.JournalHash {
		t.Errorf("journal_hash is %s, live %s", r.JournalHash, s.JournalHash)
	}
	if r.Rows == 0 || r.Journal == 0 || r.Messages <= r.Journal {
		t.Errorf("%+v", r)
	}
}

func TestAnEmptyWorldIsTheSameAgain(t *testing.T) {
	t.Parallel()
	if r := run(t, audittest.New(t)); !r.Identical {
		t.Fatalf("%+v", r.Difference)
	}
}

// Fails when a relation is left out of the comparison.
func TestWhatWasChangedIsTheFirstDifference(t *testing.T) {
	t.Parallel()
	const one = `x'80000000000000000000000000000001'` // one atto
	tests := []struct{ name, statement, where string }{
		{"the cursor's control position", `UPDATE cursor SET control = control - 1`, "cursor"},
		{"an outcome", `UPDATE outcome SET runs = (SELECT runs FROM outcome ORDER BY position DESC LIMIT 1) WHERE position = (SELECT min(position) FROM outcome)`, "outcome"},
		{"a journal row", `DELETE FROM journal WHERE cut = (SELECT max(cut) FROM journal WHERE id < 2 << 40)`, "journal of settle"},
		{"a journal row more", `INSERT INTO journal SELECT id + 1, cut, book, part, record FROM journal WHERE id < 2 << 40 ORDER BY id DESC LIMIT 1`, "journal of settle"},
		{"a distributor's row", `UPDATE journal SET record = CAST(record || x'00' AS BLOB) WHERE id > 2 << 40`, "journal of distribute"},
		{"a tally", `UPDATE tally SET events = events + 1 WHERE outcome = 1`, "tally"},
		{"suspense", `UPDATE suspense SET quantity = ` + one, "suspense"},
		{"what is owed", `UPDATE outstanding SET lines = CAST(substr(lines, 1, 1) || ` + one + ` AS BLOB)`, "outstanding"},
		{"the period of what is owed", `UPDATE debtor SET period = '2026-01-01' WHERE id IN (SELECT id >> 32 FROM outstanding)`, "outstanding"},
		{"what is collected", `INSERT INTO collected VALUES (0, 'eu', '2026-11-21', 'n1', 'USDC', ` + one + `)`, "collected"},
		{"the period of a handover", `UPDATE handover SET period = '2026-01-01' WHERE period = '2026-11-21'`, "handover"},
		{"a span", `UPDATE span SET last = last + 1`, "span"},
		{"an original", `UPDATE original SET position = position + 1`, "original"},
		{"a handover", `UPDATE handover SET amount = ` + one, "handover"},
		{"a settled period", `DELETE FROM settled_period WHERE period = '2026-11-20'`, "settled period"},
		{"a distribution", `UPDATE distribution SET holders = holders + 1`, "distribution"},
		{"a pool", `UPDATE pool SET fee = ` + one, "pool"},
		{"a share", `UPDATE share SET amount = ` + one + ` WHERE holder = 'dave'`, "share"},
		{"an entitlement", `UPDATE entitlement SET held = ` + one, "entitlement"},
		{"a payout's state", `UPDATE payout SET state = 'confirmed' WHERE holder = 'dave'`, "payout"},
		{"a batch", `UPDATE batch SET rail = 'sepa'`, "batch"},
		{"what goes to PAYOUT", `UPDATE payout_message SET data = x'7b7d' WHERE number = 1`, "message for PAYOUT"},
		{"a cursor where nothing cuts", `UPDATE cursor SET position = (SELECT min(position) FROM outcome)`, "cursor"},
		{"a cursor beyond the stream", `UPDATE cursor SET position = position + 1000`, "USAGE-0-0"},
		{"a balance", `UPDATE balance SET credit = ` + one + ` WHERE account = (SELECT id FROM account WHERE name = 'rail:csv:paid')`, "balance"},
	}
	w := audittest.Story(t)
	w.Stop()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			db, err := sqlite.Open(w.Changed(t, test.statement))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			r := against(t, w, db)
			if r.Identical || r.Difference == nil {
				t.Fatal("no difference")
			}
			t.Logf("%s: live %s, replayed %s", r.Difference.Where, r.Difference.Live, r.Difference.Replayed)
			if name, _, _ := strings.Cut(r.Difference.Where, ","); name != test.where {
				t.Errorf("first difference in %s, want %s", r.Difference.Where, test.where)
			}
			if r.Difference.Live == r.Difference.Replayed || r.Difference.Live == "" || r.Difference.Replayed == "" {
				t.Errorf("%+v", r.Difference)
			}
		})
	}
}

// changed returns a world's store after a statement.
func changed(t *testing.T, w *audittest.World, statement string) *store.DB {
	t.Helper()
	db, err := sqlite.Open(w.Changed(t, statement))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func units(n uint64) money.Units { return money.UnitsOf(n) }
