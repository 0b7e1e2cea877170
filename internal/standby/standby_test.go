package standby

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
)

func connection(t *testing.T) *nats.Conn {
	t.Helper()
	l, err := eventlog.Open(t.Context(), eventlog.Config{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Conn()
}

// TestAStandbyWaitsForTheOwnerAndTakesOverWhenItIsGone fails where an answer
// does not begin the wait anew, and where silence does not end it.
func TestAStandbyWaitsForTheOwnerAndTakesOverWhenItIsGone(t *testing.T) {
	conn := connection(t)
	const patience = time.Second
	release, err := Own(conn, "settle.0", "the first")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 100)
	waited := make(chan error, 1)
	go func() {
		waited <- Wait(t.Context(), conn, "settle.0", patience, func(owner string) { heard <- owner })
	}()
	for range 4 { // more answers than patience has room for
		select {
		case owner := <-heard:
			if owner != "the first" {
				t.Fatalf("%q answers", owner)
			}
		case err := <-waited:
			t.Fatalf("took over from an owner that answers: %v", err)
		case <-time.After(time.Minute):
			t.Fatal("no answer")
		}
	}
	release()
	released := time.Now()
	select {
	case err := <-waited:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("nobody answers, and it still waits")
	}
	if after := time.Since(released); after < patience/4 {
		t.Errorf("took over after %v", after)
	}
}

func TestAStandbyThatIsToldToStopStops(t *testing.T) {
	conn := connection(t)
	if _, err := Own(conn, "distribute", "somebody"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := Wait(ctx, conn, "distribute", time.Second, func(string) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestAProcessThatIsAwayDoesNotTakeOver(t *testing.T) {
	conn := connection(t)
	conn.Close()
	if err := Wait(t.Context(), conn, "settle.0", 0, func(string) {}); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Fatalf("took over without a connection: %v", err)
	}
}
