package ingest_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/ingest"
)

// slowBody is a body that announces more than it sends.
type slowBody struct {
	conn   net.Conn
	answer *bufio.Reader
}

// slowly begins a body of length bytes, sends sent once the server asks for it,
// and then nothing. It returns the status with which the server answered the
// headers: 100 if it reads the body.
func (b *bench) slowly(token string, length int, sent string) (*slowBody, int) {
	b.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.server.URL, "http://"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	s := &slowBody{conn, bufio.NewReader(conn)}
	_, err = fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", token, batchMedia, length)
	if err != nil {
		b.t.Fatal(err)
	}
	status := s.status(b.t)
	if status == http.StatusContinue {
		// The server may already have given up the body; then nobody reads this.
		_, _ = conn.Write([]byte(sent))
	}
	return s, status
}

// status waits for the next answer.
func (s *slowBody) status(t testing.TB) (status int) {
	t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for {
		line, err := s.answer.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscanf(line, "HTTP/1.1 %d ", &status); err == nil {
			return status
		}
	}
}

// Fails when a body's announced length is reserved: sixteen of these bodies would
// take all the room.
func TestBodiesThatPromiseMuchHoldUpNobody(t *testing.T) {
	b := open(t, eventlog.Config{}, nil)
	for i := range 20 {
		if _, status := b.slowly(acmeToken, ingest.DefaultMaxBody, "["); status != http.StatusContinue {
			t.Fatalf("slow body %d: %d", i, status)
		}
	}
	for _, who := range []struct{ token, book string }{{otherToken, "far"}, {acmeToken, "eu"}} {
		if a := b.post(batchMedia, batch(usedIn(who.book, "a")), "Authorization", "Bearer "+who.token); a.Accepted != 1 {
			t.Errorf("%s: %+v", who.token, a)
		}
	}
}

// Fails when one provider may use all the room.
func TestOneProviderDoesNotShutOutAnother(t *testing.T) {
	b := open(t, eventlog.Config{}, func(c *ingest.Config) {
		c.MaxPending, c.MaxBody, c.QueueWait, c.SlowAfter = 1<<20, 128<<10, 20*time.Millisecond, time.Hour
	})
	reading, refused := 0, 0
	for range 20 {
		switch _, status := b.slowly(acmeToken, 120<<10, "["+strings.Repeat(" ", 100<<10)); status {
		case http.StatusContinue:
			reading++
		case http.StatusServiceUnavailable:
			refused++
		default:
			t.Fatalf("answered %d", status)
		}
	}
	if refused == 0 {
		t.Errorf("%d slow bodies of one provider are all read", reading)
	}
	if a := b.post(batchMedia, batch(usedIn("far", "a")), "Authorization", "Bearer "+otherToken); a.Accepted != 1 {
		t.Errorf("the other provider: %+v", a)
	}
}

// Fails when a body that has stopped arriving keeps its room.
func TestABodyThatComesTooSlowlyIsGivenUp(t *testing.T) {
	b := open(t, eventlog.Config{}, func(c *ingest.Config) {
		c.MaxPending, c.MaxBody, c.QueueWait, c.SlowAfter, c.MinRate = 128<<10, 100<<10, time.Minute, 50*time.Millisecond, 256<<10
	})
	for _, sent := range []string{"", "[", "[" + strings.Repeat(" ", 70<<10)} {
		body, status := b.slowly(acmeToken, 100<<10, sent)
		if status == http.StatusContinue {
			status = body.status(t)
		}
		if status != http.StatusRequestTimeout {
			t.Errorf("a body that stands still after %d bytes is answered %d", len(sent), status)
		}
	}
	if a := b.post(batchMedia, batch(used("a"))); a.Accepted != 1 {
		t.Errorf("the provider itself, once they were given up: %+v", a)
	}
}

func usedIn(book, id string) events.Usage {
	return used(id, func(u *events.Usage) { u.Node, u.Customer = events.Node("gpu-"+book), events.Customer("lab-"+book) })
}

func TestAPaceAllowsWhatItSays(t *testing.T) {
	tests := []struct {
		name string
		pace ingest.Pace
		read int64
		want time.Duration
	}{
		{"nothing has the first time", ingest.Pace{Rate: 1000, After: time.Second}, 0, time.Second},
		{"each second needs its bytes", ingest.Pace{Rate: 1000, After: time.Second}, 5500, 6500 * time.Millisecond},
		{"the rest of a second counts", ingest.Pace{Rate: 4 << 10, After: 10 * time.Second}, 1 << 10, 10*time.Second + 250*time.Millisecond},
		{"no length overflows", ingest.Pace{Rate: 1, After: time.Second}, 1 << 62, time.Hour + time.Second},
	}
	for _, test := range tests {
		if got := test.pace.Allows(test.read); got != test.want {
			t.Errorf("%s: want %v, got %v", test.name, test.want, got)
		}
	}
}
