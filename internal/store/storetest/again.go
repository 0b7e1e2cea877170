package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Again returns an engine that repeats every interrupted write, as the loops of
// the services do, so that the suite passes on a database that interrupts. It
// does not repeat queries, because the store repeats these itself.
func Again(engine store.Engine) store.Engine { return again{engine} }

type again struct{ store.Engine }

func repeat(ctx context.Context, do func() error) error {
	return retry.Policy{Pause: time.Millisecond, Again: func(err error) bool {
		return errors.Is(err, settlement.ErrInterrupted) || errors.Is(err, distribution.ErrInterrupted)
	}}.Do(ctx, do)
}

func (a again) Write(ctx context.Context, f func(store.Tx) error) error {
	return repeat(ctx, func() error { return a.Engine.Write(ctx, f) })
}

func (a again) Settler(tx store.Tx, partition int) (store.CutWriter, error) {
	w, err := a.Engine.Settler(tx, partition)
	return cuts{w}, err
}

func (a again) Distributor(tx store.Tx) (store.StepWriter, error) {
	w, err := a.Engine.Distributor(tx)
	return steps{w}, err
}

type cuts struct{ store.CutWriter }

func (c cuts) Commit(ctx context.Context, move store.Statement, list []*settlement.Cut, encoded [][][]byte) error {
	return repeat(ctx, func() error { return c.CutWriter.Commit(ctx, move, list, encoded) })
}

type steps struct{ store.StepWriter }

func (s steps) Commit(ctx context.Context, move store.Statement, step *distribution.Step) error {
	return repeat(ctx, func() error { return s.StepWriter.Commit(ctx, move, step) })
}
