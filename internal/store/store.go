// Package store is what a settler and a distributor keep, whatever database keeps
// it: the words, and every question that can be asked, asked in one SQL.
//
// An [Engine] connects, migrates, writes and gives snapshots; package sqlite is
// the embedded one, package cockroach the distributed one. What is read is read
// here, by queries that both understand, so that two engines cannot answer
// differently for want of the same question.
//
// # Invariants
//
//   - What a commit writes, it writes whole and on disk, or not at all, together
//     with the cursor that says so.
//   - Balances are the fold of the journal rows in the same database, always.
//   - Everything read from one [Snapshot] belongs together.
//   - Text is ordered by its bytes, amounts are exact, whatever the engine.
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

// Engine is a database that a store is in: its transactions, and what writes the
// many rows of a commit in the way that is fastest there.
//
// [settlement.ErrInterrupted], which is also [ErrContended] where another
// transaction was in the way, says of any of them that the same again may succeed.
type Engine interface {
	// Read calls f with one snapshot, as of the last commit, once.
	Read(ctx context.Context, f func(Conn) error) error
	// Write calls f in one transaction, as if no other ran meanwhile, and commits
	// it, on disk, when f returns nil; otherwise nothing of it remains. f may be
	// called several times, each time with nothing written. After an interruption
	// the outcome is unknown.
	Write(ctx context.Context, f func(Tx) error) error
	// Installation is how the engine keeps the name of the installation.
	Installation() Installation
	// Settler returns what writes the cuts of a partition. It is called in the
	// transaction that takes the partition over, and registers [SettleWriter]
	// there.
	Settler(tx Tx, partition int) (CutWriter, error)
	// Distributor returns what writes the distributor's steps. It is called in the
	// transaction that takes distribution over, and registers [DistributeWriter]
	// there.
	Distributor(tx Tx) (StepWriter, error)
	// Close waits for those who read. A second call returns what the first did.
	Close() error
}

// Installation is SQL: Claim writes the name ?1 where there is none, and Known
// reads the name that is there.
type Installation struct{ Claim, Known string }

// Statement is SQL that every engine understands, with its parameters; see [Conn].
type Statement struct {
	Text string
	Args []any
}

// CutWriter writes cuts of one partition, from one goroutine.
type CutWriter interface {
	// Commit runs the statement that moves the cursor, and writes whole cuts, in
	// one transaction. It fails with [ErrElsewhere] and writes nothing where the
	// statement changes no row. encoded[i][j] is cuts[i].Records[j].
	Commit(ctx context.Context, move Statement, cuts []*settlement.Cut, encoded [][][]byte) error
}

// StepWriter writes steps of the distributor, from one goroutine.
type StepWriter interface {
	// Commit runs the statement that moves the cursor, and writes a step, in one
	// transaction. It fails with [ErrElsewhere] and writes nothing where the
	// statement changes no row.
	Commit(ctx context.Context, move Statement, step *distribution.Step) error
}

// Tx is a transaction that writes. It also answers questions, which see what it has
// written.
type Tx interface {
	Conn
	// Exec runs SQL that every engine understands, with parameters as of
	// [Conn.Query], and returns how many rows it changed.
	Exec(text string, args ...any) (rows int64, err error)
}

// Conn answers questions about one snapshot, to one goroutine. A function that a
// query calls may ask another, but not the one that is being answered.
type Conn interface {
	// Query runs SQL that every engine understands. Its parameters are ?1, ?2, …:
	// each an int64, a string or bytes. It calls row for each row; the row is
	// valid until that returns.
	Query(text string, row func(Row) error, args ...any) error
	// Walk is Query without parameters for those who want the rows one by one.
	// The caller closes it.
	Walk(text string) (Rows, error)
	// Outstanding appends what is owed to list, in any order: engines keep it in
	// different forms.
	Outstanding(list []settlement.Outstanding, q Owing) ([]settlement.Outstanding, error)
}

