package acceptance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// change runs a statement on the ledger of a folder; it must change something.
func change(t *testing.T, dir, statement string) {
	t.Helper()
	conn, err := sqlite.OpenConn(filepath.Join(dir, "ledger.db"), sqlite.OpenReadWrite|sqlite.OpenWAL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := sqlitex.ExecuteTransient(conn, statement, nil); err != nil {
		t.Fatal(err)
	}
	if conn.Changes() == 0 {
		t.Fatalf("%s changed nothing", statement)
	}
}

// anAtto adds one to the first amount of the first journal row of a folder.
func anAtto(t *testing.T, dir string) {
	t.Helper()
	conn, err := sqlite.OpenConn(filepath.Join(dir, "ledger.db"), sqlite.OpenReadWrite|sqlite.OpenWAL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const first = "WHERE id = (SELECT min(id) FROM journal)"
	var data []byte
	err = sqlitex.Execute(conn, "SELECT record FROM journal "+first, &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		data = make([]byte, row.ColumnLen(0))
		row.ColumnBytes(0, data)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	record, err := ledger.DecodeRecord(data)
	if err != nil {
		t.Fatal(err)
	}
	amount := &record.Entries[0].Postings[0].Amount
	if *amount, err = amount.Add(money.Atto(1)); err != nil {
		t.Fatal(err)
	}
	if data, err = ledger.AppendRecord(nil, &record); err != nil {
		t.Fatal(err)
	}
	if err := sqlitex.Execute(conn, "UPDATE journal SET record = ? "+first, &sqlitex.ExecOptions{Args: []any{data}}); err != nil {
		t.Fatal(err)
	}
}

// "check: every invariant, exit 1 and the first difference when one is false"
// and "replay: exit 1 and the first difference".
//
// Each row takes a different table; a check that leaves one out fails its row.
func TestATamperedLedgerIsFound(t *testing.T) {
	t.Parallel()
	whole := lived(t)
	// Amounts are blobs whose sign bit is inverted: one atto.
	const one = `x'80000000000000000000000000000001'`
	tests := []struct {
		name, statement string
		inCheck         bool // replay finds everything, check what contradicts itself
	}{
		{"a balance", `UPDATE balance SET debit = ` + one + ` WHERE account = (SELECT id FROM account WHERE name = 'customer:c0:receivable')`, true},
		{"a balance on both sides", `UPDATE balance SET debit = ` + one + `, credit = ` + one + ` WHERE account = (SELECT id FROM account WHERE name = 'node:n0:earned')`, true},
		{"a balance that is gone", `DELETE FROM balance WHERE account = (SELECT id FROM account WHERE name = 'platform:fees')`, true},
		{"a journal row that is gone", `DELETE FROM journal WHERE id = (SELECT min(id) FROM journal)`, true},
		{"a journal row in place of another", `UPDATE journal SET record = (SELECT record FROM journal ORDER BY id LIMIT 1) WHERE id = (SELECT id FROM journal ORDER BY id LIMIT 1 OFFSET 1)`, true},
		{"a tally", `UPDATE tally SET events = events + 1 WHERE outcome = 1 AND node = 'n1'`, true},
		{"outcomes", `UPDATE outcome SET events = events + 1`, true},
		{"accepted sequences", `UPDATE span SET last = last + 1`, true},
		{"a share", `UPDATE share SET amount = ` + one + ` WHERE holder = 'a'`, true},
		{"a payout", `UPDATE payout SET amount = ` + one + ` WHERE holder = 'b'`, true},
		{"a pool", `UPDATE pool SET pool = ` + one, true},
		{"a payout that is added by hand", `INSERT INTO payout SELECT distribution, id || 'x', asset, 'mallory', amount, state, reference FROM payout WHERE holder = 'b'`, true},
		{"a payout that is gone", `DELETE FROM payout WHERE holder = 'b'`, true},
		{"a share that is gone", `DELETE FROM share WHERE holder = 'b'`, true},
		{"what is owed to a holder", `UPDATE entitlement SET payable = ` + one + ` WHERE holder = 'a'`, true},
		{"an outcome that is gone", `DELETE FROM outcome WHERE position = (SELECT min(position) FROM outcome)`, true},
		// Which field has the bit depends on how usage was cut: check knows amounts, replay all.
		{"a bit of a journal row", `UPDATE journal SET record = CAST(substr(record, 1, length(record) / 2) || char(1 + unicode(CAST(substr(record, length(record) / 2 + 1, 1) AS TEXT))) || substr(record, length(record) / 2 + 2) AS BLOB) WHERE id = (SELECT min(id) FROM journal)`, false},
		{"an atto in a journal row", "", true},
		{"a message for PAYOUT", `UPDATE payout_message SET data = x'7b7d' WHERE number = 1`, false},
		{"where an original is", `UPDATE original SET segment = segment + 7`, false},
		{"a payout's reference", `UPDATE payout SET reference = 'somewhere else' WHERE holder = 'b'`, false},
		{"a share's units", `UPDATE share SET units = (SELECT units FROM share WHERE holder = 'c') WHERE holder = 'a'`, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := copied(t, whole)
			if test.statement == "" {
				anAtto(t, dir)
			} else {
				change(t, dir, test.statement)
			}
			s := up(t, dir)
			defer s.kill()
			var checked struct {
				OK     bool
				Checks []struct {
					Name, Detail string
					OK           bool
				}
			}
			c := aliquot(t, "check", "--data", dir, "--json").into(t, &checked)
			found := ""
			for _, one := range checked.Checks {
				if !one.OK {
					found += one.Name + ": " + one.Detail + "; "
					if one.Detail == "" {
						t.Errorf("check %s says no difference", one.Name)
					}
				}
			}
			if test.inCheck && (c.code != 1 || checked.OK || found == "") {
				t.Errorf("check: exit %d, %s", c.code, c.out)
			}
			var r replayed
			p := aliquot(t, "replay", "--data", dir, "--json").into(t, &r)
			if p.code != 1 || r.Identical || r.Difference == nil || r.Difference.Where == "" {
				t.Fatalf("replay: exit %d, %s", p.code, p.out)
			}
			t.Logf("check: %sreplay: %s: live %s, replayed %s", found, r.Difference.Where, r.Difference.Live, r.Difference.Replayed)
		})
	}
}

// "corrupt block or rewound stream: refuses to start settling, names the
// positions". Where the server's index is intact it does not read what is
// settled again at start: then check --deep and replay find it.
func TestADamagedStreamIsFound(t *testing.T) {
	t.Parallel()
	whole := lived(t)
	const stream = "streams/jetstream/$G/streams/USAGE-0-0/msgs/"
	flip := func(t *testing.T, dir string) {
		block := filepath.Join(dir, filepath.FromSlash(stream), "1.blk")
		data, err := os.ReadFile(block)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(block, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	index := func(t *testing.T, dir string) {
		if err := os.Remove(filepath.Join(dir, filepath.FromSlash(stream), "index.db")); err != nil {
			t.Fatal(err)
		}
	}
	shorten := func(t *testing.T, dir string) {
		block := filepath.Join(dir, filepath.FromSlash(stream), "1.blk")
		at, err := os.Stat(block)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(block, at.Size()/2); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name    string
		damage  []func(*testing.T, string)
		answers bool
	}{
		{"one flipped bit", []func(*testing.T, string){flip}, true},
		{"one flipped bit, and the index is lost as by a power cut", []func(*testing.T, string){flip, index}, false},
		{"half the block is gone", []func(*testing.T, string){shorten}, false},
		{"half the block and the index are gone", []func(*testing.T, string){shorten, index}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := copied(t, whole)
			for _, damage := range test.damage {
				damage(t, dir)
			}
			// Without second copy and logs, which find all of it sooner: see proof_test.go.
			s, answers := launch(t, dir, nil, "--unkept")
			var url string
			var ok bool
			select {
			case url, ok = <-answers: // Closed where it ends without answering.
			case <-time.After(startPatience):
				t.Fatalf("it neither answers nor ends\n%s", s.log)
			}
			if ok != test.answers {
				t.Fatalf("it answers on %s\n%s", url, s.log)
			}
			if !ok {
				<-s.ended
				if said := s.log.String(); s.command.ProcessState.ExitCode() != 1 || !strings.Contains(said, "USAGE-0-0") {
					t.Fatalf("%s\n%s", s.command.ProcessState, said)
				}
				t.Log(s.log)
				return
			}
			defer s.kill()
			for _, command := range [][]string{{"check", "--deep"}, {"replay"}} {
				c := aliquot(t, append(command, "--data", dir, "--json")...)
				if c.code != 1 || !strings.Contains(c.out+c.err, "USAGE") {
					t.Errorf("%s: exit %d, %s%s", command, c.code, c.out, c.err)
				}
				t.Log(command, c.out, c.err)
			}
		})
	}
}
