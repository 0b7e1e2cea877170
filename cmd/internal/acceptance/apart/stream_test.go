package apart

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/eventlog/clustertest"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// streams opens the cluster's streams beside the services.
func (i *installation) streams() *eventlog.Log {
	i.t.Helper()
	l, err := eventlog.Open(i.t.Context(), eventlog.Config{
		URL: i.cluster.URL(), Credentials: i.cluster.Credentials(), Replicas: clustertest.Size, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = l.Close() })
	return l
}

// barriers waits until every partition has a barrier for the last decision.
func (i *installation) barriers(decisions uint64) {
	i.t.Helper()
	l := i.streams()
	control, err := l.Control(i.t.Context())
	if err != nil {
		i.t.Fatal(err)
	}
	closings := func() (n uint64, last uint64) {
		if last, err = control.Last(i.t.Context()); err != nil {
			i.t.Fatal(err)
		}
		for at := last; at > 0 && last-at < decisions; at-- {
			m, err := control.Get(i.t.Context(), at)
			if err != nil {
				i.t.Fatal(err)
			}
			if d, err := events.DecodeDecision(m.Data); err == nil && d.Body.Kind() == (events.PeriodClosed{}).Kind() {
				n++
			}
		}
		return n, last
	}
	var last uint64
	i.eventually("the closings are in CONTROL", patience, func(context.Context) error {
		var n uint64
		if n, last = closings(); n < books {
			return fmt.Errorf("%d of %d", n, books)
		}
		return nil
	})
	for partition := range books {
		usage, err := l.Usage(i.t.Context(), uint32(partition), 0)
		if err != nil {
			i.t.Fatal(err)
		}
		i.eventually(fmt.Sprint("the barrier of partition ", partition), patience, func(ctx context.Context) error {
			end, err := usage.Last(ctx)
			if err != nil {
				return err
			}
			for at := end; at > 0 && end-at < 64; at-- {
				raw, err := usage.Get(ctx, at)
				if err != nil {
					return err
				}
				var m events.Message
				if _, err := m.Decode(raw.Data, nil); err == nil && m.Kind == events.Barrier && m.Control >= last {
					return nil
				}
			}
			return fmt.Errorf("none for control position %d up to %d", last, end)
		})
	}
}

// published is the digest of LEDGER and PAYOUT: every message, at its position.
func (i *installation) published() string {
	i.t.Helper()
	l := i.streams()
	digest := sha256.New()
	for _, open := range []func(context.Context) (*eventlog.Stream, error){l.Ledger, l.Payout} {
		s, err := open(i.t.Context())
		if err != nil {
			i.t.Fatal(err)
		}
		last, err := s.Last(i.t.Context())
		if err != nil {
			i.t.Fatal(err)
		}
		fmt.Fprintf(digest, "%s %d\n", s.Name(), last)
		if last == 0 {
			continue
		}
		r, err := s.Read(i.t.Context(), 1, "")
		if err != nil {
			i.t.Fatal(err)
		}
		for at := uint64(0); at < last; {
			ctx, cancel := context.WithTimeout(i.t.Context(), time.Minute)
			m, err := r.Next(ctx)
			cancel()
			if err != nil {
				i.t.Fatal(err)
			}
			at = m.Seq
			fmt.Fprintf(digest, "%d %s %x\n", m.Seq, m.Subject, sha256.Sum256(m.Data))
		}
		r.Stop()
	}
	return fmt.Sprintf("%x", digest.Sum(nil))
}
