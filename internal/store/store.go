// Package store keeps what settlers and the distributor commit, in any of
// several databases: it has the types, and every query, written in SQL that all
// databases understand.
//
// An [Engine] connects, migrates, writes and provides snapshots; package sqlite
// is the embedded engine, package cockroach the distributed one. All queries
// are in this package, so that two engines cannot answer differently because
// they were asked differently.
//
// # Invariants
//
//   - A commit is written whole and on disk, or not at all, together with the
//     cursor.
//   - Balances are always the fold of the journal rows in the same database.
//   - Everything read from one [Snapshot] belongs to one commit.
//   - Text is ordered by its bytes and amounts are exact in every engine.
//   - A database of a newer schema is refused, never guessed at.
package store

import (
	"context"
	"fmt"
	"log/slog"
	"math"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Engine is the database of a store: its transactions, and the fastest way in
// that database to write the many rows of a commit.
//
// Each method may fail with [settlement.ErrInterrupted], after which a
// repetition may succeed; it is also [ErrContended] if another transaction
// conflicted.
type Engine interface {
	// Read calls f once, with a snapshot of the last commit.
	Read(ctx context.Context, f func(Conn) error) error
	// Write calls f in one serializable transaction and commits it, on disk, if
	// f returns nil; otherwise nothing of it remains. f may be called several
	// times, each time with nothing written. After an interruption the outcome
	// is unknown.
	Write(ctx context.Context, f func(Tx) error) error
	// Installation returns the SQL for the name of the installation.
	Installation() Installation
	// Settler returns the writer of a partition's cuts. It is called in the
	// transaction that takes over the partition, and registers [SettleWriter]
	// there.
	Settler(tx Tx, partition int) (CutWriter, error)
	// Distributor returns the writer of the distributor's steps. It is called
	// in the transaction that takes over distribution, and registers
	// [DistributeWriter] there.
	Distributor(tx Tx) (StepWriter, error)
	// Close waits for readers. A second call returns the result of the first.
	Close() error
}

// Installation is SQL: Claim writes the name ?1 if there is none, and Known
// reads the stored name.
type Installation struct{ Claim, Known string }

// Statement is SQL that every engine understands, with its parameters; see [Conn].
type Statement struct {
	Text string
	Args []any
}

// CutWriter writes cuts of one partition, from one goroutine.
type CutWriter interface {
	// Commit runs the statement that moves the cursor, and writes whole cuts,
	// in one transaction. If the statement changes no row, it fails with
	// [ErrElsewhere] and writes nothing. encoded[i][j] is cuts[i].Records[j].
	Commit(ctx context.Context, move Statement, cuts []*settlement.Cut, encoded [][][]byte) error
}

// StepWriter writes steps of the distributor, from one goroutine.
type StepWriter interface {
	// Commit runs the statement that moves the cursor, and writes a step, in
	// one transaction. If the statement changes no row, it fails with
	// [ErrElsewhere] and writes nothing.
	Commit(ctx context.Context, move Statement, step *distribution.Step) error
}

// Tx is a transaction that writes. Its queries see what it has written.
type Tx interface {
	Conn
	// Exec runs SQL that every engine understands, with parameters as in
	// [Conn.Query], and returns how many rows it changed.
	Exec(text string, args ...any) (rows int64, err error)
}

// Conn answers queries about one snapshot, for one goroutine. A function that a
// query calls may run other queries, but not the same one.
type Conn interface {
	// Query runs SQL that every engine understands. Its parameters are ?1, ?2, …:
	// each an int64, a string or bytes. It calls row for each row; the row is
	// valid until that returns.
	Query(text string, row func(Row) error, args ...any) error
	// Walk is Query without parameters, for callers that read the rows one by
	// one. The caller closes the rows.
	Walk(text string) (Rows, error)
	// Outstanding appends what is owed to list, in any order: engines keep it in
	// different forms.
	Outstanding(list []settlement.Outstanding, q Owing) ([]settlement.Outstanding, error)
}

// Owing selects debts.
type Owing struct {
	Partition int             // negative selects all partitions
	Book      events.Book     // "" selects all books
	Customer  events.Customer // "" selects all customers
}

// Row is one row of a result. Columns are numbered from 0; a null is returned
// as zero.
type Row interface {
	IsNull(column int) bool
	Int64(column int) int64
	Text(column int) string
	Bytes(column int) []byte // a copy
	Amount(column int) money.Amount
	Units(column int) money.Units
}

// Rows reads rows one after the other.
type Rows interface {
	Next() (bool, error)
	Fields() []Field // values of the present row
	Close() error
}

// DB is an open store. Its methods may be called from any goroutine.
type DB struct {
	engine Engine
	log    *slog.Logger
}

// New returns the store in an engine, which its Close closes. The logger
// receives that a loop has to wait for the engine; nil means slog.Default.
func New(engine Engine, logger *slog.Logger) *DB {
	if logger == nil {
		logger = slog.Default()
	}
	return &DB{engine, logger}
}

// Close waits for readers and closes the engine. A second call returns the
// result of the first.
func (db *DB) Close() error { return db.engine.Close() }

// RebindUsage records in the settlers' cursors that their stream was created
// again, with the same messages at the same positions, at another creation time
// (nanoseconds since 1970). The caller must have compared every message.
func (db *DB) RebindUsage(ctx context.Context, stream string, created int64) error {
	return db.tell(ctx, "binding the cursors of "+stream, "UPDATE cursor SET created = ?1 WHERE stream = ?2", created, stream)
}

// RebindControl is [DB.RebindUsage] for the stream of decisions that
// distribution reads.
func (db *DB) RebindControl(ctx context.Context, created int64) error {
	return db.tell(ctx, "binding the cursor of decisions", "UPDATE distribute_cursor SET control_created = ?1 WHERE control_created <> 0", created)
}

// RebindLedger is [DB.RebindUsage] for the stream of the journal that
// distribution reads.
func (db *DB) RebindLedger(ctx context.Context, created int64) error {
	return db.tell(ctx, "binding the cursor of the journal", "UPDATE distribute_cursor SET ledger_created = ?1 WHERE ledger_created <> 0", created)
}

// tell runs an idempotent statement.
func (db *DB) tell(ctx context.Context, doing, text string, args ...any) error {
	err := db.write(ctx, func(tx Tx) error {
		_, err := tx.Exec(text, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// write calls the engine's Write, and repeats it after an interruption; what f
// writes must be idempotent.
func (db *DB) write(ctx context.Context, f func(Tx) error) error {
	return retold(ctx, func() error { return db.engine.Write(ctx, f) })
}

// Belong records the installation to which the store belongs, by its random
// name. Once a name is recorded, another one is refused, because the streams of
// two installations would be mixed in one ledger.
func (db *DB) Belong(ctx context.Context, installation string) error {
	known, sql := "", db.engine.Installation()
	err := db.write(ctx, func(tx Tx) error {
		if _, err := tx.Exec(sql.Claim, installation); err != nil {
			return err
		}
		return tx.Query(sql.Known, func(r Row) error {
			known = r.Text(0)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("recording the installation of the database: %w", err)
	}
	if known != installation {
		return fmt.Errorf("the database belongs to installation %s, this is %s", known, installation)
	}
	return nil
}

// Snapshot is the store at one commit: everything read from it belongs
// together, whatever is written meanwhile. Only one goroutine may use it. A
// function that it calls may run other queries, but not the same one.
type Snapshot struct {
	conn Conn
}

// Snapshot calls f with the store as it is now. As long as f runs, the database
// keeps replaced rows: some gigabytes in an hour under load.
//
// If the database interrupts f, f is called again with another snapshot; it
// must start from the beginning, without effects of an earlier call.
// [settlement.ErrInterrupted] means that the database keeps interrupting, and
// that a later attempt may succeed.
func (db *DB) Snapshot(ctx context.Context, f func(*Snapshot) error) error {
	return db.whole(ctx, func(conn Conn) error { return f(&Snapshot{conn}) })
}

// all is a limit that is never reached.
const all = math.MaxInt64

// Ordered returns a sequence in the form in which stores keep it: with the sign
// bit inverted, so that the signed order of databases is the unsigned order of
// sequences.
func Ordered(sequence uint64) int64 { return int64(sequence ^ 1<<63) }

func unordered(stored int64) uint64 { return uint64(stored) ^ 1<<63 }

// everywhere selects all partitions.
const everywhere = -1

// quantity reads a column of 16 bytes as a quantity.
func quantity(r Row, column int) money.Quantity {
	return money.QuantityFromBytes(r.Amount(column).Bytes())
}
