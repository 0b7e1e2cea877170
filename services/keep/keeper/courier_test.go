package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/witness"
)

const patience = 2 * time.Minute

// auditor is a witness with a server that can be switched off.
type auditor struct {
	*witness.Witness
	dir    string
	server *httptest.Server
	away   atomic.Bool
}

func newAuditor(t *testing.T, name string, key *tlog.PublicKey) *auditor {
	t.Helper()
	a := &auditor{dir: t.TempDir()}
	var err error
	a.Witness, err = witness.Open(witness.Config{Dir: a.dir, Name: name, Keys: []*tlog.PublicKey{key}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	handler := a.Handler()
	a.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.away.Load() {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(a.server.Close)
	return a
}

// policyOf returns the policy that requires most of the auditors in list.
func policyOf(t *testing.T, most int, key *tlog.PublicKey, list ...*auditor) *tlog.Policy {
	t.Helper()
	text := fmt.Sprintf("log %s\n", key)
	names := ""
	for i, a := range list {
		text += fmt.Sprintf("witness w%d %s %s\n", i, a.PublicKey(), a.server.URL)
		names += fmt.Sprintf(" w%d", i)
	}
	p, err := tlog.ParsePolicy([]byte(text + fmt.Sprintf("group g %d%s\nquorum g\n", most, names)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// within waits until a condition is met.
func within(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !met(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// cosignedBy reports whether the published checkpoint has this size and the
// cosignatures that a policy requires.
func (p *place) cosignedBy(keys *tlog.Succession, by string, policy *tlog.Policy, size uint64) bool {
	signed, err := os.ReadFile(filepath.Join(LogDir(p.dir, "CONTROL"), by))
	if err != nil {
		return false
	}
	c, opened, _, err := keys.Open(signed, "control", policy.Verifiers()...)
	if err != nil {
		p.t.Fatal(err)
	}
	return c.Size == size && policy.Check(opened) == nil
}

func (p *place) run(witnesses []tlog.PolicyWitness) (k *Keeper, stop func()) {
	p.t.Helper()
	k, err := Open(p.t.Context(), Config{
		Dir: p.dir, Usage: []*eventlog.Stream{p.usage}, Streams: []*eventlog.Stream{p.control}, Store: p.store, Witnesses: witnesses,
		Every: 5 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	return k, func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			p.t.Errorf("the keeper ended with %v", err)
		}
		if err := k.Close(); err != nil {
			p.t.Error(err)
		}
	}
}

// Every witness is asked, and a witness that is away stops nothing and comes
// back. Fails when a round waits for all witnesses, or when the proof does not
// begin at the size that the witness has.
func TestTheKeeperPublishesWhatWitnessesCosign(t *testing.T) {
	p := newPlace(t)
	p.publish(p.control, 3)
	p.keep()
	keys, err := Keys(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	key := keys.Current()
	one, two := newAuditor(t, "witness.example/one", key), newAuditor(t, "witness.example/two", key)
	// The third one answers nonsense, and nothing listens at the address of the
	// fourth.
	liar := newAuditor(t, "witness.example/liar", key)
	liar.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "— nobody AAAA\n") })
	both, any := policyOf(t, 2, key, one, two), policyOf(t, 1, key, one, two)
	k, stop := p.run(both.Witnesses)
	within(t, "both cosign", func() bool { return p.cosignedBy(keys, tiles.CosignedByAll, both, 3) })
	server := httptest.NewServer(k.Handler())
	defer server.Close()
	fetch := func(path string) []byte {
		response, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, path := range []string{"/tlog/control/checkpoint", "/tlog/control/cosigned"} {
		if _, opened, _, err := keys.Open(fetch(path), "control", both.Verifiers()...); err != nil || both.Check(opened) != nil {
			t.Errorf("%s is not cosigned: %v", path, err)
		}
	}
	two.away.Store(true)
	p.publish(p.control, 4)
	within(t, "one cosigns alone", func() bool { return p.cosignedBy(keys, tiles.CosignedBySome, any, 7) })
	if !p.cosignedBy(keys, tiles.CosignedByAll, both, 3) || p.cosignedBy(keys, tiles.CosignedBySome, both, 7) {
		t.Error("what both have cosigned is lost, or made up")
	}
	p.publish(p.control, 4)
	within(t, "the log goes on", func() bool { return p.size(p.control) == 11 })
	two.away.Store(false)
	within(t, "the other comes back", func() bool { return p.cosignedBy(keys, tiles.CosignedByAll, both, 11) })
	stop()

	witnesses := []tlog.PolicyWitness{
		policyOf(t, 1, key, liar).Witnesses[0], {Name: "nowhere", Key: both.Witnesses[0].Key, URL: "http://127.0.0.1:1"}, both.Witnesses[1],
	}
	_, stop = p.run(witnesses)
	p.publish(p.control, 1)
	within(t, "two cosigns beside a liar", func() bool { return p.cosignedBy(keys, tiles.CosignedBySome, any, 12) })
	stop()

	// The puller sees the same checkpoint, and the index that it reads first.
	puller := newAuditor(t, "witness.example/puller", key)
	list, err := puller.Puller(server.URL).Pull(t.Context())
	if err != nil || len(list) != 2 || list[0].Log != "control" || list[0].Seen != 12 || list[0].Fault != "" {
		t.Errorf("%+v, %v", list, err)
	}

	// The log is replaced by an older copy, together with everything that
	// remembers it. The witnesses notice.
	for _, name := range []string{"tlog", "archive", "streams"} {
		if name == "streams" {
			if err := p.log.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.RemoveAll(filepath.Join(p.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	again := newPlaceIn(t, p.dir)
	if _, err := again.control.Publish(t.Context(), "control.Test", []byte("another first decision"), eventlog.PublishOptions{}); err != nil {
		t.Fatal(err)
	}
	again.publish(again.control, 12)
	var said bytes.Buffer
	c := &courier{name: "control", keys: keys, logger: slog.New(slog.NewTextHandler(&said, nil)), client: http.DefaultClient}
	again.keep()
	secret, err := EnsureKey(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	if c.log, err = tiles.Open(LogDir(p.dir, "CONTROL"), keys.Origin("control"), secret); err != nil {
		t.Fatal(err)
	}
	checkpoint, signed, err := c.log.Reader().Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	c.text = signed
	c.ask(t.Context(), &asked{PolicyWitness: both.Witnesses[1]}, checkpoint)
	if !strings.Contains(said.String(), "422") {
		t.Errorf("another history: %s", said.String())
	}
	if list, err := puller.Puller(server.URL).Pull(t.Context()); err != nil || list[0].Kind != witness.Forked {
		t.Errorf("%+v, %v", list, err)
	}
	smaller := tlog.Checkpoint{Origin: checkpoint.Origin, Size: 5, Root: tlog.EmptyRoot()}
	if c.text, err = smaller.Sign(secret); err != nil {
		t.Fatal(err)
	}
	c.ask(t.Context(), &asked{PolicyWitness: both.Witnesses[1]}, smaller)
	if !strings.Contains(said.String(), "has cosigned a larger tree") || !strings.Contains(said.String(), "level=ERROR") {
		t.Errorf("a smaller tree: %s", said.String())
	}
}
