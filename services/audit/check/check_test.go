package check_test

import (
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/sqlite"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/check"
)

func failing(t *testing.T, db *store.DB, w *audittest.World) map[string]string {
	t.Helper()
	list, err := check.Run(t.Context(), db, check.Streams{Usage: []*eventlog.Stream{w.Usage}, Control: w.Control}, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 23 {
		t.Errorf("%d checks", len(list))
	}
	found := map[string]string{}
	for _, c := range list {
		if !c.OK {
			found[c.Name] = c.Detail
		}
		if c.OK != (c.Detail == "") {
			t.Errorf("%s: ok %v with %q", c.Name, c.OK, c.Detail)
		}
	}
	if check.All(list) != (len(found) == 0) {
		t.Error("All says otherwise")
	}
	return found
}

func TestAWorldAsItIsHasNothingWrong(t *testing.T) {
	w := audittest.Story(t)
	for name, detail := range failing(t, w.DB, w) {
		t.Errorf("%s: %s", name, detail)
	}
}

func TestAnEmptyStoreHasNothingWrong(t *testing.T) {
	w := audittest.New(t)
	for name, detail := range failing(t, w.DB, w) {
		t.Errorf("%s: %s", name, detail)
	}
}

// Each row changes one value directly in the database, and names the check that
// must notice it. Fails when that check compares a side with itself, or leaves
// out the row's table.
func TestWhatWasChangedIsNamed(t *testing.T) {
	const atto = `x'80000000000000000000000000000001'`
	account := func(name string) string {
		return ` WHERE account = (SELECT id FROM account WHERE name = '` + name + `')`
	}
	w := audittest.Story(t)
	w.Stop()
	tests := []struct{ name, statement, check, detail string }{
		{"a journal row that is gone", `DELETE FROM journal WHERE id = (SELECT min(id) FROM journal)`, "journal_complete", "settle-0: row 2 follows row 0"},
		{"a record that was altered", `UPDATE journal SET record = CAST(record || x'00' AS BLOB) WHERE id > 2 << 40`, "journal_complete", "distribute row 1"},
		{"a row that came twice", `INSERT INTO journal SELECT id + 1, cut, book, part, record FROM journal WHERE id < 2 << 40 ORDER BY id DESC LIMIT 1`, "balances_equal_journal", "the journal sums to"},
		{"a row of another cut", `UPDATE journal SET cut = cut + 1 WHERE id < 2 << 40`, "journal_complete", "its columns say"},
		{"a balance", `UPDATE balance SET credit = ` + atto + account("node:n1:earned"), "balances_equal_journal", "node:n1:earned in USDC by settle-0"},
		{"a balance on one side", `UPDATE balance SET debit = ` + atto + account("treasury:USDC"), "debits_equal_credits", "differ from credits"},
		{"a balance that is gone", `DELETE FROM balance` + account("platform:fees"), "balances_equal_journal", "platform:fees"},
		{"a balance of another writer", `INSERT INTO balance SELECT 2, account, asset, debit, credit FROM balance` + account("node:n1:earned"), "accounts_have_one_writer", "node:n1:earned"},
		{"a balance below zero", `UPDATE balance SET credit = ` + atto + account("customer:ann:prepaid"), "no_negative_balances", "below zero"},
		{"something left in a pool", `UPDATE balance SET debit = ` + atto + account("token:REV:pool"), "no_negative_balances", "a pool is divided whole"},
		{"what was earned", `UPDATE balance SET credit = ` + atto + account("node:n2:earned"), "charges_equal_earned", "charged"},
		{"what was asked for", `UPDATE balance SET debit = ` + atto + account("customer:bob:receivable"), "charges_equal_earned", "receivable"},
		{"fewer accepted than charged", `UPDATE tally SET events = 1 WHERE outcome = 1 AND node = 'n1'`, "charged_events_within_accepted", "node \"n1\""},
		{"more that wait than were accepted", `UPDATE suspense SET events = events + 100`, "charged_events_within_accepted", "charged or wait"},
		{"a debt of another period", `UPDATE debtor SET period = '2026-01-01' WHERE id IN (SELECT id >> 32 FROM outstanding)`, "outstanding_equals_receivables", "period 2026-01-01"},
		{"money kept as collected", `INSERT INTO collected VALUES (0, 'eu', '2026-11-21', 'n1', 'USDC', ` + atto + `)`, "collected_equals_what_is_not_handed_over", "node n1, period 2026-11-21, USDC: collected less handed over 0, kept as collected"},
		{"a handover of another period", `UPDATE handover SET period = '2026-11-22' WHERE position = (SELECT min(position) FROM handover)`, "inboxes_equal_handovers_and_distributions", "distribution d1 took"},
		{"a distribution that rests on less", `UPDATE distribution SET ledger = 0 WHERE id = 'd2'`, "inboxes_equal_handovers_and_distributions", "distribution d2 took"},
		{"a debt that is gone", `DELETE FROM outstanding`, "outstanding_equals_receivables", "outstanding 0"},
		{"another receivable", `UPDATE balance SET debit = ` + atto + account("customer:bob:receivable"), "outstanding_equals_receivables", "customer:bob:receivable"},
		{"another deposit", `UPDATE balance SET debit = ` + atto + account("treasury:USDC"), "deposits_equal_collected_and_prepaid", "deposited"},
		{"fees that were not collected", `UPDATE balance SET credit = ` + atto + account("platform:fees"), "collected_equals_fees_providers_pools_and_undistributed", "collected"},
		{"a tally more", `INSERT INTO tally VALUES ('eu', 'n1', '2026-11-20', 3, '', 1) ON CONFLICT DO UPDATE SET events = events + 1`, "tallies_equal_outcomes", "duplicate"},
		{"outcomes that are gone", `DELETE FROM outcome WHERE position = (SELECT max(position) FROM outcome)`, "tallies_equal_outcomes", "has settled"},
		{"a span more", `UPDATE span SET last = last + 1`, "sequences_accepted_once", "count as accepted"},
		{"a sequence accepted twice", `UPDATE original SET first = first - 1 WHERE first = (SELECT max(first) FROM original)`, "sequences_accepted_once", "accepted again"},
		{"a handover more", `INSERT INTO handover VALUES ('REV', 'USDC', 1, '2026-11', ` + atto + `)`, "inboxes_equal_handovers_and_distributions", "handed over"},
		{"a fee of another rate", `UPDATE pool SET basis_points = 251`, "inboxes_equal_handovers_and_distributions", "251 basis points"},
		{"an inbox taken twice", `UPDATE balance SET debit = ` + atto + account("token:REV:inbox"), "inboxes_equal_handovers_and_distributions", "token:REV:inbox"},
		{"a share", `UPDATE share SET amount = ` + atto + ` WHERE holder = 'dave'`, "pools_equal_shares", "the shares sum to"},
		{"a share that is gone", `DELETE FROM share WHERE holder = 'zoe'`, "pools_equal_shares", "d1"},
		{"units", `UPDATE share SET units = ` + `x'00000000000000000000000000000001'` + ` WHERE holder = 'zoe'`, "pools_equal_shares", "a supply of"},
		{"what is held of a share", `UPDATE share SET held = NULL WHERE holder = 'mallory'`, "pools_equal_shares", "held shares sum to"},
		{"a payout's amount", `UPDATE payout SET amount = ` + atto + ` WHERE holder = 'zoe'`, "payouts_equal_plans", "is not a payment"},
		{"a payout's holder", `UPDATE payout SET holder = 'eve' WHERE holder = 'zoe'`, "payouts_equal_plans", "should be po-"},
		{"a payout that is gone", `DELETE FROM payout WHERE holder = 'zoe'`, "payouts_equal_plans", "planned"},
		{"a payout's state", `UPDATE payout SET state = 'lost' WHERE holder = 'zoe'`, "payouts_equal_plans", "not a state"},
		{"a payout paid twice", `UPDATE payout SET state = 'confirmed' WHERE state = 'failed'`, "shares_equal_payouts_payable_and_held", "token REV"},
		{"an entitlement", `UPDATE entitlement SET payable = ` + atto, "shares_equal_payouts_payable_and_held", "payouts, payable and held"},
		{"a confirmation", `UPDATE payout SET state = 'confirmed' WHERE state = 'submitted'`, "payouts_equal_accounts", "rail:csv:"},
		{"held for payable", `UPDATE entitlement SET payable = held, held = payable`, "payouts_equal_accounts", "holder:"},
		{"the hash at the cursor", `UPDATE cursor SET hash = zeroblob(32)`, "cursor_within_stream", "position"},
		{"the cursor beyond the stream", `UPDATE cursor SET position = position + 1000`, "cursor_within_stream", "ends at"},
		{"the token of a distribution", `UPDATE distribution SET token = 'OTHER'`, "distributions_as_told", "in PAYOUT it is"},
		{"the period of a distribution", `UPDATE distribution SET period = '2026-10'`, "distributions_as_told", "in PAYOUT it is"},
		{"the name of a distribution", `UPDATE distribution SET id = id || 'x'`, "distributions_as_told", "in PAYOUT it is"},
		{"the book of a distribution", `UPDATE distribution SET book = 'us'`, "distributions_as_told", "its records to book"},
		{"the rail of a distribution", `UPDATE distribution SET rail = 'evm'`, "distributions_as_told", "planned for"},
		{"a distribution that is gone", `DELETE FROM distribution`, "distributions_as_told", "but not in the store"},
		{"a distribution more", `INSERT INTO distribution SELECT 1, id || 'x', token, book, period, ledger, register, record_date, rail, holders, supply FROM distribution LIMIT 1`, "distributions_as_declared", "which is a"},
		{"the record date of a distribution", `UPDATE distribution SET record_date = '2020-01-01T00:00:00Z'`, "distributions_as_declared", "2020-01-01T00:00:00Z"},
		{"the ledger that a distribution rests on", `UPDATE distribution SET ledger = ledger + 1`, "distributions_as_declared", "rests on LEDGER"},
		{"the register that a distribution rests on", `UPDATE distribution SET register = register - 1`, "distributions_as_declared", "REGISTER"},
		{"a source's name", `UPDATE source SET source = source || '-other'`, "sources_within_stream", "is not where it was accepted"},
		{"a source's provider", `UPDATE source SET provider = 'other'`, "sources_within_stream", "of other"},
		{"a source's epoch", `UPDATE source SET epoch = epoch + 1`, "sources_within_stream", "is not where it was accepted"},
		{"a source's partition", `UPDATE source SET partition = 3`, "sources_within_stream", "partition 3, whose stream is missing"},
		{"where the original of a source is", `UPDATE original SET segment = segment + 7`, "sources_within_stream", "is not where it was accepted"},
		{"a source that is gone", `DELETE FROM source`, "sequences_accepted_once", "no such source"},
		{"outcomes of another message", `UPDATE outcome SET position = position + 1 WHERE position = (SELECT max(position) FROM outcome)`, "outcomes_equal_usage", "position"},
		{"a node's events", `UPDATE tally SET node = 'n9' WHERE node = 'n2'`, "outcomes_equal_usage", "node n9"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			db, err := sqlite.Open(w.Changed(t, test.statement))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			found := failing(t, db, w)
			detail, ok := found[test.check]
			if !ok || !strings.Contains(detail, test.detail) {
				t.Errorf("%s: %q, found %q", test.check, detail, found)
			}
		})
	}
}
