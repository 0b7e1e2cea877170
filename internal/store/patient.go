package store

import (
	"context"
	"errors"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"

	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// This is the one place that repeats a question, and what has the same effect
// twice as once; commits are repeated by the loops, which know what may be repeated.
//
// A database interrupts a question where another transaction was in its way
// (CockroachDB: at any statement), or where the connection is lost. [DB.whole] and
// [passing] ask again, from the start and of a new snapshot, while the caller has
// seen nothing of the answer, and give up after a while: the caller is told
// with [settlement.ErrInterrupted].
//
// The loops of settle and distribute read what they have committed. While the
// database is gone they have nothing else to do: their questions, which are the
// methods of [Settle], [Distribute] and [Writer], are asked until their context
// ends.

// How often and for how long a question is asked again for somebody who is waiting.
// Others' transactions are a matter of moments and of chance with each statement,
// so that a long question may need many tries. A database that is gone stays away
// for seconds or minutes: the caller is told after some seconds and tries, and the
// pauses grow, because each try is a new connection, which costs a database that is
// starting more than a question does.
const (
	contentions = 300
	contendedAt = time.Millisecond // the first pause
	contended   = 20 * time.Millisecond

	absences  = 3
	absence   = 3 * time.Second
	missingAt = 10 * time.Millisecond // the first pause
	missing   = 250 * time.Millisecond
)

// ErrContended is an interruption by another transaction: the database is there.
var ErrContended = errors.New("another transaction was in the way")

// whole calls f with one snapshot, and again after an interruption. f begins anew:
// nothing that an earlier call did may show.
func (db *DB) whole(ctx context.Context, f func(Conn) error) error {
	return db.ask(ctx, f, func() bool { return true })
}

// passing is whole for a question whose rows are passed on one by one: once each
// has had one, the question is not asked again.
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

// retold does what has the same effect twice as once, and does it again after an
// interruption: taking something over, and telling the store what it remembers.
func retold(ctx context.Context, do func() error) error {
	return again(ctx, do, func() bool { return true })
}

// again does something until it is not interrupted, may not be repeated, or has
// been tried for long enough.
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

// patiently asks until the database answers.
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
