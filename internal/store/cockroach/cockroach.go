// Package cockroach is the distributed store: CockroachDB, or PostgreSQL,
// through pgx, with SQL that both understand.
//
// Every write is one SERIALIZABLE transaction through cockroach-go's ExecuteInTx.
// A commit consists of few statements, each of thousands of rows from arrays,
// which are sent together: one that checks and moves the cursor, and then all
// that write, in one round trip. Nothing is remembered of a transaction that
// did not commit.
//
// # Invariants
//
//   - A commit is written whole or not at all, together with the cursor. A
//     commit whose answer was lost is repeated, and finds by the cursor that it
//     had succeeded.
//   - An error is settlement.ErrInterrupted if a repetition may succeed: no
//     connection, contention, a node that is slow or gone. It is
//     settlement.ErrFenced if another process moved the cursor. Any other error
//     is final.
//   - No row is written by two writers, and every key begins with its writer.
//   - A database that does not belong to aliquot, or that has another schema
//     version than this program's, is refused with an error of one line and
//     never changed.
package cockroach

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aliquot-engine/aliquot/internal/store"
)

const (
	// readers is how many connections read at once, unless the URL sets
	// pool_max_conns; a query waits for a free connection.
	readers = 8
	// writers is how many connections write: for the settlers, the distributor
	// and two relays of a process. They do not wait for readers.
	writers = 4
	// connecting bounds opening a connection, unless the URL sets
	// connect_timeout.
	connecting = 10 * time.Second
	// patience bounds each attempt to write. The death of a CockroachDB node
	// can stall a statement for about 10 s; after twice that time the database
	// counts as gone.
	patience = 30 * time.Second
)

// engine is an open database: a [store.Engine].
type engine struct {
	read, write *pgxpool.Pool
	// attempts is how often ExecuteInTx retries by itself. In CockroachDB a
	// restart has a new snapshot; in PostgreSQL it keeps the old one and would
	// always fail.
	attempts int
	patience time.Duration // of an attempt to write

	closing sync.Once
}

// Open connects to a database that [Migrate] has prepared, by a URL
// (postgres://user:password@host:port/name?options) or a keyword string. The
// logger receives that reading has to wait; nil means slog.Default.
func Open(ctx context.Context, address string, logger *slog.Logger) (*store.DB, error) {
	db, err := open(ctx, address)
	if err != nil {
		return nil, err
	}
	return store.New(db, logger), nil
}

func open(ctx context.Context, address string) (*engine, error) {
	config, err := parse(address)
	if err != nil {
		return nil, err
	}
	db := &engine{patience: patience}
	if db.read, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("opening the database: %w", oneLine(err))
	}
	config = config.Copy()
	config.MaxConns = writers
	if db.write, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		db.read.Close()
		return nil, fmt.Errorf("opening the database: %w", oneLine(err))
	}
	if err := db.check(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("opening the database %s: %w", name(config.ConnConfig), oneLine(err))
	}
	return db, nil
}

// parse reads a URL. Its errors do not contain the URL, which may have a
// password.
func parse(address string) (*pgxpool.Config, error) {
	if strings.TrimSpace(address) == "" {
		return nil, errors.New("opening the database: its URL is empty")
	}
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("opening the database: its URL is not of the form postgres://user@host:port/name: %w", oneLine(err))
	}
	if !strings.Contains(address, "pool_max_conns") {
		config.MaxConns = readers
	}
	if config.ConnConfig.ConnectTimeout == 0 || config.ConnConfig.ConnectTimeout > 2*time.Minute {
		config.ConnConfig.ConnectTimeout = connecting
	}
	set := func(key, value string) {
		if _, ok := config.ConnConfig.RuntimeParams[key]; !ok {
			config.ConnConfig.RuntimeParams[key] = value
		}
	}
	set("application_name", "aliquot")
	return config, nil
}

// name describes the database, without its password.
func name(config *pgx.ConnConfig) string {
	return fmt.Sprintf("%s at %s:%d", config.Database, config.Host, config.Port)
}

// Named returns the URL of another database on the same server.
func Named(server, database string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme == "" {
		if _, err := parse(server); err != nil {
			return "", err
		}
		return server + " dbname=" + database, nil // a keyword string, in which the last value counts
	}
	u.Path = "/" + database
	return u.String(), nil
}

// oneLine joins the lines of an error that has several: pgx lists every address
// that it tried.
func oneLine(err error) error {
	text := err.Error()
	if !strings.ContainsAny(text, "\n\t") {
		return err
	}
	return &line{strings.Join(strings.Fields(text), " "), err}
}

type line struct {
	text string
	err  error
}

func (l *line) Error() string { return l.text }
func (l *line) Unwrap() error { return l.err }

// check returns an error unless the database belongs to aliquot and has this
// program's schema.
func (db *engine) check(ctx context.Context) error {
	conn, err := db.read.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	state, err := inspect(ctx, conn.Conn())
	if err != nil {
		return err
	}
	db.attempts = 1
	if state.cockroach {
		db.attempts = 50
	}
	return state.fits()
}

// Read is [store.Engine].
func (db *engine) Read(ctx context.Context, f func(store.Conn) error) error {
	tx, err := begin(ctx, db.read, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return classify(ctx, fmt.Errorf("reading the store: %w", oneLine(err)))
	}
	// Nothing was written, so it does not matter how the transaction ends.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	return classify(ctx, f(&reader{ctx: ctx, conn: tx.Conn().PgConn()}))
}

// Close is [store.Engine].
func (db *engine) Close() error {
	db.closing.Do(func() {
		db.write.Close()
		db.read.Close()
	})
	return nil
}

// Write is [store.Engine].
func (db *engine) Write(ctx context.Context, f func(store.Tx) error) error {
	return db.transact(ctx, func(ctx context.Context, t pgx.Tx) error {
		return f(&tx{reader{ctx: ctx, conn: t.Conn().PgConn()}, t})
	})
}

// tx is a transaction that writes: a [store.Tx].
type tx struct {
	reader
	tx pgx.Tx
}

// Exec is [store.Tx].
func (t *tx) Exec(text string, args ...any) (rows int64, err error) {
	done, err := t.tx.Exec(t.ctx, dollars(text), args...)
	return done.RowsAffected(), err
}

// Installation is [store.Engine].
func (db *engine) Installation() store.Installation {
	return store.Installation{
		Claim: "UPDATE aliquot SET installation = ?1 WHERE installation = ''",
		Known: "SELECT installation FROM aliquot",
	}
}
