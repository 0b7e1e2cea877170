package cockroach

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// cached bounds the sources whose ids are remembered.
const cached = 1 << 17

// settler is one partition's settler in the store. One goroutine commits.
type settler struct {
	db        *engine
	partition int
	epoch     uint64
	nonce     string

	// What the last commit left behind; forgotten after one that failed.
	known      bool
	row        int64 // number of the newest journal row
	lastSource int64 // the newest source's
	sources    map[settlement.Source]int64
	nodes      map[events.Node]int64 // every node's that something was owed for
}

// Settle is [store.Engine].
func (db *engine) Settle(ctx context.Context, partition int, stream string, created int64, nonce string) (store.SettleCommitter, settlement.Cursor, error) {
	var cursor settlement.Cursor
	err := db.transact(ctx, func(ctx context.Context, tx pgx.Tx) error {
		// First: only who commits at this very moment is in its way.
		done, err := tx.Exec(ctx, "UPDATE cursor SET epoch = epoch + 1, nonce = $1 WHERE partition = $2", nonce, partition)
		if err == nil && done.RowsAffected() == 0 {
			_, err = tx.Exec(ctx, `INSERT INTO cursor (partition, stream, created, position, hash, control, batches, epoch, nonce)
				VALUES ($1, $2, $3, 0, '', 0, 0, 1, $4)`, partition, stream, created, nonce)
		}
		if err != nil {
			return err
		}
		if err := register(ctx, tx, settlerID(partition), store.SettleWriter(partition)); err != nil {
			return err
		}
		cursor, err = store.ReadCursor(&reader{ctx: ctx, conn: tx.Conn().PgConn()}, partition)
		return err
	})
	if err != nil {
		return nil, cursor, err
	}
	return &settler{db: db, partition: partition, epoch: cursor.Epoch, nonce: nonce, sources: map[settlement.Source]int64{}}, cursor, nil
}

// Commit is [store.SettleCommitter].
func (s *settler) Commit(ctx context.Context, from uint64, cuts []*settlement.Cut, encoded [][][]byte) error {
	if len(cuts) == 0 {
		return nil
	}
	sum, err := fold(cuts)
	if err != nil {
		return fmt.Errorf("committing settlement: %w", err)
	}
	rows := newJournal(settlerID(s.partition))
	for i, c := range cuts {
		for k := range c.Records {
			if err := rows.add(&c.Records[k], encoded[i][k]); err != nil {
				return fmt.Errorf("committing settlement: cut at %d: %w", c.Position, err)
			}
		}
	}
	var ids *numbering
	err = s.db.transact(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		ids, err = s.number(ctx, tx, sum)
		if err != nil {
			return err
		}
		var out script
		last := cuts[len(cuts)-1]
		out.want("moving the cursor", 1, errElsewhere, `UPDATE cursor SET position = $1, hash = $2, control = $3, batches = batches + $4
			WHERE partition = $5 AND position = $6 AND epoch = $7 AND nonce = $8`,
			int64(last.Position), last.Hash[:], int64(last.Control), int64(sum.batches), s.partition, int64(from), int64(s.epoch), s.nonce)
		rows.write(&out, ids.row)
		s.write(&out, sum, ids)
		return out.run(ctx, tx)
	})
	if err == nil {
		s.remember(ids, int64(len(rows.records)))
		return nil
	}
	s.known = false
	clear(s.sources)
	if errors.Is(err, errElsewhere) {
		err = s.elsewhere(ctx, from, cuts[len(cuts)-1])
	}
	if err != nil {
		return fmt.Errorf("committing settlement: %w", err)
	}
	return nil
}

// elsewhere says what a cursor means that is not where a commit begins: nil where
// it is this settler's own, and at the end of it.
func (s *settler) elsewhere(ctx context.Context, from uint64, last *settlement.Cut) error {
	var now settlement.Cursor
	err := s.db.Read(ctx, func(conn store.Conn) (err error) {
		now, err = store.ReadCursor(conn, s.partition)
		return err
	})
	switch {
	case err != nil:
		return err
	case now.Epoch != s.epoch || now.Nonce != s.nonce:
		return fmt.Errorf("partition %d: %w: it is owned by settler %d, this is settler %d", s.partition, settlement.ErrFenced, now.Epoch, s.epoch)
	case now.Position == last.Position && now.Hash == last.Hash:
		return nil // The commit before, whose answer was lost, had succeeded.
	}
	return fmt.Errorf("partition %d: the cursor is at %d, not at %d: %w", s.partition, now.Position, from, settlement.ErrFenced)
}