// Owing says which debts are meant.
type Owing struct {
	Partition int             // negative: every partition
	Book      events.Book     // "": every book
	Customer  events.Customer // "": every customer
}

// Row is one row of an answer; its columns count from 0. A null is a zero.
type Row interface {
	IsNull(column int) bool
	Int64(column int) int64
	Text(column int) string
	Bytes(column int) []byte // a copy
	Amount(column int) money.Amount
	Units(column int) money.Units
}

// Rows are rows as they come.
type Rows interface {
	Next() (bool, error)
	Fields() []Field // of the row that Next went to
	Close() error
}

// DB is an open store. Its methods may be called from any goroutine.
type DB struct {
	engine Engine
	log    *slog.Logger
}

// New returns the store in an engine, which its Close closes. The logger is told
// when a loop has to wait for the engine; nil: slog.Default.
func New(engine Engine, logger *slog.Logger) *DB {
	if logger == nil {
		logger = slog.Default()
	}
	return &DB{engine, logger}
}

// Close waits for readers and closes the engine. A second call returns what the
// first did.
func (db *DB) Close() error { return db.engine.Close() }

// RebindUsage tells the settlers' cursors that their stream was made anew with the
// same messages at the same positions: its creation time, nanoseconds since 1970,
// is another. Only a caller that has compared every message may say so.
func (db *DB) RebindUsage(ctx context.Context, stream string, created int64) error {
	return db.tell(ctx, "binding the cursors of "+stream, "UPDATE cursor SET created = ?1 WHERE stream = ?2", created, stream)
}

// RebindControl is [DB.RebindUsage] of the decisions that distribution reads.
func (db *DB) RebindControl(ctx context.Context, created int64) error {
	return db.tell(ctx, "binding the cursor of decisions", "UPDATE distribute_cursor SET control_created = ?1 WHERE control_created <> 0", created)
}

// RebindLedger is [DB.RebindUsage] of the journal that distribution reads.
func (db *DB) RebindLedger(ctx context.Context, created int64) error {
	return db.tell(ctx, "binding the cursor of the journal", "UPDATE distribute_cursor SET ledger_created = ?1 WHERE ledger_created <> 0", created)
}

// tell runs a statement that has the same effect twice as once.
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

// write is the engine's, again after an interruption: what f writes has the same
// effect twice as once.
func (db *DB) write(ctx context.Context, f func(Tx) error) error {
	return retold(ctx, func() error { return db.engine.Write(ctx, f) })
}

// Belong tells the store which installation it belongs to, by a name that is
// chosen at random once. The first time it is recorded; later another name is
// refused: two installations' streams in one store would be one ledger.
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

// Snapshot is the store at one commit: everything read from it belongs together,
// whatever is written meanwhile. It is used by one goroutine, and a function
// that it calls may ask it other questions, but not the one that is being
// answered.
type Snapshot struct {
	conn Conn
}

// Snapshot calls f with the store as it is now. As long as f runs, the database
// keeps what is replaced: an hour under load is some gigabytes.
//
// Where the database interrupts f, it is called again with another snapshot: it
// begins anew, and nothing that an earlier call did may show. [settlement.ErrInterrupted]
// says that the database goes on interrupting, and that the same question may be
// answered later.
func (db *DB) Snapshot(ctx context.Context, f func(*Snapshot) error) error {
	return db.whole(ctx, func(conn Conn) error { return f(&Snapshot{conn}) })
}

// all is a limit that none reaches.
const all = math.MaxInt64

// Ordered is a sequence as stores keep it: the sign bit inverted, so that the
// signed order of databases is its own.
func Ordered(sequence uint64) int64 { return int64(sequence ^ 1<<63) }

func unordered(stored int64) uint64 { return uint64(stored) ^ 1<<63 }

// everywhere selects all partitions.
const everywhere = -1

// quantity reads a column of an amount as one of a quantity.
func quantity(r Row, column int) money.Quantity {
	return money.QuantityFromBytes(r.Amount(column).Bytes())
}
