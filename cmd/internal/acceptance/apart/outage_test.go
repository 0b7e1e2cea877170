package apart

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/client"
)

// outage is how long the database is away: some seconds in the test command, a
// minute in task outage.
func outage(t testing.TB) time.Duration {
	said := os.Getenv("ALIQUOT_APART_OUTAGE")
	if said == "" {
		return 5 * time.Second
	}
	d, err := time.ParseDuration(said)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// "With the database stopped for a minute and a period closed inside that
// minute, ingest goes on accepting, settlement catches up, and no event that was
// in the stream before the close becomes late."
//
// Fails when ingest asks the database before it answers, when lateness is told by
// a clock rather than by the barrier, and when the barrier waits for the database.
func TestAPeriodIsClosedWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	i := install(t)
	i.start("settle")
	i.start("distribute")
	i.up("ingest")
	i.declare()
	senders := []*sender{newSender(t, i, "/source/a", client.Packed), newSender(t, i, "/source/b", client.JSON)}
	sendAll(t, senders, 5, func() {})

	i.postgres.Kill()
	away := time.Now()
	sendAll(t, senders, 20, func() {})
	if status, body, err := i.do(context.Background(), "GET", "/readyz", "", nil); err != nil || status != http.StatusOK {
		t.Errorf("ingest is not ready without the database, and accepts: %d %s %v", status, body, err)
	}
	// Everything so far is in the stream, and was acknowledged.
	before := [books]int{}
	for n := range books {
		for _, s := range senders {
			before[n] += s.sent[n]
		}
	}
	closed := make(chan error, books)
	for n := range books {
		go func() {
			status, body, err := i.do(context.Background(), "POST", "/v1/periods/close", asJSON,
				fmt.Appendf(nil, `{"book":%q,"period":%q}`, book(n), period))
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("%d %s", status, body)
			}
			closed <- err
		}()
	}
	// The barriers are in the streams while the database is away still: what
	// follows them is late.
	i.barriers(2 * books)
	sendAll(t, senders, 2, func() {})
	time.Sleep(time.Until(away.Add(outage(t))))
	i.postgres.Begin(t)
	for range books {
		select {
		case err := <-closed:
			if err != nil {
				t.Errorf("closing: %v", err)
			}
		case <-time.After(patience):
			t.Fatal("the closing is not answered")
		}
	}
	have := i.exact(senders, 0)
	for n := range books {
		if have.accepted[n] != before[n] {
			t.Errorf("%s: %d events were in the stream before the period was closed, %d count as in time, %d as late", book(n), before[n], have.accepted[n], have.late[n])
		}
	}
	i.clean()
}
