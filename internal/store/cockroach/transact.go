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

// restarts is how often a transaction that conflicts with another one is
// restarted before its caller gets the error; the pause between restarts
// doubles.
const (
	restarts   = 8
	firstPause = 2 * time.Millisecond
)

// errSlow means that one attempt took too long.
var errSlow = fmt.Errorf("no answer to an attempt to write: %w", context.DeadlineExceeded)

// transact runs f in one SERIALIZABLE transaction, which is committed when f
// returns nil. f may run several times and must remember only its last run.
// After an error that counts as interrupted, the outcome is unknown and must be
// read back.
func (db *engine) transact(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	return classify(ctx, contending(contended).Do(ctx, func() error { return db.once(ctx, f) }))
}

// contending is the policy for repeating what conflicted with another
// transaction.
func contending(again func(error) bool) retry.Policy {
	return retry.Policy{
		Pause: firstPause, Longest: firstPause << restarts, Again: again,
		Enough: func(tries int, _ time.Duration) bool { return tries >= restarts },
	}
}

// once runs a transaction until ExecuteInTx gives up. Each attempt has its own
// limit of patience; together they may take much longer.
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

// begin begins a transaction. After the database was unavailable, the pool has
// dead connections, which are only recognised when they are used; each is tried
// once.
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

// watched is a transaction for ExecuteInTx that remembers the result of COMMIT.
// ExecuteInTx considers a transaction committed once its savepoint is released, and
// drops COMMIT's error. That is right in CockroachDB, but in PostgreSQL it is COMMIT
// that commits, and that reports that the transaction cannot be serialized.
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
