package cockroach

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// debts is a row of what one customer owes for 64 nodes, as it shall be.
type debts struct {
	customer, book, asset string
	nodes                 int64
	owed                  []store.Debt // ascending
	lines                 []byte
}

// nodeNames reads the numbers of a partition's nodes. There are as many as the
// settler's core holds debts of in memory anyway.
func nodeNames(ctx context.Context, tx pgx.Tx, partition int) (map[events.Node]int64, error) {
	rows, err := tx.Query(ctx, "SELECT number, name FROM node WHERE partition = $1", partition)
	if err != nil {
		return nil, fmt.Errorf("reading the numbers of nodes: %w", err)
	}
	numbers := map[events.Node]int64{}
	var number int64
	var name string
	_, err = pgx.ForEachRow(rows, []any{&number, &name}, func() error {
		numbers[events.Node(name)] = number
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the numbers of nodes: %w", err)
	}
	return numbers, nil
}

// owe prepares the rows of a list, ascending by their key, numbering the nodes
// that are new and merging each row with what the database has of it.
func (n *numbering) owe(ctx context.Context, tx pgx.Tx, partition int, list []settlement.Outstanding) error {
	fresh := map[events.Node]int64{}
	lines := make([]numberedDebt, len(list))
	for i := range list {
		number, ok := n.nodes[list[i].Node]
		if !ok {
			if number, ok = fresh[list[i].Node]; !ok {
				number = int64(len(n.nodes) + len(n.freshNodes))
				fresh[list[i].Node] = number
				n.freshNodes = append(n.freshNodes, list[i].Node)
			}
		}
		lines[i] = numberedDebt{number, &list[i]}
	}
	slices.SortFunc(lines, func(a, b numberedDebt) int {
		return cmp.Or(strings.Compare(string(a.of.Customer), string(b.of.Customer)), cmp.Compare(a.number, b.number))
	})
	at := map[debtKey]int{}
	for _, l := range lines {
		key := debtKey{string(l.of.Customer), l.number >> store.NodeBits}
		if last := len(n.debts) - 1; last < 0 || n.debts[last].customer != key.customer || n.debts[last].nodes != key.nodes {
			at[key] = len(n.debts)
			n.debts = append(n.debts, debts{customer: key.customer, book: string(l.of.Book), asset: string(l.of.Asset), nodes: key.nodes})
		}
		row := &n.debts[len(n.debts)-1]
		row.owed = append(row.owed, store.Debt{Node: int(l.number & (1<<store.NodeBits - 1)), Amount: l.of.Amount})
	}
	var err error
	chunks(n.debts, debtsSize, func(from, to int) {
		if err == nil {
			err = mergeDebts(ctx, tx, partition, n.debts[from:to], n.debts, at)
		}
	})
	if err != nil {
		return fmt.Errorf("reading what is owed: %w", err)
	}
	for i := range n.debts {
		if row := &n.debts[i]; row.lines == nil {
			row.lines = store.MergeDebts(nil, nil, row.owed)
		}
	}
	return nil
}

type numberedDebt struct {
	number int64
	of     *settlement.Outstanding
}

type debtKey struct {
	customer string
	nodes    int64
}

// mergeDebts merges those of the rows that the database has.
func mergeDebts(ctx context.Context, tx pgx.Tx, partition int, part, all []debts, at map[debtKey]int) error {
	rows, err := tx.Query(ctx, "SELECT customer, nodes, lines FROM outstanding WHERE partition = $1 AND (customer, nodes) IN (SELECT * FROM unnest($2::text[], $3::int8[]))",
		partition, column(part, customerOf), column(part, nodesOf))
	if err != nil {
		return err
	}
	var key debtKey
	var old []byte
	_, err = pgx.ForEachRow(rows, []any{&key.customer, &key.nodes, &old}, func() error {
		row := &all[at[key]]
		row.lines = store.MergeDebts(make([]byte, 0, len(old)+17*len(row.owed)), old, row.owed)
		return nil
	})
	return err
}

func debtsSize(d *debts) int {
	return len(d.customer) + len(d.book) + len(d.asset) + len(d.lines)
}

func customerOf(d *debts) string { return d.customer }
func nodesOf(d *debts) int64     { return d.nodes }

// writeOutstanding adds the statements that write what a numbering has prepared.
func (s *settler) writeOutstanding(out *script, ids *numbering) {
	if len(ids.freshNodes) > 0 {
		numbers := make([]int64, len(ids.freshNodes))
		for i := range numbers {
			numbers[i] = int64(len(ids.nodes) + i)
		}
		chunks(ids.freshNodes, func(n *events.Node) int { return len(*n) }, func(from, to int) {
			out.add("writing the numbers of nodes", "INSERT INTO node (partition, number, name) SELECT $1, * FROM unnest($2::int8[], $3::text[])",
				s.partition, numbers[from:to], column(ids.freshNodes[from:to], func(n *events.Node) string { return string(*n) }))
		})
	}
	put, gone := apart(ids.debts, func(d *debts) bool { return len(d.lines) == 0 })
	chunks(gone, debtsSize, func(from, to int) {
		out.add("writing what is owed", "DELETE FROM outstanding WHERE partition = $1 AND (customer, nodes) IN (SELECT * FROM unnest($2::text[], $3::int8[]))",
			s.partition, column(gone[from:to], customerOf), column(gone[from:to], nodesOf))
	})
	chunks(put, debtsSize, func(from, to int) {
		list := put[from:to]
		out.add("writing what is owed", `INSERT INTO outstanding (partition, customer, nodes, book, asset, lines)
			SELECT $1, * FROM unnest($2::text[], $3::int8[], $4::text[], $5::text[], $6::bytea[])
			ON CONFLICT (partition, customer, nodes) DO UPDATE SET lines = excluded.lines`,
			s.partition, column(list, customerOf), column(list, nodesOf), column(list, func(d *debts) string { return d.book }),
			column(list, func(d *debts) string { return d.asset }), column(list, func(d *debts) []byte { return d.lines }))
	})
}
