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

// debts is the new content of a row: what one customer owes for 64 nodes and a
// period.
type debts struct {
	customer, period, book, asset string
	nodes                         int64
	owed                          []store.Debt // ascending
	lines                         []byte
}

// nodeNames reads the numbers of a partition's nodes. The settler's core holds
// debts for as many nodes in memory anyway.
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

// owe prepares the rows of a list, ascending by their key. It numbers new nodes
// and merges each row with the row in the database.
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
		return cmp.Or(strings.Compare(string(a.of.Customer), string(b.of.Customer)), strings.Compare(string(a.of.Period), string(b.of.Period)), cmp.Compare(a.number, b.number))
	})
	at := map[debtKey]int{}
	for _, l := range lines {
		key := debtKey{string(l.of.Customer), string(l.of.Period), l.number >> store.NodeBits}
		if last := len(n.debts) - 1; last < 0 || n.debts[last].customer != key.customer || n.debts[last].period != key.period || n.debts[last].nodes != key.nodes {
			at[key] = len(n.debts)
			n.debts = append(n.debts, debts{customer: key.customer, period: key.period, book: string(l.of.Book), asset: string(l.of.Asset), nodes: key.nodes})
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
	customer, period string
	nodes            int64
}

// mergeDebts merges the rows that exist in the database.
func mergeDebts(ctx context.Context, tx pgx.Tx, partition int, part, all []debts, at map[debtKey]int) error {
	rows, err := tx.Query(ctx, "SELECT customer, period, nodes, lines FROM outstanding WHERE partition = $1 AND (customer, period, nodes) IN (SELECT * FROM unnest($2::text[], $3::text[], $4::int8[]))",
		partition, column(part, customerOf), column(part, periodOf), column(part, nodesOf))
	if err != nil {
		return err
	}
	var key debtKey
	var old []byte
	_, err = pgx.ForEachRow(rows, []any{&key.customer, &key.period, &key.nodes, &old}, func() error {
		row := &all[at[key]]
		row.lines = store.MergeDebts(make([]byte, 0, len(old)+17*len(row.owed)), old, row.owed)
		return nil
	})
	return err
}

func debtsSize(d *debts) int {
	return len(d.customer) + len(d.book) + len(d.asset) + len(d.period) + len(d.lines)
}

func customerOf(d *debts) string { return d.customer }
func periodOf(d *debts) string   { return d.period }
func nodesOf(d *debts) int64     { return d.nodes }

// writeOutstanding adds the statements that write the rows that a numbering has
// prepared.
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
		out.add("writing what is owed", "DELETE FROM outstanding WHERE partition = $1 AND (customer, period, nodes) IN (SELECT * FROM unnest($2::text[], $3::text[], $4::int8[]))",
			s.partition, column(gone[from:to], customerOf), column(gone[from:to], periodOf), column(gone[from:to], nodesOf))
	})
	chunks(put, debtsSize, func(from, to int) {
		list := put[from:to]
		out.add("writing what is owed", `INSERT INTO outstanding (partition, customer, period, nodes, book, asset, lines)
			SELECT $1, * FROM unnest($2::text[], $3::text[], $4::int8[], $5::text[], $6::text[], $7::bytea[])
			ON CONFLICT (partition, customer, period, nodes) DO UPDATE SET lines = excluded.lines`,
			s.partition, column(list, customerOf), column(list, periodOf), column(list, nodesOf), column(list, func(d *debts) string { return d.book }),
			column(list, func(d *debts) string { return d.asset }), column(list, func(d *debts) []byte { return d.lines }))
	})
}

// writeCollected adds the statements that write what is collected.
func (s *settler) writeCollected(out *script, list []settlement.Collected) {
	book := func(c *settlement.Collected) string { return string(c.Book) }
	period := func(c *settlement.Collected) string { return string(c.Period) }
	node := func(c *settlement.Collected) string { return string(c.Node) }
	asset := func(c *settlement.Collected) string { return string(c.Asset) }
	size := func(c *settlement.Collected) int { return len(c.Book) + len(c.Period) + len(c.Node) + len(c.Asset) }
	put, gone := apart(list, func(c *settlement.Collected) bool { return c.Amount.IsZero() })
	chunks(gone, size, func(from, to int) {
		list := gone[from:to]
		out.add("writing what is collected", "DELETE FROM collected WHERE partition = $1 AND (book, period, node, asset) IN (SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]))",
			s.partition, column(list, book), column(list, period), column(list, node), column(list, asset))
	})
	chunks(put, size, func(from, to int) {
		list := put[from:to]
		out.add("writing what is collected", `INSERT INTO collected (partition, book, period, node, asset, amount)
			SELECT $1, book, period, node, asset, amount::numeric FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) AS u (book, period, node, asset, amount)
			ON CONFLICT (partition, book, period, node, asset) DO UPDATE SET amount = excluded.amount`,
			s.partition, column(list, book), column(list, period), column(list, node), column(list, asset),
			column(list, func(c *settlement.Collected) string { return c.Amount.String() }))
	})
}
