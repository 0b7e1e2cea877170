package ingest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/ingest"
)

// settled is a settler with its store. It has settled what the test says.
type settled struct {
	mu        sync.Mutex // guards what follows
	outcomes  map[uint64]settlement.Outcome
	originals map[uint64]settlement.Original // by sequence
	ids       map[[16]byte]settlement.Identity
}

func (s *settled) WaitEffective(context.Context, uint64) error { return nil }

func (s *settled) WaitSettled(ctx context.Context, _ int, position uint64) error {
	if _, ok, _ := s.Outcome(ctx, 0, position); ok {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *settled) Outcome(_ context.Context, _ int, position uint64) (settlement.Outcome, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.outcomes[position]
	return o, ok, nil
}

func (s *settled) Original(_ context.Context, source settlement.Source, sequence uint64) (settlement.Original, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.originals[sequence]
	return o, ok && o.Source == source, nil
}

func (s *settled) Lookup(key [16]byte) (settlement.Identity, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.ids[key]
	return id, ok, nil
}

func TestOutcomesAreFoundByHandleSequenceAndIdentity(t *testing.T) {
	fake := &settled{
		outcomes: map[uint64]settlement.Outcome{1: {Position: 1, Events: 4, Runs: []settlement.Run{
			{Events: 1, Outcome: events.Accepted}, {Events: 1, Outcome: events.Late},
			{Events: 1, Outcome: events.Duplicate}, {Events: 1, Outcome: events.Refused, Reason: events.NoRate},
		}}},
		originals: map[uint64]settlement.Original{7: {Source: settlement.Source{Provider: "acme", Source: "meter-1", Epoch: 3}, Position: 1, Segment: 1}},
		ids:       map[[16]byte]settlement.Identity{packed.IdentityKey("acme", "meter-1", "b"): {Position: 1, Ordinal: 1}},
	}
	b := open(t, eventlog.Config{}, func(c *ingest.Config) { c.Settler, c.Store, c.Identities = fake, fake, fake })
	numbered := used("", func(u *events.Usage) { u.Sequenced, u.Epoch, u.Sequence = true, 3, 7 })
	first := b.post(batchMedia, batch(used("a"), used("b"), used("c"), numbered), "Prefer", `respond-async, wait="10"`)
	if first.status != 200 || first.Outcomes == nil || !first.Outcomes.Settled {
		t.Fatalf("answer %+v", first)
	}
	exceptions := []events.Exception{
		{Position: 1, Ordinal: 1, Source: "meter-1", ID: "b", Outcome: "late"},
		{Position: 1, Ordinal: 2, Source: "meter-1", ID: "c", Outcome: "duplicate"},
		{Position: 1, Ordinal: 3, Source: "meter-1", ID: "3/7", Outcome: "refused", Reason: events.NoRate},
	}
	if o := first.Outcomes; o.Accepted != 1 || o.Late != 1 || o.Duplicate != 1 || o.Refused != 1 || !reflect.DeepEqual(o.Exceptions, exceptions) {
		t.Errorf("outcomes %+v", o)
	}
	if second := b.post(batchMedia, batch(used("d")), "Prefer", "wait=1"); second.status != 202 || second.Outcomes == nil || second.Outcomes.Settled {
		t.Errorf("what is not settled in time: %+v", second)
	}

	tests := []struct {
		name, query, token string
		status             int
		want               string
	}{
		{"a handle", "position=1&first=1&count=2", acmeToken, 200, "true 0 1 1 0"},
		{"all of a message", "partition=0&position=1&first=0&count=4", operatorToken, 200, "true 1 1 1 1"},
		{"an auditor", "position=1&first=0&count=1", auditorToken, 200, "true 1 0 0 0"},
		{"a sequence", "source=meter-1&epoch=3&sequence=7", acmeToken, 200, "true 0 0 0 1"},
		{"an identity", "source=meter-1&id=b", acmeToken, 200, "true 0 1 0 0"},
		{"an identity of a provider", "source=meter-1&id=b&provider=acme", auditorToken, 200, "true 0 1 0 0"},
		{"what is not settled", "position=2&count=1", acmeToken, 200, "false 0 0 0 0"},
		{"another's handle", "position=1&count=1", otherToken, 404, ""},
		{"another's identity", "source=meter-1&id=b", otherToken, 404, ""},
		{"asked for as another", "source=meter-1&id=b&provider=acme", otherToken, 403, ""},
		{"more than there is", "position=1&first=3&count=2", acmeToken, 404, ""},
		{"an unknown position", "position=99&count=1", acmeToken, 404, ""},
		{"an unknown sequence", "source=meter-1&epoch=3&sequence=8", acmeToken, 404, ""},
		{"an unknown identity", "source=meter-1&id=z", acmeToken, 404, ""},
		{"an identity of nobody", "source=meter-1&id=b", operatorToken, 400, ""},
		{"nothing", "", acmeToken, 400, ""},
		{"no number", "position=one", acmeToken, 400, ""},
		{"no key", "position=1", "guess", 401, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.server.URL+"/v1/usage/outcomes?"+test.query, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+test.token)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode != test.status {
				t.Fatalf("status %d", response.StatusCode)
			}
			if test.want == "" {
				return
			}
			var o struct {
				Handle events.Handle `json:"handle"`
				events.Outcomes
			}
			if err := json.NewDecoder(response.Body).Decode(&o); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(o.Settled, o.Accepted, o.Late, o.Duplicate, o.Outcomes.Refused); got != test.want || o.Handle.Count == 0 {
				t.Errorf("got %s, want %s; %+v", got, test.want, o.Handle)
			}
		})
	}
}
