package acceptance

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// A provider publishes over NATS to the binary as it is shipped: with a key that
// the operator admits by its public half, and nothing else. Fails when no command
// can declare an nkey, and when JSON without a content type is taken for packed.
func TestAProviderPublishesOverNATS(t *testing.T) {
	dir := t.TempDir()
	// The port is free now: this test is not parallel, so that no other takes it.
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	s := up(t, dir, "--nats-listen", address)
	files := t.TempDir()
	aliquot(t, "apply", "-f", write(t, files, "book.yaml", declarations([]string{"n1"}, []string{"c1"})), "--data", dir).ok(t)

	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	connect := func(pair nkeys.KeyPair, inbox string) (*nats.Conn, error) {
		public, err := pair.PublicKey()
		if err != nil {
			return nil, err
		}
		options := []nats.Option{nats.Nkey(public, pair.Sign), nats.MaxReconnects(0), nats.Timeout(time.Minute), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}
		if inbox != "" {
			options = append(options, nats.CustomInboxPrefix(inbox))
		}
		return nats.Connect("nats://"+address, options...)
	}
	if conn, err := connect(pair, ""); err == nil {
		conn.Close()
		t.Fatal("a stranger is admitted")
	}

	var made struct{ Key, Secret, NKey, Subject, Inbox string }
	aliquot(t, "key", "create", "acme-nats", "--scope", "provider", "--provider", provider, "--nkey", public, "--data", dir, "--json").ok(t).into(t, &made)
	if made.Secret != "" || made.NKey != public || made.Subject != "in."+provider || made.Inbox == "" {
		t.Fatalf("made %+v", made)
	}
	conn, err := connect(pair, made.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	submit := func(conn *nats.Conn, id string) (status string, accepted int) {
		t.Helper()
		event := fmt.Sprintf(`{"specversion":"1.0","type":"aliquot.usage","id":%q,"source":"meter","data":{"node":"n1","customer":"c1","meter":"unit","quantity":"2.5","end":"2024-05-01T12:00:00Z"}}`, id)
		reply, err := conn.Request(made.Subject, []byte(event), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ Accepted int }
		if err := json.Unmarshal(reply.Data, &answer); err != nil {
			t.Fatalf("answered %s", reply.Data)
		}
		return reply.Header.Get("Aliquot-Status"), answer.Accepted
	}
	if status, accepted := submit(conn, "a"); status != "202" || accepted != 1 {
		t.Fatalf("answered %s, %d accepted", status, accepted)
	}
	if status, _, err := s.do(request{method: "POST", path: "/v1/settled"}); err != nil || status != 200 {
		t.Fatalf("waiting until it is settled: %d, %v", status, err)
	}
	if out := aliquot(t, "usage", "outcome", "meter#a", "--data", dir).ok(t).out; !strings.Contains(out, "accepted") {
		t.Errorf("the event is %s", out)
	}
	// The connection reaches nothing else: neither others' subjects nor the streams.
	for _, subject := range []string{"in.other", "usage.0", "$JS.API.INFO", "control.key_issued"} {
		if _, err := conn.Request(subject, []byte("{}"), 500*time.Millisecond); !errors.Is(err, nats.ErrTimeout) && !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("%s: %v", subject, err)
		}
	}

	// A second nkey, from a file.
	second, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	other, err := second.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	aliquot(t, "apply", "-f", write(t, files, "key.yaml", "kind: Key\nkey: acme-nats-2\nprovider: "+provider+"\nnkey: "+other+"\n"), "--data", dir).ok(t)
	next, err := connect(second, made.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if status, accepted := submit(next, "b"); status != "202" || accepted != 1 {
		t.Fatalf("answered %s, %d accepted", status, accepted)
	}

	for _, key := range []string{"acme-nats", "acme-nats-2"} {
		aliquot(t, "key", "revoke", key, "--data", dir).ok(t)
	}
	if status, _ := submit(next, "c"); status != "403" {
		t.Errorf("after its key was revoked it is answered %s", status)
	}
	if conn, err := connect(pair, made.Inbox); err == nil {
		conn.Close()
		t.Error("a revoked nkey is admitted")
	}
	aliquot(t, "check", "--deep", "--data", dir).ok(t)
}
