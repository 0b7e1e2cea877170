package apart

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/client"
)

// "Two settlers forced onto one partition: one commits, the other stops with a
// clear line, nothing is counted twice." And a third, which is not forced, waits
// beside the owner and takes over within seconds of its death.
//
// Fails when a commit does not ask whose the cursor is, and when a standby does
// not hear the owner.
func TestTwoSettlersNeverBothCommit(t *testing.T) {
	t.Parallel()
	i := install(t)
	first, _ := i.up("settle"), i.up("distribute")
	i.up("ingest")
	i.declare()
	senders := []*sender{newSender(t, i, "/source/a", client.Packed), newSender(t, i, "/source/b", client.JSON)}
	sendAll(t, senders, 5, func() {})

	var second *service
	for _, s := range senders {
		s.pause = 100 * time.Millisecond // usage comes before, while and after it is taken over
	}
	sendAll(t, senders, 60, func() {
		second = i.upIn("second", "settle", "--take-over")
		select {
		case <-first.ended:
		case <-time.After(patience):
			t.Fatal("the first settler goes on")
		}
	})
	if code := first.command.ProcessState.ExitCode(); code != 1 {
		t.Errorf("the first settler ended with exit %d", code)
	}
	if said := last(first.log); !strings.Contains(said, "another settler has taken over") {
		t.Errorf("the first settler said %q", said)
	}
	for _, s := range senders {
		s.pause = 0
	}
	i.exact(senders, 0)

	standby := i.upIn("standby", "settle")
	i.eventually("the standby hears the owner", patience, func(context.Context) error {
		if !strings.Contains(standby.log.String(), "standing by for the owner") {
			return fmt.Errorf("it says %q", standby.log)
		}
		return nil
	})
	if status, body := standby.get("/readyz"); status != http.StatusOK || !strings.Contains(body, `"settle.1":"standing by for the owner"`) {
		t.Errorf("the standby's /readyz: %d %s", status, body)
	}
	if status, body := second.get("/readyz"); status != http.StatusOK || !strings.Contains(body, `"settle.1":"owned"`) {
		t.Errorf("the owner's /readyz: %d %s", status, body)
	}
	sendAll(t, senders, 10, func() {
		second.kill()
		took := i.eventually("settlement by the standby", slowed(t, backWithin), func(ctx context.Context) error { return i.deposit(ctx, "standby") })
		t.Logf("the standby settled %v after the owner's death", took.Round(10*time.Millisecond))
	})
	i.exact(senders, 0)
	i.clean()
	standby.stop()
}

// upIn is up with a folder of its own, as on another machine.
func (i *installation) upIn(folder, role string, arguments ...string) *service {
	i.t.Helper()
	return i.up(role, append([]string{"--data", folder}, arguments...)...)
}

func (s *service) get(path string) (int, string) {
	s.i.t.Helper()
	response, err := s.i.client.Get(s.url + path)
	if err != nil {
		s.i.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.i.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// last is the last line that a process said.
func last(j *journal) string {
	lines := strings.Split(strings.TrimSpace(j.String()), "\n")
	return lines[len(lines)-1]
}
