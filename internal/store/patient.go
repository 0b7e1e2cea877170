package store

import (
	"context"
	"errors"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// The loops of settle and distribute read what they have committed. While the
// database is gone they have nothing else to do: their questions, which are the
// methods of [Settle], [Distribute] and [Writer], wait and are asked again until
// their context ends. This is the one place that repeats a question; commits are
// repeated by the loops, which know what may be repeated. Whoever else asks, asks
// the [DB], and is told at once.

// Pauses between two tries.
const (
	firstPause = 50 * time.Millisecond
	longPause  = time.Second
)

// patiently asks until the database answers.
func patiently[T any](ctx context.Context, db *DB, ask func() (T, error)) (T, error) {
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		answer, err := ask()
		if err == nil || ctx.Err() != nil || !errors.Is(err, settlement.ErrInterrupted) {
			return answer, err
		}
		db.log.Warn("waiting for the database", "cause", err)
		select {
		case <-ctx.Done():
			return answer, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// eachPatiently asks for rows until each has had all of them. A row that it has
// had does not come again: nobody but who asks changes them, so that the same
// question has the same answer.
func eachPatiently[T any](ctx context.Context, db *DB, each func(T) error, ask func(each func(T) error) error) error {
	had := 0
	_, err := patiently(ctx, db, func() (struct{}, error) {
		n := 0
		return struct{}{}, ask(func(row T) error {
			if n++; n <= had {
				return nil
			}
			had++
			return each(row)
		})
	})
	return err
}
