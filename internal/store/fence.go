package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// This file decides, for every engine, whether a commit comes from the owner of
// the cursor. A settler or distributor takes over its cursor by raising the
// epoch and writing a nonce into it. Each of its commits moves the cursor, in
// the transaction that writes everything else, from its expected position and
// only under the owner's epoch and nonce. If the cursor does not move, it is
// read to find out which of three cases it is: another process has taken over,
// the owner's own commit succeeded although its answer was lost, or the cursor
// was put elsewhere.

// ErrElsewhere means that the [Statement] of a commit moved no cursor, so that
// nothing of the commit was written.
var ErrElsewhere = errors.New("the cursor is elsewhere")

// owner is a process that has taken over a cursor.
type owner struct {
	of     string // what is owned, for errors
	who    string // the owner's role
	fenced error  // the error for an owner that lost the cursor
	epoch  uint64
	nonce  string
}

// holds returns nil while the cursor has this owner's epoch and nonce.
func (o *owner) holds(epoch uint64, nonce string) error {
	if epoch == o.epoch && nonce == o.nonce {
		return nil
	}
	return fmt.Errorf("%s: %w: it is owned by %s %d, this is %s %d", o.of, o.fenced, o.who, epoch, o.who, o.epoch)
}

// settlerOf is the owner of a partition's cursor.
func settlerOf(c settlement.Cursor) owner {
	return owner{fmt.Sprintf("partition %d", c.Partition), "settler", settlement.ErrFenced, c.Epoch, c.Nonce}
}

// distributorOf is the owner of the distributor's cursor.
func distributorOf(c distribution.Cursor) owner {
	return owner{"distribution", "distributor", distribution.ErrFenced, c.Epoch, c.Nonce}
}

// Owned returns nil as long as this settler owns the partition, and
// [settlement.ErrFenced] after another one has taken over.
func (s *Settle) Owned(ctx context.Context) error {
	now, err := s.db.Cursor(ctx, s.partition)
	if err != nil {
		return err
	}
	return s.owner.holds(now.Epoch, now.Nonce)
}

// Owned returns nil as long as this distributor owns distribution, and
// [distribution.ErrFenced] after another one has taken over.
func (d *Distribute) Owned(ctx context.Context) error {
	now, err := d.db.DistributeCursor(ctx)
	if err != nil {
		return err
	}
	return d.owner.holds(now.Epoch, now.Nonce)
}

// Commit writes whole cuts, ascending, in one transaction with the cursor. from
// is the position of the cursor before them. If the cursor has already moved,
// Commit fails with [settlement.ErrFenced] if another settler moved it, and
// returns nil if this settler moved it itself, in a commit whose outcome it had
// not learned. After [settlement.ErrInterrupted] the outcome is unknown, and a
// repetition may succeed.
//
// The records are passed encoded beside the cuts: encoded[i][j] is
// cuts[i].Records[j].
func (s *Settle) Commit(ctx context.Context, from uint64, cuts []*settlement.Cut, encoded [][][]byte) error {
	if len(cuts) == 0 {
		return nil
	}
	last, batches := cuts[len(cuts)-1], uint64(0)
	for _, c := range cuts {
		batches += c.Batches
	}
	err := s.writer.Commit(ctx, Statement{`UPDATE cursor SET position = ?1, hash = ?2, control = ?3, batches = batches + ?4
		WHERE partition = ?5 AND position = ?6 AND epoch = ?7 AND nonce = ?8`, []any{
		int64(last.Position), last.Hash[:], int64(last.Control), int64(batches), int64(s.partition), int64(from), int64(s.owner.epoch), s.owner.nonce,
	}}, cuts, encoded)
	if errors.Is(err, ErrElsewhere) {
		err = s.elsewhere(ctx, from, last)
	}
	if err != nil {
		return fmt.Errorf("committing settlement: %w", err)
	}
	return nil
}

