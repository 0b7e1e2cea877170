package cockroach

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// cached bounds the sources whose ids are remembered.
const cached = 1 << 17

// settler writes the cuts of a partition: a [store.CutWriter].
type settler struct {
	db        *engine
	partition int

	// What the last commit found out; forgotten after a failed commit.
	known      bool
	row        int64 // number of the newest journal row
	lastSource int64 // the newest source's
	sources    map[settlement.Source]int64
	nodes      map[events.Node]int64 // numbers of all nodes for which something was owed
}

// Settler is [store.Engine].
func (db *engine) Settler(t store.Tx, partition int) (store.CutWriter, error) {
	if err := register(t, settlerID(partition), store.SettleWriter(partition)); err != nil {
		return nil, err
	}
	return &settler{db: db, partition: partition, sources: map[settlement.Source]int64{}}, nil
}

// Commit is [store.CutWriter].
func (s *settler) Commit(ctx context.Context, move store.Statement, cuts []*settlement.Cut, encoded [][][]byte) error {
	sum, err := fold(cuts)
	if err != nil {
		return err
	}
	rows := newJournal(settlerID(s.partition))
	for i, c := range cuts {
		for k := range c.Records {
			if err := rows.add(&c.Records[k], encoded[i][k]); err != nil {
				return fmt.Errorf("cut at %d: %w", c.Position, err)
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
		out.move(move)
		rows.write(&out, ids.row)
		s.write(&out, sum, ids)
		return out.run(ctx, tx)
	})
	if err != nil {
		s.known = false
		clear(s.sources)
		return err
	}
	s.remember(ids, int64(len(rows.records)))
	return nil
}

// numbering is the numbers that a commit assigns.
type numbering struct {
	row     int64                       // of the journal, before it
	last    int64                       // of the sources, after it
	found   map[settlement.Source]int64 // numbers of sources that were not remembered
	made    []settlement.Source         // the new ones among them, ascending by their numbers
	sources map[settlement.Source]int64 // numbers of sources that are remembered

	nodes      map[events.Node]int64 // nodes that have a number
	freshNodes []events.Node         // nodes that get the next numbers
	debts      []debts
}

func (n *numbering) of(s settlement.Source) int64 {
	if id, ok := n.sources[s]; ok {
		return id
	}
	return n.found[s]
}

// number finds the last numbers in use, and the numbers of a commit's sources.
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

// find finds the numbers of the sources that have one.
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

// remember keeps what a successful commit has found out.
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
