package apart

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aliquot-engine/aliquot/pkg/client"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// "Apart, everything is provable as in one process: one keeps, the others wait;
// receipts verify offline; kill -9 leaves a log that goes on; a second folder is
// refused."
//
// Fails when a keeper does not wait for its turn, when the database is not asked
// whose key signs, and when a restart begins the logs anew.
func TestOneKeepsAndEverythingIsProvable(t *testing.T) {
	t.Parallel()
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
		if !strings.Contains(standby.log.String(), "standing by for the owner") {
			return fmt.Errorf("it says %q", standby.log)
		}
		return nil
	})
	if status, body := standby.get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "keep: standing by for the owner") {
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
	i.run("--data", "other", "log", "keys", "show", "--make").ok(i.t)
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
		"an empty folder":       {"second", "0-1", "has no logs: start keep on the folder that has them"},
		"another key":           {"other", "0-1", "they belong to another history"},
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
		if made := s.i.asksAt(s.url, "receipt", id, "-o", file); made.code != 0 {
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

// signed are the hashes of all leaves that each log has signed now, one after the
// other: its tiles of level 0.
func (i *installation) signed() (list [][]byte) {
	i.t.Helper()
	read := func(name string, path ...string) []byte {
		i.t.Helper()
		data, err := os.ReadFile(filepath.Join(append([]string{i.dir, "kept", "tlog", name}, path...)...))
		if err != nil {
			i.t.Fatal(err)
		}
		return data
	}
	for _, name := range logs {
		size, err := strconv.Atoi(strings.Split(string(read(name, "checkpoint")), "\n")[1])
		if err != nil {
			i.t.Fatal(err)
		}
		var hashes []byte
		for tile := range size / 256 {
			hashes = append(hashes, read(name, "tile", "0", fmt.Sprintf("%03d", tile))...)
		}
		if rest := size % 256; rest > 0 {
			hashes = append(hashes, read(name, "tile", "0", fmt.Sprintf("%03d.p", size/256), strconv.Itoa(rest))...)
		}
		if len(hashes) != 32*size {
			i.t.Fatalf("%s: %d bytes of hashes, %d leaves are signed", name, len(hashes), size)
		}
		list = append(list, hashes)
	}
	return list
}

// goesOn asserts that every log has what it had, and then more.
func (i *installation) goesOn(before [][]byte) {
	i.t.Helper()
	for n, now := range i.signed() {
		name := logs[n]
		if !bytes.HasPrefix(now, before[n]) {
			i.t.Errorf("%s does not go on from its %d leaves", name, len(before[n])/32)
		}
		if name != "register" && len(now) <= len(before[n]) {
			i.t.Errorf("%s has %d leaves, as before", name, len(now)/32)
		}
	}
}
