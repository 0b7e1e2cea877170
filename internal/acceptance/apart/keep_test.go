package apart

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aliquot-engine/aliquot/pkg/client"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/audit/keeper"
	"github.com/aliquot-engine/aliquot/services/audit/tiles"
	"github.com/aliquot-engine/aliquot/services/audit/tlog"
)

// "Apart, everything is provable as in one process: one keeps, the others wait;
// receipts verify offline; kill -9 leaves a log that goes on; a second folder is
// refused."
//
// Fails when a keeper does not wait for its turn, when the database is not asked
// whose key signs, and when a restart begins the logs anew.
func TestOneKeepsAndEverythingIsProvable(t *testing.T) {
	i := install(t)
	settle, _ := i.up("settle"), i.up("distribute")
	i.up("ingest")
	keep := i.upIn("kept", "keep")
	i.declare()
	keep.ready()
	key := filepath.Join(i.dir, "kept", "keys", "log.pub")

	senders := []*sender{newSender(t, i, "/source/a", client.Packed), newSender(t, i, "/source/b", client.JSON)}
	sendAll(t, senders, 5, func() {})
	i.exact(senders, 0)
	keep.proves(key, "before.json", "/source/a#7")
	before := i.signed()

	i.refusesOthers()

	// A standby on the same folder waits, and goes on after a kill.
	standby := i.upIn("kept", "keep")
	i.eventually("the standby hears the owner", patience, func(context.Context) error {
		if !strings.Contains(standby.log.String(), "waiting beside the owner") {
			return fmt.Errorf("it says %q", standby.log)
		}
		return nil
	})
	if status, body := standby.get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "keep: waiting beside the owner") {
		t.Errorf("the standby's /readyz: %d %s", status, body)
	}
	if status, body := standby.get("/livez"); status != http.StatusOK {
		t.Errorf("the standby's /livez: %d %s", status, body)
	}
	for _, s := range senders {
		s.pause = 100 * time.Millisecond
	}
	sendAll(t, senders, 20, func() {
		time.Sleep(time.Second)
		keep.kill()
		standby.ready()
	})
	i.exact(senders, 0)
	standby.proves(key, "after.json", fmt.Sprintf("/source/b#%d", senders[1].next))
	i.verifies("before.json", key)

	// And after a kill without a standby.
	standby.kill()
	sendAll(t, senders, 2, func() {})
	standby.restart()
	standby.ready()
	i.exact(senders, 0)
	standby.proves(key, "again.json", fmt.Sprintf("/source/a#%d", senders[0].next))

	// What is decided through keep names the roots that it rests on.
	for n, url := range []string{standby.url, i.url} {
		(&installation{t: t, token: i.token, client: i.client, url: url}).distribute(n)
	}
	for n, with := range []bool{true, false} {
		closed, declared := i.restsOn(book(n), fmt.Sprint("T", n))
		if (closed > 0) != with || (declared > 0) != with {
			t.Errorf("%s: its closing names %d roots, its declaration %d", book(n), closed, declared)
		}
	}
	i.clean()
	if status, page := settle.get("/metrics"); status != http.StatusOK || !strings.Contains(page, "\naliquot_settle_lag_messages{") {
		t.Errorf("settle's /metrics says nothing of its lag: %d", status)
	}
	// One folder has one process, and a new key is handed over in it.
	rotate := []string{"--data", "kept", "--as", "auditor", "log", "keys", "rotate"}
	if held := i.run(rotate...); held.code != 1 || !strings.Contains(held.err, "in use by another process") || !strings.Contains(held.err, fmt.Sprint("process ", standby.command.Process.Pid)) {
		t.Errorf("the key of a keeper that works is rotated: exit %d %s", held.code, held.err)
	}
	standby.stop()
	i.goesOn(before)
	old := filepath.Join(i.dir, "old.pub")
	data, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old, data, 0o600); err != nil {
		t.Fatal(err)
	}
	i.run(rotate...).ok(t)
	standby.restart()
	standby.ready()
	standby.proves(old, "rotated.json", "/source/a#7")
	standby.stop()
}

// refusesOthers starts keepers on folders that are not the one.
func (i *installation) refusesOthers() {
	i.t.Helper()
	other := filepath.Join(i.dir, "other")
	if _, err := keeper.EnsureKey(other); err != nil {
		i.t.Fatal(err)
	}
	control := filepath.Join(other, "tlog", "control")
	if err := os.MkdirAll(control, 0o700); err != nil {
		i.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(control, "checkpoint"), []byte("another\n"), 0o600); err != nil {
		i.t.Fatal(err)
	}
	for name, one := range map[string]struct {
		folder, partitions, says string
	}{
		"an empty folder":       {"second", "0-1", "has none: keep is started on the folder that has them"},
		"another key":           {"other", "0-1", "they are another history"},
		"a partition left out":  {"kept", "0", "partition 1 is settled and would not be kept"},
		"partitions of nothing": {"kept", "x", "ALIQUOT_PARTITIONS"},
	} {
		s := i.runWith([]string{"ALIQUOT_PARTITIONS=" + one.partitions}, "--data", one.folder, "keep")
		lines := strings.Split(strings.TrimSpace(s.err), "\n")
		if s.code != 1 || len(lines) != 1 || !strings.HasPrefix(lines[0], "aliquot: ") || !strings.Contains(lines[0], one.says) {
			i.t.Errorf("%s: exit %d, want one line with %q:\n%s", name, s.code, one.says, s.err)
		}
	}
	if _, err := os.Stat(filepath.Join(i.dir, "second")); err == nil {
		i.t.Error("a folder that was refused was written to")
	}
}