func (s *Settle) elsewhere(ctx context.Context, from uint64, last *settlement.Cut) error {
	now, err := s.db.Cursor(ctx, s.partition)
	if err == nil {
		err = s.owner.holds(now.Epoch, now.Nonce)
	}
	if err != nil || now.Position == last.Position && now.Hash == last.Hash {
		return err // nil: an earlier attempt had succeeded, but its answer was lost
	}
	return fmt.Errorf("partition %d: the cursor is at %d, not at %d: %w", s.partition, now.Position, from, settlement.ErrFenced)
}

// Commit writes a step in one transaction with the cursor, which it moves from
// one pair of marks to the step's. If the cursor has already moved, Commit
// fails with [distribution.ErrFenced] if another distributor moved it, and
// returns nil if this distributor moved it itself, in a commit whose outcome it
// had not learned. After any other error the outcome is unknown, and a
// repetition may succeed.
func (d *Distribute) Commit(ctx context.Context, control, read distribution.Mark, step *distribution.Step) error {
	err := d.writer.Commit(ctx, Statement{`UPDATE distribute_cursor SET control_created = ?1, control = ?2, control_hash = ?3,
		ledger_created = ?4, ledger = ?5, ledger_hash = ?6 WHERE control = ?7 AND ledger = ?8 AND epoch = ?9 AND nonce = ?10`, []any{
		step.Control.Created, int64(step.Control.Position), step.Control.Hash[:],
		step.Ledger.Created, int64(step.Ledger.Position), step.Ledger.Hash[:],
		int64(control.Position), int64(read.Position), int64(d.owner.epoch), d.owner.nonce,
	}}, step)
	if errors.Is(err, ErrElsewhere) {
		err = d.elsewhere(ctx, control, read, step)
	}
	if err != nil {
		return fmt.Errorf("committing distribution: %w", err)
	}
	return nil
}

func (d *Distribute) elsewhere(ctx context.Context, control, read distribution.Mark, step *distribution.Step) error {
	now, err := d.db.DistributeCursor(ctx)
	if err == nil {
		err = d.owner.holds(now.Epoch, now.Nonce)
	}
	if err != nil || now.Control == step.Control && now.Ledger == step.Ledger {
		return err // nil: an earlier attempt had succeeded, but its answer was lost
	}
	return fmt.Errorf("%w: the cursor is at control %d and ledger %d, not at %d and %d", distribution.ErrFenced,
		now.Control.Position, now.Ledger.Position, control.Position, read.Position)
}

// takeSettle makes a settler the owner of a partition's cursor.
func takeSettle(tx Tx, partition int, stream string, created int64, nonce string) (settlement.Cursor, error) {
	// The update comes first, so that only a commit at this moment can conflict
	// with it.
	done, err := tx.Exec("UPDATE cursor SET epoch = epoch + 1, nonce = ?1 WHERE partition = ?2", nonce, int64(partition))
	if err == nil && done == 0 {
		_, err = tx.Exec(`INSERT INTO cursor (partition, stream, created, position, hash, control, batches, epoch, nonce)
			VALUES (?1, ?2, ?3, 0, ?4, 0, 0, 1, ?5)`, int64(partition), stream, created, []byte{}, nonce)
	}
	if err != nil {
		return settlement.Cursor{}, err
	}
	return ReadCursor(tx, partition)
}

// takeDistribute makes a distributor the owner of the distributor's cursor.
func takeDistribute(tx Tx, nonce string) (distribution.Cursor, error) {
	done, err := tx.Exec("UPDATE distribute_cursor SET epoch = epoch + 1, nonce = ?1", nonce)
	if err == nil && done == 0 {
		_, err = tx.Exec(`INSERT INTO distribute_cursor (one, control_created, control, control_hash, ledger_created, ledger, ledger_hash, epoch, nonce)
			VALUES (1, 0, 0, ?1, 0, 0, ?1, 1, ?2)`, make([]byte, 32), nonce)
	}
	if err != nil {
		return distribution.Cursor{}, err
	}
	return ReadDistributeCursor(tx)
}
