package acceptance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
)

// stated is what state, log export and replay say about the state.
type stated struct {
	Root       string `json:"state_root"`
	Partitions []struct {
		Usage, Control uint64
	}
	Distributed uint64
}

// offline is what replay --archives says.
type offline struct {
	Identical bool
	SignedBy  string `json:"signed_by"`
	State     stated
	Messages  int
	Shadow    bool
	Balances  []struct{ Account, Debit, Credit string }
	Accounts  []struct {
		Account string
		Was, Is struct{ Credit string }
	}
	Difference *struct{ Where, Live, Replayed string }
	Damage     []struct {
		Stream        string
		First, Last   uint64
		Side, Problem string
	}
}

// "from exported archives alone, on another machine, in a fresh store, at the
// recorded positions: same state root or the first difference with both sides."
// The other machine has the pack and the key, and nothing of ours.
func TestAnotherMachineDerivesTheSameFromArchives(t *testing.T) {
	t.Parallel()
	dir := lived(t)
	elsewhere := t.TempDir()
	folder, file := filepath.Join(elsewhere, "pack"), filepath.Join(elsewhere, "pack.tar")
	s := up(t, dir) // While it runs.
	var live stated
	aliquot(t, "state", "--data", dir, "--json").ok(t).into(t, &live)
	for _, name := range []string{folder, file} {
		var made struct{ State stated }
		aliquot(t, "log", "export", name, "--data", dir, "--json").ok(t).into(t, &made)
		if made.State.Root != live.Root || live.Root == "" {
			t.Fatalf("packed %+v, live %+v", made, live)
		}
	}
	s.stop()
	key := filepath.Join(elsewhere, "log.pub")
	text, err := os.ReadFile(filepath.Join(dir, "keys", "log.pub"))
	if err == nil {
		err = os.WriteFile(key, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Nothing of the installation is there any more.
	if err := os.Rename(dir, dir+" is gone"); err != nil {
		t.Fatal(err)
	}
	var whole offline
	for _, name := range []string{folder, file} {
		c := aliquot(t, "replay", "--archives", name, "--key", key, "--state-root", live.Root, "--balances", "--json").ok(t).into(t, &whole)
		if !whole.Identical || whole.State.Root != live.Root || whole.Messages == 0 || !strings.Contains(string(text), whole.SignedBy) || len(whole.Balances) == 0 {
			t.Fatalf("%s", c.out)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("replaying archives makes a folder of an installation")
	}
	var r offline
	c := aliquot(t, "replay", "--archives", folder, "--state-root", strings.Repeat("0", 64), "--json").into(t, &r)
	if c.code != 1 || r.Identical || r.Difference == nil || r.Difference.Replayed != live.Root {
		t.Errorf("another root: exit %d, %s", c.code, c.out)
	}

	t.Run("as of any position", func(t *testing.T) {
		for _, at := range []string{"control=12", "usage=7", "usage=0/20", "control=13", "2100-01-01T00:00:00Z"} {
			var r offline
			aliquot(t, "replay", "--archives", folder, "--as-of", at, "--json").ok(t).into(t, &r)
			if !r.Identical || r.State.Root == "" || at != "2100-01-01T00:00:00Z" && r.State.Root == live.Root {
				t.Errorf("%s: %+v", at, r)
			}
			debit, credit := new(total), new(total)
			for _, b := range r.Balances {
				debit.addText(b.Debit)
				credit.addText(b.Credit)
			}
			if debit.Cmp(&credit.Rat) != 0 {
				t.Errorf("%s: debits %s, credits %s", at, debit, credit)
			}
		}
		for _, at := range []string{"control=9999", "usage=9999", "usage=7/1", "2001-01-01T00:00:00Z", "tomorrow"} {
			if c := aliquot(t, "replay", "--archives", folder, "--as-of", at); c.code != 1 || c.err == "" || strings.Contains(c.err, "panic") {
				t.Errorf("%s: exit %d, %s", at, c.code, c.err)
			}
		}
	})
	t.Run("with another card", func(t *testing.T) {
		card := strings.Replace(declarations(nil, nil), "price: 1", "price: 2", 1)
		_, card, _ = strings.Cut(card, "kind: Card")
		card, _, _ = strings.Cut(card, "---")
		name := write(t, t.TempDir(), "card.yaml", "kind: Card"+card)
		var r offline
		aliquot(t, "replay", "--archives", folder, "--card", name, "--json").ok(t).into(t, &r)
		was, is := new(total), new(total)
		for _, a := range r.Accounts {
			if nodeEarned(a.Account) {
				was.addText(a.Was.Credit)
				is.addText(a.Is.Credit)
			}
		}
		was.Add(&was.Rat, &was.Rat)
		if !r.Shadow || is.Sign() == 0 || was.Cmp(&is.Rat) != 0 {
			t.Errorf("at twice the price %s are earned, not %s: %+v", is, was, r.Accounts)
		}
	})
	t.Run("against another program's output", func(t *testing.T) {
		said, err := json.Marshal(json.RawMessage(aliquot(t, "replay", "--archives", folder, "--balances", "--json").ok(t).out))
		if err != nil {
			t.Fatal(err)
		}
		same := write(t, t.TempDir(), "same.json", string(said))
		aliquot(t, "replay", "--archives", folder, "--against", same).ok(t)
		other := write(t, t.TempDir(), "other.json", strings.Replace(string(said), `"account":"platform:fees"`, `"account":"platform:feez"`, 1))
		var r offline
		c := aliquot(t, "replay", "--archives", folder, "--against", other, "--json").into(t, &r)
		if c.code != 1 || r.Identical || len(r.Accounts) != 2 || r.Accounts[0].Account != "platform:fees" {
			t.Errorf("exit %d, %s", c.code, c.out)
		}
	})
	t.Run("damaged, or somebody else's", func(t *testing.T) { damagedArchives(t, folder, file) })
}

// "Bad input: archives with a gap, archives of others: a clear verdict, exit 1,
// and never a panic."
func damagedArchives(t *testing.T, folder, file string) {
	t.Helper()
	other := filepath.Join(t.TempDir(), "other.pub")
	d := t.TempDir()
	public := aliquot(t, "log", "keys", "show", "--make", "--data", d).ok(t).out
	if err := os.WriteFile(other, []byte(public), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name      string
		damage    func(t *testing.T, dir string)
		stream    string
		says      string
		arguments []string
	}{
		{"a bit of usage", func(t *testing.T, dir string) { bit(t, dir, "archive/usage-0-0/*.arc") }, "USAGE-0-0", "checksum", nil},
		{"a bit of a decision", func(t *testing.T, dir string) { bit(t, dir, "archive/control/*.arc") }, "CONTROL", "checksum", nil},
		{"a bit of the journal", func(t *testing.T, dir string) { bit(t, dir, "archive/ledger/*.arc") }, "LEDGER", "", nil},
		{"half an archive", func(t *testing.T, dir string) { halve(t, dir, "archive/usage-0-0/000000000001.arc") }, "USAGE-0-0", "", nil},
		{"an archive that is gone", func(t *testing.T, dir string) { remove(t, dir, "archive/register/000000000001.arc") }, "REGISTER", "missing", nil},
		{"a bit of a bundle of leaves", func(t *testing.T, dir string) { bit(t, dir, "tlog/control/tile/entries/000.p/*") }, "CONTROL", "leaf", nil},
		{"a bit of a checkpoint", func(t *testing.T, dir string) { bit(t, dir, "tlog/payout/checkpoint") }, "PAYOUT", "checkpoint", nil},
		{"the archive of another stream", func(t *testing.T, dir string) {
			carry(t, filepath.Join(dir, "archive", "ledger", "000000000001.arc"), filepath.Join(dir, "archive", "payout", "000000000001.arc"))
		}, "PAYOUT", "", nil},
		{"another key", func(*testing.T, string) {}, "CONTROL", "signed", []string{"--key", other}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := copied(t, folder)
			test.damage(t, dir)
			var r offline
			c := aliquot(t, append([]string{"replay", "--archives", dir, "--json"}, test.arguments...)...).into(t, &r)
			named := false
			for _, d := range r.Damage {
				t.Log(d)
				named = named || d.Stream == test.stream && d.First > 0 && strings.Contains(d.Problem, test.says)
			}
			if c.code != 1 || r.Identical || !named || strings.Contains(c.err, "panic") {
				t.Errorf("exit %d, %s%s", c.code, c.out, c.err)
			}
		})
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"cut off": data[:len(data)/2], "empty": nil, "no tar file": []byte("no tar file")} {
		short := write(t, t.TempDir(), "short.tar", string(data))
		if c := aliquot(t, "replay", "--archives", short); c.code != 1 || !strings.Contains(c.err, "archives") || strings.Contains(c.err, "panic") {
			t.Errorf("%s: exit %d, %s%s", name, c.code, c.out, c.err)
		}
	}
	for _, nowhere := range []string{filepath.Join(t.TempDir(), "nowhere"), t.TempDir()} {
		if c := aliquot(t, "replay", "--archives", nowhere); c.code != 1 || c.err == "" || strings.Contains(c.err, "panic") {
			t.Errorf("%s: exit %d, %s%s", nowhere, c.code, c.out, c.err)
		}
	}
}

// "a payout row added by hand": not into the ledger, but into the stream that the
// rails read, under an id that is free.
func TestAMessageThatIsAddedByHandIsNamed(t *testing.T) {
	t.Parallel()
	whole := lived(t)
	for _, test := range []struct {
		stream, id string
	}{{"PAYOUT", "distribute-%d"}, {"PAYOUT", ""}, {"LEDGER", "settle-0-%d"}, {"LEDGER", "somebody-%d"}} {
		t.Run(test.stream+" "+test.id, func(t *testing.T) {
			t.Parallel()
			dir := copied(t, whole)
			at := byHand(t, dir, test.stream, test.id)
			s := up(t, dir)
			defer s.kill()
			var r replayed
			c := aliquot(t, "replay", "--data", dir, "--json").into(t, &r)
			if c.code != 1 || r.Identical || r.Difference == nil || r.Difference.Where != fmt.Sprintf("%s position %d", test.stream, at) {
				t.Errorf("exit %d, %s", c.code, c.out)
			}
		})
	}
}

// byHand publishes a copy of a stream's last message in a folder where nothing runs.
func byHand(t *testing.T, dir, stream, id string) (position uint64) {
	t.Helper()
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: filepath.Join(dir, "streams")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	open := log.Payout
	if stream == "LEDGER" {
		open = log.Ledger
	}
	to, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last, err := to.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := to.Get(t.Context(), last)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(id, "%d") {
		id = fmt.Sprintf(id, last+1)
	}
	position, err = to.Publish(t.Context(), m.Subject, m.Data, eventlog.PublishOptions{MsgID: id})
	if err != nil {
		t.Fatal(err)
	}
	return position
}

// "a rolled-back database": named by log fsck; a start derives again what it
// lacks, and compares it with what was signed.
func TestARolledBackDatabaseIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := up(t, dir)
	sources, nodes, customers := newSources(11)
	s.declare(declarations(nodes, customers))
	send := func(s *server) {
		kind, body := sources[0].encode(t, sources[0].more(t, 100))
		if _, err := s.send(kind, body); err != nil {
			t.Fatal(err)
		}
		s.settled()
	}
	send(s)
	s.stop()
	old := filepath.Join(t.TempDir(), "ledger.db")
	carry(t, filepath.Join(dir, "ledger.db"), old)
	s = up(t, dir)
	for range 3 {
		send(s)
	}
	var now stated
	aliquot(t, "state", "--data", dir, "--json").ok(t).into(t, &now)
	s.stop()
	for _, name := range []string{"ledger.db", "ledger.db-wal", "ledger.db-shm"} {
		_ = os.Remove(filepath.Join(dir, name))
	}
	carry(t, old, filepath.Join(dir, "ledger.db"))

	ok, streams := fsck(t, dir)
	named := false
	for _, e := range streams {
		for _, d := range e.Differences {
			t.Log(e.Stream, d)
			named = named || e.Stream == "USAGE-0-0" && d.Side == "store" && strings.Contains(d.Problem, "rewound")
		}
	}
	if ok || !named {
		t.Fatalf("%+v", streams)
	}
	s = up(t, dir)
	s.settled()
	s.clean(true)
	s.stop()
	if ok, streams := fsck(t, dir); !ok {
		t.Errorf("after a start: %+v", streams)
	}
	var again stated
	aliquot(t, "replay", "--data", dir, "--as-of", fmt.Sprintf("usage=%d", now.Partitions[0].Usage), "--json").ok(t).into(t, &struct{ State *stated }{&again})
	if again.Root != now.Root {
		t.Errorf("state root %s, before the old database was put back %s", again.Root, now.Root)
	}
}

func carry(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