// ready waits until it is this one's turn, and it answers.
func (s *service) ready() {
	s.i.t.Helper()
	s.i.eventually("keep is ready", patience, func(context.Context) error {
		if status, body := s.get("/readyz"); status != http.StatusOK {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
}

// proves makes a receipt and verifies it offline.
func (s *service) proves(key, file, id string) {
	s.i.t.Helper()
	s.i.eventually("a receipt of "+id, patience, func(context.Context) error {
		if made := s.i.run("--url", s.url, "--bearer", s.i.token, "receipt", id, "-o", file); made.code != 0 {
			return fmt.Errorf("exit %d %s", made.code, made.err)
		}
		return nil
	})
	s.i.verifies(file, key)
}

func (i *installation) verifies(file, key string) {
	i.t.Helper()
	i.run("verify", file, "--key", key).ok(i.t)
}

// distribute closes the period of a book and distributes what was earned.
func (i *installation) distribute(n int) {
	i.t.Helper()
	i.ask("POST", "/v1/deposits/outstanding", asJSON, fmt.Sprintf(`{"book":%q,"reference":"all"}`, book(n)), nil)
	i.ask("POST", "/v1/periods/close", asJSON, fmt.Sprintf(`{"book":%q,"period":%q}`, book(n), period), nil)
	i.ask("POST", "/v1/distributions", asJSON, fmt.Sprintf(`{"token":"T%d","period":%q}`, n, period), nil)
}

// restsOn counts the roots in a book's closing and in a token's declaration.
func (i *installation) restsOn(book, token string) (closed, declared int) {
	i.t.Helper()
	conn, err := i.cluster.Connect()
	if err != nil {
		i.t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		i.t.Fatal(err)
	}
	control, err := js.Stream(i.t.Context(), "CONTROL")
	if err != nil {
		i.t.Fatal(err)
	}
	found := 0
	for position := range control.CachedInfo().State.LastSeq {
		m, err := control.GetMsg(i.t.Context(), position+1)
		if err != nil {
			i.t.Fatal(err)
		}
		d, err := events.DecodeDecision(m.Data)
		if err != nil {
			i.t.Fatal(err)
		}
		switch b := d.Body.(type) {
		case events.PeriodClosed:
			if string(b.Book) == book {
				closed = len(b.RestsOn)
				found++
			}
		case events.DistributionDeclared:
			if string(b.Token) == token {
				declared = len(b.RestsOn)
				found++
			}
		}
	}
	if found != 2 {
		i.t.Errorf("%s: %d of a closing and a declaration", book, found)
	}
	return closed, declared
}

// logs are all that are kept here.
var logs = [...]string{"control", "ledger", "payout", "register", "usage-0-0", "usage-1-0"}

// signed are their checkpoints as they are now.
func (i *installation) signed() (list []tlog.Checkpoint) {
	i.t.Helper()
	keys, err := keeper.Keys(filepath.Join(i.dir, "kept"))
	if err != nil {
		i.t.Fatal(err)
	}
	for _, name := range logs {
		signed, err := os.ReadFile(filepath.Join(i.dir, "kept", "tlog", name, "checkpoint"))
		if err != nil {
			i.t.Fatal(err)
		}
		c, _, _, err := keys.Open(signed, name)
		if err != nil {
			i.t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

// goesOn asserts that every log is what it was, and more, up to the end of its
// second copy. Nobody keeps any more.
func (i *installation) goesOn(before []tlog.Checkpoint) {
	i.t.Helper()
	dir := filepath.Join(i.dir, "kept")
	key, err := keeper.EnsureKey(dir)
	if err != nil {
		i.t.Fatal(err)
	}
	for n, name := range logs {
		log, err := tiles.Open(filepath.Join(dir, "tlog", name), key.Public().Origin(name), key)
		if err != nil {
			i.t.Fatal(err)
		}
		if err := log.Extends(before[n]); err != nil {
			i.t.Errorf("%s does not go on from %d: %v", name, before[n].Size, err)
		}
		if name != "register" && name != "payout" && log.Size() <= before[n].Size {
			i.t.Errorf("%s has %d leaves, as before", name, log.Size())
		}
	}
}
