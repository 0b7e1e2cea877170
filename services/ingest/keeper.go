package ingest

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

const (
	keptAhead   = 256 // submissions waiting to be kept, at most about 120 KB each
	keepTimeout = 5 * time.Second
)

// keeper stores refused submissions independently of everything else: those for
// which it has no room are dropped and counted.
type keeper struct {
	stream  *eventlog.Stream // nil stores none
	logger  *slog.Logger
	queue   chan events.RefusedSubmission
	dropped atomic.Uint64
}

func newKeeper(stream *eventlog.Stream, logger *slog.Logger) *keeper {
	return &keeper{stream: stream, logger: logger, queue: make(chan events.RefusedSubmission, keptAhead)}
}

func (k *keeper) add(r events.RefusedSubmission) {
	if k.stream == nil {
		return
	}
	select {
	case k.queue <- r:
	default:
		k.dropped.Add(1)
	}
}

// run writes until ctx ends, and then what is still waiting.
func (k *keeper) run(ctx context.Context) {
	for {
		select {
		case r := <-k.queue:
			k.write(ctx, r)
			continue
		case <-ctx.Done():
		}
		for {
			select {
			case r := <-k.queue:
				k.write(ctx, r)
			default:
				return
			}
		}
	}
}

func (k *keeper) write(ctx context.Context, r events.RefusedSubmission) {
	data, err := events.AppendRefused(nil, r)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
		defer cancel()
		_, err = k.stream.Publish(ctx, eventlog.RefusedSubject(string(r.Provider)), data, eventlog.PublishOptions{})
	}
	if err != nil {
		k.dropped.Add(1)
		k.logger.Warn("keeping a refused submission", "provider", string(r.Provider), "error", err)
	}
}

// Dropped returns how many refused submissions could not be stored since the
// start.
func (s *Service) Dropped() uint64 { return s.keeper.dropped.Load() }
