package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Again is an engine whose every write is repeated while it is interrupted, as the
// loops of the services do: the suite then passes on a database that interrupts.
// What it does not repeat are questions: those the store repeats itself.
func Again(engine store.Engine) store.Engine { return again{engine} }

type again struct{ store.Engine }

func repeat(ctx context.Context, do func() error) error {
	for {
		err := do()
		if !errors.Is(err, settlement.ErrInterrupted) && !errors.Is(err, distribution.ErrInterrupted) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Millisecond):
		}
	}
}

func (a again) Settle(ctx context.Context, partition int, stream string, created int64, nonce string) (c store.SettleCommitter, at settlement.Cursor, err error) {
	err = repeat(ctx, func() error {
		c, at, err = a.Engine.Settle(ctx, partition, stream, created, nonce)
		return err
	})
	return settles{c}, at, err
}

func (a again) Distribute(ctx context.Context, nonce string) (c store.DistributeCommitter, at distribution.Cursor, err error) {
	err = repeat(ctx, func() error {
		c, at, err = a.Engine.Distribute(ctx, nonce)
		return err
	})
	return distributes{c}, at, err
}

func (a again) SetRelayed(ctx context.Context, writer string, number, position uint64) error {
	return repeat(ctx, func() error { return a.Engine.SetRelayed(ctx, writer, number, position) })
}

func (a again) Belong(ctx context.Context, installation string) error {
	return repeat(ctx, func() error { return a.Engine.Belong(ctx, installation) })
}

func (a again) Sign(ctx context.Context, key string, before []string) error {
	return repeat(ctx, func() error { return a.Engine.Sign(ctx, key, before) })
}

func (a again) Rebind(ctx context.Context, stream string, created int64) error {
	return repeat(ctx, func() error { return a.Engine.Rebind(ctx, stream, created) })
}

type settles struct{ store.SettleCommitter }

func (s settles) Commit(ctx context.Context, from uint64, cuts []*settlement.Cut, encoded [][][]byte) error {
	return repeat(ctx, func() error { return s.SettleCommitter.Commit(ctx, from, cuts, encoded) })
}

type distributes struct{ store.DistributeCommitter }

func (d distributes) Commit(ctx context.Context, control, read distribution.Mark, step *distribution.Step) error {
	return repeat(ctx, func() error { return d.DistributeCommitter.Commit(ctx, control, read, step) })
}
