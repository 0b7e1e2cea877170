package store

import (
	"context"
	"errors"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"

	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Queries and idempotent writes are repeated only in this file; commits are
// repeated by the loops, which know what may be repeated.
//
// A database interrupts a query if another transaction conflicts with it (in
// CockroachDB at any statement), or if the connection is lost. [DB.whole] and
// [passing] repeat the query from the start with a new snapshot, as long as the
// caller has not seen any of the result. After a while they give up and return
// [settlement.ErrInterrupted].
//
// The loops of settle and distribute read what they have committed. While the
// database is unavailable they have nothing else to do, so their queries, which
// are the methods of [Settle], [Distribute] and [Writer], are repeated until
// their context ends.

// How often and for how long a query is repeated for a waiting caller. Conflicts with
// other transactions last for moments and may occur at each statement, so a long
// query may need many attempts. A database that is gone stays away for seconds or
// minutes: the caller is told after some seconds and attempts. The pauses grow,
// because each attempt is a new connection, which costs a database that is starting
// more than a query does.
const (
	contentions = 300
	contendedAt = time.Millisecond // the first pause
	contended   = 20 * time.Millisecond

	absences  = 3
	absence   = 3 * time.Second
	missingAt = 10 * time.Millisecond // the first pause
	missing   = 250 * time.Millisecond
)

// ErrContended is an interruption by another transaction; the database is
// available.
var ErrContended = errors.New("another transaction was in the way")

// whole calls f with one snapshot, and calls it again after an interruption. f
// must start from the beginning, without effects of an earlier call.
func (db *DB) whole(ctx context.Context, f func(Conn) error) error {
	return db.ask(ctx, f, func() bool { return true })
}

// passing is whole for a query whose rows are passed on one by one: once each
// was called, the query is not repeated.
func passing[T any](ctx context.Context, db *DB, each func(T) error, ask func(conn Conn, each func(T) error) error) error {
	had := false
	return db.ask(ctx, func(conn Conn) error {
		return ask(conn, func(row T) error {
			had = true
			return each(row)
		})
	}, func() bool { return !had })
}

func (db *DB) ask(ctx context.Context, f func(Conn) error, may func() bool) error {
	return again(ctx, func() error { return db.engine.Read(ctx, f) }, may)
}

// retold runs an idempotent operation, and repeats it after an interruption:
// taking over a cursor, or recording something in the store.
func retold(ctx context.Context, do func() error) error {
	return again(ctx, do, func() bool { return true })
}

// again repeats an operation until it is not interrupted, may not be repeated
// any more, or has been tried for long enough.
func again(ctx context.Context, do func() error, may func() bool) error {
	crowded := retry.Policy{
		Pause: contendedAt, Longest: contended,
		Again:  func(err error) bool { return errors.Is(err, ErrContended) && interrupted(err) && may() },
		Enough: func(tries int, _ time.Duration) bool { return tries >= contentions },
	}
	gone := retry.Policy{
		Pause: missingAt, Longest: missing,
		Again:  func(err error) bool { return !errors.Is(err, ErrContended) && interrupted(err) && may() },
		Enough: func(tries int, since time.Duration) bool { return tries > absences && since > absence },
	}
	return gone.Do(ctx, func() error { return crowded.Do(ctx, do) })
}

func interrupted(err error) bool { return errors.Is(err, settlement.ErrInterrupted) }

// patiently repeats a query until the database answers.
func patiently[T any](ctx context.Context, db *DB, ask func() (T, error)) (T, error) {
	var answer T
	err := retry.Policy{
		Pause: 50 * time.Millisecond, Longest: time.Second, Again: interrupted,
		Waits: func(cause error, _ time.Duration) { db.log.Warn("waiting for the database", "cause", cause) },
	}.Do(ctx, func() (err error) {
		answer, err = ask()
		return err
	})
	return answer, err
}

// eachPatiently repeats a query until each was called for all of its rows. It
// skips rows that each has already had: only the caller changes them, so that
// the same query has the same result.
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
