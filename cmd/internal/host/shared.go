package host

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
)

// ackTimeout is how long a publisher waits for an acknowledgement before it
// reads the stream back. A stream has a new leader a few seconds after it has
// lost one, and the acknowledgement of the old leader never arrives.
const ackTimeout = 5 * time.Second

// openShared starts one role on a cluster and a database that other processes
// also use. A process that waits for its turn counts as started.
func (p *Process) openShared(ctx context.Context) (err error) {
	shared := p.config.Shared
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	p.who = fmt.Sprintf("%s, process %d, %s", host, os.Getpid(), rand.Text()[:8])
	if shared.Role != Distribute {
		if p.partitions, err = ParsePartitions(shared.Partitions); err != nil {
			return err
		}
	}
	if p.operator, err = operatorToken(shared.OperatorTokenFile); err != nil {
		return err
	}
	p.log, err = eventlog.Open(ctx, eventlog.Config{
		URL: shared.NATSURL, Credentials: shared.NATS, Replicas: shared.Replicas, AckTimeout: ackTimeout, Logger: p.config.Logger,
	})
	if err != nil {
		return err
	}
	if err := p.openStreams(ctx); err != nil {
		return err
	}
	if p.store, err = openDatabase(ctx, p.config.DatabaseURL, p.config.Logger); err != nil {
		return err
	}
	if err := p.store.Belong(ctx, p.log.Installation()); err != nil {
		return err
	}
	if err := p.sameStreams(ctx); err != nil {
		return err
	}
	background := p.begin(ctx)
	if err := p.watch(); err != nil {
		return err
	}
	switch shared.Role {
	case Ingest:
		return p.startIngest(ctx, background)
	case Settle:
		for _, partition := range p.partitions {
			p.own(background, p.settling(partition))
		}
	case Distribute:
		p.own(background, p.distributing())
	case Keep:
		return p.startKeep(ctx, background)
	}
	return p.serve(background, p.health())
}

// sameStreams refuses a database that belongs to other streams: to another
// installation, or to one whose streams were created again.
func (p *Process) sameStreams(ctx context.Context) error {
	now, err := p.store.Progress(ctx)
	if err != nil {
		return err
	}
	for _, c := range now.Settled {
		stream := p.streams.usage[c.Partition]
		if stream == nil {
			continue
		}
		if c.Stream != stream.Name() || c.Created != stream.Created().UnixNano() {
			return fmt.Errorf("the database belongs to another stream %s, made at %s; this one was made at %s: two installations are mixed up",
				stream.Name(), time.Unix(0, c.Created).UTC().Format(time.RFC3339Nano), stream.Created().UTC().Format(time.RFC3339Nano))
		}
	}
	return nil
}

// startIngest starts the intake of usage, over HTTP and NATS, and the API.
func (p *Process) startIngest(ctx, background context.Context) error {
	if err := p.intake(background); err != nil {
		return err
	}
	p.run(background, "ingest over NATS", p.overNATS)
	if err := p.caughtUp(ctx, background, p.inEffect); err != nil {
		return err
	}
	return p.serve(background, p.api())
}

// intake starts what the API needs: the intake of usage, and the progress of
// the other processes.
func (p *Process) intake(background context.Context) error {
	asked := newAsked(p.store, p.partitions, p.config.Logger)
	p.settlers, p.payer, p.failing = asked.settlers(), asked, asked.failing
	if err := p.newIngest(nil); err != nil {
		return err
	}
	p.run(background, "progress", asked.run)
	p.run(background, "ingest", p.ingest.Run)
	return nil
}

// inEffect waits until this process knows everything that is in effect: a key
// or a node that was declared long ago must not be unknown after a start. If
// one partition is behind another, it waits for the settlers.
func (p *Process) inEffect(ctx context.Context) error {
	now, err := p.store.Progress(ctx)
	if err != nil {
		return err
	}
	k := uint64(0)
	for _, c := range now.Settled {
		k = max(k, c.Control)
	}
	if err := p.ingest.WaitDirectory(ctx, k); err != nil {
		return fmt.Errorf("waiting until every partition has settled up to control position %d: %w", k, err)
	}
	return nil
}

// Health is the answer of /readyz for a process without an API.
type Health struct {
	Healthy bool              `json:"healthy"`
	Reason  string            `json:"reason,omitempty"`
	Parts   map[string]string `json:"parts"` // state of each part, by name
}

// healthTimeout limits one question about health.
const healthTimeout = 5 * time.Second

// health serves /livez, /readyz and /metrics. A standby is ready: it does what
// it is meant to do.
func (p *Process) health() http.Handler {
	mux := http.NewServeMux()
	if page := p.config.Telemetry.Page(); page != nil {
		mux.Handle("GET /metrics", page) // only operators reach this address
	}
	mux.HandleFunc("GET /livez", lives)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
		defer cancel()
		h := Health{Healthy: true, Parts: map[string]string{}}
		p.mu.Lock()
		for name, state := range p.parts {
			h.Parts[name] = state
		}
		p.mu.Unlock()
		err := p.log.Healthy()
		if err == nil {
			_, err = p.store.Progress(ctx)
		}
		if err != nil {
			h.Healthy, h.Reason = false, err.Error()
		}
		w.Header().Set("Content-Type", "application/json")
		if !h.Healthy {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(h) // a client that has gone asks again
	})
	return mux
}

// lives answers /livez.
func lives(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("\"ok\"\n")) // a client that has gone asks again
}

// unready answers 503 with a reason.
func unready(w http.ResponseWriter, reason string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(map[string]any{ // a client that has gone asks again
		"title": http.StatusText(http.StatusServiceUnavailable), "status": http.StatusServiceUnavailable, "detail": reason,
	})
}

// operatorToken reads the hash of the operator's token; zero if there is none.
func operatorToken(file string) (hash [sha256.Size]byte, err error) {
	if file == "" {
		return hash, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return hash, fmt.Errorf("reading the operator token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if len(token) < 16 {
		return hash, fmt.Errorf("reading the operator token: %s has %d characters, but at least 16 are required", file, len(token))
	}
	return sha256.Sum256([]byte(token)), nil
}
