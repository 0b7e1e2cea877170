package clustertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (c *Cluster) open(t *testing.T) *eventlog.Log {
	t.Helper()
	l, err := eventlog.Open(t.Context(), eventlog.Config{
		URL: c.URL(), Credentials: c.Credentials(), Replicas: Size, AckTimeout: 3 * time.Second, Logger: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestALogIsTheSameEmbeddedAndOnACluster runs one suite over both kinds.
func TestALogIsTheSameEmbeddedAndOnACluster(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		l, err := eventlog.Open(t.Context(), eventlog.Config{Dir: t.TempDir(), Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		conforms(t, l)
	})
	t.Run("cluster", func(t *testing.T) {
		c := Start(t, Options{Providers: []string{"acme", "other"}})
		l := c.open(t)
		conforms(t, l)
		t.Run("its leader is killed under load", func(t *testing.T) { c.survives(t, l) })
		t.Run("a provider's key", func(t *testing.T) { c.grants(t) })
		t.Run("bad input", func(t *testing.T) { c.refuses(t) })
	})
}

// conforms is what services rest on, whatever keeps the streams.
func conforms(t *testing.T, l *eventlog.Log) {
	ctx := t.Context()
	if _, err := l.Control(ctx); err != nil {
		t.Fatal(err)
	}
	s, err := l.Usage(ctx, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := l.Usage(ctx, 0, 0); err != nil || !again.Created().Equal(s.Created()) {
		t.Fatalf("opened again: %v", err)
	}
	if l.Installation() == "" {
		t.Error("the installation has no name")
	}
	subject := eventlog.UsageSubject(0)
	for i := uint64(1); i <= 20; i++ {
		position, err := s.Publish(ctx, subject, fmt.Appendf(nil, "message %d", i), eventlog.PublishOptions{MsgID: fmt.Sprint("m", i)})
		if err != nil || position != i {
			t.Fatalf("message %d is at %d, %v", i, position, err)
		}
	}
	if position, err := s.Publish(ctx, subject, []byte("message 20"), eventlog.PublishOptions{MsgID: "m20"}); err != nil || position != 20 {
		t.Errorf("a repetition is at %d, %v", position, err)
	}
	wrong := uint64(7)
	if _, err := s.Publish(ctx, subject, nil, eventlog.PublishOptions{ExpectLastSeq: &wrong}); !errors.Is(err, eventlog.ErrWrongLastSequence) {
		t.Errorf("published against a wrong expectation: %v", err)
	}
	if _, err := s.Publish(ctx, subject, nil, eventlog.PublishOptions{ExpectLastSubjectSeq: &wrong}); !errors.Is(err, eventlog.ErrWrongLastSequence) {
		t.Errorf("published against a wrong expectation of the subject: %v", err)
	}
	if _, err := s.Publish(ctx, subject, make([]byte, eventlog.MaxMessageBytes+1), eventlog.PublishOptions{}); !errors.Is(err, eventlog.ErrTooLarge) {
		t.Errorf("published too much: %v", err)
	}
	if last, err := s.Last(ctx); err != nil || last != 20 {
		t.Errorf("the stream ends at %d, %v", last, err)
	}
	if m, err := s.Get(ctx, 3); err != nil || string(m.Data) != "message 3" {
		t.Errorf("message 3 is %q, %v", m.Data, err)
	}
	if m, err := s.GetLastFor(ctx, subject); err != nil || m.Seq != 20 {
		t.Errorf("the last is at %d, %v", m.Seq, err)
	}
	if _, err := s.Get(ctx, 21); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("beyond the end: %v", err)
	}
	hash := sha256.Sum256([]byte("message 20"))
	for name, check := range map[string]struct {
		err  error
		want error
	}{
		"as known":       {s.Verify(ctx, 20, hash, s.Created()), nil},
		"another stream": {s.Verify(ctx, 20, hash, s.Created().Add(1)), eventlog.ErrOtherStream},
		"rewound":        {s.Verify(ctx, 21, hash, s.Created()), eventlog.ErrRewound},
		"altered":        {s.Verify(ctx, 19, hash, s.Created()), eventlog.ErrAltered},
	} {
		if !errors.Is(check.err, check.want) {
			t.Errorf("verify, %s: %v", name, check.err)
		}
	}
	r, err := s.Read(ctx, 5, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()
	for want := uint64(5); want <= 20; want++ {
		m, err := r.Next(ctx)
		if err != nil || m.Seq != want {
			t.Fatalf("read %d, want %d: %v", m.Seq, want, err)
		}
	}
	if _, ok, err := r.NextTimeout(ctx, 50*time.Millisecond); ok || err != nil {
		t.Errorf("beyond the end: %v, %v", ok, err)
	}
}

// survives kills the stream's leader and then each other server while messages
// are published and read: every one that was acknowledged is read, once, and
// publishing goes on soon.
func (c *Cluster) survives(t *testing.T, l *eventlog.Log) {
	ctx := t.Context()
	s, err := l.Usage(ctx, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	from, err := s.Last(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Read(ctx, from+1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()

	var mu sync.Mutex // guards what follows
	acknowledged, certain := map[string]uint64{}, map[string]error{}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			data := fmt.Sprintf("load %d", i)
			position, err := s.Publish(ctx, eventlog.UsageSubject(0), []byte(data), eventlog.PublishOptions{})
			mu.Lock()
			switch {
			case err == nil:
				acknowledged[data] = position
			case errors.Is(err, eventlog.ErrAmbiguous): // stored or not
			case errors.Is(err, eventlog.ErrUnavailable):
				certain[data] = err
			default:
				t.Errorf("publishing: %v", err)
			}
			mu.Unlock()
			if err != nil {
				time.Sleep(20 * time.Millisecond)
			}
		}
	}()
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged)
	}
	more := func(after string) {
		t.Helper()
		until, want := time.Now().Add(2*time.Minute), count()+50
		for count() < want {
			if time.Now().After(until) {
				t.Fatalf("%s: %d messages in two minutes", after, count()-want+50)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	more("at the start")
	for range Size {
		victim := c.Leader(t, s.Name())
		c.Kill(victim)
		more("after the leader was killed")
		c.Restart(t, victim)
		c.WaitLeader(t)
	}
	close(stop)
	<-stopped
	last, err := s.Last(ctx)
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]int{}
	for at := from; at < last; {
		reading, cancel := context.WithTimeout(ctx, time.Minute)
		m, err := r.Next(reading)
		cancel()
		if err != nil || m.Seq != at+1 {
			t.Fatalf("read %d after %d: %v", m.Seq, at, err)
		}
		at = m.Seq
		data := string(m.Data)
		if position, ok := acknowledged[data]; ok && position != at && read[data] > 0 {
			t.Errorf("%s is at %d as well as at %d", data, at, position)
		}
		if err := certain[data]; err != nil {
			t.Errorf("%s is at %d, although it was said not to be stored: %v", data, at, err)
		}
		read[data]++
	}
	for data, position := range acknowledged {
		if read[data] == 0 {
			t.Errorf("%s was acknowledged at %d and is not there", data, position)
		}
	}
}

// grants: a provider's key reaches its own subject and nothing else.
func (c *Cluster) grants(t *testing.T) {
	l := c.open(t)
	got := make(chan *nats.Msg, 10)
	if _, err := l.Conn().Subscribe("in.*", func(m *nats.Msg) { got <- m }); err != nil {
		t.Fatal(err)
	}
	if err := l.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	key, err := nats.NkeyOptionFromSeed(c.ProviderKey("acme"))
	if err != nil {
		t.Fatal(err)
	}
	denied := make(chan error, 10)
	conn, err := nats.Connect(c.URL(), nats.RootCAs(c.CAFile()), key, nats.CustomInboxPrefix("_INBOX_acme"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// The subscription may be on another server: its interest takes a moment.
	deadline := time.Now().Add(time.Minute)
	for arrived := false; !arrived; {
		if err := conn.Publish("in.acme", []byte("usage")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-got:
			arrived = true
		case err := <-denied:
			t.Fatal(err)
		case <-time.After(100 * time.Millisecond):
			if time.Now().After(deadline) {
				t.Fatal("what is granted does not arrive")
			}
		}
	}
	for name, try := range map[string]func() error{
		"another provider's subject": func() error { return conn.Publish("in.other", nil) },
		"the stream itself":          func() error { return conn.Publish("usage.0", nil) },
		"a decision":                 func() error { return conn.Publish("control.card", nil) },
		"the streams' interface":     func() error { return conn.Publish("$JS.API.STREAM.DELETE.USAGE-0-0", nil) },
		"listening to others":        func() error { _, err := conn.SubscribeSync("in.*"); return err },
	} {
		if err := try(); err != nil {
			t.Fatal(name, err)
		}
		select {
		case err := <-denied:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(time.Minute):
			t.Errorf("%s: allowed", name)
		}
	}
}

// refuses: what is not ours ends the start with one line that says why.
func (c *Cluster) refuses(t *testing.T) {
	dir := t.TempDir()
	stranger := filepath.Join(dir, "stranger.nk")
	if err := WriteSeed(stranger); err != nil {
		t.Fatal(err)
	}
	own := c.Credentials()
	open := func(url string, credentials eventlog.Credentials) error {
		l, err := eventlog.Open(t.Context(), eventlog.Config{URL: url, Credentials: credentials, Replicas: Size, Logger: quiet()})
		if err != nil {
			return err
		}
		defer func() { _ = l.Close() }()
		if _, err := l.Control(t.Context()); err != nil {
			return err
		}
		_, err = l.Usage(t.Context(), 7, 0)
		return err
	}
	// A stream of the right name and shape that somebody else has made.
	conn, err := c.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	control, err := js.Stream(t.Context(), eventlog.ControlStream)
	if err != nil {
		t.Fatal(err)
	}
	foreign := control.CachedInfo().Config
	foreign.Name, foreign.Subjects, foreign.Metadata = eventlog.UsageStream(7, 0), []string{eventlog.UsageSubject(7)}, nil
	if _, err := js.CreateStream(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	// Another cluster that admits the same keys, with streams of its own.
	twin := Start(t, Options{Like: c})
	if _, err := twin.open(t).Control(t.Context()); err != nil {
		t.Fatal(err)
	}
	expired := Start(t, Options{Expired: true})
	for name, one := range map[string]struct {
		err  error
		says string
	}{
		"an unreachable server": {open("tls://127.0.0.1:1", own), "no server answers"},
		"a key that is not known": {open(c.URL(), eventlog.Credentials{CAFile: c.CAFile(), NKeyFile: stranger}),
			"does not admit this nkey"},
		"no key":             {open(c.URL(), eventlog.Credentials{CAFile: c.CAFile()}), "does not admit this nkey"},
		"another authority":  {open(c.URL(), eventlog.Credentials{CAFile: expired.CAFile(), NKeyFile: c.NKeyFile()}), "certificate"},
		"a missing key file": {open(c.URL(), eventlog.Credentials{CAFile: c.CAFile(), NKeyFile: filepath.Join(dir, "none")}), "none"},
		"an expired certificate": {open(expired.URL(), expired.Credentials()),
			"the server's certificate has expired"},
		"our own expired certificate": {open(c.URL(), eventlog.Credentials{CAFile: expired.file("keys/server.pem"), NKeyFile: c.NKeyFile()}),
			"has expired on"},
		"a stream that is not ours": {open(c.URL(), own), "aliquot did not make it"},
		"two clusters mixed up":     {open(c.NodeURL(0)+","+twin.NodeURL(0), own), "belong to two clusters"},
	} {
		if one.err == nil || !strings.Contains(one.err.Error(), one.says) || bytes.ContainsRune([]byte(one.err.Error()), '\n') {
			t.Errorf("%s: want one line with %q, have: %v", name, one.says, one.err)
		}
	}
}
