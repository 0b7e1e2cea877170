package distribute

import (
	"context"
	"fmt"
	"io"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/distribute/rails"
)

// Batches reads distributions, their batches and their payouts; every store does.
type Batches interface {
	Distribution(ctx context.Context, id string) (distribution.Distribution, bool, error)
	Batch(ctx context.Context, name string) (distribution.Batch, bool, error)
	Payouts(ctx context.Context, id string, state distribution.State, each func(distribution.Payout) error) error
}

// Submission returns the decision that hands the planned payouts of a
// distribution or payout run to its rail in one batch, and its id. Repeating
// the call returns the same. A distribution that is declared but not made yet
// will be planned for [Rail].
func Submission(ctx context.Context, store Batches, id string) (string, events.PayoutsSubmitted, error) {
	rail := Rail
	made, ok, err := store.Distribution(ctx, id)
	if err != nil {
		return "", events.PayoutsSubmitted{}, err
	}
	if ok {
		rail = made.Rail
	}
	batch := events.BatchID(id, rail)
	return events.SubmissionID(batch), events.PayoutsSubmitted{Batch: batch, Rail: rail, Distribution: id}, nil
}

// RailBatch is a batch and the rail that it is for.
type RailBatch struct {
	rails.Batch
	Rail events.Rail
}

// BatchOf reads a batch: every payout of its distribution that was not withheld
// when the batch was submitted. ok is false if no such batch was submitted.
func BatchOf(ctx context.Context, store Batches, name string) (b RailBatch, ok bool, err error) {
	batch, ok, err := store.Batch(ctx, name)
	if err != nil || !ok {
		return b, false, err
	}
	b = RailBatch{Batch: rails.Batch{Name: name, Distribution: batch.Distribution}, Rail: batch.Rail}
	err = store.Payouts(ctx, batch.Distribution, "", func(p distribution.Payout) error {
		if p.State != distribution.Planned && p.State != distribution.Withheld {
			b.Payouts = append(b.Payouts, rails.Payout{ID: p.ID, Holder: p.Holder, Asset: p.Asset, Amount: p.Amount})
		}
		return nil
	})
	return b, err == nil, err
}

// Export writes a batch in the format of its rail, and returns the media type.
// It may be repeated: a batch stays the same whatever happens to its payouts
// later.
func (b RailBatch) Export(w io.Writer) (contentType string, err error) {
	rail, err := rails.Of(b.Rail)
	if err == nil {
		err = rail.Write(w, b.Batch)
	}
	if err != nil {
		return "", fmt.Errorf("exporting batch %s: %w", b.Name, err)
	}
	return rail.ContentType(), nil
}
