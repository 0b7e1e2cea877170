package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// This file says whose commit it is, for every engine. A settler and a distributor
// take their cursor over by raising its epoch and writing a nonce into it. Each of
// their commits moves the cursor, in the transaction that writes the rest, from
// where it must stand and only under their own epoch and nonce. Where it does not
// move, the cursor is read, and says which of three things it was: another owner's
// take-over, the owner's own commit whose answer was lost, or a cursor that was put
// elsewhere.

// ErrElsewhere is what an engine says of a commit whose [Statement] moved no
// cursor. Nothing of the commit was written.
var ErrElsewhere = errors.New("the cursor is elsewhere")

// owner is one take-over of a cursor.
type owner struct {
	of     string // what is owned, for errors
	who    string // what the owner is
	fenced error  // what an owner is told that lost it
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

// Owned returns nil as long as this settler's take-over of the partition is the
// last one; otherwise [settlement.ErrFenced].
func (s *Settle) Owned(ctx context.Context) error {
	now, err := s.db.Cursor(ctx, s.partition)
	if err != nil {
		return err
	}
	return s.owner.holds(now.Epoch, now.Nonce)
}

// Owned returns nil as long as this distributor's take-over is the last one;
// otherwise [distribution.ErrFenced].
func (d *Distribute) Owned(ctx context.Context) error {
	now, err := d.db.DistributeCursor(ctx)
	if err != nil {
		return err
	}
	return d.owner.holds(now.Epoch, now.Nonce)
}

// Commit writes whole cuts, ascending, in one transaction with the cursor. from is
// the position of the cursor that they follow. Where the cursor has moved on,
// [settlement.ErrFenced] says that somebody else moved it; nil that this settler
// itself did, in a commit whose outcome it had not learned.
// [settlement.ErrInterrupted] says that the same again may succeed: whether this
// time it did is unknown.
//
// The records come encoded beside the cuts: encoded[i][j] is cuts[i].Records[j].
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
		return err // nil: the commit before, whose answer was lost, had succeeded
	}
	return fmt.Errorf("partition %d: the cursor is at %d, not at %d: %w", s.partition, now.Position, from, settlement.ErrFenced)
}

// Commit writes a step in one transaction with the cursor, which it moves from one
// pair of marks to the step's. Where the cursor is elsewhere,
// [distribution.ErrFenced] says that somebody else moved it; nil that this
// distributor itself did, in a commit whose outcome it had not learned. After any
// other error the outcome is unknown, and the same again may succeed.
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
		return err // nil: the commit before, whose answer was lost, had succeeded
	}
	return fmt.Errorf("%w: the cursor is at control %d and ledger %d, not at %d and %d", distribution.ErrFenced,
		now.Control.Position, now.Ledger.Position, control.Position, read.Position)
}

// takeSettle makes a settler the owner of a partition's cursor.
func takeSettle(tx Tx, partition int, stream string, created int64, nonce string) (settlement.Cursor, error) {
	// The update comes first: only a commit at this very moment is in its way.
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
