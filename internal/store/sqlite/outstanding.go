package sqlite

import (
	"cmp"
	"fmt"
	"slices"

	"zombiezen.com/go/sqlite"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// owing is a line to be written, by the numbers of its accounts.
type owing struct {
	row  int64
	debt store.Debt
	at   *settlement.Outstanding
}

func (s *settler) outstanding(conn *sqlite.Conn, list []settlement.Outstanding) error {
	if len(list) == 0 {
		return nil
	}
	lines := make([]owing, len(list))
	for i := range list {
		customer, err := s.db.account(conn, ledger.CustomerReceivable(list[i].Customer))
		if err != nil {
			return err
		}
		node, err := s.db.account(conn, ledger.NodeEarned(list[i].Node))
		if err != nil {
			return err
		}
		if customer >= 1<<31 || node >= 1<<(32+store.NodeBits) {
			return fmt.Errorf("writing what is owed: accounts %d and %d: too many accounts", customer, node)
		}
		lines[i] = owing{customer<<32 | node>>store.NodeBits, store.Debt{Node: int(node & (1<<store.NodeBits - 1)), Amount: list[i].Amount}, &list[i]}
	}
	slices.SortFunc(lines, func(a, b owing) int {
		return cmp.Or(cmp.Compare(a.row, b.row), cmp.Compare(a.debt.Node, b.debt.Node))
	})
	var old, merged []byte
	var debts []store.Debt
	for from := 0; from < len(lines); {
		to := from
		for debts = debts[:0]; to < len(lines) && lines[to].row == lines[from].row; to++ {
			debts = append(debts, lines[to].debt)
		}
		var err error
		if old, err = owedRow(conn, old[:0], lines[from].row); err != nil {
			return err
		}
		merged = store.MergeDebts(merged[:0], old, debts)
		if err := putOwed(conn, s.partition, &lines[from], merged); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func owedRow(conn *sqlite.Conn, into []byte, id int64) ([]byte, error) {
	get, err := conn.Prepare("SELECT lines FROM outstanding WHERE id = ?")
	if err != nil {
		return nil, err
	}
	get.BindInt64(1, id)
	row, err := get.Step()
	if err != nil {
		return nil, fmt.Errorf("reading what is owed: %w", err)
	}
	if row {
		into = slices.Grow(into, get.ColumnLen(0))[:get.ColumnLen(0)]
		get.ColumnBytes(0, into)
	}
	return into, get.Reset()
}

func putOwed(conn *sqlite.Conn, partition int, l *owing, merged []byte) error {
	text := "INSERT INTO outstanding (id, book, asset, lines, partition) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET lines = excluded.lines"
	if len(merged) == 0 {
		text = "DELETE FROM outstanding WHERE id = ?"
	}
	put, err := conn.Prepare(text)
	if err != nil {
		return err
	}
	put.BindInt64(1, l.row)
	if len(merged) > 0 {
		put.BindText(2, string(l.at.Book))
		put.BindText(3, string(l.at.Asset))
		put.BindBytes(4, merged)
		put.BindInt64(5, int64(partition))
	}
	if err := run(put); err != nil {
		return fmt.Errorf("writing what is owed: %w", err)
	}
	return nil
}

// Outstanding is [store.Conn].
func (r *reader) Outstanding(list []settlement.Outstanding, q store.Owing) ([]settlement.Outstanding, error) {
	nodes := make(map[int64]events.Node)
	name := func(id int64) (events.Node, error) {
		if n, ok := nodes[id]; ok {
			return n, nil
		}
		err := query(r.conn, "SELECT name FROM account WHERE id = ?", func(s *sqlite.Stmt) error {
			_, node, _ := ledger.Account(s.ColumnText(0)).Split()
			nodes[id] = events.Node(node)
			return nil
		}, id)
		return nodes[id], err
	}
	account, from := "", "outstanding CROSS JOIN account WHERE account.id = outstanding.id >> 32"
	if q.Customer != "" {
		account = string(ledger.CustomerReceivable(q.Customer))
		from = "account CROSS JOIN outstanding WHERE account.name = ?2 AND outstanding.id BETWEEN account.id << 32 AND (account.id << 32) + 4294967295"
	}
	err := query(r.conn, `SELECT account.name, outstanding.book, outstanding.asset, outstanding.lines, outstanding.id FROM `+from+`
		AND (?2 = '' OR account.name = ?2) AND (?1 = '' OR outstanding.book = ?1) AND (?3 < 0 OR outstanding.partition = ?3)`,
		func(s *sqlite.Stmt) error {
			_, who, _ := ledger.Account(s.ColumnText(0)).Split()
			return store.Debts((&row{s}).Bytes(3), func(d store.Debt) error {
				node, err := name(s.ColumnInt64(4)&(1<<32-1)<<store.NodeBits | int64(d.Node))
				list = append(list, settlement.Outstanding{
					Book: events.Book(s.ColumnText(1)), Customer: events.Customer(who), Asset: money.Asset(s.ColumnText(2)), Node: node, Amount: d.Amount,
				})
				return err
			})
		}, string(q.Book), account, q.Partition)
	return list, err
}
