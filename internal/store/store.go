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

// Engine is a database that a store is in.
type Engine interface {
	// Read calls f with one snapshot, as of the last commit, once.
	// [settlement.ErrInterrupted], which is also [ErrContended] where another
	// transaction was in the way, says that the same again may succeed.
	Read(ctx context.Context, f func(Conn) error) error
	// Settle takes a partition over from whoever had it: an earlier settler's
	// next commit fails with [settlement.ErrFenced]. The nonce names this one.
	Settle(ctx context.Context, partition int, stream string, created int64, nonce string) (SettleCommitter, settlement.Cursor, error)
	// Distribute likewise takes distribution over: [distribution.ErrFenced].
	Distribute(ctx context.Context, nonce string) (DistributeCommitter, distribution.Cursor, error)
	// SetRelayed records what [Writer.Relayed] returns.
	SetRelayed(ctx context.Context, writer string, number, position uint64) error
	// Belong is [DB.Belong].
	Belong(ctx context.Context, installation string) error
	// Sign is [DB.Sign].
	Sign(ctx context.Context, key string, before []string) error
	// Rebind is [DB.Rebind].
	Rebind(ctx context.Context, stream string, created int64) error
	// Close waits for those who read. A second call returns what the first did.
	Close() error
}

// SettleCommitter commits for one partition: see [Settle].
type SettleCommitter interface {
	// Commit writes whole cuts, ascending, in one transaction with the cursor.
	// from is the position of the cursor that they follow. Where the cursor has
	// moved on, [settlement.ErrFenced] says that somebody else moved it; nil that
	// this settler itself did, in a commit whose outcome it had not learned.
	// [settlement.ErrInterrupted] says that the same again may succeed: whether
	// this time it did is unknown.
	//
	// The records come encoded beside the cuts: encoded[i][j] is cuts[i].Records[j].
	Commit(ctx context.Context, from uint64, cuts []*settlement.Cut, encoded [][][]byte) error
}

// DistributeCommitter commits for the distributor: see [Distribute].
type DistributeCommitter interface {
	// Commit writes a step in one transaction with the cursor, which it moves from
	// one pair of marks to the step's. Where the cursor is elsewhere,
	// [distribution.ErrFenced] says that somebody else moved it; nil that this
	// distributor itself did, in a commit whose outcome it had not learned. After
	// any other error the outcome is unknown, and the same again may succeed.
	Commit(ctx context.Context, control, read distribution.Mark, step *distribution.Step) error
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

// Rebind tells the cursors in a stream that it was made anew with the same
// messages at the same positions: its creation time, nanoseconds since 1970, is
// another. Only who has compared every message may say so.
func (db *DB) Rebind(ctx context.Context, stream string, created int64) error {
	return retold(ctx, func() error { return db.engine.Rebind(ctx, stream, created) })
}

// Belong tells the store which installation it belongs to, by a name that is
// chosen at random once. The first time it is recorded; later another name is
// refused: two installations' streams in one store would be one ledger.
func (db *DB) Belong(ctx context.Context, installation string) error {
	return retold(ctx, func() error { return db.engine.Belong(ctx, installation) })
}

// Belongs compares the installation that a store knows with one that opens it.
func Belongs(known, installation string) error {
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

// everywhere is no partition, but all.
const everywhere = -1

// quantity reads a column of an amount as one of a quantity.
func quantity(r Row, column int) money.Quantity {
	return money.QuantityFromBytes(r.Amount(column).Bytes())
}
