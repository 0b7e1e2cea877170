package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/cloudevents"
	"github.com/aliquot-engine/aliquot/services/ingest"
	"github.com/aliquot-engine/aliquot/services/ingest/natsapi"
)

// packedIn returns a packed event of a provider in a segment with this length.
func packedIn(t *testing.T, length byte) []byte {
	t.Helper()
	for n := range 100 {
		short := used(strings.Repeat("x", 1+n), func(u *events.Usage) { u.Source = "m" })
		if body := packedBody(t, "acme", short); body[0] == length {
			return body
		}
	}
	t.Fatalf("no event is packed in %d bytes", length)
	return nil
}

func TestProvidersSubmitOverNATSToTheirOwnSubjectAlone(t *testing.T) {
	var service atomic.Pointer[ingest.Service]
	b := open(t, eventlog.Config{Listen: "127.0.0.1:0", Auth: func(nkey string) (eventlog.Grant, error) {
		if s := service.Load(); s != nil {
			return natsapi.Grant(s, nkey)
		}
		return eventlog.Grant{}, errors.New("not yet")
	}}, nil)
	service.Store(b.service)
	serving, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- natsapi.Serve(serving, b.log.Conn(), b.service) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()

	denied := make(chan error, 10)
	connect := func(name string, scope string, provider events.Provider) (*nats.Conn, error) {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		if scope != "" {
			b.declare(events.KeyIssued{Key: name, NKey: public, Scope: scope, Provider: provider})
		}
		conn, err := nats.Connect("nats://"+b.log.Addr(), nats.Nkey(public, pair.Sign), nats.MaxReconnects(0),
			nats.CustomInboxPrefix(natsapi.InboxPrefix(provider)),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
		if err == nil {
			t.Cleanup(conn.Close)
		}
		return conn, err
	}
	acme, err := connect("acme-nats", "provider", "acme")
	if err != nil {
		t.Fatal(err)
	}
	other, err := connect("other-nats", "provider", "other")
	if err != nil {
		t.Fatal(err)
	}
	for name, scope := range map[string]string{"stranger": "", "boss": "operator", "reader": "auditor"} {
		if _, err := connect(name, scope, ""); err == nil {
			t.Errorf("%s: connected", name)
		}
	}

	request := func(conn *nats.Conn, subject string, data []byte, header nats.Header) (events.Answer, string) {
		t.Helper()
		reply, err := conn.RequestMsg(&nats.Msg{Subject: subject, Data: data, Header: header}, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var a events.Answer
		if err := json.Unmarshal(reply.Data, &a); err != nil {
			t.Fatalf("answer %q: %v", reply.Data, err)
		}
		return a, reply.Header.Get(natsapi.StatusHeader)
	}
	single := used("e3")
	body := cloudevents.Append(nil, &single)
	tests := []struct {
		name     string
		conn     *nats.Conn
		subject  string
		data     []byte
		header   nats.Header
		status   string
		accepted int
	}{
		{"packed by default", acme, "in.acme", packedBody(t, "acme", used("e1"), used("e2")), nil, "202", 2},
		{"packed in as many bytes as a brace has as a code", acme, "in.acme", packedIn(t, '{'), nil, "202", 1},
		{"packed in as many bytes as a bracket has as a code", acme, "in.acme", packedIn(t, '['), nil, "202", 1},
		{"one event without a content type", acme, "in.acme", body, nil, "202", 1},
		{"an event behind white space", acme, "in.acme", append([]byte(" \n"), body...), nil, "202", 1},
		{"a batch without a content type", acme, "in.acme", batch(used("e1"), used("e2")), nil, "202", 2},
		{"a compressed event without a content type", acme, "in.acme", zstded(body), nats.Header{"Content-Encoding": {"zstd"}}, "202", 1},
		{"data alone without a content type", acme, "in.acme", []byte(`{"node":"gpu-eu","customer":"lab-eu","meter":"tokens","quantity":3}`), nats.Header{
			"ce-specversion": {"1.0"}, "ce-type": {"aliquot.usage"}, "ce-id": {"y"}, "ce-source": {"s"}, "ce-time": {"2026-11-22T12:00:00Z"},
		}, "202", 1},
		{"a batch", acme, "in.acme", batch(used("e1")), nats.Header{"content-type": {batchMedia}}, "202", 1},
		{"a compressed batch", acme, "in.acme", zstded(batch(used("e1"))), nats.Header{"Content-Type": {batchMedia}, "Content-Encoding": {"zstd"}}, "202", 1},
		{"one event", acme, "in.acme", body, nats.Header{"Content-Type": {"application/cloudevents+json"}}, "202", 1},
		{"data alone", acme, "in.acme", []byte(`{"node":"gpu-eu","customer":"lab-eu","meter":"tokens","quantity":3}`), nats.Header{
			"content-type": {"application/json"}, "ce-specversion": {"1.0"}, "ce-type": {"aliquot.usage"}, "ce-id": {"x"}, "ce-source": {"s"}, "ce-time": {"2026-11-22T12:00:00Z"},
		}, "202", 1},
		{"a packed event that takes one back", acme, "in.acme", packedBody(t, "acme", used("e4", func(u *events.Usage) { u.Retracts = "e1" })), nil, "422", 0},
		{"an unknown form", acme, "in.acme", body, nats.Header{"Content-Type": {"text/plain"}}, "415", 0},
		{"nonsense", acme, "in.acme", []byte("nonsense"), nil, "400", 0},
		{"another's nodes", other, "in.other", batch(used("e1")), nats.Header{"Content-Type": {batchMedia}}, "422", 0},
		{"another's segment", other, "in.other", packedBody(t, "acme", used("e1")), nil, "403", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := len(b.stored())
			a, status := request(test.conn, test.subject, test.data, test.header)
			if status != test.status || a.Accepted != test.accepted {
				t.Errorf("status %s, answer %+v", status, a)
			}
			if n := len(b.stored()) - before; n != test.accepted {
				t.Errorf("stored %d", n)
			}
		})
	}

	stored := len(b.stored())
	// Fails when a grant lets a provider publish to in.*.
	for _, subject := range []string{"in.acme", "usage.0", "control.node_declared", "$JS.API.STREAM.DELETE.USAGE-0-0"} {
		if _, err := other.Request(subject, packedBody(t, "acme", used("e9")), 200*time.Millisecond); err == nil {
			t.Errorf("%s: answered", subject)
		}
		select {
		case err := <-denied:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s: %v", subject, err)
			}
		case <-time.After(time.Minute):
			t.Errorf("%s: allowed", subject)
		}
	}
	if n := len(b.stored()); n != stored {
		t.Errorf("stored %d more", n-stored)
	}
	b.declare(events.KeyRevoked{Key: "acme-nats"})
	if a, status := request(acme, "in.acme", packedBody(t, "acme", used("e1")), nil); status != "403" || a.Accepted != 0 {
		t.Errorf("a revoked key: %s %+v", status, a)
	}
}
