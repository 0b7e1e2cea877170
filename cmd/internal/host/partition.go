package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/relay"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/ids"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/settle"
)

// partition is one partition of a shared process. This process settles it, or
// stands by for the process that does.
type partition struct {
	p      *Process
	number int
	usage  *eventlog.Stream
	index  *ids.Store

	watermark uint64    // the index is complete up to this position
	warmed    time.Time // when it was last brought up to date
}

// settling is the work of settling a partition.
func (p *Process) settling(number int) work {
	s := &partition{p: p, number: number, usage: p.streams.usage[number]}
	return work{name: fmt.Sprintf("settle.%d", number), open: s.open, close: s.close, warm: s.warm, run: s.settle}
}

func (s *partition) open(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.p.config.Dir, 0o700); err != nil {
		return fmt.Errorf("opening the folder: %w", err)
	}
	if s.index, err = ids.Open(filepath.Join(s.p.config.Dir, fmt.Sprintf("ids-%d", s.number))); err != nil {
		return err
	}
	if s.watermark, err = s.index.Bind(ctx, s.usage.Name(), s.usage.Created().UnixNano()); err != nil {
		_ = s.index.Close() // the first error is reported
	}
	return err
}

func (s *partition) close() error { return s.index.Close() }

// warmEvery is how often a standby updates its index.
const warmEvery = 5 * time.Second

// warm reads what the owner has settled since the last call. After a failure it
// tries again with the next call: a standby has time.
func (s *partition) warm(ctx context.Context) {
	if time.Since(s.warmed) < warmEvery {
		return
	}
	s.warmed = time.Now()
	now, err := s.p.store.Cursor(ctx, s.number)
	if err == nil && now.Position > s.watermark {
		outcomes := func(ctx context.Context, from, to uint64, each func(settlement.Outcome) error) error {
			return s.p.store.Outcomes(ctx, s.number, from, to, each)
		}
		err = settle.Rebuild(ctx, s.usage, s.index, outcomes, s.watermark, now.Position)
	}
	if err != nil {
		if ctx.Err() == nil {
			s.p.config.Logger.Warn("the index of identities is not up to date", "partition", s.number, "position", s.watermark, "cause", err)
		}
		return
	}
	s.watermark = max(s.watermark, now.Position)
}

// settle takes over the cursor and settles.
func (s *partition) settle(ctx context.Context) error {
	var loop *settle.Settler
	var part *store.Settle
	mine := nonce()
	err := s.p.takeOver(ctx, func() (err error) {
		loop, part, err = s.p.takeSettle(ctx, s.number, s.index, mine)
		return err
	})
	if err != nil {
		return err
	}
	err = guarded(ctx, loop.Run, part.Owned)
	if ctx.Err() != nil {
		s.relayRest(ctx, part)
	}
	return err
}

// relayRest publishes committed records to their stream, if the loop was
// stopped in order. The next owner publishes those that it cannot publish now.
func (s *partition) relayRest(ctx context.Context, part *store.Settle) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	if err := relay.New(settle.Journal{Written: part}, s.p.streams.ledger, s.p.config.Logger).Drain(ctx); err != nil {
		s.p.config.Logger.Warn("the next owner publishes the rest", "cause", err)
	}
}
