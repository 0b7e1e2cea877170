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

// owing is a row to be written, with the numbers of its accounts.
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
		owes, err := s.debtor(conn, &list[i])
		if err != nil {
			return err
		}
		node, err := s.db.account(conn, ledger.NodeEarned(list[i].Node))
		if err != nil {
			return err
		}
		if owes >= 1<<31 || node >= 1<<(32+store.NodeBits) {
			return fmt.Errorf("writing what is owed: too many debtors or accounts: debtor %d, account %d", owes, node)
		}
		lines[i] = owing{owes<<32 | node>>store.NodeBits, store.Debt{Node: int(node & (1<<store.NodeBits - 1)), Amount: list[i].Amount}, &list[i]}
	}
	slices.SortFunc(lines, func(a, b owing) int {
		return cmp.Or(cmp.Compare(a.row, b.row), cmp.Compare(a.debt.Node, b.debt.Node))
	})
	var old, merged []byte
	var debts []store.Debt
	var paid []*settlement.Outstanding // debts whose rows are removed
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
		if len(merged) == 0 {
			paid = append(paid, lines[from].at)
		}
		from = to
	}
	return s.forget(conn, paid)
}

// debtor is a customer who owes something for a period.
type debtor struct {
	customer events.Customer
	period   events.Period
}

// debtor returns the number of a debtor, and assigns one if it has none.
func (s *settler) debtor(conn *sqlite.Conn, o *settlement.Outstanding) (int64, error) {
	key := debtor{o.Customer, o.Period}
	if id, ok := s.debtors[key]; ok {
		return id, nil
	}
	customer, err := s.db.account(conn, ledger.CustomerReceivable(o.Customer))
	if err != nil {
		return 0, err
	}
	if err := query(conn, "INSERT INTO debtor (customer, period) VALUES (?, ?) ON CONFLICT DO NOTHING", nil, customer, string(o.Period)); err != nil {
		return 0, fmt.Errorf("writing who owes: %w", err)
	}
	id := int64(0)
	err = query(conn, "SELECT id FROM debtor WHERE customer = ? AND period = ?", func(r *sqlite.Stmt) error {
		id = r.ColumnInt64(0)
		return nil
	}, customer, string(o.Period))
	if err != nil {
		return 0, fmt.Errorf("reading who owes: %w", err)
	}
	if len(s.debtors) >= cached {
		clear(s.debtors)
	}
	s.debtors[key] = id
	return id, nil
}

// forget removes the debtors that no longer owe anything.
func (s *settler) forget(conn *sqlite.Conn, paid []*settlement.Outstanding) error {
	for _, o := range paid {
		id, err := s.debtor(conn, o)
		if err != nil {
			return err
		}
		err = query(conn, `DELETE FROM debtor WHERE id = ?1
			AND NOT EXISTS (SELECT 1 FROM outstanding WHERE outstanding.id BETWEEN ?1 << 32 AND (?1 << 32) + 4294967295)`, nil, id)
		if err != nil {
			return fmt.Errorf("writing that %s owes nothing for %s: %w", o.Customer, o.Period, err)
		}
		if conn.Changes() > 0 {
			delete(s.debtors, debtor{o.Customer, o.Period})
		}
	}
	return nil
}

func (s *settler) collected(conn *sqlite.Conn, list []settlement.Collected) error {
	put, err := conn.Prepare(`INSERT INTO collected (partition, book, period, node, asset, amount) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET amount = excluded.amount`)
	if err != nil {
		return err
	}
	remove, err := conn.Prepare("DELETE FROM collected WHERE partition = ? AND book = ? AND period = ? AND node = ? AND asset = ?")
	if err != nil {
		return err
	}
	for i := range list {
		c := &list[i]
		to := put
		if c.Amount.IsZero() {
			to = remove
		}
		to.BindInt64(1, int64(s.partition))
		to.BindText(2, string(c.Book))
		to.BindText(3, string(c.Period))
		to.BindText(4, string(c.Node))
		to.BindText(5, string(c.Asset))
		if !c.Amount.IsZero() {
			amount := c.Amount.Bytes()
			to.BindBytes(6, amount[:])
		}
		if err := run(to); err != nil {
			return fmt.Errorf("writing what is collected: %w", err)
		}
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
	account, from := "", "outstanding CROSS JOIN debtor CROSS JOIN account WHERE debtor.id = outstanding.id >> 32 AND account.id = debtor.customer"
	if q.Customer != "" {
		account = string(ledger.CustomerReceivable(q.Customer))
		from = `account CROSS JOIN debtor CROSS JOIN outstanding WHERE account.name = ?2 AND debtor.customer = account.id
			AND outstanding.id BETWEEN debtor.id << 32 AND (debtor.id << 32) + 4294967295`
	}
	err := query(r.conn, `SELECT account.name, outstanding.book, outstanding.asset, outstanding.lines, outstanding.id, debtor.period FROM `+from+`
		AND (?2 = '' OR account.name = ?2) AND (?1 = '' OR outstanding.book = ?1) AND (?3 < 0 OR outstanding.partition = ?3)`,
		func(s *sqlite.Stmt) error {
			_, who, _ := ledger.Account(s.ColumnText(0)).Split()
			return store.Debts((&row{s}).Bytes(3), func(d store.Debt) error {
				node, err := name(s.ColumnInt64(4)&(1<<32-1)<<store.NodeBits | int64(d.Node))
				list = append(list, settlement.Outstanding{
					Book: events.Book(s.ColumnText(1)), Customer: events.Customer(who), Asset: money.Asset(s.ColumnText(2)),
					Period: events.Period(s.ColumnText(5)), Node: node, Amount: d.Amount,
				})
				return err
			})
		}, string(q.Book), account, q.Partition)
	return list, err
}
