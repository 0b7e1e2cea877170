package distribute

import (
	"context"
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// begin checks that the streams are those that the cursor knows, and folds
// CONTROL up to it.
func (d *Distributor) begin(ctx context.Context) error {
	c := d.committed
	for _, s := range []struct {
		stream *eventlog.Stream
		mark   *distribution.Mark
	}{{d.config.Control, &c.Control}, {d.config.Ledger, &c.Ledger}} {
		created := time.Time{}
		if s.mark.Created != 0 {
			created = time.Unix(0, s.mark.Created)
		}
		err := d.patiently(ctx, func() error { return s.stream.Verify(ctx, s.mark.Position, s.mark.Hash, created) })
		if err != nil {
			return fmt.Errorf("checking %s at the cursor: %w", s.stream.Name(), err)
		}
		s.mark.Created = s.stream.Created().UnixNano()
	}
	// From here on the step has the marks, with the streams' creation times.
	d.step = &distribution.Step{Control: c.Control, Ledger: c.Ledger}
	decided, err := d.replayControl(ctx, c.Control.Position)
	if err != nil {
		return err
	}
	if err := d.show.count(ctx, d.config.Store, decided); err != nil {
		return err
	}
	if d.watched, err = d.watch(); err != nil {
		return err
	}
	d.publish()
	d.ledger, err = d.config.Ledger.Read(ctx, c.Ledger.Position+1, "")
	return err
}

// replayControl folds the decisions up to the cursor, whose effects are in the
// store already. It returns the distributions among them, each with the last
// time at which payouts of it were submitted.
func (d *Distributor) replayControl(ctx context.Context, through uint64) (map[string]time.Time, error) {
	decided := map[string]time.Time{}
	if through == 0 {
		return decided, nil
	}
	r, err := d.config.Control.Read(ctx, 1, "")
	if err != nil {
		return nil, err
	}
	defer r.Stop()
	for at := uint64(0); at < through; {
		m, err := r.Next(ctx)
		if err != nil {
			return nil, err
		}
		at = m.Seq
		body, _, err := d.apply(m)
		if err != nil {
			return nil, fmt.Errorf("control position %d: %w", m.Seq, err)
		}
		switch b := body.(type) {
		case events.DistributionDeclared:
			decided[b.Distribution] = d.decidedAt
			d.show.declare(b.Distribution, m.Trace())
		case events.PayoutRunDeclared:
			decided[b.Run] = d.decidedAt
			d.show.declare(b.Run, m.Trace())
		case events.PayoutsSubmitted:
			decided[b.Distribution] = d.decidedAt
			d.show.declare(b.Batch, m.Trace())
		}
	}
	return decided, nil
}