// numbering is the numbers that a commit gives.
type numbering struct {
	row     int64                       // of the journal, before it
	last    int64                       // of the sources, after it
	found   map[settlement.Source]int64 // sources that were not remembered
	made    []settlement.Source         // those of them that are new, ascending by their numbers
	sources map[settlement.Source]int64 // those that are remembered

	nodes      map[events.Node]int64 // those that have a number
	freshNodes []events.Node         // those that get the next ones
	debts      []debts
}

func (n *numbering) of(s settlement.Source) int64 {
	if id, ok := n.sources[s]; ok {
		return id
	}
	return n.found[s]
}

// number finds where the numbers of rows stand, and those of a commit's sources.
func (s *settler) number(ctx context.Context, tx pgx.Tx, sum *change) (*numbering, error) {
	n := &numbering{row: s.row, last: s.lastSource, found: map[settlement.Source]int64{}, sources: s.sources, nodes: s.nodes}
	base := settlerID(s.partition) << store.NumberBits
	if !s.known {
		var err error
		if n.row, err = newest(ctx, tx, settlerID(s.partition)); err != nil {
			return nil, err
		}
		err = tx.QueryRow(ctx, "SELECT coalesce(max(id), $1) FROM source WHERE id BETWEEN $1 AND $2", base, base+1<<store.NumberBits-1).Scan(&n.last)
		if err != nil {
			return nil, fmt.Errorf("looking for the newest source: %w", err)
		}
		if n.nodes, err = nodeNames(ctx, tx, s.partition); err != nil {
			return nil, err
		}
	}
	if len(sum.outstanding) > 0 {
		if err := n.owe(ctx, tx, s.partition, sum.outstanding); err != nil {
			return nil, err
		}
	}
	var unknown []settlement.Source
	for _, source := range sum.sources {
		if _, ok := s.sources[source]; !ok {
			unknown = append(unknown, source)
		}
	}
	var err error
	chunks(unknown, sourceSize, func(from, to int) {
		if err == nil {
			err = n.find(ctx, tx, s.partition, unknown[from:to])
		}
	})
	if err != nil {
		return nil, fmt.Errorf("looking for sources: %w", err)
	}
	for _, source := range unknown {
		if _, ok := n.found[source]; !ok {
			n.last++
			n.found[source] = n.last
			n.made = append(n.made, source)
		}
	}
	return n, nil
}

// find finds the numbers of those sources that have one.
func (n *numbering) find(ctx context.Context, tx pgx.Tx, partition int, unknown []settlement.Source) error {
	rows, err := tx.Query(ctx, `SELECT id, provider, source, epoch FROM source
		WHERE partition = $1 AND (provider, source, epoch) IN (SELECT * FROM unnest($2::text[], $3::text[], $4::int8[]))`,
		partition, providers(unknown), names(unknown), epochs(unknown))
	if err != nil {
		return err
	}
	var id, epoch int64
	var source settlement.Source
	_, err = pgx.ForEachRow(rows, []any{&id, (*string)(&source.Provider), &source.Source, &epoch}, func() error {
		source.Epoch = uint64(store.Ordered(uint64(epoch)))
		n.found[source] = id
		return nil
	})
	return err
}

// remember keeps what a commit that succeeded has found out.
func (s *settler) remember(n *numbering, rows int64) {
	s.known, s.row, s.lastSource, s.nodes = true, n.row+rows, n.last, n.nodes
	for _, node := range n.freshNodes {
		s.nodes[node] = int64(len(s.nodes))
	}
	if len(s.sources)+len(n.found) > cached {
		clear(s.sources)
	}
	for source, id := range n.found {
		s.sources[source] = id
	}
}

func providers(list []settlement.Source) []string {
	return column(list, func(s *settlement.Source) string { return string(s.Provider) })
}

func names(list []settlement.Source) []string {
	return column(list, func(s *settlement.Source) string { return s.Source })
}

func epochs(list []settlement.Source) []int64 {
	return column(list, func(s *settlement.Source) int64 { return store.Ordered(s.Epoch) })
}
