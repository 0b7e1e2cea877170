// Package sqlite is the embedded store: one SQLite file in WAL mode, synced at
// every commit, without a C compiler.
//
// One connection writes, behind a mutex, and a few others read without waiting
// for it. Each service has its own Go file in this package; ledger.go is
// shared.
//
// # Invariants
//
//   - A function passed to write takes effect whole and on disk, or not at all.
//   - Balances are always the fold of the journal rows in the same file.
//   - A file written by a newer schema is refused, never guessed at.
package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

//go:embed schema/*.sql
var schema embed.FS

// readers is how many connections read at the same time. More connections than
// cores gain nothing; with fewer than two, one long export blocks a page.
const readers = 4

// engine is an open file: a [store.Engine].
type engine struct {
	pool *sqlitex.Pool

	closing sync.Once
	closed  error

	mu       sync.Mutex // guards everything below
	conn     *sqlite.Conn
	accounts accounts
	writers  []*writer
}

// Open opens or creates the file and brings its schema up to date.
func Open(path string) (*store.DB, error) {
	db, err := open(path)
	if err != nil {
		return nil, err
	}
	return store.New(db, nil), nil
}

// OpenScratch is Open for a store that is not needed after the process ends:
// nothing is synced, and a power failure leaves an unusable file.
func OpenScratch(path string) (*store.DB, error) {
	db, err := open(path)
	if err != nil {
		return nil, err
	}
	if err := pragmas(db.conn, "synchronous=OFF"); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store %s: %w", path, err), db.Close())
	}
	return store.New(db, nil), nil
}

func open(path string) (*engine, error) {
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate|sqlite.OpenWAL)
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	db := &engine{conn: conn, accounts: newAccounts()}
	if err := db.prepare(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("opening the store %s: %w", path, err)
	}
	db.pool, err = sqlitex.NewPool(path, sqlitex.PoolOptions{
		Flags:       sqlite.OpenReadWrite | sqlite.OpenWAL,
		PoolSize:    readers,
		PrepareConn: func(c *sqlite.Conn) error { return pragmas(c, "query_only=1", "mmap_size=268435456") },
	})
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("opening the store %s for reading: %w", path, err)
	}
	return db, nil
}

func pragmas(conn *sqlite.Conn, list ...string) error {
	for _, p := range list {
		if err := sqlitex.ExecuteTransient(conn, "PRAGMA "+p, nil); err != nil {
			return fmt.Errorf("setting %s: %w", p, err)
		}
	}
	return nil
}

func (db *engine) prepare() error {
	// FULL syncs the WAL at every commit: what is committed survives a power
	// cut. A checkpoint every 4,000 pages (16 MB) keeps its syncs rare and the
	// WAL small.
	if err := pragmas(db.conn, "synchronous=FULL", "foreign_keys=OFF", "cache_size=-65536", "wal_autocheckpoint=4000"); err != nil {
		return err
	}
	names, err := fs.Glob(schema, "schema/*.sql")
	if err != nil {
		return err
	}
	slices.Sort(names)
	var version int
	err = sqlitex.ExecuteTransient(db.conn, "PRAGMA user_version", &sqlitex.ExecOptions{
		ResultFunc: func(s *sqlite.Stmt) error { version = s.ColumnInt(0); return nil },
	})
	if err != nil {
		return err
	}
	if version > len(names) {
		return fmt.Errorf("its schema is version %d, this program knows up to %d: use the newer program", version, len(names))
	}
	for i := version; i < len(names); i++ {
		text, err := schema.ReadFile(names[i])
		if err != nil {
			return err
		}
		// One step is one transaction, including its version.
		script := fmt.Sprintf("%s\nPRAGMA user_version=%d;", text, i+1)
		if err := sqlitex.ExecuteScript(db.conn, script, nil); err != nil {
			return fmt.Errorf("migrating with %s: %w", names[i], err)
		}
	}
	return nil
}

// Close waits for readers and closes the file. A second call returns the result
// of the first.
func (db *engine) Close() error {
	db.closing.Do(func() { db.closed = db.close() })
	return db.closed
}

func (db *engine) close() error {
	err := db.pool.Close()
	db.mu.Lock()
	defer db.mu.Unlock()
	if e := db.conn.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}

// Write is [store.Engine].
func (db *engine) Write(ctx context.Context, f func(store.Tx) error) error {
	return interrupted(db.write(ctx, func(conn *sqlite.Conn) error { return f(&tx{reader{conn}}) }))
}

// tx is the transaction that writes: a [store.Tx].
type tx struct{ reader }

// Exec is [store.Tx].
func (t *tx) Exec(text string, args ...any) (rows int64, err error) {
	err = query(t.conn, text, nil, args...)
	return int64(t.conn.Changes()), err
}

// Installation is [store.Engine].
func (db *engine) Installation() store.Installation {
	return store.Installation{
		Claim: "INSERT INTO installation (one, name) VALUES (1, ?1) ON CONFLICT DO NOTHING",
		Known: "SELECT name FROM installation",
	}
}

// interrupted marks the errors after which a repetition may succeed.
func interrupted(err error) error {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultBusy, sqlite.ResultLocked, sqlite.ResultFull, sqlite.ResultIOErr, sqlite.ResultInterrupt, sqlite.ResultCantOpen:
		return fmt.Errorf("%w: %w", settlement.ErrInterrupted, err)
	}
	return err
}

// move runs the statement that moves a cursor. It fails with
// [store.ErrElsewhere].
func move(conn *sqlite.Conn, s store.Statement) error {
	err := query(conn, s.Text, nil, s.Args...)
	if err == nil && conn.Changes() == 0 {
		err = store.ErrElsewhere
	}
	return err
}

// write runs f in one transaction that begins at once and is on disk when write
// returns nil. If f or the commit fails, nothing of it remains. f uses
// conn.Prepare, whose statements are kept for the next call, and no other
// connection. After an error of the commit itself the outcome is unknown and
// must be read back.
func (db *engine) write(ctx context.Context, f func(*sqlite.Conn) error) (err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	// ctx does not interrupt it, because a transaction is short and half of one
	// is useless.
	end, err := sqlitex.ImmediateTransaction(db.conn)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	defer func() {
		if err != nil {
			db.forget()
		}
	}()
	defer end(&err)
	return f(db.conn)
}

// forget drops cache entries from a transaction that was undone.
func (db *engine) forget() {
	db.accounts = newAccounts()
	for _, w := range db.writers {
		w.forget()
	}
}

// Read calls f with a reading connection, which sees one snapshot of the last
// commit.
func (db *engine) Read(ctx context.Context, f func(store.Conn) error) (err error) {
	conn, err := db.pool.Take(ctx)
	if err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	defer db.pool.Put(conn)
	defer func() {
		// Put would panic if f left a statement half read.
		if query := conn.CheckReset(); query != "" {
			if s, e := conn.Prepare(query); e == nil {
				_ = s.Reset()
			}
		}
	}()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("reading the store: %w", ctx.Err()) // Reported instead of the interruption that ctx caused.
		}
	}()
	end := sqlitex.Transaction(conn)
	defer end(&err)
	return f(&reader{conn})
}

// query runs a statement with its parameters and calls row for each result.
func query(conn *sqlite.Conn, text string, row func(*sqlite.Stmt) error, args ...any) error {
	return sqlitex.Execute(conn, text, &sqlitex.ExecOptions{Args: args, ResultFunc: row})
}

// run steps a statement that returns no row, and resets it.
func run(s *sqlite.Stmt) error {
	if _, err := s.Step(); err != nil {
		return err
	}
	return s.Reset()
}
