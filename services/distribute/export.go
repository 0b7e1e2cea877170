package distribute

import (
	"context"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/distribute/rails"
)

// Batches reads batches and their payouts; every store does.
type Batches interface {
	Batch(ctx context.Context, name string) (distribution.Batch, bool, error)
	Payouts(ctx context.Context, id string, state distribution.State, each func(distribution.Payout) error) error
}

// Export hands a batch that CONTROL says was submitted over to its rail, and
// returns where it is. It may be repeated: a batch is the same whatever has
// become of its payouts since.
func Export(ctx context.Context, store Batches, rail rails.Rail, name string) (place string, count int, err error) {
	batch, err := BatchOf(ctx, store, name)
	if err != nil {
		return "", 0, err
	}
	if batch.Rail != rail.Name() {
		return "", 0, fmt.Errorf("exporting batch %s: it is for rail %s, not %s", name, batch.Rail, rail.Name())
	}
	place, err = rail.Submit(ctx, batch.Batch)
	if err != nil {
		return "", 0, fmt.Errorf("exporting batch %s: %w", name, err)
	}
	return place, len(batch.Payouts), nil
}

// RailBatch is a batch and the rail that it is for.
type RailBatch struct {
	rails.Batch
	Rail events.Rail
}

// BatchOf reads a batch: every payout of its distribution that was not
// withheld when the batch was submitted.
func BatchOf(ctx context.Context, store Batches, name string) (b RailBatch, err error) {
	batch, ok, err := store.Batch(ctx, name)
	if err != nil {
		return b, err
	}
	if !ok {
		return b, fmt.Errorf("batch %s was not submitted", name)
	}
	b = RailBatch{Batch: rails.Batch{Name: name, Distribution: batch.Distribution}, Rail: batch.Rail}
	err = store.Payouts(ctx, batch.Distribution, "", func(p distribution.Payout) error {
		if p.State != distribution.Planned && p.State != distribution.Withheld {
			b.Payouts = append(b.Payouts, rails.Payout{ID: p.ID, Holder: p.Holder, Asset: p.Asset, Amount: p.Amount})
		}
		return nil
	})
	return b, err
}
