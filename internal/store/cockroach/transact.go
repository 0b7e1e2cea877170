package cockroach

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/cockroach-go/v2/crdb"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aliquot-engine/aliquot/internal/retry"
)

// restarts is how often a transaction that was in another's way begins anew
// before its caller is told; the pause between them doubles.
const (
	restarts   = 8
	firstPause = 2 * time.Millisecond
)

// errSlow says that one attempt took too long.
var errSlow = fmt.Errorf("no answer to an attempt to write: %w", context.DeadlineExceeded)

// transact runs f in one SERIALIZABLE transaction, which is committed when it
// returns nil. f may run several times, and remembers nothing of a run but the
// last. An error of interrupted kind leaves the outcome unknown: read back.
func (db *engine) transact(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	return classify(ctx, contending(contended).Do(ctx, func() error { return db.once(ctx, f) }))
}

// contending is how something is done again that was in another transaction's way.
func contending(again func(error) bool) retry.Policy {
	return retry.Policy{
		Pause: firstPause, Longest: firstPause << restarts, Again: again,
		Enough: func(tries int, _ time.Duration) bool { return tries >= restarts },
	}
}

// once runs a transaction until ExecuteInTx gives up. Each of its attempts has its
// own patience: all of them together may take much longer.
func (db *engine) once(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	ctx, cancel := context.WithCancelCause(crdb.WithMaxRetries(ctx, db.attempts))
	defer cancel(nil)
	attempt := time.AfterFunc(db.patience, func() { cancel(errSlow) })
	defer attempt.Stop()
	tx, err := begin(ctx, db.write, pgx.TxOptions{IsoLevel: pgx.Serializable})
	watched := watched{tx: tx}
	if err == nil {
		err = crdb.ExecuteInTx(ctx, &watched, func() error {
			attempt.Reset(db.patience)
			return f(ctx, tx)
		})
	}
	if err != nil && errors.Is(context.Cause(ctx), errSlow) {
		return fmt.Errorf("%w: %w", errSlow, oneLine(err))
	}
	if err != nil {
		return oneLine(err)
	}
	if watched.commit != nil {
		return fmt.Errorf("committing: %w", oneLine(watched.commit))
	}
	return nil
}

// begin begins a transaction. After the database has been away the pool has
// connections that are dead, which show when they are used: each is tried once.
func begin(ctx context.Context, pool *pgxpool.Pool, options pgx.TxOptions) (tx pgx.Tx, err error) {
	for range pool.Config().MaxConns + 1 {
		var connect *pgconn.ConnectError
		tx, err = pool.BeginTx(ctx, options)
		if err == nil || ctx.Err() != nil || errors.As(err, &connect) || !interrupted(err) {
			break
		}
	}
	return tx, err
}

// watched is a transaction for ExecuteInTx that remembers what COMMIT answered.
// ExecuteInTx takes a transaction for committed once its savepoint is released, and
// drops COMMIT's error: so it is in CockroachDB, but in PostgreSQL COMMIT is what
// commits, and it is COMMIT that says that the transaction cannot be serialized.
type watched struct {
	tx     pgx.Tx
	commit error
}

func (w *watched) Exec(ctx context.Context, sql string, values ...any) error {
	_, err := w.tx.Exec(ctx, sql, values...)
	return err
}

func (w *watched) Commit(ctx context.Context) error {
	w.commit = w.tx.Commit(ctx)
	return w.commit
}

func (w *watched) Rollback(ctx context.Context) error { return w.tx.Rollback(ctx) }
